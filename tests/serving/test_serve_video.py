"""A model of video that answers requests: samples go on from given frames, files of videos are scored after theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from genfoundry import models
from genfoundry.errors import UserError
from genfoundry.models import checkpoint
from genfoundry.serving import cli, score_file
from genfoundry.serving.predictor import Predictor
from genfoundry.tracking import package
from genfoundry.types import Batch, Spec

SPEC = Spec((2, 1, 4, 5), 2, cond_shape=(3, 1, 4, 5), cond_levels=2)
VIDEOS = (np.random.default_rng(0).random((6, 5, 1, 4, 5)) < 0.4).astype(np.uint8)


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    kind = models.find("video_pixel")
    torch.manual_seed(0)
    model = kind(SPEC, kind.Config())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    checkpoint.save(tmp_path / "model", model, {"meta": {"modality": "video"}, "dataset": "x"})
    return Predictor(tmp_path / "model")


def test_a_file_is_scored_after_its_given_frames(predictor: Predictor, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", videos=VIDEOS)
    nats, values = score_file.score_items(tmp_path, tmp_path / "a.npz", predictor, 0)
    whole = torch.as_tensor(VIDEOS).long()
    with torch.no_grad():
        right = predictor.model.measure(Batch(whole[:, 3:], cond=whole[:, :3]))["nll"]
    assert np.allclose(nats, right.numpy())
    assert values.tolist() == [40] * 6 and predictor.unit == "bits_per_dim"


def test_samples_go_on_from_the_past(predictor: Predictor) -> None:
    samples = predictor.sample(3, past=VIDEOS[0, :3], seed=1)
    assert [sample.shape for sample in samples] == [SPEC.shape] * 3
    assert not all(
        np.array_equal(a, b) for a, b in zip(samples, predictor.sample(3, past=1 - VIDEOS[0, :3], seed=1), strict=True)
    )


def test_the_command_line_goes_on_from_the_first_video_of_test(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data/prepared/x/arrays").mkdir(parents=True)
    save_file({"x": VIDEOS}, tmp_path / "data/prepared/x/arrays/test.safetensors")
    monkeypatch.setattr(cli, "load_champion", lambda root, task: predictor)
    message = cli.sample(tmp_path, "moving", 4, out=tmp_path / "s.npz", seed=1)
    assert message.startswith("4 samples of shape (2, 1, 4, 5)")
    made = np.load(tmp_path / "s.npz")["images"]
    assert np.array_equal(made, np.stack(predictor.sample(4, past=VIDEOS[0, :3], seed=1)))
    cli.sample(tmp_path, "moving", 4, out=tmp_path / "s.png")
    assert Image.open(tmp_path / "s.png").size[0] % (2 * 7 + 2) == 0  # two frames a row


def test_mlflow_is_told_what_a_request_looks_like(predictor: Predictor) -> None:
    columns = package.describe_columns(predictor)
    assert list(columns) == ["n", "past", "x"]
    assert columns["past"] == f"whole numbers below 2 of shape {SPEC.cond_shape}"
    assert np.array(package.build_example(predictor)["past"][0]).shape == SPEC.cond_shape


@pytest.mark.parametrize(
    ("past", "message"),
    [
        (None, r"past: none: expected shape \(P, 1, 4, 5\), P at least 3"),
        (VIDEOS[0, :2], r"past: shape \(2, 1, 4, 5\)"),
        (VIDEOS[0, :3, :, 1:], r"past: shape \(3, 1, 3, 5\)"),
        (VIDEOS[0, :3] * 7, "past: values 0 to 7: expected whole ones from 0 to 1"),
    ],
)
def test_bad_requests(predictor: Predictor, past: np.ndarray | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        predictor.sample(1, past=past)


@pytest.mark.parametrize(
    ("arrays", "message"), [({"videos": VIDEOS[:, :4]}, "videos of shape"), ({"images": VIDEOS}, "array `videos`")]
)
def test_bad_files(predictor: Predictor, tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        score_file.score_items(tmp_path, tmp_path / "a.npz", predictor, 0)
