"""Fast recurrent sampling: cells one character at a time, written out, each product into preallocated memory.

The projection of an input depends on the character alone, so it is a row of a table that is computed once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genfoundry.nn.sequence.rnn_cells import GatedCell, PlainCell

Step = Callable[[Tensor], Tensor]  # (n,) characters -> (n, width) hidden states, which the next step overwrites


def build_stepper(cell: PlainCell | GatedCell, state: Tensor) -> Step:
    """Return a function that reads one character a call, from `state` (layers, n, width) on, without gradients."""
    if isinstance(cell, PlainCell):
        return _plain(cell, state)
    return _lstm(cell, state) if cell.kind == "lstm" else _gru(cell, state)


def _plain(cell: PlainCell, state: Tensor) -> Step:
    h, weight = state[0].clone(), cell.w_hh.detach().T.contiguous()
    table, before = cell.w_xh.detach(), torch.empty_like(h)  # (inputs, width), (n, width)

    def step(x: Tensor) -> Tensor:
        # addmm may not write to what it reads
        before.copy_(h)
        return torch.addmm(table[x], before, weight, out=h).tanh_()

    return step


def _rows(cell: GatedCell) -> tuple[Tensor, Tensor, Tensor]:
    """W_ih x of every character with its bias; W_hh transposed; the bias of W_hh h."""
    weights = {name: w.detach() for name, w in cell.core.named_parameters()}
    table = torch.addmm(weights["bias_ih_l0"], cell.embedding.weight.detach(), weights["weight_ih_l0"].T)
    return table, weights["weight_hh_l0"].T, weights["bias_hh_l0"]


def _lstm(cell: GatedCell, state: Tensor) -> Step:
    """Reorder torch's gates i, f, g, o to i, f, o, g: one sigmoid for three of them."""
    width, (h, c) = cell.width, state.clone()
    table, weight, bias = _rows(cell)
    i, f, g, o = torch.arange(4 * width, device=h.device).chunk(4)
    order = torch.cat([i, f, o, g])
    table, weight = (table + bias)[:, order].contiguous(), weight[:, order].contiguous()
    gates = h.new_empty(len(h), 4 * width)  # i, f, o, g
    smooth, new = gates[:, : 3 * width], gates[:, 3 * width :]
    put, keep, out = smooth.chunk(3, 1)

    def step(x: Tensor) -> Tensor:
        torch.addmm(table[x], h, weight, out=gates)
        smooth.sigmoid_()
        new.tanh_()
        c.mul_(keep).addcmul_(put, new)
        return torch.tanh(c, out=h).mul_(out)

    return step


def _gru(cell: GatedCell, state: Tensor) -> Step:
    """r, z, n as torch defines them: n = tanh(W_in x + r (W_hn h + b)), and h = (1 - z) n + z h."""
    width, h = cell.width, state[0].clone()
    table, weight, bias = _rows(cell)
    weight, inner = weight.contiguous(), h.new_empty(len(h), 3 * width)
    smooth, recalled = inner[:, : 2 * width], inner[:, 2 * width :]
    reset, stay = smooth.chunk(2, 1)

    def step(x: Tensor) -> Tensor:
        read = table[x]
        torch.addmm(bias, h, weight, out=inner)
        smooth.add_(read[:, : 2 * width]).sigmoid_()
        new = read[:, 2 * width :].addcmul_(reset, recalled).tanh_()
        return h.sub_(new).mul_(stay).add_(new)  # (h - new) z + new

    return step
