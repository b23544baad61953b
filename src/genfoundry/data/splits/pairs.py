"""Pairs of sentences on a device: the target is the sample, the source its condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genfoundry.errors import UserError
from genfoundry.splits import groups_in
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor


class Split:
    """Pairs on a device; an item, and a position, is a pair."""

    def __init__(
        self,
        name: str,
        tensors: dict[str, Tensor],
        spec: Spec,
        levels: int | None,
        binarise: str | None,
        flip: bool = False,
    ) -> None:
        if levels is not None or binarise is not None:
            raise UserError("data: levels and binarise are for images; pairs have their alphabet")
        self.name, self.tensor, self.spec, self._held = name, tensors["x"], spec, tensors

    def __len__(self) -> int:
        return len(self.tensor)

    def texts(self, codes: Tensor) -> list[str]:
        """The text of each row of codes (N, L), up to its first end."""
        characters = [chr(c) for c in self._held["alphabet"].tolist()]
        rows = ([characters[c] if c < len(characters) else "\0" for c in row] for row in codes.tolist())
        return ["".join(row).partition("\0")[0] for row in rows]

    def codes(self, text: str) -> Tensor:
        """(L,) codes of a text of the alphabet."""
        import torch

        places = {c: i for i, c in enumerate(self._held["alphabet"].tolist())}
        return torch.tensor([places[ord(character)] for character in text], dtype=torch.int64)

    @property
    def positions(self) -> int:
        """Pairs."""
        return len(self.tensor)

    @property
    def groups(self) -> Tensor:
        """(N,) int64: the work, or the source, that each pair is of."""
        return groups_in(self._held, len(self))

    def eval_batch(self, index: Tensor) -> Batch:
        """These pairs."""
        import torch

        x, cond, length, before = (self._held[key][index] for key in ("x", "cond", "length", "cond_length"))
        place = torch.arange(max(x.shape[1], cond.shape[1]), device=x.device)
        mask = place[: x.shape[1]] <= length[:, None]  # (B, T): the characters and the first end
        return Batch(x.long(), cond.long(), place[: cond.shape[1]] < before[:, None], mask=mask)

    train_batch = eval_batch
