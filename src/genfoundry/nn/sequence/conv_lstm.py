"""Convolutional LSTM (Shi et al. 2015, arXiv:1506.04214, without peepholes)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # hidden and cell, (B, width, H, W) each


class ConvLstm(nn.Module):
    """(B, F, inputs, H, W) -> hidden states (B, F, width, H, W), each of its frame and those before it."""

    def __init__(self, inputs: int, width: int, *, kernel: int = 3) -> None:
        super().__init__()
        self.width = width
        self.driven = nn.Conv2d(inputs, 4 * width, kernel, padding=kernel // 2)
        self.carried = nn.Conv2d(width, 4 * width, kernel, padding=kernel // 2, bias=False)
        with torch.no_grad():
            self.driven.bias[width : 2 * width] = 1.0  # type: ignore[index]  # forget gates start open

    def zero_state(self, n: int, size: tuple[int, int]) -> State:
        """Return the initial state of n maps of `size`."""
        zero = self.carried.weight.new_zeros(n, self.width, *size).contiguous(memory_format=torch.channels_last)
        return zero, zero

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Map x and the state before it; all frames' inputs are one convolution, the recurrence is one a frame."""
        n, steps = x.shape[:2]
        driven = self.driven(x.flatten(0, 1)).unflatten(0, (n, steps))  # (B, F, 4 width, H, W)
        hidden, cell = state
        outputs = []
        for t in range(steps):
            gates = driven[:, t] + self.carried(hidden)  # (B, 4 width, H, W)
            enter, keep, leave, value = gates.split(self.width, 1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(value)
            hidden = torch.sigmoid(leave) * torch.tanh(cell)
            outputs.append(hidden)
        return torch.stack(outputs, 1), (hidden, cell)  # (B, F, width, H, W)
