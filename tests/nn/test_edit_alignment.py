"""Where a target stands in its source: by hand, against edit distances in full, and from the past alone."""

from __future__ import annotations

import torch

from genfoundry.nn.sequence.edit_alignment import INDEL, INFINITE, REACH, SUBSTITUTION, EditAlignment, align


def codes(*texts: str) -> torch.Tensor:
    return torch.tensor([[ord(c) for c in text] for text in texts])


def test_a_copy_stands_where_it_is_copied_from() -> None:
    source = codes("the same letters")
    assert align(source, source).tolist() == [list(range(16))]


def test_a_letter_left_out_or_put_in_moves_what_follows() -> None:
    stand = align(codes("fearfull Summons"), codes("fearful summons."))[0].tolist()
    assert stand[:8] == list(range(8))  # "fearful" and, where the second l stands, the blank that comes instead
    assert stand[12:] == [13, 14, 15, 16]  # "ons." stands at "ons"
    stand = align(codes("all tis well here"), codes("all 'tis well her"))[0].tolist()
    assert stand[:5] == [0, 1, 2, 3, 4]
    assert stand[8:] == list(range(7, 16))


def test_costs_are_edit_distances() -> None:
    draw = torch.Generator().manual_seed(0)
    source, target = (torch.randint(3, (5, n), generator=draw) for n in (9, 12))
    followed = EditAlignment.start(source, 12)
    for t in range(13):
        for item in range(5):
            for k in range(2 * REACH + 1):
                i = t + k - REACH
                if 0 <= i <= 9:
                    assert followed.cost[item, k] == distance(source[item, :i].tolist(), target[item, :t].tolist())
        if t < 12:
            followed.step(target[:, t])
    assert INFINITE > 1000 * INDEL


def distance(a: list[int], b: list[int]) -> int:
    row = [INDEL * j for j in range(len(b) + 1)]
    for i, x in enumerate(a, start=1):
        last, row[0] = row[0], INDEL * i
        for j, y in enumerate(b, start=1):
            last, row[j] = row[j], min(last + SUBSTITUTION * (x != y), row[j] + INDEL, row[j - 1] + INDEL)
    return row[-1]


def test_a_place_depends_on_what_is_before_it_alone() -> None:
    draw = torch.Generator().manual_seed(1)
    source, target = (torch.randint(4, (6, 20), generator=draw) for _ in range(2))
    before = align(source, target)
    for t in range(20):
        other = target.clone()
        other[:, t] = (other[:, t] + 1) % 4
        assert torch.equal(align(source, other)[:, : t + 1], before[:, : t + 1])
