from __future__ import annotations

import pytest
import torch

from genfoundry.data.loaders import StreamLoader
from genfoundry.data.splits.text import TextSplit
from genfoundry.errors import UserError
from genfoundry.types import Spec

LENGTH = 5


def split(n: int = 400) -> TextSplit:
    return TextSplit("train", {"x": torch.arange(n), "start": torch.zeros(1)}, Spec((8,), n))


def streams(resets: float = 0.3, batch: int = 4, key: str = "k") -> StreamLoader:
    return StreamLoader(split(), batch, (key,), LENGTH, resets)


def test_rows_go_on_where_they_ended_until_the_epoch_does() -> None:
    loader = streams()
    ends = None
    for step in range(2 * loader.steps):
        batch = loader.batch("fit", step)
        assert (batch.x.diff() == 1).all()
        assert batch.fresh is not None
        if step % loader.steps == 0:
            assert batch.fresh.all()
        else:
            assert torch.equal(batch.x[:, 0], ends + 1)
        ends = batch.x[:, -1]


def test_an_epoch_reads_each_row_s_own_part_with_cuts_of_its_own() -> None:
    loader = streams()
    epochs = [
        torch.cat([loader.batch("fit", epoch * loader.steps + i).x for i in range(loader.steps)], 1)
        for epoch in range(9)
    ]
    for epoch in epochs:
        assert torch.equal(epoch.flatten().unique(), epoch.flatten().sort().values), "no character twice"
        assert epoch.numel() > 400 - 4 * 2 * LENGTH
        assert torch.equal(epoch // 100, torch.arange(4)[:, None].expand_as(epoch))
    assert len({int(epoch[0, 0]) for epoch in epochs}) > 2


def test_a_step_is_a_function_of_key_phase_and_step_alone() -> None:
    steps = [0, 7, 19, 40, 3]
    forward = [streams().batch("fit", s) for s in steps]
    one = streams()
    for a, b in zip(forward, [one.batch("fit", s) for s in steps], strict=True):
        assert torch.equal(a.x, b.x)
        assert a.fresh is not None
        assert torch.equal(a.fresh, b.fresh)  # type: ignore[arg-type]
    other = [streams(key="other").batch("fit", s).fresh for s in range(20)]
    assert any(not torch.equal(streams().batch("fit", s).fresh, f) for s, f in enumerate(other))  # type: ignore[arg-type]


def test_resets_come_as_often_as_they_are_asked_for() -> None:
    loader = StreamLoader(split(40_000), 16, ("k",), LENGTH, 0.1)
    fresh = torch.stack([loader.batch("fit", step).fresh for step in range(1, 400)]).double()  # type: ignore[arg-type]
    assert fresh.mean().item() == pytest.approx(0.1, abs=0.02)
    assert not torch.stack([streams(0.0).batch("fit", s).fresh for s in range(1, 18)]).any()  # type: ignore[arg-type]


def test_what_has_no_streams_says_so() -> None:
    with pytest.raises(
        UserError, match=r"data\.streams: 5: 50 streams \(train\.batch\) of train: expected 10 .*, got 8"
    ):
        streams(batch=50)
    lines = type("Lines", (), {"name": "train", "whole": torch.zeros(9), "positions": 9})()
    with pytest.raises(UserError, match="expected one stream of data"):
        StreamLoader(lines, 2, (), 2, 0.0)
