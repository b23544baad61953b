"""Edits by hand: a model whose codes hold class and item apart flips one and keeps the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.metrics import latent_edits
from genfoundry.models.base import GenerativeModel, Hyper, Learner
from genfoundry.types import Batch


class Apart(GenerativeModel):
    """Codes: three values that say the class, five rows that say the item."""

    likelihood = "none"

    def embed(self, batch: Batch) -> Tensor:
        return torch.cat([batch.x[:, 0, :3, 0], batch.x[:, 0, 3:].flatten(1)], 1).float()

    def prior(self, n: int) -> Tensor:
        return torch.rand(n, 43)

    def decode(self, z: Tensor) -> Tensor:
        return torch.cat([z[:, :3, None].expand(-1, -1, 8), z[:, 3:].view(-1, 5, 8)], 1)[:, None]


class Forgets(Apart):
    """Keeps the class alone: what it makes is the mean image of a class."""

    def embed(self, batch: Batch) -> Tensor:
        return super().embed(batch)[:, :3]

    def decode(self, z: Tensor) -> Tensor:
        return super().decode(torch.cat([z, torch.full((len(z), 40), 8.0)], 1))


class Stays(Apart):
    """Has codes to move, and gives the item back whatever is asked."""

    def edit(self, batch: Batch, shift: Tensor) -> Tensor:
        return batch.x


def found(
    model: Learner, judge: Learner | None
) -> tuple[dict[str, float], dict[str, dict[str, float]], dict[str, Tensor]]:
    context = toys.context(judge)
    outputs = latent_edits.edit(model, context)
    beside = latent_edits.score_classical_edits(outputs, context)
    rows = {name: aggregate(scores, 64, "images") for name, scores in beside.items()}
    plots = latent_edits.plot_edits(outputs, context)
    pictures = {"edited": torch.from_numpy(plots["edited"].keywords["images"])} if plots else {}  # type: ignore[attr-defined]
    return aggregate(latent_edits.score_edits(outputs, context), 64, "images"), rows, pictures


def test_codes_that_hold_the_class_apart_flip_it_and_keep_the_item() -> None:
    own, beside, pictures = found(Apart(toys.SPEC, Hyper()), toys.Reads(toys.SPEC, Hyper()))
    assert own["edit_flips"] == 1
    # Two of eight rows move by 16, the others by the means of 200 items, about 0.5; the mean image of the class asked
    # for is off by those two rows and by the variance of five rows of noise, 24 a value.
    moved, away = 2 / 8 * 16**2, 2 / 8 * 16**2 + 5 / 8 * 24
    assert own["edit_identity"] == pytest.approx(1 - moved / away, abs=0.02)
    assert own["edit_identity_low"] <= own["edit_identity"] <= own["edit_identity_high"]
    assert beside["nearest item of the class"]["edit_flips"] == 1
    assert beside["nearest item of the class"]["edit_identity"] < own["edit_identity"]
    sheet = pictures["edited"].view(-1, 1 + len(latent_edits.STRENGTHS), 8, 8)
    torch.testing.assert_close(sheet[:, 1], sheet[:, 0])  # strength 0: the reconstruction, here the item


def test_what_forgets_the_item_or_ignores_the_class_fails_at_one_of_the_two() -> None:
    judge = toys.Reads(toys.SPEC, Hyper())
    forgets, stays = found(Forgets(toys.SPEC, Hyper()), judge)[0], found(Stays(toys.SPEC, Hyper()), judge)[0]
    assert forgets["edit_flips"] == 1
    assert forgets["edit_identity"] == pytest.approx(0, abs=0.01)
    assert (stays["edit_flips"], stays["edit_identity"]) == (0, 1)


def test_no_judge_of_classes_no_edits() -> None:
    turned = toys.Reads(toys.SPEC, Hyper())
    turned.kind = "rotations"
    for judge in (None, turned):
        own, beside, pictures = found(Apart(toys.SPEC, Hyper()), judge)
        assert own == {} and beside == {} and pictures == {}


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    context = toys.context(toys.Reads(toys.SPEC, Hyper()))
    outputs = latent_edits.edit(Apart(toys.SPEC, Hyper()), context)
    latent_edits.plot_edits(outputs, context)["edits"](tmp_path / "edits.png")
    assert (tmp_path / "edits.png").stat().st_size > 1000


def test_identity_by_hand() -> None:
    scores = {"edit_moved": np.array([1.0, 3.0]), "edit_away": np.array([4.0, 4.0])}
    found = latent_edits.compute_identity(scores, 64)["edit_identity"]
    assert (found.value, found.n, found.groups) == (0.5, 2, 2)
    assert found.low < 0.25 < 0.75 < found.high  # what the two say apart
