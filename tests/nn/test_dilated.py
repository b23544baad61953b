"""DilatedConv convolutions against torch's, and queues against whole sequences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from genfoundry.nn.sequence.dilated import DilatedConv, DilatedStack


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 4), (2, 2), (5, 3)])
def test_a_convolution_is_torch_s(kernel: int, dilation: int, causal: bool) -> None:
    torch.manual_seed(0)
    conv, x = DilatedConv(4, kernel=kernel, dilation=dilation, causal=causal).double(), torch.randn(2, 20, 4).double()
    weight = conv.taps.weight.view(4, kernel, 4).transpose(1, 2)  # (out, in, taps)
    reach = (kernel - 1) * dilation
    padded = F.pad(x.mT, (reach, 0) if causal else (reach - reach // 2, reach // 2))
    torch.testing.assert_close(conv(x), F.conv1d(padded, weight, conv.taps.bias, dilation=dilation).mT)


def moved(stack: DilatedStack) -> DilatedStack:
    """Weights far from the start, at which a block is the identity."""
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return stack.double()


def test_queues_give_what_the_whole_sequence_does() -> None:
    torch.manual_seed(0)
    stack, x = moved(DilatedStack(6, kernel=3, dilations=(1, 2, 4, 1), causal=True)), torch.randn(3, 30, 6).double()
    queues = stack.new_queues(3)
    with torch.no_grad():
        made = torch.stack([stack.step(x[:, t], queues, t) for t in range(30)], 1)
        torch.testing.assert_close(made, stack(x), rtol=0, atol=1e-12)
    assert [len(queue) for queue in queues] == [3, 5, 9, 3]  # however long the sequence


@pytest.mark.parametrize("causal", [True, False])
def test_the_jacobian_is_causal_or_dense(causal: bool) -> None:
    torch.manual_seed(0)
    stack = moved(DilatedStack(4, kernel=3, dilations=(1, 2, 4), causal=causal))
    x = torch.randn(1, 8, 4).double()
    jacobian = torch.autograd.functional.jacobian(stack, x)[0, :, :, 0].abs().amax((1, 3))  # (out, in)
    later = torch.ones(8, 8).triu(1).bool()
    assert (jacobian[~later] > 0).all()
    assert ((jacobian[later] == 0) if causal else (jacobian[later] > 0)).all()


def test_what_is_not_inside_is_as_if_it_were_not_there() -> None:
    torch.manual_seed(0)
    stack, x = moved(DilatedStack(4, kernel=3, dilations=(1, 2), causal=False)), torch.randn(2, 12, 4).double()
    inside = (torch.arange(12) < 7)[None, :, None].expand(2, -1, -1)
    torch.testing.assert_close(stack(x, inside)[:, :7], stack(x[:, :7]))
