"""The U-Net of flows: sizes, what it depends on, and what it starts from."""

from __future__ import annotations

import pytest
import torch

from genfoundry.nn.flows.unet import UNet
from genfoundry.types import Spec


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 9), (1, 28, 28), (3, 33, 20), (3, 128, 128)])
def test_any_size_keeps_its_shape(shape: tuple[int, int, int]) -> None:
    network = UNet(Spec(shape, 256), 2 * shape[0], 4, 1)
    out = network(torch.randn(2, 2 * shape[0], *shape[1:]), torch.rand(2))
    assert out.shape == (2, *shape)
    assert not out.any(), "it adds nothing at first"


def test_every_pixel_time_and_class_has_a_say() -> None:
    torch.manual_seed(0)
    network = UNet(Spec((1, 16, 16), 256), 1, 8, 1, classes=3)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.2)
    x, t, label = torch.randn(1, 1, 16, 16, requires_grad=True), torch.tensor([0.3]), torch.tensor([0])
    out = network(x, t, label)
    out[0, 0, 0, 0].backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and (x.grad != 0).all(), "attention and the way down reach everywhere"
    assert not torch.allclose(out, network(x, t + 0.01, label))
    assert not torch.allclose(out, network(x, t, label + 1))
