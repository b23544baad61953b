"""An autoregressive flow over patches whose affine transforms a causal transformer computes.

Zhai et al. 2024 (arXiv:2412.06329), after masked autoregressive flows (Papamakarios et al. 2017,
arXiv:1705.07057).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.autoregressive.attention import Attention
from genfoundry.nn.flows.triangular import TriangularMap


class TransformerBlock(nn.Module):
    """z_i = (x_i - shift_i) * exp(-log_scale_i), with shift and log_scale of patch i functions of x_<i alone.

    The Jacobian dz/dx is triangular in the block's order, its log-determinant the sum of -log_scale. Shift and scale of
    the first patch are learned, too, as those of what follows a start token. An untrained block is the identity.

    Args:
        inside: (M, features), 0 in the padding, which the block leaves as it is.
        width: of the transformer.
        layers: of the transformer.
        heads: of its attention.
        classes: number of classes that the transforms may depend on; 0: they do not.
        reverse: whether the order is from the last patch to the first.
        linear: a map of x that comes first: its e_i takes the place of x_i above, and the transformer reads x.
    """

    inside: Tensor

    def __init__(
        self,
        inside: Tensor,
        width: int,
        layers: int,
        heads: int,
        *,
        classes: int,
        reverse: bool,
        linear: TriangularMap | None = None,
    ) -> None:
        super().__init__()
        self.linear = linear
        self.tokens, features = inside.shape
        self.reverse = reverse
        self.register_buffer("inside", self._reorder(inside), persistent=False)
        self.read = nn.Linear(features, width)
        self.position = nn.Parameter(0.02 * torch.randn(self.tokens, width))
        self.label = nn.Embedding(classes, width) if classes else None
        self.trunk = Attention(width, layers, heads, span=self.tokens, rotary=False)
        self.out = nn.Linear(width, 2 * features)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def _reorder(self, patches: Tensor) -> Tensor:
        """(..., M, features), from the order of the image to the block's, or back."""
        return patches.flip(-2) if self.reverse else patches

    def forward(self, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map x (B, M, features), labels (B,) to z, of the shape of x, and log|det dz/dx| (B,), both float32."""
        x = self._reorder(x)
        before = F.pad(self.read(x[:, :-1]), (0, 0, 1, 0))  # (B, M, width): nothing is before the first
        shift, log_scale = self._transform(self.trunk(before + self._context(label)), self.inside)
        e, change = self.linear(x) if self.linear else (x, 0.0)
        z = (e - shift) * torch.exp(-log_scale)
        return self._reorder(z), change - log_scale.flatten(1).sum(1)

    def inverse(self, z: Tensor, label: Tensor | None = None, guidance: float = 0.0) -> Tensor:
        """Map z (B, M, features) to x, patch by patch; keys and values of patches that are done are cached.

        With guidance w, shift and log_scale are their values given the label plus w times what they exceed those of
        the last class by (the paper's guidance). Both are computed as one batch.
        """
        z = self._reorder(z)
        guided = guidance > 0 and label is not None and self.label is not None
        if guided:
            assert label is not None and self.label is not None
            label = torch.cat([label, torch.full_like(label, self.label.num_embeddings - 1)])
        context = self._context(label)  # (M, width) or (B or 2B, M, width)
        cache = self.trunk.new_cache((1 + guided) * len(z), self.tokens)
        x, before = torch.zeros_like(z), z.new_zeros(cache.keys.shape[1], 1, self.position.shape[1])
        for i in range(self.tokens):
            state = self.trunk(before + context[..., i : i + 1, :], cache)  # (B or 2B, 1, width)
            shift, log_scale = self._transform(state, self.inside[i])
            if guided:
                shift, log_scale = (guide(part, guidance) for part in (shift, log_scale))
            e = z[:, i] * torch.exp(log_scale[:, 0]) + shift[:, 0]  # (B, features)
            x[:, i] = self.linear.invert_patch(e, x, i) if self.linear else e
            before = self.read(x[:, i : i + 1]).repeat(1 + guided, 1, 1)
        return self._reorder(x)

    def _context(self, label: Tensor | None) -> Tensor:
        """What every token is given: (M, width), or (B, M, width) with labels."""
        if self.label is None or label is None:
            return self.position
        context: Tensor = self.position + self.label(label)[:, None]
        return context

    def _transform(self, state: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """States of tokens -> shift and log_scale, float32 and 0 in the padding."""
        shift, log_scale = self.out(state).to(inside.dtype).chunk(2, -1)
        return shift * inside, log_scale * inside


def guide(both: Tensor, weight: float) -> Tensor:
    """Extrapolate a quantity (2B, ...), first given the labels, then without, to (B, ...)."""
    given, without = both.chunk(2)
    return given + weight * (given - without)
