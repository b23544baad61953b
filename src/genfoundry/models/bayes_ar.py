"""Bayesian autoregression: AR(p) whose coefficients and noise are uncertain, by variational inference over them.

The lags' coefficients have a prior that shrinks the further ones more (Litterman 1986); q is a Gaussian, full or a
factor each coefficient, and an inverse gamma. Fitted in `begin`: coordinate ascent on the evidence lower bound has
its fixed point in closed form. Forecasts mix over q, so that intervals are wider where the series is short.
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
from genfoundry.nn.timeseries.var import standard
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

SHAPE, RATE = 1.0, 0.5  # of the noise's variance, in units of the series'
DRAWS = 256  # of q, that a forecast mixes


class BayesAr(GenerativeModel):
    """`Batch.cond` (B, P, D) holds the P >= order rows before the window; columns are independent; float64 inside.

    `measure` is a bound: minus the mean over q of log p(x | parameters), at least -log of the mean density, to which
    the importance-weighted bound of draws from q comes near.
    """

    class Config(Hyper):
        """`order`: how many rows back; `tightness`: prior deviation of the first lag's coefficient, in standardised
        units, that of lag i is `tightness` / i ** `decay`; `factors`: of q's coefficients, together or each alone.
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
            raise UserError(f"hyper.order is {config.order}, but the data set's context is {context} values; lower one")
        start = {"mean": torch.zeros(columns, count), "covariance": torch.eye(count).expand(columns, -1, -1)}
        start |= {name: torch.ones(columns) for name in ("shape", "rate", "scale")}
        start |= {name: torch.zeros(columns) for name in ("centre", "evidence", "elbo")}
        start |= {"last": torch.zeros(config.order, columns)}
        for name, value in start.items():  # buffers: gradient descent moves nothing here
            self.register_buffer(name, value.double().clone())

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"model": []}

    @property
    def prior(self) -> bayes_regression.Prior:
        """Of the constant, deviation 1, and the lags, latest first."""
        lag = torch.arange(1, self.config.order + 1, dtype=torch.float64, device=self.device)
        deviation = torch.cat([lag.new_ones(1), self.config.tightness / lag**self.config.decay])
        return bayes_regression.Prior(1 / deviation.square(), SHAPE, RATE)

    def check_rows(self, rows: int) -> None:
        order = self.config.order
        if rows <= order:
            raise UserError(f"hyper.order: {rows} values cannot fit an autoregression of order {order}; lower it")

    def begin(self, phase: str, data: Split) -> None:
        whole, order = data.tensor.double(), self.config.order
        if bool(whole.isnan().any()):
            raise UserError(
                "bayes_ar: the series has missing values; missing: forward in the data set's entry is right"
            )
        self.check_rows(len(whole))
        y, centre, scale = standard(whole, "c")
        for d, column in enumerate(y.T):
            w, target = self.rows(column[None])[0], column[order:]
            q = bayes_regression.variational(w, target, self.prior, self.config.factors)
            for own, value in zip((self.mean, self.covariance, self.shape, self.rate), q, strict=True):
                own[d] = value
            jacobian = len(target) * scale[d].log()  # the bounds are those of the values in their own unit
            self.evidence[d] = bayes_regression.log_evidence(w, target, self.prior) - jacobian
            self.elbo[d] = bayes_regression.lower_bound(w, target, self.prior, q) - jacobian
        self.centre.copy_(centre)
        self.scale.copy_(scale)
        self.last.copy_(whole[len(whole) - order :])

    def rows(self, values: Tensor) -> Tensor:
        """(B, L) standardised values of a column -> (B, L - p, p + 1): a constant and the lags, latest first."""
        lags = values.unfold(1, self.config.order, 1)[:, :-1].flip(2)
        return torch.cat([torch.ones_like(lags[..., :1]), lags], 2)

    def posterior(self, d: int) -> bayes_regression.Posterior:
        """q of a column."""
        return bayes_regression.Posterior(self.mean[d], self.covariance[d], self.shape[d], self.rate[d])

    def past(self, cond: Tensor | None, n: int) -> Tensor:
        """The last p rows of `cond`, standardised (B, p, D); without one, those of train."""
        columns, order = self.spec.shape[-1], self.config.order
        values = self.last.expand(n, -1, -1) if cond is None else cond[:, -order:, :columns].to(self.device).double()
        return (values - self.centre) / self.scale

    def _split(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """A column's rows (B, T, p + 1) and targets (B, T)."""
        x = (batch.x.double() - self.centre) / self.scale
        both = torch.cat([self.past(batch.cond, len(batch)), x], 1)
        return [(self.rows(both[..., d]), x[..., d]) for d in range(x.shape[2])]

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        total = batch.x.shape[1] * self.scale.log().sum()
        for d, (w, y) in enumerate(self._split(batch)):
            q = self.posterior(d)
            misfit = (y - w @ q.mean).square() + torch.einsum("bti,ij,btj->bt", w, q.covariance, w)
            total = total + 0.5 * (math.log(2 * math.pi) + q.log_variance + q.sharpness * misfit).sum(1)
        return {"nll": total}

    @torch.no_grad()
    def bound(self, batch: Batch, k: int) -> Tensor:
        """(B,) nats: minus log of the mean density over k draws from q."""
        density = -batch.x.shape[1] * self.scale.log().sum()
        for d, (w, y) in enumerate(self._split(batch)):
            beta, variance = bayes_regression.drawn(self.posterior(d), k)
            error = y - torch.einsum("bti,ki->kbt", w, beta)  # (k, B, T)
            variance = variance[:, None, None]
            density = density - 0.5 * ((2 * math.pi * variance).log() + error.square() / variance).sum(2)
        return math.log(k) - torch.logsumexp(density, 0)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        past, columns = self.past(cond, n), []
        for d in range(past.shape[2]):
            beta, variance = bayes_regression.drawn(self.posterior(d), n)
            beta = self.mean[d] + draw.temperature * (beta - self.mean[d])
            noise = torch.randn(n, self.spec.shape[0], dtype=torch.float64, device=self.device)
            path = _run(past[..., d], beta, draw.temperature * variance.sqrt()[:, None] * noise)
            columns.append(path * self.scale[d] + self.centre[d])
        return torch.stack(columns, 2)

    @torch.no_grad()
    def forecast(self, cond: Tensor, horizon: int, quantiles: tuple[float, ...]) -> Tensor:
        """(B, P, D) -> (B, Q, horizon, D) float64: quantiles of the predictive mixture over draws of q."""
        past, columns = self.past(cond, len(cond)), []
        generator = torch.Generator(self.device).manual_seed(derive_seed("bayes_ar", "forecast"))
        for d in range(past.shape[2]):
            # draws of a column and of its mirror image are mirrored too, whatever constant is added
            sign = -1.0 if self.last[-1, d] < self.centre[d] else 1.0
            beta, variance = bayes_regression.drawn(
                bayes_regression.mirrored(self.posterior(d), sign), DRAWS, generator
            )
            still = beta.new_zeros(1, horizon)
            mean = _run(sign * past[None, ..., d], beta[:, None], still)  # (S, B, T)
            shock = torch.cat([torch.zeros_like(beta[:, :1]), beta[:, 1:]], 1)
            ones = still.clone()
            ones[:, :1] = 1.0
            psi = _run(torch.zeros_like(beta[:, 1:]), shock, ones)  # (S, T)
            deviation = (variance[:, None] * psi.square().cumsum(1)).sqrt()[:, None]
            levels = quantiles if sign > 0 else tuple(1 - level for level in quantiles)
            bands = [bayes_regression.mixture_quantile(level, mean, deviation) for level in levels]
            columns.append(sign * torch.stack(bands, 1) * self.scale[d] + self.centre[d])
        return torch.stack(columns, 3)


def _run(past: Tensor, beta: Tensor, noise: Tensor) -> Tensor:
    """The recursion of coefficients (..., p + 1) run on from `past` (..., p) with `noise` (..., T) added: (..., T)."""
    values = list(past.unbind(-1))
    for shock in noise.unbind(-1):
        new = beta[..., 0] + shock
        for lag in range(1, beta.shape[-1]):
            new = new + beta[..., lag] * values[-lag]
        values.append(new)
    return torch.stack(values[past.shape[-1] :], -1)
