"""Normalisation of generators and critics: by batches, by batches and classes, by the spectral norm of weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation of (B, channels, H, W) whose gain and bias depend on the class.

    De Vries et al. 2017 (arXiv:1707.00683), eq. 3, with a table of gains and biases as in Miyato and Koyama 2018
    (arXiv:1802.05637), appendix. Shares of classes (B, classes) mix their gains and biases. Without classes
    it is the plain one.
    """

    def __init__(self, channels: int, classes: int = 0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not classes)
        self.gain = nn.Embedding(classes, channels) if classes else None
        self.bias = nn.Embedding(classes, channels) if classes else None
        if self.gain is not None and self.bias is not None:
            nn.init.ones_(self.gain.weight)
            nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        if self.gain is None or self.bias is None:
            return x
        if label is None:
            raise ValueError(f"label: expected classes 0..{self.gain.num_embeddings - 1}, (B,), got None")
        gain, bias = (_per_class(table, label)[:, :, None, None] for table in (self.gain, self.bias))
        return torch.addcmul(bias, x, gain)


def _per_class(table: nn.Embedding, label: Tensor) -> Tensor:
    """(B,) classes, or (B, classes) shares of them, -> (B, channels)."""
    return label @ table.weight if label.is_floating_point() else table(label)


@torch.no_grad()
def calibrate_batch_norm(network: nn.Module, draw: Callable[[], object], batches: int) -> None:
    """Set the running statistics of all batch normalisation in `network` to their mean over `batches` calls of `draw`.

    `draw` runs the network once. Running statistics trail the weights, and the moving average of weights has never been
    run at all, so that its statistics are estimated afresh (Izmailov et al. 2018, arXiv:1803.05407, section 3.2).
    The network is left in eval mode.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
    for _ in range(batches if norms else 0):
        draw()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def normalise_weights(layer: nn.Module, spectral: bool) -> nn.Module:
    """Divide the layer's weight by its spectral norm if `spectral` (Miyato et al. 2018, arXiv:1802.05957, eq. 8)."""
    return spectral_norm(layer) if spectral else layer
