"""Memorisation shows: copies are found, new items are not taken for copies, distances are Euclidean."""

from __future__ import annotations

import torch

from genfoundry.evaluation.metrics import memorization


def items(n: int, seed: int) -> torch.Tensor:
    return torch.rand((n, 1, 6, 6), generator=torch.Generator().manual_seed(seed)).mul(256).long()


def small(x: torch.Tensor) -> torch.Tensor:
    return memorization.shrink(x, 256)


def test_distances_are_those_of_brute_force() -> None:
    queries, train = small(items(20, 1)), small(items(700, 0))
    gaps = torch.cdist(queries.double(), train.double(), compute_mode="donot_use_mm_for_euclid_dist")
    found = memorization.find_nearest(queries, train)
    assert torch.equal(found.index, gaps.argmin(1))
    torch.testing.assert_close(found.first.double(), gaps.sort(1).values[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.second.double(), gaps.sort(1).values[:, 1], atol=1e-5, rtol=0)


def test_a_replayed_training_set_is_flagged_and_new_items_are_not() -> None:
    train = items(500, 0)
    replay = memorization.find_nearest(small(train[:80]), small(train))
    assert replay.copies.all()
    assert (replay.first == 0).all()
    noisy = (train[:80] + torch.randint(-6, 7, (80, 1, 6, 6))).clamp(0, 255)
    assert memorization.find_nearest(small(noisy), small(train)).copies.float().mean() > 0.95
    assert not memorization.find_nearest(small(items(80, 1)), small(train)).copies.any()


def test_twins_in_the_training_set_do_not_hide_a_copy() -> None:
    train = items(50, 0).repeat(2, 1, 1, 1)
    assert memorization.find_nearest(small(train[:9]), small(train)).copies.all()


def test_large_images_are_averaged_down() -> None:
    x = items(2, 0).repeat_interleave(10, 2).repeat_interleave(10, 3)  # (2, 1, 60, 60)
    assert memorization.shrink(x, 256).shape == (2, 15 * 15)
    torch.testing.assert_close(memorization.shrink(x, 256).mean(1), small(items(2, 0)).mean(1))
