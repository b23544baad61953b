"""Videos: frames that are given and frames that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genfoundry.data.splits.base import TensorSplit
from genfoundry.types import Batch

if TYPE_CHECKING:
    from torch import Tensor


class VideoSplit(TensorSplit):
    """Videos (N, P + T, C, H, W): the first P frames are the condition; a video's group is the items it shows."""

    def eval_batch(self, index: Tensor) -> Batch:
        """The videos at `index`."""
        given = self.spec.cond_shape[0] if self.spec.cond_shape else 0
        video = self.tensor[index].long()  # (B, P + T, C, H, W)
        return Batch(video[:, given:], cond=video[:, :given] if given else None)
