"""Bayesian autoregression: AR(p) with uncertain coefficients and noise, by variational inference.

The prior shrinks further lags more (Litterman 1986, "Forecasting with Bayesian vector autoregressions"). q is a
Gaussian over the coefficients, full or factorised, and an inverse gamma over the noise variance. `begin` fits it in
closed form, at the fixed point of coordinate ascent on the evidence lower bound. Forecasts mix over q, so that
intervals are wider where the series is short.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from genfoundry.errors import UserError
from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.timeseries import bayes_regression
from genfoundry.nn.timeseries.var import standardize
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

SHAPE, RATE = 1.0, 0.5  # prior of the noise variance, in units of the series' variance
DRAWS = 256  # draws from q that a forecast mixes


class BayesAr(GenerativeModel):
    """x (B, T, D) given `Batch.cond` (B, P, D), the P >= order rows before the window; columns are independent.

    `measure` is a bound: minus the mean over q of log p(x | parameters), at least -log of the mean density. The
    importance-weighted bound (`bound`) approaches the latter. All is float64 inside.
    """

    class Config(Hyper):
        """`order`: p; `tightness`: prior standard deviation of the first lag's coefficient, in standardised units, that
        of lag i is `tightness` / i ** `decay`; `factors`: q of the coefficients, "full" or "mean_field".
        """

        order: int = Field(2, ge=1)
        tightness: float = Field(1.0, gt=0)
        decay: float = Field(0.5, ge=0)
        factors: bayes_regression.Factors = "full"

    modalities: ClassVar[tuple[str, ...]] = ("series",)
    likelihood: ClassVar[Likelihood] = "bound"
    defaults: ClassVar[Mapping[str, Any]] = {"lr": {"model": 1.0}}
    config: Config
    mean: Tensor
    covariance: Tensor
    shape: Tensor
    rate: Tensor
    centre: Tensor
    scale: Tensor
    last: Tensor
    evidence: Tensor
    elbo: Tensor

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        context, columns, count = (spec.cond_shape or (0,))[0], spec.shape[-1], config.order + 1
        if config.order > context:
            raise UserError(
                f"hyper.order: expected at most the data set's context, {context} values, got {config.order}"
            )
        # Of q, a column each: mean (D, p + 1), covariance (D, p + 1, p + 1), shape and rate (D,)
        buffers = {"mean": torch.zeros(columns, count), "covariance": torch.eye(count).expand(columns, -1, -1)}
        buffers |= {name: torch.ones(columns) for name in ("shape", "rate", "scale")}
        buffers |= {name: torch.zeros(columns) for name in ("centre", "evidence", "elbo")}
        buffers |= {"last": torch.zeros(config.order, columns)}  # the last training rows
        for name, value in buffers.items():
            self.register_buffer(name, value.double().clone())

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"model": []}  # `begin` fits it in closed form

    @property
    def prior(self) -> bayes_regression.Prior:
        """Prior of the constant (standard deviation 1) and the lags, latest first."""
        lag = torch.arange(1, self.config.order + 1, dtype=torch.float64, device=self.device)
        std = torch.cat([lag.new_ones(1), self.config.tightness / lag**self.config.decay])  # (p + 1,)
        return bayes_regression.Prior(1 / std.square(), SHAPE, RATE)

    def check_rows(self, rows: int) -> None:
        order = self.config.order
        if rows <= order:
            raise UserError(f"hyper.order: {rows} values cannot fit an autoregression of order {order}; lower it")

    def begin(self, phase: str, data: Split) -> None:
        """Fit q to the training series, a column at a time."""
        series, order = data.tensor.double(), self.config.order
        if bool(series.isnan().any()):
            raise UserError("bayes_ar: expected no missing values; set missing: forward in the data set's entry")
        self.check_rows(len(series))
        y, centre, scale = standardize(series, "c")  # (L, D), (D,), (D,)
        for d, column in enumerate(y.T):
            w, target = self._design(column[None])[0], column[order:]  # (L - p, p + 1), (L - p,)
            q = bayes_regression.fit_variational(w, target, self.prior, self.config.factors)
            for buffer, value in zip((self.mean, self.covariance, self.shape, self.rate), q, strict=True):
                buffer[d] = value
            jacobian = len(target) * scale[d].log()  # states the bounds for the values in their own unit
            self.evidence[d] = bayes_regression.log_evidence(w, target, self.prior) - jacobian
            self.elbo[d] = bayes_regression.lower_bound(w, target, self.prior, q) - jacobian
        self.centre.copy_(centre)
        self.scale.copy_(scale)
        self.last.copy_(series[len(series) - order :])

    def _design(self, values: Tensor) -> Tensor:
        """Standardised values (B, L) of a column -> (B, L - p, p + 1): a constant and the lags, latest first."""
        lags = values.unfold(1, self.config.order, 1)[:, :-1].flip(2)  # (B, L - p, p)
        return torch.cat([torch.ones_like(lags[..., :1]), lags], 2)

    def posterior(self, d: int) -> bayes_regression.Posterior:
        """Return q of a column."""
        return bayes_regression.Posterior(self.mean[d], self.covariance[d], self.shape[d], self.rate[d])

    def _past(self, cond: Tensor | None, n: int) -> Tensor:
        """The p rows before the window, standardised (B, p, D); by default the end of train."""
        columns, order = self.spec.shape[-1], self.config.order
        values = self.last.expand(n, -1, -1) if cond is None else cond[:, -order:, :columns].to(self.device).double()
        return (values - self.centre) / self.scale

    def _regressions(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """Regressors (B, T, p + 1) and targets (B, T) of each column."""
        x = (batch.x.double() - self.centre) / self.scale
        series = torch.cat([self._past(batch.cond, len(batch)), x], 1)  # (B, p + T, D)
        return [(self._design(series[..., d]), x[..., d]) for d in range(x.shape[2])]

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        total = batch.x.shape[1] * self.scale.log().sum()  # Jacobian of standardising
        for d, (w, y) in enumerate(self._regressions(batch)):
            q = self.posterior(d)
            # E_q[(y - w beta)^2], (B, T)
            misfit = (y - w @ q.mean).square() + torch.einsum("bti,ij,btj->bt", w, q.covariance, w)
            total = total + 0.5 * (math.log(2 * math.pi) + q.log_variance + q.sharpness * misfit).sum(1)
        return {"nll": total}  # (B,)

    @torch.no_grad()
    def bound(self, batch: Batch, k: int) -> Tensor:
        """Return (B,) nats: minus the log of the mean density over k draws from q."""
        log_prob = -batch.x.shape[1] * self.scale.log().sum()  # Jacobian of standardising
        for d, (w, y) in enumerate(self._regressions(batch)):
            beta, variance = bayes_regression.sample_posterior(self.posterior(d), k)  # (k, p + 1), (k,)
            error = y - torch.einsum("bti,ki->kbt", w, beta)  # (k, B, T)
            variance = variance[:, None, None]
            log_prob = log_prob - 0.5 * ((2 * math.pi * variance).log() + error.square() / variance).sum(2)
        return math.log(k) - torch.logsumexp(log_prob, 0)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        past, columns = self._past(cond, n), []
        for d in range(past.shape[2]):
            beta, variance = bayes_regression.sample_posterior(self.posterior(d), n)  # a draw from q for each sample
            beta = self.mean[d] + draw.temperature * (beta - self.mean[d])
            noise = torch.randn(n, self.spec.shape[0], dtype=torch.float64, device=self.device)
            path = _extrapolate(past[..., d], beta, draw.temperature * variance.sqrt()[:, None] * noise)  # (n, T)
            columns.append(path * self.scale[d] + self.centre[d])
        return torch.stack(columns, 2)  # (n, T, D)

    @torch.no_grad()
    def forecast(self, cond: Tensor, horizon: int, quantiles: tuple[float, ...]) -> Tensor:
        """Map (B, P, D) to (B, Q, horizon, D) float64: quantiles of the predictive mixture over draws from q."""
        past, columns = self._past(cond, len(cond)), []
        # A seed of its own: the forecast of a past is the same at every call
        generator = torch.Generator(self.device).manual_seed(derive_seed("bayes_ar", "forecast"))
        for d in range(past.shape[2]):
            # The forecast of a mirrored column is the mirrored forecast, whatever constant is added to the column
            sign = -1.0 if self.last[-1, d] < self.centre[d] else 1.0
            q = bayes_regression.mirror(self.posterior(d), sign)
            beta, variance = bayes_regression.sample_posterior(q, DRAWS, generator)  # (S, p + 1), (S,)
            zeros = beta.new_zeros(1, horizon)
            mean = _extrapolate(sign * past[None, ..., d], beta[:, None], zeros)  # (S, B, T)
            without_constant = torch.cat([torch.zeros_like(beta[:, :1]), beta[:, 1:]], 1)
            shock = zeros.clone()
            shock[:, :1] = 1.0
            psi = _extrapolate(torch.zeros_like(beta[:, 1:]), without_constant, shock)  # (S, T) impulse response
            std = (variance[:, None] * psi.square().cumsum(1)).sqrt()[:, None]  # (S, 1, T)
            levels = quantiles if sign > 0 else tuple(1 - level for level in quantiles)
            bands = [bayes_regression.mixture_quantile(level, mean, std) for level in levels]
            columns.append(sign * torch.stack(bands, 1) * self.scale[d] + self.centre[d])  # (B, Q, T)
        return torch.stack(columns, 3)  # (B, Q, T, D)


def _extrapolate(past: Tensor, beta: Tensor, noise: Tensor) -> Tensor:
    """Continue (..., p) by the recursion of coefficients (..., p + 1), with `noise` (..., T) added: (..., T)."""
    values = list(past.unbind(-1))
    for shock in noise.unbind(-1):
        new = beta[..., 0] + shock
        for lag in range(1, beta.shape[-1]):
            new = new + beta[..., lag] * values[-lag]
        values.append(new)
    return torch.stack(values[past.shape[-1] :], -1)
