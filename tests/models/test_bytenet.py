"""ByteNet and what it is set against: targets of every length have mass one together, and hang on all that they may."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from genfoundry import models
from genfoundry.types import Batch, Draw, Spec

SPEC = Spec((5,), 3, cond_shape=(6,), cond_levels=4)  # of two letters and the end; sources of three
CASES = [("bytenet", {"unfold": "plain"}), ("bytenet", {"unfold": "follow"}), ("char_seq2seq", {})]
SOURCE = torch.tensor([[1, 0, 2, 2, 3, 3]])


def build(name: str, hyper: dict[str, Any], spec: Spec = SPEC, seed: int = 0) -> Any:
    """Weights moved far from where a model starts: what is 0 there would hide a leak."""
    kind = models.find(name)
    torch.manual_seed(seed)
    model = kind(spec, kind.Config(**hyper)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(("name", "hyper"), CASES)
@torch.no_grad()
def test_all_targets_together_have_mass_one(name: str, hyper: dict[str, Any]) -> None:
    model = build(name, hyper)
    ended = [[*letters, *[2] * (5 - n)] for n in range(6) for letters in product(range(2), repeat=n)]
    x = torch.tensor(ended)  # 63 targets, those of five letters without an end
    nll = model.measure(Batch(x, cond=SOURCE.expand(len(x), -1)))["nll"]
    assert nll.isfinite().all()
    assert float((-nll).exp().sum()) == pytest.approx(1, abs=1e-9)
    after = model.measure(Batch(torch.tensor([[0, 2, 1, 2, 2]]), cond=SOURCE))["nll"]
    assert after.isinf().all(), "there is nothing after an end"


@pytest.mark.parametrize(("name", "hyper"), CASES)
@torch.no_grad()
def test_every_character_hangs_on_every_one_of_the_source(name: str, hyper: dict[str, Any]) -> None:
    model, n = build(name, {**hyper, "dilations": (1, 2, 4)} if name == "bytenet" else hyper), 16
    x, cond = (torch.randint(2, (n, size), generator=torch.Generator().manual_seed(1)) for size in (5, 6))
    before = model.logits(Batch(x, cond=cond))
    for place in range(6):
        other = cond.clone()
        other[:, place] = 2
        moved = (model.logits(Batch(x, cond=other)) - before).abs().amax((0, 2))
        assert (moved > 0).all(), f"source position {place} is not seen everywhere"


@pytest.mark.parametrize(("name", "hyper"), CASES)
@torch.no_grad()
def test_what_is_beyond_a_source_counts_nowhere(name: str, hyper: dict[str, Any]) -> None:
    model, x = build(name, hyper), torch.tensor([[0, 1, 1, 2, 2]])
    mask = torch.arange(6)[None] < 4
    junk = torch.tensor([[1, 0, 2, 2, 1, 0]])
    assert torch.equal(model.logits(Batch(x, SOURCE)), model.logits(Batch(x, junk, mask)))
    assert torch.equal(model.translate(SOURCE), model.translate(junk, mask))
    assert not torch.equal(model.logits(Batch(x, SOURCE)), model.logits(Batch(x, junk)))


@pytest.mark.parametrize("unfold", ["plain", "follow"])
@pytest.mark.parametrize("draw", [Draw(), Draw(0.0)])
def test_cached_draws_are_naive_ones(unfold: str, draw: Draw) -> None:
    """Also where the target is longer than the source and its columns, and longer than every queue."""
    from genfoundry.nn.heads.categorical_sampling import sample_categorical

    spec = Spec((24,), 6, cond_shape=(7,), cond_levels=6)
    model = build("bytenet", {"unfold": unfold}, spec)
    cond = torch.randint(5, (4, 7), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)
    fast = model.sample(4, cond, draw=draw)
    torch.manual_seed(3)
    x = torch.full((4, 24), 5)
    with torch.no_grad():
        for t in range(24):
            x[:, t] = sample_categorical(model.predict(Batch(x, cond))[:, t], draw)
    assert torch.equal(fast, x)
    assert (fast[:, 7:] != 5).any(), "no target is longer than its source"


def test_a_target_ends_at_its_end() -> None:
    spec = Spec((40,), 4, cond_shape=(7,), cond_levels=6)
    for name, hyper in CASES:
        model = build(name, hyper, spec)
        x = model.sample(64, torch.randint(5, (64, 7)))
        ends = (x == 3).long().cumsum(1) > 0
        assert (x[ends] == 3).all()
        assert ends.any(1).float().mean() > 0.5


def test_columns_end_at_a_times_the_source_and_b_more() -> None:
    model = build("bytenet", {"stretch": 1.5, "slack": 1}, Spec((5,), 3, cond_shape=(8,), cond_levels=4))
    columns = model.encode(torch.tensor([[0, 1, 2, 1, 3, 3, 3, 3]]))[0]
    assert columns.shape == (14, model.config.width)
    assert [bool(c.abs().max() > 0) for c in columns] == [True] * 7 + [False] * 7  # 1.5 * 4 + 1
