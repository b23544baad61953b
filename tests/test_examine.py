"""What abilities add to an evaluation, on hand-made models; restorations against formulas and what is known to work."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from genfoundry import augmentation, examine, restoration, yardstick
from genfoundry.data.pixels import ImageSplit
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.models.judge import Judge
from genfoundry.types import Draw, Spec

SPEC = Spec((1, 8, 8), 17, classes=3, class_counts=(40, 40, 40))


def stripes(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of three classes: horizontal, vertical, and no stripes, with noise."""
    draw = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % 3
    wave = (torch.arange(8) % 4 < 2).float() * 12
    across, down = wave.expand(8, 8), wave.view(8, 1).expand(8, 8)
    base = torch.stack([across, down, torch.full((8, 8), 6.0)])[label][:, None]
    return (base + 5 * torch.rand((n, 1, 8, 8), generator=draw)).long().clamp(0, 16), label


def split(name: str, n: int, seed: int) -> ImageSplit:
    x, label = stripes(n, seed)
    return ImageSplit(name, {"x": x.to(torch.uint8), "label": label}, SPEC, None, None)


class Data:
    """The part of a data set that examination asks for."""

    def __init__(self, **splits: ImageSplit) -> None:
        self.splits = splits

    def split(self, name: str) -> ImageSplit:
        return self.splits[name]


class Striped(GenerativeModel):
    """Draws perfect samples of the class that is asked for, or (`deaf`) of any class."""

    likelihood = "none"
    deaf: ClassVar[bool] = False

    @property
    def conditional(self) -> bool:
        return True

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        x, own = stripes(3 * n, int(torch.randint(10_000, ())))
        asked = torch.randint(3, (n,)) if label is None or self.deaf else label
        return torch.cat([x[own == k][i : i + 1] for i, k in enumerate(asked.tolist())])


class Deaf(Striped):
    deaf = True


class Blurs(GenerativeModel):
    """Restores noise by a mean over columns; completes with what it was given and a constant."""

    likelihood = "none"
    damages: ClassVar[tuple[str, ...]] = ("gaussian",)

    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        return x.mean(2, keepdim=True).expand_as(x)

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        return torch.where(known, x, 6)


def bench(judge: Judge | None) -> Any:
    train, test = split("train", 120, 0), split("test", 60, 1)
    return examine.Bench(Data(train=train, test=test), train, test, judge)  # type: ignore[arg-type]


def test_samples_of_the_right_class_are_worth_training_on_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "FEW", 9)
    monkeypatch.setattr(augmentation, "EPOCHS", 20)
    judge = Judge(SPEC, Judge.Config())
    found = {}
    for kind in (Striped, Deaf):
        own, _ = examine.abilities(kind(SPEC, Hyper()), bench(judge), 0, 90)
        found[kind] = yardstick.figures(own, 64, "images")
    assert found[Striped]["class_accuracy"] > 0.9
    assert found[Striped]["class_accuracy_real"] > 0.9
    assert found[Striped]["augmentation_gain"] > -0.02
    assert found[Deaf]["class_accuracy"] < 0.7
    assert found[Deaf]["augmentation_gain"] < found[Striped]["augmentation_gain"]
    assert examine.abilities(Striped(SPEC, Hyper()), bench(None), 0, 90)[0] == {}


def test_restorations_stand_beside_classical_ones() -> None:
    own, beside = examine.abilities(Blurs(SPEC, Hyper()), (seen := bench(None)), 0, 30)
    assert set(own) == {f"{what}_{unit}" for what in ("restore_gaussian", "complete") for unit in ("psnr", "ssim")}
    assert set(beside) == {"identity", "median filter", "non-local means", "pixel means", "nearest item"}
    assert beside["nearest item"]["complete_psnr"].mean() > own["complete_psnr"].mean()
    assert {"restored_gaussian", "completed"} <= set(seen.pictures)
    assert len(seen.pictures["completed"]) == 3 * 60
    figures = yardstick.figures(own, 64, "images")
    assert figures["complete_psnr_low"] < figures["complete_psnr"] < figures["complete_psnr_high"]


def test_psnr_is_its_formula_and_a_copy_is_perfect() -> None:
    clean = stripes(4, 0)[0]
    error = torch.full_like(clean, 2).float()
    found = restoration.quality((clean + error).clamp(0, 16), clean, 17)
    squares = ((clean + error).clamp(0, 16) - clean).double().square().mean((1, 2, 3))
    np.testing.assert_allclose(found["psnr"], 10 * np.log10(16**2 / squares.numpy()))
    perfect = restoration.quality(clean.float(), clean, 17)
    assert (perfect["psnr"] == 100).all()
    np.testing.assert_allclose(perfect["ssim"], 1)


def test_damages_are_counted_and_what_they_say() -> None:
    x = torch.full((200, 1, 8, 8), 8)
    noisy, known = restoration.damaged(x, "gaussian", 17)
    assert known is None
    assert (noisy - 8).std().item() == pytest.approx(0.5 * 16, rel=0.02)
    assert torch.equal(noisy, restoration.damaged(x, "gaussian", 17)[0])
    pepper, _ = restoration.damaged(x, "salt_pepper", 17)
    assert [(pepper == v).float().mean().item() for v in (0, 16)] == pytest.approx([0.1, 0.1], abs=0.01)
    masked, known = restoration.damaged(x.expand(-1, 3, -1, -1), "mask", 17)
    assert known is not None
    assert known.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (masked[~known] == 0).all()
    assert (known[:, 0] == known[:, 2]).all()
    upper = restoration.damaged(x, "complete", 17)[1]
    assert upper is not None
    assert upper[:, :, :4].all()
    assert not upper[:, :, 4:].any()


def test_each_classical_method_helps_against_its_damage() -> None:
    ramp = torch.arange(16).view(1, 1, 1, 16) + torch.arange(16).view(1, 1, 16, 1)
    clean = ramp.expand(4, 1, 16, 16).contiguous()
    methods = restoration.classical(clean[0].float(), lambda: clean)

    def psnr(method: str, damage: str) -> float:
        x, known = restoration.damaged(clean, damage, 31)
        damages, call = methods[method]
        assert damage in damages
        return float(restoration.quality(call(x, known, 31), clean, 31)["psnr"].mean())

    assert psnr("median filter", "salt_pepper") > psnr("identity", "salt_pepper") + 8
    assert psnr("non-local means", "gaussian") > psnr("identity", "gaussian") + 3
    assert psnr("biharmonic", "mask") > psnr("identity", "mask") + 15
    assert psnr("nearest item", "complete") == 100
    assert math.isfinite(psnr("pixel means", "complete"))
