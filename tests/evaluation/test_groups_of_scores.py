"""Every score of items has these items' groups beside it: where a group's items change, its scores alone do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from genfoundry import models
from genfoundry.config import Bound
from genfoundry.data.dataset import split_class
from genfoundry.data.splits import images
from genfoundry.evaluation import judge
from genfoundry.evaluation.context import EvalContext, SplitContext
from genfoundry.evaluation.inverse_problem import pose_problem
from genfoundry.evaluation.metrics import classification_accuracy_score
from genfoundry.evaluation.predict import score
from genfoundry.evaluation.scores import GROUP, group_ids
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.splits import Split
from genfoundry.types import Draw, Spec

KINDS = {name: models.find(name) for name in models.names()}
IMAGES = [
    name for name, kind in KINDS.items() if "images" in kind.modalities and not kind.why_unsupported(toys.SPEC.levels)
]
DRAWN = {"features", "features_control", "features_few", "near", "copies", "sample_classes"}  # independent samples
MADE = {f"surprise_{name}{end}" for name in ("smooth", "digits") for end in ("", "_corrected")}
FOURS = torch.arange(120) // 4  # the group of each of 120 items


def grouped_images(change: Tensor | None = None) -> images.ImageSplit:
    """Test items in groups of four; those at `change` have other pixels."""
    x, label = toys.images(120, 1)
    if change is not None:
        x[change, :, 3:] = 16 - x[change, :, 3:]
    tensors = {"x": x.to(torch.uint8), "label": label, "group": FOURS + 7}
    return images.ImageSplit("test", tensors, toys.SPEC)


def examined(model: Any, split: images.ImageSplit, judge: Any) -> dict[str, Any]:
    context = toys.context(judge, bound=Bound(k=2, items=80), split=split, samples=60)
    context.dataset.splits["test"] = split  # type: ignore[attr-defined]
    seen = toys.examine(model, context)
    everything = {**seen.measured, **seen.scores}
    return {**everything, **{f"{row}: {name}": v for row, found in seen.beside.items() for name, v in found.items()}}


def aligned(before: dict[str, Any], after: dict[str, Any], group: int, exempt: set[str]) -> set[str]:
    """The scores in which items changed, all of them of `group`."""
    changed = set()
    for name in before:
        if name.endswith(GROUP) or name in exempt or f"real_{name}" in before:  # of samples, held against real items
            continue
        assert name + GROUP in before, f"{name} has no groups"
        groups = group_ids(before, name)
        assert groups is not None and len(groups) == len(before[name])
        assert np.array_equal(groups, group_ids(after, name))  # type: ignore[arg-type]
        same = np.isclose(before[name], after[name], equal_nan=True).reshape(len(groups), -1).all(1)
        assert (groups[~same] == group).all(), name
        changed |= {name} if not same.all() else set()
    return changed


@pytest.mark.parametrize("name", IMAGES)
def test_scores_of_images_have_the_groups_of_their_items(name: str) -> None:
    kind = models.find(name)
    torch.manual_seed(0)
    model = kind(toys.SPEC, kind.Config()).eval()
    for weight in model.parameters():  # some models begin as a constant
        weight.data += 0.05 * torch.randn_like(weight)
    judge = None if getattr(model, "conditional", False) else toys.Reads(toys.SPEC, toys.Reads.Config())
    of_changed = torch.nonzero(FOURS == 3)[:, 0]
    before, after = (examined(model, split, judge) for split in (grouped_images(), grouped_images(of_changed)))
    changed = aligned(before, after, 10, DRAWN | MADE)
    able = {"nll", "near_real", "codes", "bound_gap", "reconstruct_psnr", "edit_moved", "surprise_test"}
    assert able & before.keys() <= changed | {"bound_gap", "reconstruct_psnr"}
    assert not any(f"{name}{GROUP}" in before for name in DRAWN | MADE)


def test_scores_of_restorations_have_the_groups_of_their_items() -> None:
    split = grouped_images()
    for damage in ("gaussian", "mask", "complete"):
        posed = pose_problem(split, damage)
        scores = posed.score(damage, posed.x)
        assert {scores[name].tolist() == split.groups[posed.index].tolist() for name in scores
                if name.endswith(GROUP)} == {True}  # fmt: skip
        assert sum(name.endswith(GROUP) for name in scores) == 2


def test_hits_have_the_groups_of_the_labelled_items() -> None:
    split = grouped_images()
    split.label[::2] = -1
    scores = score({"classes": split.label.clamp(min=0)}, SplitContext(split=split))
    assert scores["hits_group"].tolist() == (FOURS + 7)[1::2].tolist() and scores["hits"].all()


class Blank(GenerativeModel):
    """Draws black images, whatever class is asked for."""

    conditional = True

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return torch.zeros(n, *self.spec.shape, dtype=torch.long)


def test_hits_of_classifiers_have_the_groups_of_the_labelled_items(monkeypatch: pytest.MonkeyPatch) -> None:
    split = grouped_images()
    split.label[::3] = -1
    monkeypatch.setattr(
        classification_accuracy_score, "train_classifiers", lambda *_: np.zeros((int((split.label >= 0).sum()), 2))
    )
    context = toys.context(toys.Reads(toys.SPEC, toys.Reads.Config()), split=split)
    context.dataset.splits["test"] = split  # type: ignore[attr-defined]
    outputs = classification_accuracy_score.draw_of_classes(Blank(toys.SPEC, Hyper()), context)
    found = score(outputs, context, classification_accuracy_score.METRICS)
    for name in ("class_hits", "class_hits_real"):
        assert found[f"{name}_group"].tolist() == (FOURS + 7)[split.label >= 0].tolist()


def test_real_items_have_their_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "compute_features", lambda network, x, levels: x.flatten(1).numpy().astype(np.float32))
    monkeypatch.setattr(judge, "Judges", toys.Reads)
    split = grouped_images()
    context = SplitContext(split=split, judge=toys.Reads(toys.SPEC, toys.Reads.Config()))
    found = score({"samples": torch.zeros(50, 1, 8, 8)}, context)
    where = {x.tobytes(): int(g) for x, g in zip(split.tensor.flatten(1).float().numpy(), split.groups, strict=True)}
    assert found["real_group"].tolist() == [where[x.tobytes()] for x in found["real"]]
    assert "features" + GROUP not in found


def sequences(kind: str, name: str, tensors: dict[str, Tensor], spec: Spec, n: int) -> Split:
    split: Split = split_class(kind)(name, {**tensors, "group": torch.arange(n) // 4}, spec)
    return split


@pytest.mark.parametrize("modality", ["text", "lines", "pairs", "video"])
def test_scores_of_sequences_have_the_groups_of_their_items(modality: str) -> None:
    draw, n = torch.Generator().manual_seed(0), 24
    codes = {name: torch.randint(1, 20, (n, 12), generator=draw) for name in ("x", "cond")}
    lengths = {"length": torch.full((n,), 11), "cond_length": torch.full((n,), 11)}
    letters = {"alphabet": torch.arange(97, 97 + 19)}
    frames = torch.randint(2, (n, 5, 1, 4, 4), generator=draw)
    model_name, tensors, spec = {
        "text": ("char_rnn", {"x": codes["x"].flatten()}, Spec((12,), 20)),
        "lines": ("text_vae", {"x": codes["x"]}, Spec((12,), 20)),
        "pairs": ("bytenet", codes | lengths | letters, Spec((12,), 20, cond_shape=(12,), cond_levels=20)),
        "video": ("video_pixel", {"x": frames}, Spec((2, 1, 4, 4), 2, cond_shape=(3, 1, 4, 4), cond_levels=2)),
    }[modality]  # fmt: skip
    train, split = (sequences(modality, name, tensors, spec, n) for name in ("train", "test"))
    torch.manual_seed(0)
    learner = models.find(model_name)
    model = learner(spec, learner.Config()).eval()
    data: Any = toys.Data()
    data.meta = {"alphabet": "a" * 20}
    seen = toys.examine(model, EvalContext(dataset=data, train=train, split=split, samples=8), modality)  # type: ignore[arg-type]
    scores: dict[str, Any] = {**seen.measured, **seen.scores}
    names = {name for name in scores if not name.endswith(GROUP)}
    assert all(name + GROUP in scores and len(scores[name + GROUP]) == len(scores[name]) for name in names), names
    expected = {"text": {"nll_carried", "continue_nats_per_char"}, "pairs": {"chrf", "exact_lines", "bleu_counts"},
                "lines": {"codes", "bound_gap"}, "video": {"frame", "continued_psnr"}}  # fmt: skip
    assert expected[modality] | {"nll"} <= names
    assert scores["nll_group"].tolist() == (torch.arange(n) // 4).tolist()
