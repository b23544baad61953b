from __future__ import annotations

import pytest
import torch

from genfoundry.nn.sequence.rnn_cells import Kind, build_cell, zero_state
from genfoundry.nn.sequence.rnn_stepper import build_stepper


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@torch.no_grad()
def test_steps_are_the_cell_s_own(kind: Kind) -> None:
    torch.manual_seed(0)
    own, x = build_cell(kind, 5, 7, 4).double(), torch.randint(5, (3, 12))
    _, state = own(x[:, :4], zero_state(kind, 3, 7, torch.device("cpu")).double())
    before, whole = state.clone(), own(x[:, 4:], state)[0]
    step = build_stepper(own, state)
    for t in range(8):
        assert torch.allclose(step(x[:, 4 + t]), whole[:, t], atol=1e-12)
    assert torch.equal(state, before), "it works on a copy"
