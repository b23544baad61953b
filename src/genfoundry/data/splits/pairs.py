"""Pairs of sentences: the target is the sample, the source its condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genfoundry.data.splits.base import TensorSplit
from genfoundry.types import Batch

if TYPE_CHECKING:
    from torch import Tensor


class PairSplit(TensorSplit):
    """Pairs of codes, targets (N, T) and sources (N, S); a pair's group is its work, or its source."""

    def texts(self, codes: Tensor) -> list[str]:
        """The text of each row of codes (N, L), up to its first end."""
        characters = [chr(c) for c in self.tensors["alphabet"].tolist()]
        rows = ([characters[c] if c < len(characters) else "\0" for c in row] for row in codes.tolist())
        return ["".join(row).partition("\0")[0] for row in rows]

    def codes(self, text: str) -> Tensor:
        """(L,) codes of a text of the alphabet."""
        import torch

        code_of = {c: i for i, c in enumerate(self.tensors["alphabet"].tolist())}
        return torch.tensor([code_of[ord(character)] for character in text], dtype=torch.int64)

    def eval_batch(self, index: Tensor) -> Batch:
        """The pairs at `index`, masked after the target's first end and after the source."""
        import torch

        x, cond, length, cond_length = (self.tensors[key][index] for key in ("x", "cond", "length", "cond_length"))
        place = torch.arange(max(x.shape[1], cond.shape[1]), device=x.device)
        mask = place[: x.shape[1]] <= length[:, None]  # (B, T): the characters and the first end
        return Batch(x.long(), cond.long(), place[: cond.shape[1]] < cond_length[:, None], mask=mask)
