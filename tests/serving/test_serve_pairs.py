"""A model of pairs that answers requests: the prompt is the source, the answer its target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genfoundry.errors import UserError
from genfoundry.models import checkpoint
from genfoundry.models.bytenet import Bytenet
from genfoundry.serving import score_file
from genfoundry.serving.predictor import Predictor
from genfoundry.types import Batch, Draw, Spec

ALPHABET = " abcde"


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    torch.manual_seed(0)
    model = Bytenet(Spec((8,), 7, cond_shape=(6,), cond_levels=7), Bytenet.Config())
    meta = {"modality": "pairs", "alphabet": ALPHABET}
    checkpoint.save(tmp_path / "model", model, {"meta": meta, "dataset": "x"})
    return Predictor(tmp_path / "model")


def test_a_source_gets_targets(predictor: Predictor) -> None:
    samples = predictor.sample(20, prompt="ab cd", seed=1)
    assert len(set(samples)) > 5 and all(set(text) <= set(ALPHABET) for text in samples)
    best = predictor.sample(2, prompt="ab cd", draw=Draw(temperature=0.0))
    cond = torch.tensor([[1, 2, 0, 3, 4, 6]])
    codes = predictor.model.translate(cond)[0].tolist()  # type: ignore[operator]
    assert best == 2 * ["".join(ALPHABET[c] for c in codes if c < 6)]


def test_a_file_is_scored_pair_by_pair(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("ab\tabc\nde\te\n")
    nats, values = score_file.score_items(tmp_path, tmp_path / "a.tsv", predictor, 0)
    assert values.tolist() == [4, 2] and predictor.unit == "nats_per_char"  # with the end of each
    x, cond = torch.tensor([[1, 2, 3, 6, 6, 6, 6, 6]]), torch.tensor([[1, 2, 6, 6, 6, 6]])
    assert np.isclose(nats[0], predictor.model.measure(Batch(x, cond))["nll"].item())


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "prompt: 0 characters: expected a source of 1 to 6"),
        ("abcdeab", "7 characters: expected a source of 1 to 6"),
        ("x", "'x', is not in"),
    ],
)
def test_bad_sources(predictor: Predictor, prompt: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        predictor.sample(1, prompt=prompt)


@pytest.mark.parametrize(
    ("text", "message"),
    [("abcdeab\ta\n", r"a\.tsv:1: source: expected up to 6 characters, got 7"), ("a b\n", "0 tabs"),
     ("a\tx\n", "'x', is not in"), ("\n", "no pairs")],
)  # fmt: skip
def test_bad_files(predictor: Predictor, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(UserError, match=message):
        score_file.score_items(tmp_path, tmp_path / "a.tsv", predictor, 0)
