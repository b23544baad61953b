"""Video pixel network, reduced to a CPU's size (after Kalchbrenner et al. 2017, arXiv:1610.00527).

p(video | given frames) = prod_t prod_i p(x_ti | x_t,<i, all frames before t), exactly. A convolutional
LSTM encodes the frames; its output after frame t - 1 is the map that a gated PixelCNN is conditioned on when it decodes
frame t. Both see cells of 2 x 2 pixels.
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
from genfoundry.nn.conv.blocks import halve_size, residual_blocks
from genfoundry.nn.heads.cell import CellHead, cell_order, fold_cells, unfold_cells
from genfoundry.nn.sequence.conv_lstm import ConvLstm, State
from genfoundry.types import Batch, Draw, Spec

EncoderState = tuple[State, Tensor]  # the LSTM's state, and the last frame as cells


class VideoPixel(GenerativeModel):
    """x (B, T, C, H, W) given `Batch.cond` (B, P, C, H, W): frame by frame, cells in raster order.

    Without given frames, black ones stand before the first. All frames are trained in parallel.
    """

    class Config(Hyper):
        """`memory`: the LSTM's channels, read by `blocks` residual ones. `width`: the PixelCNN's, `layers` deep."""

        memory: int = Field(16, ge=1)
        blocks: int = Field(1, ge=0)
        width: int = Field(16, ge=1)
        layers: int = Field(2, ge=1)

    modalities: ClassVar[tuple[str, ...]] = ("video",)
    defaults: ClassVar[Mapping[str, Any]] = {"lr": {"model": 3e-3}, "batch": 8}
    config: Config

    @classmethod
    def why_unsupported(cls, levels: int | None) -> str:
        supported = levels is not None and levels <= 256
        return "" if supported else f"expected 2 to 256 levels, each with a probability of its own, got {levels}"

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.size = (spec.shape[2], spec.shape[3])
        values, w = 4 * spec.shape[1], config.memory  # a cell is 2 x 2 pixels
        self.read = nn.Conv2d(2 * values, w, 3, padding=1)  # a frame and its difference from the last
        self.lstm = ConvLstm(w, w)
        self.tell = nn.Sequential(*residual_blocks(w, config.blocks), nn.SiLU())
        self.stack = GatedStack(values, config.width, config.layers, context=w + values)
        self.head = CellHead(config.width, values, spec.levels or 2, hidden=config.width)

    def order(self) -> Tensor:
        """Return (dims,): frame by frame, cell by cell."""
        frame = cell_order((self.spec.shape[1], *self.size))
        return (torch.arange(self.spec.shape[0]).unsqueeze(1) * len(frame) + frame).flatten()  # (T C H W,)

    def predict(self, batch: Batch) -> Tensor:
        """Return (B, *shape, levels) log-probabilities."""
        log_probs = self.cell_log_probs(batch).movedim(-1, 0)  # (levels, B T, 4C, h, w)
        images = unfold_cells(log_probs, self.size)  # (levels, B T, C, H, W)
        return images.movedim(0, -1).reshape(*batch.x.shape, -1)

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        index = fold_cells(batch.x.flatten(0, 1) + 1.0).long()  # (B T, 4C, h, w), 0 outside of the frame
        log_prob = self.cell_log_probs(batch).gather(-1, (index - 1).clamp_min(0).unsqueeze(-1))[..., 0]
        return {"nll": -(log_prob * (index > 0)).view(len(batch), -1).sum(1)}

    def cell_log_probs(self, batch: Batch) -> Tensor:
        """Return (B T, 4C, h, w, levels): all frames at once, each given the true ones before it."""
        n, steps = batch.x.shape[:2]
        frames = self._to_cells(torch.cat([self._given_frames(batch.cond, n), batch.x], 1))  # (B, P + T, ...)
        memory, _ = self._encode_frames(frames[:, :-1], None)  # (B, P + T - 1, memory, h, w)
        x = frames[:, -steps:].flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (B T, 4C, h, w)
        context = self._context(memory[:, -steps:].flatten(0, 1), frames[:, -steps - 1 : -1].flatten(0, 1))
        log_probs: Tensor = self.head(self.stack(x, context=context), x)
        return log_probs

    def _given_frames(self, cond: Tensor | None, n: int) -> Tensor:
        """The frames before the first, (n, P, C, H, W); by default black ones, at least one."""
        if cond is not None:
            return cond
        count = self.spec.cond_shape[0] if self.spec.cond_shape else 1
        return torch.zeros(n, count, *self.spec.shape[1:], dtype=torch.int64, device=self.device)

    @property
    def scale(self) -> float:
        """Levels times this, less 1, are in [-1, 1]."""
        return 2.0 / ((self.spec.levels or 2) - 1)

    def _to_cells(self, x: Tensor) -> Tensor:
        """(B, F, C, H, W) levels -> (B, F, 4C, h, w) in [-1, 1], in the type of the weights."""
        flat = x.flatten(0, 1).to(self.read.weight.dtype) * self.scale - 1.0
        # An odd frame is filled up with black
        cells = fold_cells(flat, outside=-1.0)
        return cells.view(*x.shape[:2], *cells.shape[1:])

    def _encode_frames(self, frames: Tensor, state: EncoderState | None) -> tuple[Tensor, EncoderState]:
        """Frames as cells (B, F, 4C, h, w), after the state of earlier ones -> (B, F, memory, h, w).

        The input is each frame and its difference from the last one, which shows motion.
        """
        n, steps = frames.shape[:2]
        lstm_state, last = state or (self.lstm.zero_state(n, halve_size(self.size)), frames[:, 0])
        before = torch.cat([last.unsqueeze(1), frames[:, :-1]], 1)
        x = torch.cat([frames, frames - before], 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features = F.silu(self.read(x))  # (B F, memory, h, w)
        features = features.view(n, steps, *features.shape[1:])  # (B, F, memory, h, w)
        out, lstm_state = self.lstm(features, lstm_state)  # (B, F, memory, h, w)
        return out + features, (lstm_state, frames[:, -1])  # residual

    def _context(self, memory: Tensor, last: Tensor) -> Tensor:
        """What the PixelCNN is conditioned on, (N, memory + 4C, h, w): the encoder's output, and the last frame."""
        memory = memory.contiguous(memory_format=torch.channels_last)
        return torch.cat([self.tell(memory), last.contiguous(memory_format=torch.channels_last)], 1)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        past, state, frames = self._to_cells(self._given_frames(cond, n)), None, []
        for _ in range(self.spec.shape[0]):
            memory, state = self._encode_frames(past, state)
            frames.append(self._sample_frame(self._context(memory[:, -1], past[:, -1]), draw))
            past = self._to_cells(frames[-1].unsqueeze(1))
        return torch.stack(frames, 1)

    def _sample_frame(self, context: Tensor, draw: Draw) -> Tensor:
        """Draw a frame (n, C, H, W) cell by cell; each layer is computed once a cell."""
        (height, width), values = halve_size(self.size), self.head.values
        # Of h x w cells, which of the 4C values lie in the frame
        inside = fold_cells(torch.ones(1, values // 4, *self.size))[0].bool().permute(1, 2, 0).tolist()
        cells = torch.zeros(len(context), values, height, width, dtype=torch.int64, device=context.device)

        def choose(features: Tensor, i: int, j: int) -> Tensor:
            cells[:, :, i, j], x = self.head.sample(features, inside[i][j], self.scale, draw)
            return x

        self.stack.scan(len(context), (height, width), choose, context=context)
        return unfold_cells(cells, self.size)
