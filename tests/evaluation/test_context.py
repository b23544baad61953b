"""What abilities add to an evaluation, on hand-made models; restorations against formulas and what is known to work."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from genfoundry.data.iterate import sample_indices
from genfoundry.data.splits.images import ImageSplit
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.baselines import classical_restoration
from genfoundry.evaluation.cache import Shared
from genfoundry.evaluation.context import EvalContext, SplitContext
from genfoundry.evaluation.inverse_problem import DAMAGES, corrupt, image_quality
from genfoundry.evaluation.metrics import all_metrics, classification_accuracy_score
from genfoundry.evaluation.predict import predict, score
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
    return ImageSplit(name, {"x": x.to(torch.uint8), "label": label}, SPEC)


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

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return torch.zeros(n, *self.spec.shape)

    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        return x.mean(2, keepdim=True).expand_as(x)

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        return torch.where(known, x, 6)


def setting(judge: Judge | None, samples: int, **more: Any) -> EvalContext:
    train, test = split("train", 120, 0), split("test", 60, 1)
    data: Any = {"dataset": Data(train=train, test=test), "train": train, "split": test}
    return EvalContext(**data, judge=judge, samples=samples, **more)


def classes(model: GenerativeModel, context: EvalContext) -> Any:
    outputs = classification_accuracy_score.draw_of_classes(model, context)
    return score(outputs, context, classification_accuracy_score.METRICS)


def test_samples_of_the_right_class_are_worth_training_on_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification_accuracy_score, "EPOCHS", 20)
    judge = Judge(SPEC, Judge.Config())
    found = {}
    for kind in (Striped, Deaf):
        own = classes(kind(SPEC, Hyper()), setting(judge, 90))
        assert own["class_hits"].shape == (60, classification_accuracy_score.TRAININGS)
        found[kind] = aggregate(own, 64, "images")
    assert found[Striped]["class_accuracy"] > 0.9
    assert found[Striped]["class_accuracy_real"] > 0.9
    assert found[Deaf]["class_accuracy"] < 0.7
    assert found[Deaf]["class_accuracy_low"] < found[Deaf]["class_accuracy"] < found[Deaf]["class_accuracy_high"]
    assert classes(Striped(SPEC, Hyper()), setting(None, 90)) == {}


def test_real_items_that_samples_replace_are_labelled_and_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    x, label = stripes(120, 0)
    part = ImageSplit("train", {"x": x, "label": torch.where(torch.arange(120) < 60, label, -1)}, SPEC)
    index, read, eval_batch = classification_accuracy_score.find_labelled(part), [], part.eval_batch
    monkeypatch.setattr(part, "eval_batch", lambda rows: read.extend(rows.tolist()) or eval_batch(rows))
    monkeypatch.setattr(classification_accuracy_score, "find_labelled", lambda split: index)
    drawn, own = classification_accuracy_score.draw_real_items(part, 30)  # type: ignore[arg-type]
    assert len({*read}) == len(read) == 30 and max(read) < 60
    assert torch.equal(drawn, x[read]) and torch.equal(own, label[read])


def test_no_figure_says_what_samples_add_to_labels_that_their_model_has_seen() -> None:
    assert "augmentation_gain" not in all_metrics()


def test_an_interval_of_class_accuracy_counts_trainings() -> None:
    hits = np.ones((2000, 3))
    hits[:400, 0] = 0
    hits[:600, 1] = 0  # classifiers that differ far more than items can make them
    found = aggregate({"class_hits": hits, "class_hits_real": hits}, 64, "images")
    assert found["class_accuracy_high"] - found["class_accuracy_low"] > 0.5


def test_what_no_model_decides_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification_accuracy_score, "EPOCHS", 1)
    asked: list[str] = []
    hits, classical = classification_accuracy_score.train_classifiers, classical_restoration.filter_median
    monkeypatch.setattr(classification_accuracy_score, "train_classifiers", lambda *a: asked.append(a[-1]) or hits(*a))
    monkeypatch.setattr(classical_restoration, "filter_median", lambda *a: asked.append("median") or classical(*a))
    judge, beside = Judge(SPEC, Judge.Config()), []
    for _ in range(2):
        context = setting(judge, 90, shared=Shared(tmp_path))
        own = classes(Striped(SPEC, Hyper()), context)
        methods = toys.examine(Blurs(SPEC, Hyper()), context).beside
        beside.append((own["class_hits_real"], methods["median filter"]))
    assert sorted(asked) == ["median", "real", "samples", "samples"]
    np.testing.assert_array_equal(beside[0][0], beside[1][0])
    np.testing.assert_array_equal(beside[0][1]["restore_gaussian_psnr"], beside[1][1]["restore_gaussian_psnr"])


def test_restorations_stand_beside_classical_ones() -> None:
    context = setting(None, 30)
    seen = toys.examine(Blurs(SPEC, Hyper()), context)
    beside, every = seen.beside, {**seen.measured, **seen.scores}
    own = {name: values for name, values in every.items() if name.startswith(("restore", "complete"))}
    assert set(own) == {f"{what}_{unit}" for what in ("restore_gaussian", "complete") for unit in ("psnr", "ssim")}
    denoise = {"identity", "median filter", "non-local means", "wiener filter", "k nearest items"}
    assert set(beside) == denoise | {"mean image", "gaussian conditional mean", "nearest item"}
    assert beside["nearest item"]["complete_psnr"].mean() > own["complete_psnr"].mean()
    assert {"restored_gaussian", "completed"} <= set(seen.plots)
    assert len(seen.plots["completed"].keywords["images"]) == 3 * 60
    figures = aggregate(own, 64, "images")
    assert figures["complete_psnr_low"] < figures["complete_psnr"] < figures["complete_psnr_high"]


@pytest.mark.parametrize("name", ["val", "test"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_split_is_restored_as_by_hand(name: str, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blurs, "damages", (damage,))
    part = split(name, 60, 1)
    found = predict(Blurs(SPEC, Hyper()), SplitContext(split=part, samples=2, seed=0))
    clean = part.eval_batch(sample_indices(part, 60)).x
    noisy, known = corrupt(clean, damage, 17, name)
    assert (known is not None) == (damage == "mask")
    error = (noisy.mean(2, keepdim=True).expand_as(noisy).clamp(0, 16) - clean).double().square().mean((1, 2, 3))
    scores = score(found, SplitContext(split=part))
    np.testing.assert_allclose(scores[f"restore_{damage}_psnr"], 10 * np.log10(16**2 / error.numpy()), rtol=1e-5)
    assert scores[f"restore_{damage}_ssim"].shape == (60,)
    figures = aggregate(scores, 64, "images", on_test=False)
    assert figures[f"restore_{damage}_psnr"] == scores[f"restore_{damage}_psnr"].mean()
    assert figures[f"restore_{damage}_psnr_stderr"] > 0


def test_every_split_is_damaged_anew() -> None:
    x = torch.full((4, 1, 8, 8), 8)
    assert not torch.equal(*(corrupt(x, "gaussian", 17, name)[0] for name in ("val", "test")))


def test_psnr_is_its_formula_and_a_copy_is_perfect() -> None:
    clean = stripes(4, 0)[0]
    error = torch.full_like(clean, 2).float()
    found = image_quality((clean + error).clamp(0, 16), clean, 17)
    squares = ((clean + error).clamp(0, 16) - clean).double().square().mean((1, 2, 3))
    np.testing.assert_allclose(found["psnr"], 10 * np.log10(16**2 / squares.numpy()))
    perfect = image_quality(clean.float(), clean, 17)
    assert (perfect["psnr"] == 100).all()
    np.testing.assert_allclose(perfect["ssim"], 1)


def test_damages_are_counted_and_what_they_say() -> None:
    x = torch.full((200, 1, 8, 8), 8)
    noisy, known = corrupt(x, "gaussian", 17)
    assert known is None
    assert (noisy - 8).std().item() == pytest.approx(0.5 * 16, rel=0.02)
    assert torch.equal(noisy, corrupt(x, "gaussian", 17)[0])
    pepper, _ = corrupt(x, "salt_pepper", 17)
    assert [(pepper == v).float().mean().item() for v in (0, 16)] == pytest.approx([0.1, 0.1], abs=0.01)
    masked, known = corrupt(x.expand(-1, 3, -1, -1), "mask", 17)
    assert known is not None
    assert known.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (masked[~known] == 0).all()
    assert (known[:, 0] == known[:, 2]).all()
    upper = corrupt(x, "complete", 17)[1]
    assert upper is not None
    assert upper[:, :, :4].all()
    assert not upper[:, :, 4:].any()


def test_each_classical_method_helps_against_its_damage() -> None:
    ramp = torch.arange(16).view(1, 1, 1, 16) + torch.arange(16).view(1, 1, 16, 1)
    clean = ramp.expand(4, 1, 16, 16).contiguous()
    items = {"x": clean.to(torch.uint8), "label": torch.zeros(4)}
    train = ImageSplit("train", items, Spec((1, 16, 16), 31))

    def psnr(method: str, damage: str) -> float:
        x, known = corrupt(clean, damage, 31)
        restored = classical_restoration.restoration_methods(train, damage)[method](x, known, 31)
        return float(image_quality(restored, clean, 31)["psnr"].mean())

    assert psnr("median filter", "salt_pepper") > psnr("identity", "salt_pepper") + 8
    assert psnr("non-local means", "gaussian") > psnr("identity", "gaussian") + 3
    assert psnr("biharmonic", "mask") > psnr("identity", "mask") + 15
    assert psnr("nearest item", "complete") == 100
    assert math.isfinite(psnr("mean image", "complete"))
