"""A video pixel network of the CPU's size (after Kalchbrenner et al. 2017, arXiv:1610.00527).

p(video | given frames) = prod_t prod_i p(x_ti | x_t,<i, all frames before t), exactly. A convolutional LSTM reads the
frames; what it knows after frame t - 1 is a map that a gated PixelCNN draws frame t by. Both see cells of 2 x 2 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.autoregressive.gated_pixelcnn import GatedStack
from genfoundry.nn.conv.blocks import halved
from genfoundry.nn.conv.encoder_decoder import residuals
from genfoundry.nn.heads.cell import CellHead, folded, order, unfolded
from genfoundry.nn.sequence.conv_lstm import ConvLstm, State
from genfoundry.types import Batch, Draw, Spec

Memory = tuple[State, Tensor]  # the LSTM's state, and the last frame as cells


class VideoPixel(GenerativeModel):
    """Frames one after another, cells in raster order, a cell's pixels in turn: each value is given all before it.

    Without given frames (`Batch.cond`) black ones stand before the first. All frames are trained in parallel.
    """

    class Config(Hyper):
        """`memory`: the LSTM's channels, `blocks` residual ones read it. `width`: the PixelCNN's, `layers` deep."""

        memory: int = Field(16, ge=1)
        blocks: int = Field(1, ge=0)
        width: int = Field(16, ge=1)
        layers: int = Field(2, ge=1)

    modalities: ClassVar[tuple[str, ...]] = ("video",)
    defaults: ClassVar[Mapping[str, Any]] = {"lr": {"model": 3e-3}, "batch": 8}
    config: Config

    @classmethod
    def why_unsupported(cls, levels: int | None) -> str:
        right = levels is not None and levels <= 256
        return "" if right else f"{levels} levels, but each gets a probability of its own; 2 to 256 are right"

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.size = (spec.shape[2], spec.shape[3])
        values, w = 4 * spec.shape[1], config.memory
        self.read = nn.Conv2d(2 * values, w, 3, padding=1)
        self.lstm = ConvLstm(w, w)
        self.tell = nn.Sequential(*residuals(w, config.blocks), nn.SiLU())
        self.stack = GatedStack(values, config.width, config.layers, context=w + values)
        self.head = CellHead(config.width, values, spec.levels or 2, hidden=config.width)

    def order(self) -> Tensor:
        """Frame by frame, cell by cell."""
        frame = order((self.spec.shape[1], *self.size))
        return (torch.arange(self.spec.shape[0]).unsqueeze(1) * len(frame) + frame).flatten()

    def predict(self, batch: Batch) -> Tensor:
        scores = self.scores(batch).movedim(-1, 0)  # (levels, B T, 4C, h, w)
        images = unfolded(scores, self.size)  # (levels, B T, C, H, W)
        return images.movedim(0, -1).reshape(*batch.x.shape, -1)

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        index = folded(batch.x.flatten(0, 1) + 1.0).long()  # 0 outside of the frame
        chosen = self.scores(batch).gather(-1, (index - 1).clamp_min(0).unsqueeze(-1))[..., 0]
        return {"nll": -(chosen * (index > 0)).view(len(batch), -1).sum(1)}

    def scores(self, batch: Batch) -> Tensor:
        """(B T, 4C, h, w, levels): all frames at once, each given the true ones before it."""
        n, steps = batch.x.shape[:2]
        frames = self.cells(torch.cat([self.given(batch.cond, n), batch.x], 1))
        memory, _ = self.remember(frames[:, :-1], None)
        x = frames[:, -steps:].flatten(0, 1).contiguous(memory_format=torch.channels_last)
        context = self.told(memory[:, -steps:].flatten(0, 1), frames[:, -steps - 1 : -1].flatten(0, 1))
        scores: Tensor = self.head(self.stack(x, context=context), x)
        return scores

    def given(self, cond: Tensor | None, n: int) -> Tensor:
        """The frames that are known, (n, P, C, H, W); without any, black ones, of which there is one at least."""
        if cond is not None:
            return cond
        count = self.spec.cond_shape[0] if self.spec.cond_shape else 1
        return torch.zeros(n, count, *self.spec.shape[1:], dtype=torch.int64, device=self.device)

    @property
    def scale(self) -> float:
        """Levels times this, less 1, are -1..1."""
        return 2.0 / ((self.spec.levels or 2) - 1)

    def cells(self, x: Tensor) -> Tensor:
        """(B, F, C, H, W) levels -> (B, F, 4C, h, w), -1..1, in the type of the weights."""
        flat = x.flatten(0, 1).to(self.read.weight.dtype) * self.scale - 1.0
        cells = folded(flat, outside=-1.0)
        return cells.view(*x.shape[:2], *cells.shape[1:])

    def remember(self, frames: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Frames as cells (B, F, 4C, h, w), after what earlier ones left -> (B, F, memory, h, w).

        What is read is each frame and how it differs from the last: motion is in plain sight.
        """
        n, steps = frames.shape[:2]
        state, last = memory or (self.lstm.rest(n, halved(self.size)), frames[:, 0])
        before = torch.cat([last.unsqueeze(1), frames[:, :-1]], 1)
        x = torch.cat([frames, frames - before], 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        seen = F.silu(self.read(x))
        seen = seen.view(n, steps, *seen.shape[1:])
        out, state = self.lstm(seen, state)
        return out + seen, (state, frames[:, -1])

    def told(self, memory: Tensor, last: Tensor) -> Tensor:
        """What the next frame is drawn by, (N, memory + 4C, h, w): what is remembered, and the last frame."""
        memory = memory.contiguous(memory_format=torch.channels_last)
        return torch.cat([self.tell(memory), last.contiguous(memory_format=torch.channels_last)], 1)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        past, memory, found = self.cells(self.given(cond, n)), None, []
        for _ in range(self.spec.shape[0]):
            out, memory = self.remember(past, memory)
            found.append(self.next(self.told(out[:, -1], past[:, -1]), draw))
            past = self.cells(found[-1].unsqueeze(1))
        return torch.stack(found, 1)

    def next(self, context: Tensor, draw: Draw) -> Tensor:
        """A frame (n, C, H, W), drawn cell by cell: each layer is computed once a cell."""
        (height, width), values = halved(self.size), self.head.values
        inside = folded(torch.ones(1, values // 4, *self.size))[0].bool().permute(1, 2, 0).tolist()
        cells = torch.zeros(len(context), values, height, width, dtype=torch.int64, device=context.device)

        def choose(features: Tensor, i: int, j: int) -> Tensor:
            cells[:, :, i, j], x = self.head.draw(features, inside[i][j], self.scale, draw)
            return x

        self.stack.scan(len(context), (height, width), choose, context=context)
        return unfolded(cells, self.size)
