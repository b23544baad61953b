"""Linear autoregression with constant, AR(p): x_t = c + sum_i phi_i x_{t-i} + e_t, e_t ~ N(0, sigma^2).

Box and Jenkins 1970. Fitted exactly in `begin`, by conditional least squares; no step of gradient descent. Columns of a
series with several are independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.autoregression import conditional_least_squares, continued, deviations, log_density, residuals
from genfoundry.types import Batch, Draw, Spec, UserError

if TYPE_CHECKING:
    from genfoundry.data.base import Split


class LinearAr(GenerativeModel):
    """`Batch.cond` (B, P, D) holds the P >= order values before the window; all is float64 inside."""

    class Config(Hyper):
        """`order`: how many values back the model looks."""

        order: int = Field(2, ge=0)

    modalities: ClassVar[tuple[str, ...]] = ("series",)
    defaults: ClassVar[Mapping[str, Any]] = {"lr": {"model": 1.0}}
    config: Config
    const: Tensor
    phi: Tensor
    sigma2: Tensor

    @classmethod
    def sized(cls, spec: Spec, items: int) -> dict[str, Any]:
        """Orders that the past before a window, and a third of the training values, allow."""
        most = min((spec.cond_shape or (0,))[0], items * spec.shape[0] // 3, 20)
        search = {"search": {"hyper.order": {"low": 1, "high": most}}} if most > 1 else {}
        return {"hyper": {"order": min(9, most)}, **search}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        context, columns = spec.cond_shape or (0, spec.shape[-1])
        if config.order > context:
            raise UserError(f"hyper.order is {config.order}, but the data set's context is {context} values; lower one")
        # Buffers: gradient descent moves nothing here, the checkpoint holds all.
        self.register_buffer("const", torch.zeros(columns, dtype=torch.float64))
        self.register_buffer("phi", torch.zeros(columns, config.order, dtype=torch.float64))
        self.register_buffer("sigma2", torch.ones(columns, dtype=torch.float64))

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"model": []}

    def begin(self, phase: str, data: Split) -> None:
        try:
            fitted = conditional_least_squares(data.whole, self.config.order)
        except ValueError as error:
            raise UserError(f"hyper.order: {error}; lower it, or add data") from None
        for own, value in zip((self.const, self.phi, self.sigma2), fitted, strict=True):
            own.copy_(value)
        self.sigma2.clamp_min_(torch.finfo(torch.float64).tiny)  # an exact fit still has a density

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        x = batch.x.double()
        error = residuals(x, self.past(batch.cond, len(x)), self.const, self.phi)
        return {"nll": -log_density(error, self.sigma2).flatten(1).sum(1)}

    def past(self, cond: Tensor | None, n: int) -> Tensor:
        """`cond` as float64; without one, the level that the series returns to."""
        if cond is not None:
            return cond.to(self.device).double()
        persistence = self.phi.sum(1)
        level = self.const / torch.where((1 - persistence).abs() > 1e-6, 1 - persistence, 1.0)
        return level.expand(n, self.config.order, -1)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        past = self.past(cond, n)
        shape = (n, *self.spec.shape)
        noise = draw.temperature * self.sigma2.sqrt() * torch.randn(shape, dtype=torch.float64, device=self.device)
        return continued(past, shape[1], self.const, self.phi, noise).float()

    @torch.no_grad()
    def forecast(self, cond: Tensor, horizon: int, quantiles: tuple[float, ...]) -> Tensor:
        """(B, P, D) -> (B, Q, horizon, D) float64: quantiles of the exact Gaussian predictive distribution."""
        mean = continued(self.past(cond, len(cond)), horizon, self.const, self.phi).unsqueeze(1)
        levels = torch.tensor(quantiles, dtype=torch.float64, device=self.device)
        spread = torch.special.ndtri(levels).view(-1, 1, 1) * deviations(self.phi, self.sigma2, horizon)
        return torch.add(mean, spread)
