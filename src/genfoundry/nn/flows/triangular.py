"""A linear flow whose matrix is triangular, fitted in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genfoundry.nn.timeseries.var import fit_triangular


class TriangularMap(nn.Module):
    """e_k = (x_k - const_k - sum_{j < k} weight_kj x_j) / scale_k over the values of a sequence of patches, in order.

    A new map is the identity; `fit` makes e white, so that log N(e; 0, I) is the best Gaussian density. It is fitted,
    not trained: its D^2 weights would follow the noise of gradients.

    Args:
        inside: (M, features), 0 in the padding, which stays 0. D = M features.
    """

    weight: Tensor
    const: Tensor
    scale: Tensor
    inside: Tensor

    def __init__(self, inside: Tensor) -> None:
        super().__init__()
        self.features, dims = inside.shape[1], inside.numel()
        self.register_buffer("weight", torch.zeros(dims, dims))
        self.register_buffer("const", torch.zeros(dims))
        self.register_buffer("scale", torch.ones(dims))
        self.register_buffer("inside", inside.flatten(), persistent=False)

    def fit(self, x: Tensor, *, ridge: float, shrinkage: float) -> None:
        """Fit to patches (N, M, features) by the regression of each value on those before it, in float64.

        `ridge` is added to the variances; `shrinkage` is the share by which correlations are reduced.
        """
        fit = fit_triangular(x.flatten(1).cpu(), ridge=ridge, shrinkage=shrinkage)  # not every device has float64
        for buffer, value in zip((self.const, self.weight, self.scale), fit, strict=True):
            buffer.copy_(value)
        self.scale.copy_(torch.where(self.inside > 0, self.scale, 1.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, M, features) to e, of the same shape, and log|det de/dx| ()."""
        flat = x.flatten(1)  # (B, D)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would round by more than the residuals' scale
            residual = flat - self.const - flat @ self.weight.T
        e = residual / self.scale * self.inside
        return e.view(x.shape), -self.scale.log().sum()

    def invert_patch(self, e: Tensor, x: Tensor, i: int) -> Tensor:
        """Return patch i (n, features) of x from e_i (n, features) and x (n, M, features), of which those before i."""
        rows, flat = slice(i * self.features, (i + 1) * self.features), x.flatten(1)
        shift = flat[:, : rows.start] @ self.weight[rows, : rows.start].T  # (n, features)
        within = torch.eye(self.features, dtype=e.dtype, device=e.device) - self.weight[rows, rows]
        right = (e * self.scale[rows] + self.const[rows] + shift).T  # (features, n)
        solution = torch.linalg.solve_triangular(within, right, upper=False, unitriangular=True)
        patch: Tensor = solution.T * self.inside[rows]
        return patch
