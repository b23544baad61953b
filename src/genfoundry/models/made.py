"""Masked autoencoder for distribution estimation (Germain et al. 2015, arXiv:1502.03509).

p(x) = prod_i p(x_o(i) | x_o(<i)) for an ordering o of the values. A hidden unit of degree g sees the first g values,
and a value sees the units whose degree is at most the number of values before it. Of several orderings the model is the
mixture p(x) = mean_o p_o(x), with the same weights under other masks. Direct connections (their section 4) tell a
value of all values before it linearly; they move the logit, or the means of the logistic mixture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.errors import UserError
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.autoregressive.ancestral import Canvas, completed, raster_order
from genfoundry.nn.heads.simple import head_for
from genfoundry.nn.timeseries.var import triangular_least_squares
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

MOST = 4096  # values of an image for which `make init` writes an entry
FITTED = 20_000  # training items that the direct connections start from
ENOUGH = 4  # items a value from which it pays to start at their correlations
RIDGE = 1e-3  # of the variances of values in -1..1


class Made(GenerativeModel):
    """x (B, C, H, W) -> the parameters of each value's distribution, (B, head.parameters, dims)."""

    class Config(Hyper):
        """`hidden` units in each of `layers`. Of `orderings` the first is the raster's, the others are drawn.

        Without `direct` connections there have to be dims - 1 hidden units, or some values do not see all before them.
        """

        hidden: int = Field(24, ge=1)
        layers: int = Field(1, ge=1)
        orderings: int = Field(1, ge=1)
        mixtures: int = Field(3, ge=1)
        direct: bool = True

    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "lr": {"model": 2e-3}, "betas": [0.9, 0.99]}
    config: Config
    orderings: Tensor
    degrees: Tensor

    @classmethod
    def why_unsupported(cls, levels: int | None) -> str:
        return "" if levels else "its values have levels; a task's `levels` is right"

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        if spec.dims > MOST:
            raise UserError(f"{spec.dims:,} values an image: its weights grow with their square; {MOST:,} are the most")
        hyper = {"hidden": 500 if items >= 2000 else 200, "mixtures": 5}
        if items < ENOUGH * spec.dims:  # of few items all is learnt by heart, the sooner the larger the steps
            search = {"train.lr.model": {"low": 1e-4, "high": 8e-4, "log": True}}
            return {"hyper": hyper, "train": {"lr": {"model": 4e-4}}, "search": search}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 3e-4, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        dims, hidden = spec.dims, config.hidden
        self.head = head_for(Spec((1, dims), spec.levels), config.mixtures)
        draws = [torch.Generator().manual_seed(derive_seed("made", dims, m)) for m in range(1, config.orderings)]
        orderings = [raster_order(spec), *(torch.randperm(dims, generator=draw) for draw in draws)]
        self.register_buffer("orderings", torch.stack(orderings))
        degrees = 1 + torch.arange(hidden) * max(dims - 1, 1) // hidden  # ascending: a sampler reads slices
        self.register_buffer("degrees", degrees, persistent=False)
        sizes = [dims, *[hidden] * config.layers]
        self.hidden: list[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]
            nn.Linear(*pair) for pair in itertools.pairwise(sizes)
        )
        self.out = nn.Parameter(torch.zeros(self.head.parameters, dims, hidden))
        self.bias = nn.Parameter(torch.zeros(self.head.parameters, dims))
        if config.direct:
            self.direct = nn.Parameter(torch.zeros(dims, dims))
        self._kept: tuple[Any, list[Tensor]] = (None, [])

    @property
    def ordered(self) -> bool:
        return self.config.orderings == 1

    def only(self) -> Tensor:
        """(dims,): the order, if there is one alone.

        Raises:
            UserError: p(x) is a mixture over orders. What a part of x costs is then a sum over all that the rest could
                be, in every order that does not draw the part first.
        """
        if not self.ordered:
            count = self.config.orderings
            raise UserError(f"made: hyper.orderings: {count} is a mixture, which has no conditionals; 1 has them")
        return self.orderings[0]

    @property
    def centres(self) -> slice:
        """The head's parameters that direct connections move."""
        return slice(0, 1) if self.spec.levels == 2 else slice(self.config.mixtures, 2 * self.config.mixtures)

    def begin(self, phase: str, data: Split) -> None:
        """Start at the best linear predictor, if there is one ordering alone; its errors give the scales.

        Of few items at values on their own: whatever else these say is learnt, and learnt by heart, soon enough.
        """
        if self.spec.levels == 2 or self.config.orderings > 1 or not self.config.direct:
            return
        some = torch.randperm(data.positions)[:FITTED].to(self.device)  # items may lie class by class
        x = self.scaled(data.train_batch(some).x.flatten(1))[:, self.orderings[0]]
        x = x.cpu()  # float64, which not every device has
        share = 1.0 if data.positions < ENOUGH * self.spec.dims else shrinkage(x, ridge=RIDGE)
        fitted = triangular_least_squares(x, ridge=RIDGE, shrinkage=share)
        const, weight, sigma = (part.float().to(self.device) for part in fitted)
        spread = torch.linspace(-1, 1, self.config.mixtures, device=self.device)[:, None]
        place = self.orderings[0].argsort()
        with torch.no_grad():
            self.direct.copy_(weight[place][:, place])
            self.bias[self.centres] = (const + spread * sigma)[:, place]
            self.bias[self.centres.stop :] = (sigma * math.sqrt(3) / math.pi / 2).log()[place]

    def scaled(self, x: Tensor) -> Tensor:
        """Levels -> -1..1, in the weights' type."""
        assert self.spec.levels is not None
        return x.to(self.bias.dtype) * (2.0 / (self.spec.levels - 1)) - 1.0

    def parameters_of(self, x: Tensor, ordering: int) -> Tensor:
        """(B, dims) levels -> (B, head.parameters, dims), at the values' own positions."""
        masks = self.masks(ordering)
        state = values = self.scaled(x)
        for layer, mask in zip(self.hidden, masks, strict=False):
            state = F.relu(F.linear(state, layer.weight.to(mask.dtype) * mask, layer.bias))
        weight = self.out.to(masks[-2].dtype) * masks[-2]
        out = F.linear(state, weight.flatten(0, 1)).view(len(x), *self.bias.shape) + self.bias
        if not self.config.direct:
            return out
        moved = F.linear(values, self.direct.to(masks[-1].dtype) * masks[-1]).unsqueeze(1)
        first, last = self.centres.start, self.centres.stop
        return torch.cat([out[:, :first], out[:, first:last] + moved, out[:, last:]], 1)

    def masks(self, ordering: int) -> list[Tensor]:
        """Of the hidden layers, the output and the direct connections; 1 where a weight is used, else 0.

        They are in the type of the product, so that it costs one pass over the weights, and those of the last ordering
        are kept: as much time goes into making them as into a layer.
        """
        kind = self.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.bias.dtype
        key = (ordering, dtype, self.device)
        if self._kept[0] != key:
            with torch.inference_mode(False):  # or a training after an evaluation could not use them
                rank, degrees = self.orderings[ordering].argsort(), self.degrees
                within = degrees <= degrees[:, None]
                found = [rank < degrees[:, None], *[within] * (self.config.layers - 1)]
                found += [degrees <= rank[:, None], rank < rank[:, None]]
                self._kept = (key, [mask.to(dtype) for mask in found])
        return self._kept[1]

    def nll(self, x: Tensor, ordering: int) -> Tensor:
        """(B, dims) levels -> (B,) nats under one ordering."""
        return self.head.nll(self.parameters_of(x, ordering), x.unsqueeze(1))

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        x = batch.x.flatten(1)
        each = torch.stack([self.nll(x, m) for m in range(len(self.orderings))])
        return {"nll": math.log(len(each)) - (-each).logsumexp(0)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        """One ordering a step, in turn: the mean over them is above -log of the mixture's probability."""
        nll = self.nll(batch.x.flatten(1), clock.step % len(self.orderings))
        yield {"model": nll.mean() / self.spec.dims}

    def order(self) -> Tensor:
        return self.only()

    def predict(self, batch: Batch) -> Tensor:
        self.only()
        x = batch.x.flatten(1)
        return self.head.log_probabilities(self.parameters_of(x, 0), x.unsqueeze(1)).view(*batch.x.shape, -1)

    def nll_per_value(self, batch: Batch) -> Tensor:
        """(B, C, H, W): -log p of each value given those before it."""
        self.only()
        x = batch.x.flatten(1)
        return self.head.nll_per_value(self.parameters_of(x, 0), x.unsqueeze(1)).view(batch.x.shape)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """Each item's ordering is drawn first, if there are several."""
        count, x = len(self.orderings), Canvas(n, self.spec, self.device).x
        which = torch.randint(count, (n,), device=self.device) if count > 1 else x.new_zeros(n)
        for ordering in torch.unique(which).tolist():
            canvas = Canvas(int((which == ordering).sum()), self.spec, self.device, draw)
            self.fill(canvas, ordering=ordering)
            x[which == ordering] = canvas.x
        return x

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        return completed(self, x, known)

    def fill(self, canvas: Canvas, label: Tensor | None = None, ordering: int = 0) -> None:
        """Put every value on the canvas. A unit is computed once, when the last value that it sees has been drawn."""
        n, order = len(canvas.x), self.orderings[ordering]
        drawn = self.bias.new_zeros(n, self.spec.dims)  # in the order of drawing
        states = [self.bias.new_zeros(n, self.config.hidden) for _ in self.hidden]
        weights = [layer.weight for layer in self.hidden]
        weights[0] = weights[0][:, order]
        ends = torch.searchsorted(self.degrees, torch.arange(self.spec.dims, device=self.device), right=True).tolist()
        for i, position in enumerate(order.tolist()):
            new, before = slice(ends[i - 1] if i else 0, ends[i]), drawn[:, :i]
            if new.start < new.stop:
                for state, weight, layer in zip(states, weights, self.hidden, strict=True):
                    part = torch.addmm(layer.bias[new], before, weight[new, : before.shape[1]].T)
                    state[:, new] = part.relu_()
                    before = state[:, : new.stop]
            out = torch.addmm(self.bias[:, position], states[-1][:, : new.stop], self.out[:, position, : new.stop].T)
            if self.config.direct:
                out[:, self.centres] += (drawn[:, :i] @ self.direct[position, order[:i]])[:, None]
            value = canvas.put(position, self.head.pick(out.unsqueeze(-1), canvas.x, 0, canvas.draw)[:, 0])
            drawn[:, i] = self.scaled(value)


def shrinkage(x: Tensor, *, ridge: float) -> float:
    """How much of the correlations of (N, D) rows to give up, 0 to 1, of which `ridge` is added to each variance.

    Ledoit and Wolf's intensity ("A well-conditioned estimator for large-dimensional covariance matrices", 2004) of the
    standardised columns.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    centred = x.double() - x.double().mean(0)
    standard = centred / (centred.square().mean(0) + ridge).sqrt()
    return float(ledoit_wolf_shrinkage(standard.numpy(), assume_centered=True))
