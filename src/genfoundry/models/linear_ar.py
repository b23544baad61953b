"""Linear autoregression, AR(p) and VAR(p): x_t = gamma d_t + sum_i phi_i x_{t-i} + e_t, e_t ~ N(0, sigma).

Box and Jenkins 1970; Lütkepohl 2005, "New introduction to multiple time series analysis". d_t are deterministic terms:
a constant, a linear trend, seasonal dummies. `begin` fits it in closed form by conditional maximum likelihood (with
missing values, by expectation-maximisation), without gradient descent. The columns of a series are independent of each
other unless `joint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from genfoundry.errors import UserError
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.timeseries import em_missing, kalman, var
from genfoundry.nn.timeseries.least_squares import count_terms, deterministic_terms
from genfoundry.nn.timeseries.order_selection import Criterion, select_order
from genfoundry.types import Batch, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split


class LinearAr(GenerativeModel):
    """x (B, T, D) given `Batch.cond` (B, P, D), the P >= p rows before the window; NaN is a missing value in both.

    With one column more, (B, P, D + 1), the last column holds the row numbers, which trends and seasons depend on. All
    is float64 inside.
    """

    class Config(Hyper):
        """`order`: p, or the information criterion that chooses it among 0..`most`; `trend` and `season` (its period,
        0: none) as in statsmodels' AutoReg; `joint`: one regression of all columns on all.
        """

        order: Annotated[int, Field(ge=0)] | Criterion = 2
        most: int = Field(12, ge=0)
        trend: Literal["n", "c", "t", "ct"] = "c"
        season: int = Field(0, ge=0)
        joint: bool = False

        @field_validator("season")
        @classmethod
        def _check_period(cls, value: int) -> int:
            if value == 1:
                raise ValueError("expected a period of 2 rows or more, or 0 for no season, got 1")
            return value

        @property
        def lags(self) -> int:
            """The largest order that may be fitted."""
            return self.order if isinstance(self.order, int) else self.most

    modalities: ClassVar[tuple[str, ...]] = ("series",)
    defaults: ClassVar[Mapping[str, Any]] = {"lr": {"model": 1.0}}
    config: Config
    gamma: Tensor
    phi: Tensor
    sigma: Tensor
    last: Tensor
    rows: Tensor
    order: Tensor

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        """Return orders that the context before a window, and a third of the training values, allow."""
        most = min((spec.cond_shape or (0,))[0], items * spec.shape[0] // 3, 20)
        search = {"search": {"hyper.order": {"low": 1, "high": most}}} if most > 1 else {}
        return {"hyper": {"order": min(9, most)}, **search}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        columns = spec.shape[-1]
        context, cond_columns = spec.cond_shape or (0, columns)
        if config.lags > context:
            key = "order" if isinstance(config.order, int) else "most"
            raise UserError(
                f"hyper.{key}: expected at most the data set's context, {context} values, got {config.lags}"
            )
        self.numbered = cond_columns > columns
        if ("t" in config.trend or config.season) and not self.numbered:
            raise UserError("hyper.trend, hyper.season: expected numbered: true in the data set's entry, got none")
        terms, lags = count_terms(config.trend, config.season), max(config.lags, 1)  # order 0 has a lag of weight 0
        buffers = {"gamma": torch.zeros(columns, terms), "phi": torch.zeros(lags, columns, columns)}
        buffers |= {"sigma": torch.eye(columns), "last": torch.zeros(lags, columns)}  # `last`: the last training rows
        for name, value in buffers.items():
            self.register_buffer(name, value.double())
        self.register_buffer("rows", torch.zeros((), dtype=torch.int64))  # number of training rows
        self.register_buffer("order", torch.zeros((), dtype=torch.int64))

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"model": []}  # `begin` fits it in closed form

    def check_rows(self, rows: int) -> None:
        columns = self.spec.shape[-1] if self.config.joint else 1
        try:
            var.check_length(rows, self.config.lags, count_terms(self.config.trend, self.config.season), columns)
        except ValueError as error:
            raise self._too_few(error) from None

    def _too_few(self, error: ValueError) -> UserError:
        key = "order" if isinstance(self.config.order, int) else "most"
        return UserError(f"hyper.{key}: {error}; lower it, or add data")

    def begin(self, phase: str, data: Split) -> None:
        """Fit the model to the training series."""
        c, series = self.config, data.tensor.double().cpu()  # rank-deficient least squares exist on the CPU alone
        settings = (c.trend, c.season, c.joint)
        missing = bool(series.isnan().any())
        try:
            order = c.order if isinstance(c.order, int) else select_order(series, c.most, c.order, *settings)
            if missing:
                fit = em_missing.fit_em(series, order, *settings)[0]
            else:
                fit = var.fit_least_squares(series, order, *settings)
        except ValueError as error:
            raise self._too_few(error) from None
        self.gamma.copy_(fit.gamma)
        self.phi.zero_()[: len(fit.phi)] = fit.phi  # lags beyond the order have weight 0
        self.sigma.copy_(fit.sigma)
        self.order.fill_(order)
        self.rows.fill_(len(series))
        self.last.copy_(series[len(series) - len(self.last) :])

    def _past(self, cond: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """The rows before the window, float64 (B, P, D), and its first row's number (B,); by default train's end."""
        if cond is None:
            return self.last.expand(n, -1, -1), self.rows.expand(n)
        cond = cond.to(self.device).double()
        columns = self.spec.shape[-1]
        # Without row numbers there is neither trend nor season: any number does
        first = cond[:, -1, -1].round().long() + 1 if self.numbered else self.rows.expand(len(cond))
        return cond[..., :columns], first

    def _offset(self, first: Tensor, steps: int) -> Tensor:
        """gamma d_t (B, T, D) of the rows from number `first` (B,)."""
        row = first[:, None] + torch.arange(steps, device=self.device)  # (B, T)
        return deterministic_terms(row, self.config.trend, self.config.season) @ self.gamma.mT

    def _filter_past(self, past: Tensor, first: Tensor) -> kalman.Belief:
        """The distribution of the last rows, given a past with missing values."""
        start = kalman.diffuse_prior(past, len(self.phi), self.sigma)
        offset = self._offset(first - past.shape[1], past.shape[1])
        return kalman.filter_series(past, offset, self.phi, self.sigma, start)[1]

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        x, (past, first) = batch.x.double(), self._past(batch.cond, len(batch))
        offset = self._offset(first, x.shape[1])  # (B, T, D)
        if bool(x.isnan().any() | past.isnan().any()):
            belief = self._filter_past(past, first)
            log_prob, _ = kalman.filter_series(x, offset, self.phi, self.sigma, belief)
        else:
            residual = x - var.predict_one_step(torch.cat([past, x], 1), offset, self.phi)
            log_prob = var.log_density(residual, var.cholesky_root(self.sigma))  # (B, T)
        return {"nll": -log_prob.sum(1)}

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        past, first = self._past(cond, n)
        steps, columns = self.spec.shape
        noise = torch.randn((n, steps, columns), dtype=torch.float64, device=self.device)  # (n, T, D)
        noise = noise @ var.cholesky_root(self.sigma).mT  # N(0, sigma)
        if bool(past.isnan().any()):  # draw the missing past first
            mean, covariance = self._filter_past(past, first)  # (n, pD), (n, pD, pD)
            # Known values have variance 0, so that the covariance is singular: no Cholesky factor
            values, vectors = torch.linalg.eigh(covariance)
            factor = vectors * values.clamp_min(0).sqrt()[:, None]
            deviation = torch.einsum("bij,bj->bi", factor, torch.randn_like(mean))
            past = (mean + draw.temperature * deviation).view(n, -1, columns).flip(1)  # (n, p, D), oldest first
        return var.extrapolate(past, self._offset(first, steps), self.phi, draw.temperature * noise)

    @torch.no_grad()
    def forecast(self, cond: Tensor, horizon: int, quantiles: tuple[float, ...]) -> Tensor:
        """Map (B, P, D) to (B, Q, horizon, D) float64: quantiles of the exact Gaussian predictive distribution."""
        past, first = self._past(cond, len(cond))
        offset = self._offset(first, horizon)
        if bool(past.isnan().any()):
            mean, std = kalman.forecast_state(self._filter_past(past, first), offset, self.phi, self.sigma)
        else:
            mean = var.extrapolate(past, offset, self.phi)  # (B, T, D)
            std = var.forecast_covariances(self.phi, self.sigma, horizon).diagonal(dim1=1, dim2=2).sqrt()[None]
        levels = torch.tensor(quantiles, dtype=torch.float64, device=self.device).view(-1, 1, 1)  # (Q, 1, 1)
        return torch.add(mean[:, None], torch.special.ndtri(levels) * std[:, None])  # (B, Q, T, D)
