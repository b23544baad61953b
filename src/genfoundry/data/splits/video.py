"""Videos on a device: frames that are given and frames that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genfoundry.errors import UserError
from genfoundry.splits import groups_in
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from torch import Tensor


class Split:
    """Videos on a device; an item, and a position, is a video: `cond` its first frames, `x` those that follow."""

    def __init__(
        self,
        name: str,
        tensors: dict[str, Tensor],
        spec: Spec,
        levels: int | None,
        binarise: str | None,
        flip: bool = False,
    ) -> None:
        if levels not in (None, spec.levels) or binarise is not None:
            raise UserError(f"data: levels and binarise are for images; these videos have {spec.levels} levels")
        self.name, self.tensor, self.spec, self._held = name, tensors["x"], spec, tensors

    def __len__(self) -> int:
        return len(self.tensor)

    @property
    def positions(self) -> int:
        """Videos."""
        return len(self.tensor)

    @property
    def groups(self) -> Tensor:
        """(N,) int64: the items that each video is made of."""
        return groups_in(self._held, len(self))

    def eval_batch(self, index: Tensor) -> Batch:
        """These videos."""
        given = self.spec.cond_shape[0] if self.spec.cond_shape else 0
        video = self.tensor[index].long()  # (B, P + T, C, H, W)
        return Batch(video[:, given:], cond=video[:, :given] if given else None)

    train_batch = eval_batch
