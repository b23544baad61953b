"""A convolutional LSTM (Shi et al. 2015, arXiv:1506.04214, without peepholes): a state in every cell of a map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # hidden and cell, (B, width, H, W) each


class ConvLstm(nn.Module):
    """(B, F, inputs, H, W) -> hidden states (B, F, width, H, W); each knows its frame and those before it."""

    def __init__(self, inputs: int, width: int, *, kernel: int = 3) -> None:
        super().__init__()
        self.width = width
        self.driven = nn.Conv2d(inputs, 4 * width, kernel, padding=kernel // 2)
        self.carried = nn.Conv2d(width, 4 * width, kernel, padding=kernel // 2, bias=False)
        with torch.no_grad():
            self.driven.bias[width : 2 * width] = 1.0  # type: ignore[index]  # forget gates start open

    def rest(self, n: int, size: tuple[int, int]) -> State:
        """The zero state."""
        zero = self.carried.weight.new_zeros(n, self.width, *size).contiguous(memory_format=torch.channels_last)
        return zero, zero

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """What enters all frames is one convolution; what is carried is one a frame."""
        n, steps = x.shape[:2]
        driven = self.driven(x.flatten(0, 1)).unflatten(0, (n, steps))
        hidden, cell = state
        found = []
        for t in range(steps):
            gates = driven[:, t] + self.carried(hidden)
            enter, keep, leave, value = gates.split(self.width, 1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(value)
            hidden = torch.sigmoid(leave) * torch.tanh(cell)
            found.append(hidden)
        return torch.stack(found, 1), (hidden, cell)
