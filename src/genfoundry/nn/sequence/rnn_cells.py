"""Recurrent cells over one-hot characters (Elman network, LSTM, GRU), and their states."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["rnn", "lstm", "gru"]


class PlainCell(nn.Module):
    """h_t = tanh(W_hh h_{t-1} + W_xh x_t), without biases; x_t is one-hot, so W_xh x_t is a row of a table.

    W_hh starts orthogonal, which neither shrinks nor blows up the state.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.w_xh = nn.Parameter(torch.empty(inputs, width).uniform_(-1.0, 1.0) / math.sqrt(width))
        self.w_hh = nn.Parameter(torch.empty(width, width))
        nn.init.orthogonal_(self.w_hh)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map characters (B, T) int64 and a state (1, B, width) to the states (B, T, width) and the last one."""
        driven = self.w_xh[x]  # (B, T, width)
        h, states = state[0], []
        for t in range(x.shape[1]):
            h = torch.tanh(torch.addmm(driven[:, t], h, self.w_hh.T))  # (B, width)
            states.append(h)
        return torch.stack(states, 1) if states else driven, h.unsqueeze(0)


class GatedCell(nn.Module):
    """An LSTM or a GRU of one layer over one-hot characters, as torch defines them.

    The state is (1, B, width), for an LSTM (2, B, width): hidden, then cell. An LSTM starts with open forget gates
    (bias 1, Jozefowicz et al. 2015). `beside` is the number of values that it reads at every step besides the
    character.
    """

    def __init__(self, inputs: int, width: int, *, kind: Kind, embedding: int, beside: int = 0) -> None:
        super().__init__()
        self.kind, self.width = kind, width
        self.embedding = nn.Embedding(inputs, embedding)
        self.core: nn.RNNBase = (nn.LSTM if kind == "lstm" else nn.GRU)(embedding + beside, width, batch_first=True)
        if kind == "lstm":
            weights = dict(self.core.named_parameters())
            nn.init.ones_(weights["bias_ih_l0"][width : 2 * width])  # torch's order: input, forget, cell, output
            # torch adds two biases: the second one's part is 0
            nn.init.zeros_(weights["bias_hh_l0"][width : 2 * width])

    def forward(self, x: Tensor, state: Tensor, beside: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map characters (B, T) int64, a state and `beside` (B, ...) to the states (B, T, width) and the last one."""
        inputs = self.embedding(x)  # (B, T, embedding)
        if beside is not None:
            inputs = torch.cat([inputs, beside[:, None].expand(-1, x.shape[1], -1).to(inputs.dtype)], 2)
        if not x.shape[1]:
            return inputs.new_zeros(len(x), 0, self.width), state
        if self.kind == "lstm":
            if lacks_bf16_lstm(inputs.device):
                with torch.autocast("cpu", enabled=False):
                    out, (h, c) = self.core(inputs.float(), tuple(state.float()[:, None]))
            else:
                out, (h, c) = self.core(inputs, (state[:1].contiguous(), state[1:].contiguous()))
            return out, torch.cat([h, c])  # (2, B, width)
        return self.core(inputs, state)  # type: ignore[no-any-return]


def lacks_bf16_lstm(device: torch.device) -> bool:
    """Whether autocast would ask for an LSTM in bfloat16 that this processor has no kernel for (AVX-512 is needed)."""
    capability = torch.backends.cpu.get_cpu_capability()
    return device.type == "cpu" and torch.is_autocast_enabled("cpu") and not capability.startswith("AVX512")


def build_cell(kind: Kind, inputs: int, width: int, embedding: int) -> PlainCell | GatedCell:
    """Return a cell by its name."""
    return PlainCell(inputs, width) if kind == "rnn" else GatedCell(inputs, width, kind=kind, embedding=embedding)


def zero_state(kind: Kind, batch: int, width: int, device: torch.device) -> Tensor:
    """Return the initial state."""
    return torch.zeros(2 if kind == "lstm" else 1, batch, width, device=device)
