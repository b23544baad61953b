"""Optimal pairing of noise and items against all assignments."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from genfoundry.models.families.optimal_pairing import pair_optimally


def cost(noise: Tensor, x: Tensor) -> float:
    return float((noise - x).square().sum())


def test_no_other_assignment_is_cheaper() -> None:
    torch.manual_seed(0)
    for _ in range(5):
        noise, x = torch.randn(4, 1, 3, 3), torch.randn(4, 1, 3, 3)
        least = min(cost(noise[list(order)], x) for order in itertools.permutations(range(4)))
        assert abs(cost(pair_optimally(noise, x), x) - least) < 1e-4


def test_noise_is_exchanged_within_a_class_alone() -> None:
    torch.manual_seed(1)
    label = torch.tensor([0, 1, 0, 1, 1, 0])
    noise, x = torch.randn(6, 2), torch.randn(6, 2) + 10 * label[:, None]
    paired = pair_optimally(noise, x, label)
    for k in (0, 1):
        own = noise[label == k]
        assert sorted(paired[label == k].tolist()) == sorted(own.tolist())
        orders = itertools.permutations(range(3))
        assert (
            abs(cost(paired[label == k], x[label == k]) - min(cost(own[list(o)], x[label == k]) for o in orders)) < 1e-3
        )
