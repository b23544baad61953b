"""Video's figures: nats a frame, how near continuations come, trivial models that are exact, and strips."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from PIL import Image
from torch import Tensor

from genfoundry import models
from genfoundry.data.iterate import sample_indices
from genfoundry.data.splits.video import VideoSplit
from genfoundry.evaluation import plots
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.baselines import base as baselines
from genfoundry.evaluation.baselines.pixel_contexts import ABOVE, LAST, ContextModel
from genfoundry.evaluation.context import EvalContext, SplitContext
from genfoundry.evaluation.metrics import video
from genfoundry.evaluation.objectives import computable_objectives, find_objective
from genfoundry.evaluation.predict import predict, score
from genfoundry.types import Spec

SPEC = Spec((2, 1, 4, 4), 2, cond_shape=(3, 1, 4, 4), cond_levels=2)


def split(name: str, n: int = 30, spec: Spec = SPEC, x: Tensor | None = None) -> VideoSplit:
    draw = torch.Generator().manual_seed(len(name))
    given = spec.cond_shape[0] if spec.cond_shape else 0
    whole = (torch.rand(n, given + spec.shape[0], *spec.shape[1:], generator=draw) < 0.3).to(torch.uint8)
    return VideoSplit(name, {"x": whole if x is None else x}, spec)


def known(train: VideoSplit, **held: VideoSplit) -> baselines.BaselineInputs:
    return baselines.BaselineInputs(train, held, {name: len(one) for name, one in held.items()}, 20)


@pytest.mark.parametrize("offsets", [LAST, ABOVE], ids=["last", "above"])
def test_counted_pixels_have_mass_one(offsets: Any) -> None:
    spec = Spec((2, 1, 2, 2), 2, cond_shape=(1, 1, 2, 2), cond_levels=2)
    model = ContextModel(split("train", 40, spec), offsets)
    every = ((torch.arange(256)[:, None] // 2 ** torch.arange(8)) % 2).view(256, 2, 1, 2, 2)
    given = torch.tensor([[1, 0], [1, 1]]).expand(256, 1, 1, 2, 2)
    nll = model.nll(split("all", spec=spec, x=torch.cat([given, every], 1)).eval_batch(torch.arange(256)))
    assert np.exp(-nll).sum() == pytest.approx(1.0)
    assert np.ptp(nll) > 1


def test_the_copy_of_the_last_frame_counts_flips() -> None:
    train, test = split("train"), split("test", 12)
    before, after = train.tensor[:, 2:4].flatten().numpy(), train.tensor[:, 3:].flatten().numpy()
    flips = {v: ((after[before == v] != v).sum() + 1) / ((before == v).sum() + 2) for v in (0, 1)}
    was, now = test.tensor[:, 2:4].flatten(1).numpy(), test.tensor[:, 3:].flatten(1).numpy()
    chance = np.where(was == 1, flips[1], flips[0])
    row = next(r for r in baselines.fit_baselines(known(train, test=test), "video") if r.name == "copy-last-frame")
    found = row.predict(test)
    assert np.allclose(found["nll"].numpy(), -np.log(np.where(was == now, 1 - chance, chance)).sum(1))
    index = sample_indices(test, 12)
    assert torch.equal(found["samples"], test.tensor[index][:, 2:3].expand(-1, 2, -1, -1, -1).long())
    scored = score(found, SplitContext(split=test))
    wrong = (found["samples"] != test.tensor[index][:, 3:]).flatten(1).double().mean(1).numpy()
    continued = video.score_frames(found, SplitContext(split=test))["continued_psnr"]  # type: ignore[arg-type]
    assert continued == pytest.approx(-10 * np.log10(wrong))
    assert np.allclose(scored["frame"], found["nll"].numpy() / 2)


def test_trivial_models_and_real_videos_of_others() -> None:
    train, test = split("train"), split("test", 12)
    found = {row.name: row for row in baselines.fit_baselines(known(train, test=test), "video")}
    roles = {name: row.role for name, row in found.items()}
    assert {n for n, role in roles.items() if role == "baseline"} == {
        "copy-last-frame", "without-the-past", "last-frame-and-above", "independent-pixels",
    }  # fmt: skip
    real = found["real-against-real"].predict(test)["samples"]
    assert sorted(x.tolist() for x in real) == sorted(x.tolist() for x in test.tensor[:, 3:].long())
    assert not any(torch.equal(a, b) for a, b in zip(real, test.tensor[sample_indices(test, 12)][:, 3:], strict=True))


def test_a_copy_is_as_near_as_can_be() -> None:
    one = split("test", 5)
    truth = one.eval_batch(sample_indices(one, 5)).x
    assert video.score_frames({"samples": truth}, SplitContext(split=one))["continued_psnr"].tolist() == [100.0] * 5
    wrong = truth.clone()
    wrong[:, 0, 0, 0, 0] = 1 - wrong[:, 0, 0, 0, 0]
    assert video.score_frames({"samples": wrong}, SplitContext(split=one))["continued_psnr"] == pytest.approx(
        [10 * math.log10(32)] * 5
    )


def test_a_model_has_nats_a_frame_and_strips(tmp_path: Path) -> None:
    kind = models.find("video_pixel")
    torch.manual_seed(0)
    model, train, test = kind(SPEC, kind.Config()).eval(), split("train"), split("test", 14)
    assert "nats_per_frame" in computable_objectives(kind, "video")
    metric, context = find_objective("nats_per_frame"), SplitContext(split=test)
    tuned = score(predict(model, context, [metric]), context, [metric])
    value = metric.value(tuned, SPEC.dims)
    assert value == pytest.approx(float(tuned["nll"].mean()) / 2)
    seen = toys.examine(model, EvalContext(dataset=None, train=train, split=test, samples=14), "video")  # type: ignore[arg-type]
    assert set(seen.scores) == {"continued_psnr"} and len(seen.scores["continued_psnr"]) == 14 and not seen.beside
    found = aggregate({**tuned, **seen.scores}, SPEC.dims, "video")
    assert {"nats_per_frame", "nats_per_frame_stderr", "bits_per_dim", "continued_psnr_low"} <= found.keys()
    for name, drawing in seen.plots.items():
        drawing(tmp_path / f"{name}.png")
    assert set(seen.plots) == {"continued", "samples"}
    sheet = np.asarray(Image.open(tmp_path / "continued.png"))
    assert sheet.shape[0] / sheet.shape[1] == pytest.approx((12 * 6 + 2) / ((3 + 1 + 2 + 1 + 2) * 6 + 2))


def test_a_strip_shows_the_frames_in_their_order(tmp_path: Path) -> None:
    first, second = np.zeros((2, 1, 1, 4, 4), np.uint8), np.ones((2, 2, 1, 4, 4), np.uint8)
    second[0, 1] = 0
    plots.write_strips(tmp_path / "s.png", [first, second], 2)
    sheet = np.asarray(Image.open(tmp_path / "s.png"))[..., 0]
    scale = sheet.shape[1] // (4 * 6 + 2)
    cells = [[sheet[(2 + 6 * i) * scale + 1, (2 + 6 * j) * scale + 1] for j in range(4)] for i in range(2)]
    assert cells == [[0, 255, 255, 0], [0, 255, 255, 255]]
