"""A model of lines that answers requests: lines are scored one by one, figures are by characters, not by padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genfoundry.errors import UserError
from genfoundry.models import checkpoint
from genfoundry.models.text_vae import TextVae
from genfoundry.serving import score_file
from genfoundry.serving.predictor import Predictor
from genfoundry.types import Spec

ALPHABET = "\n abcde1"


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    torch.manual_seed(0)
    model = TextVae(Spec((8,), len(ALPHABET)), TextVae.Config())
    meta = {"modality": "lines", "alphabet": ALPHABET}
    checkpoint.save(tmp_path / "model", model, {"meta": meta, "dataset": "x"})
    return Predictor(tmp_path / "model")


def test_a_file_is_scored_line_by_line(
    predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("abc\n\n  de a \n11 1\nabcdeabc\nb\n")
    nats, values = score_file.score_items(tmp_path, file, predictor, 0)
    assert values.tolist() == [4, 5, 2]  # with the end of each
    assert "2 of 5 lines have no letter or over 7 characters" in capsys.readouterr().err
    assert np.array_equal(nats, predictor.score_text("abc\nde a\nb", 0)[0])
    assert predictor.score_text("abc\n\nde a\nb")[1].sum() == 11 and predictor.unit == "nats_per_char"
    assert predictor.per_value(nats.sum(), 11) == pytest.approx(nats.sum() / 11)


def test_lines_come_back_without_their_padding(predictor: Predictor) -> None:
    samples = predictor.sample(20, prompt="abc", seed=3)
    assert all(line.startswith("abc") and "\n" not in line and len(line) <= 8 for line in samples)
    assert len(set(samples)) > 5
    assert all("\n" not in line for line in predictor.sample(20))


@pytest.mark.parametrize(
    ("prompt", "text", "message"),
    [
        ("a\nb", "", "expected the start of a line, of up to 7 characters"),
        ("abcdeabc", "", "expected the start of a line, of up to 7 characters"),
        ("", "abcdeabcd", "text: 'abcdeabcd': expected lines of up to 7 characters, got 9"),
        ("", "\n \n", "text: '': expected one character at least"),
        ("", "xyz", "character 1, 'x', is not in the model's alphabet"),
    ],
)
def test_bad_requests(predictor: Predictor, prompt: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        predictor.sample(1, prompt=prompt) if prompt else predictor.score_text(text)
