"""Linear autoregression, AR(p) and VAR(p): x_t = gamma d_t + sum_i phi_i x_{t-i} + e_t, e_t ~ N(0, sigma).

Box and Jenkins 1970; Luetkepohl 2005. d_t are a constant, a straight line, a season's dummies. Fitted exactly in
`begin` by conditional maximum likelihood (over gaps, by expectation-maximisation); no step of gradient descent.
Columns of a series with several are independent of each other unless `joint`.
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
from genfoundry.nn.timeseries.least_squares import terms, width
from genfoundry.nn.timeseries.order_selection import Criterion, selected
from genfoundry.nn.timeseries.var import continued, covariances, enough, log_density, predicted, root
from genfoundry.types import Batch, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split


class LinearAr(GenerativeModel):
    """`Batch.cond` (B, P, D) holds the P >= p rows before the window, NaN where a value is missing, as in `Batch.x`.

    With a column more, (B, P, D + 1), the last is the rows' numbers: what trends and seasons are counted by. All is
    float64 inside.
    """

    class Config(Hyper):
        """`order`: how many rows back the model looks, or the criterion that chooses among 0..`most`; `trend` and
        `season` (its period, 0: none) as statsmodels' AutoReg has them; `joint`: one regression of all columns on all.
        """

        order: Annotated[int, Field(ge=0)] | Criterion = 2
        most: int = Field(12, ge=0)
        trend: Literal["n", "c", "t", "ct"] = "c"
        season: int = Field(0, ge=0)
        joint: bool = False

        @field_validator("season")
        @classmethod
        def _period(cls, value: int) -> int:
            if value == 1:
                raise ValueError("a season has 2 rows or more; 0 is none")
            return value

        @property
        def lags(self) -> int:
            """Rows that the model may look back."""
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
        """Orders that the past before a window, and a third of the training values, allow."""
        most = min((spec.cond_shape or (0,))[0], items * spec.shape[0] // 3, 20)
        search = {"search": {"hyper.order": {"low": 1, "high": most}}} if most > 1 else {}
        return {"hyper": {"order": min(9, most)}, **search}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        columns = spec.shape[-1]
        context, given = spec.cond_shape or (0, columns)
        if config.lags > context:
            key = "order" if isinstance(config.order, int) else "most"
            raise UserError(f"hyper.{key} is {config.lags}, but the data set's context is {context} values; lower one")
        self.counted = given > columns
        if ("t" in config.trend or config.season) and not self.counted:
            raise UserError(
                "hyper.trend, season: they need the rows' numbers; numbered: true in the data set's entry is right"
            )
        lags = max(config.lags, 1)  # an order of 0 has a lag of weight 0
        # Buffers: gradient descent moves nothing here, the checkpoint holds all.
        self.register_buffer("gamma", torch.zeros(columns, width(config.trend, config.season), dtype=torch.float64))
        self.register_buffer("phi", torch.zeros(lags, columns, columns, dtype=torch.float64))
        self.register_buffer("sigma", torch.eye(columns, dtype=torch.float64))
        self.register_buffer("last", torch.zeros(lags, columns, dtype=torch.float64))  # the last rows of train
        self.register_buffer("rows", torch.zeros((), dtype=torch.int64))  # of train
        self.register_buffer("order", torch.zeros((), dtype=torch.int64))

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"model": []}

    def check_rows(self, rows: int) -> None:
        columns = self.spec.shape[-1] if self.config.joint else 1
        try:
            enough(rows, self.config.lags, width(self.config.trend, self.config.season), columns)
        except ValueError as error:
            raise self.too_few(error) from None

    def too_few(self, error: ValueError) -> UserError:
        """What to lower."""
        key = "order" if isinstance(self.config.order, int) else "most"
        return UserError(f"hyper.{key}: {error}; lower it, or add data")

    def begin(self, phase: str, data: Split) -> None:
        c, whole = self.config, data.tensor.double().cpu()  # where least squares of deficient rank are to be had
        how = (c.trend, c.season, c.joint)
        missing = bool(whole.isnan().any())
        try:
            order = c.order if isinstance(c.order, int) else selected(whole, c.most, c.order, *how)
            fit = em_missing.least_squares(whole, order, *how)[0] if missing else var.least_squares(whole, order, *how)
        except ValueError as error:
            raise self.too_few(error) from None
        self.gamma.copy_(fit.gamma)
        self.phi.zero_()[: len(fit.phi)] = fit.phi
        self.sigma.copy_(fit.sigma)
        self.order.fill_(order)
        self.rows.fill_(len(whole))
        self.last.copy_(whole[len(whole) - len(self.last) :])

    def past(self, cond: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """`cond` as float64 (B, P, D) and the number of the row after it, (B,); without one, the end of train."""
        if cond is None:
            return self.last.expand(n, -1, -1), self.rows.expand(n)
        cond = cond.to(self.device).double()
        columns = self.spec.shape[-1]
        after = cond[:, -1, -1].round().long() + 1 if self.counted else self.rows.expand(len(cond))
        return cond[..., :columns], after

    def offset(self, first: Tensor, steps: int) -> Tensor:
        """gamma d_t (B, T, D) of the rows from `first` (B,)."""
        row = first[:, None] + torch.arange(steps, device=self.device)
        return terms(row, self.config.trend, self.config.season) @ self.gamma.mT

    def belief(self, past: Tensor, after: Tensor) -> kalman.Belief:
        """What a past with gaps says of its last rows."""
        start = kalman.vague(past, len(self.phi), self.sigma)
        offset = self.offset(after - past.shape[1], past.shape[1])
        return kalman.filtered(past, offset, self.phi, self.sigma, start)[1]

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        x, (past, after) = batch.x.double(), self.past(batch.cond, len(batch))
        offset = self.offset(after, x.shape[1])
        if bool(x.isnan().any() | past.isnan().any()):
            density, _ = kalman.filtered(x, offset, self.phi, self.sigma, self.belief(past, after))
        else:
            density = log_density(x - predicted(torch.cat([past, x], 1), offset, self.phi), root(self.sigma))
        return {"nll": -density.sum(1)}

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        past, after = self.past(cond, n)
        steps, columns = self.spec.shape
        noise = torch.randn((n, steps, columns), dtype=torch.float64, device=self.device) @ root(self.sigma).mT
        if bool(past.isnan().any()):
            mean, covariance = self.belief(past, after)
            value, vector = torch.linalg.eigh(covariance)
            spread = vector * value.clamp_min(0).sqrt()[:, None]
            drawn = torch.einsum("bij,bj->bi", spread, torch.randn_like(mean))
            past = (mean + draw.temperature * drawn).view(n, -1, columns).flip(1)
        return continued(past, self.offset(after, steps), self.phi, draw.temperature * noise)

    @torch.no_grad()
    def forecast(self, cond: Tensor, horizon: int, quantiles: tuple[float, ...]) -> Tensor:
        """(B, P, D) -> (B, Q, horizon, D) float64: quantiles of the exact Gaussian predictive distribution."""
        past, after = self.past(cond, len(cond))
        offset = self.offset(after, horizon)
        if bool(past.isnan().any()):
            mean, deviation = kalman.ahead(self.belief(past, after), offset, self.phi, self.sigma)
        else:
            mean = continued(past, offset, self.phi)
            deviation = covariances(self.phi, self.sigma, horizon).diagonal(dim1=1, dim2=2).sqrt()[None]
        levels = torch.tensor(quantiles, dtype=torch.float64, device=self.device).view(-1, 1, 1)
        return torch.add(mean[:, None], torch.special.ndtri(levels) * deviation[:, None])
