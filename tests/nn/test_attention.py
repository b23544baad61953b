"""Attention against its formula, rotary_angles, and the n-grams' look-up."""

from __future__ import annotations

import math

import torch

from genfoundry.nn.autoregressive.attention import causal_attention, rotary_angles, rotate
from genfoundry.nn.autoregressive.ngram_embedding import NgramEmbedding


def test_attention_is_its_formula() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 2, 7, 4, dtype=torch.float64).unbind()
    for span in (1, 3, 7, 20):
        for last in (1, 4, 7):
            first = max(0, 7 - span) if last == 1 else 0  # one query is given what it may see
            found = causal_attention(q[:, :, 7 - last :], k[:, :, first:], v[:, :, first:], span)
            for i in range(7 - last, 7):
                seen = slice(max(0, i + 1 - span), i + 1)
                weight = torch.einsum("bhd,bhnd->bhn", q[:, :, i], k[:, :, seen]) / math.sqrt(4)
                expected = torch.einsum("bhn,bhnd->bhd", weight.softmax(-1), v[:, :, seen])
                assert torch.allclose(found[:, :, i - 7 + last], expected)


def test_rotated_products_know_the_distance_alone() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64).expand(2, 1, 1, 12, 8).unbind()
    turn = rotary_angles(torch.arange(12), 8)
    products = (rotate(q, turn) @ rotate(k, turn).mT)[0, 0]
    for distance in range(-11, 12):
        line = products.diagonal(distance)
        assert torch.allclose(line, line[:1].expand_as(line))
    assert (products[0].diff().abs() > 1e-6).all()


def test_grams_know_so_many_characters_and_no_more() -> None:
    torch.manual_seed(0)
    grams = NgramEmbedding(3, 512, 4, 8)
    x = torch.randint(5, (2, 9))
    whole = grams(x)
    for t in range(9):
        other = x.clone()
        other[:, t] = (x[:, t] + 1) % 5
        moved = (grams(other) - whole).abs().amax((0, 2)) > 0
        assert moved.tolist() == [t < place <= t + 3 for place in range(9)]
    past = torch.cat([torch.zeros(2, 3, dtype=torch.int64), x + 1], 1)
    for t in range(9):
        assert torch.allclose(grams.step(past[:, t : t + 3])[:, 0], whole[:, t])
