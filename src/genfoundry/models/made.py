"""Masked autoencoder for distribution estimation (MADE; Germain et al. 2015, arXiv:1502.03509).

p(x) = prod_i p(x_o(i) | x_o(<i)) for an ordering o of the values. A hidden unit of degree g sees the first g values,
and a value sees the units whose degree is at most the number of values before it (their eq. 8 and 9). With several
orderings the model is the mixture p(x) = mean_o p_o(x), with the same weights under other masks. Direct connections
(section 4) give a value all values before it linearly; they move the logit, or the means of the logistic mixture.
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
from genfoundry.models.base import Hyper
from genfoundry.models.families.ancestral import AncestralModel
from genfoundry.nn.autoregressive.ancestral import Canvas, raster_order
from genfoundry.nn.heads.simple import head_for
from genfoundry.nn.timeseries.var import fit_triangular
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

MAX_VALUES = 4096  # values of an image for which `genfoundry init` proposes an experiment
FIT_ITEMS = 20_000  # training items that the direct connections are initialised from
ITEMS_PER_VALUE = 4  # items a value from which it pays to initialise with their correlations
RIDGE = 1e-3  # added to the variances of values in [-1, 1]


class Made(AncestralModel):
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
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        if spec.dims > MAX_VALUES:
            raise UserError(
                f"expected at most {MAX_VALUES:,} values an image (its weights grow with the square), got {spec.dims:,}"
            )
        hyper = {"hidden": 500 if items >= 2000 else 200, "mixtures": 5}
        if items < ITEMS_PER_VALUE * spec.dims:  # it overfits few items, the sooner the larger the steps
            search = {"train.lr.model": {"low": 1e-4, "high": 8e-4, "log": True}}
            return {"hyper": hyper, "train": {"lr": {"model": 4e-4}}, "search": search}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 3e-4, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        dims, hidden = spec.dims, config.hidden
        self.head = head_for(Spec((1, dims), spec.levels), config.mixtures)
        generators = [torch.Generator().manual_seed(derive_seed("made", dims, m)) for m in range(1, config.orderings)]
        orderings = [raster_order(spec), *(torch.randperm(dims, generator=generator) for generator in generators)]
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
        self._mask_cache: tuple[Any, list[Tensor]] = (None, [])

    @property
    def ordered(self) -> bool:
        return self.config.orderings == 1

    def order(self) -> Tensor:
        """Return (dims,): the ordering, if there is only one.

        Raises:
            UserError: p(x) is a mixture over orderings. The likelihood of a part of x then sums over all that the rest
                could be, in every ordering that does not draw the part first.
        """
        if not self.ordered:
            count = self.config.orderings
            raise UserError(f"made: expected hyper.orderings: 1, as a mixture has no conditionals, got {count}")
        return self.orderings[0]

    @property
    def centres(self) -> slice:
        """The head's parameters that direct connections move: the logit, or the means."""
        return slice(0, 1) if self.spec.levels == 2 else slice(self.config.mixtures, 2 * self.config.mixtures)

    def begin(self, phase: str, data: Split) -> None:
        """Initialise a model of one ordering at the best linear predictor; its errors give the scales.

        With few items, correlations are left out: they would be overfitted.
        """
        if self.spec.levels == 2 or self.config.orderings > 1 or not self.config.direct:
            return
        index = torch.randperm(data.positions)[:FIT_ITEMS].to(self.device)  # items may be sorted by class
        x = self.scale_levels(data.train_batch(index).x.flatten(1))[:, self.orderings[0]]  # (N, dims), in order
        x = x.cpu()  # the fit is float64, which not every device has
        shrinkage = 1.0 if data.positions < ITEMS_PER_VALUE * self.spec.dims else ledoit_wolf(x, ridge=RIDGE)
        fit = fit_triangular(x, ridge=RIDGE, shrinkage=shrinkage)
        const, weight, sigma = (part.float().to(self.device) for part in fit)
        spread = torch.linspace(-1, 1, self.config.mixtures, device=self.device)[:, None]  # (mixtures, 1)
        rank = self.orderings[0].argsort()
        with torch.no_grad():
            self.direct.copy_(weight[rank][:, rank])  # from the order of drawing to positions
            self.bias[self.centres] = (const + spread * sigma)[:, rank]  # (mixtures, dims)
            # A logistic of scale s has the standard deviation s pi / sqrt(3)
            self.bias[self.centres.stop :] = (sigma * math.sqrt(3) / math.pi / 2).log()[rank]  # (dims,)

    def scale_levels(self, x: Tensor) -> Tensor:
        """Map levels to [-1, 1], in the type of the weights."""
        assert self.spec.levels is not None
        return x.to(self.bias.dtype) * (2.0 / (self.spec.levels - 1)) - 1.0

    def forward(self, x: Tensor, ordering: int) -> Tensor:
        """Map levels (B, dims) to (B, head.parameters, dims), at the values' own positions."""
        masks = self._masks(ordering)
        state = values = self.scale_levels(x)
        # Not strict: two more masks follow, of the output and of the direct connections
        for layer, mask in zip(self.hidden, masks, strict=False):
            state = F.relu(F.linear(state, layer.weight.to(mask.dtype) * mask, layer.bias))  # (B, hidden)
        weight = self.out.to(masks[-2].dtype) * masks[-2]  # (head.parameters, dims, hidden)
        out = F.linear(state, weight.flatten(0, 1)).view(len(x), *self.bias.shape) + self.bias
        if not self.config.direct:
            return out
        shift = F.linear(values, self.direct.to(masks[-1].dtype) * masks[-1]).unsqueeze(1)  # (B, 1, dims)
        first, last = self.centres.start, self.centres.stop
        return torch.cat([out[:, :first], out[:, first:last] + shift, out[:, last:]], 1)

    def _masks(self, ordering: int) -> list[Tensor]:
        """Masks of the hidden layers, the output and the direct connections; 1 where a weight is used, else 0.

        They have the dtype of the product, so that masking costs one pass over the weights. Those of the last ordering
        are cached: making them takes as long as a layer.
        """
        kind = self.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.bias.dtype
        key = (ordering, dtype, self.device)
        if self._mask_cache[0] != key:
            with torch.inference_mode(False):  # or a training after an evaluation could not use them
                rank, degrees = self.orderings[ordering].argsort(), self.degrees
                between = degrees <= degrees[:, None]
                masks = [rank < degrees[:, None], *[between] * (self.config.layers - 1)]  # eq. 8
                masks += [degrees <= rank[:, None], rank < rank[:, None]]  # eq. 9, and the direct connections
                self._mask_cache = (key, [mask.to(dtype) for mask in masks])
        return self._mask_cache[1]

    def ordering_nll(self, x: Tensor, ordering: int) -> Tensor:
        """Return (B,) nats of levels (B, dims) under one ordering."""
        return self.head.nll(self(x, ordering), x.unsqueeze(1))

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        x = batch.x.flatten(1)  # (B, dims)
        nll = torch.stack([self.ordering_nll(x, m) for m in range(len(self.orderings))])  # (orderings, B)
        return {"nll": math.log(len(nll)) - (-nll).logsumexp(0)}  # of a mean over orderings

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        """Train one ordering a step, cyclically: the mean over orderings is a bound on the mixture's -log p(x)."""
        nll = self.ordering_nll(batch.x.flatten(1), clock.step % len(self.orderings))
        yield {"model": nll.mean() / self.spec.dims}

    def predict(self, batch: Batch) -> Tensor:
        self.order()  # raises for a mixture
        x = batch.x.flatten(1)  # (B, dims)
        return self.head.log_probs(self(x, 0), x.unsqueeze(1)).view(*batch.x.shape, -1)

    def nll_per_value(self, batch: Batch) -> Tensor:
        """Return (B, C, H, W): -log p of each value given those before it."""
        self.order()  # raises for a mixture
        x = batch.x.flatten(1)
        return self.head.nll_per_value(self(x, 0), x.unsqueeze(1)).view(batch.x.shape)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """Draw n samples; if there are several orderings, each item's is drawn first."""
        count, x = len(self.orderings), Canvas(n, self.spec, self.device).x
        choice = torch.randint(count, (n,), device=self.device) if count > 1 else x.new_zeros(n)
        for ordering in torch.unique(choice).tolist():
            canvas = Canvas(int((choice == ordering).sum()), self.spec, self.device, draw)
            self._fill(canvas, ordering)
            x[choice == ordering] = canvas.x
        return x

    def fill(self, canvas: Canvas, label: Tensor | None = None, prompt: Tensor | None = None) -> None:
        self._fill(canvas, 0)

    def _fill(self, canvas: Canvas, ordering: int) -> None:
        """Draw every value. A hidden unit is computed once, when the last value that it sees has been drawn."""
        n, order = len(canvas.x), self.orderings[ordering]
        values = self.bias.new_zeros(n, self.spec.dims)  # in the order of drawing
        states = [self.bias.new_zeros(n, self.config.hidden) for _ in self.hidden]
        weights = [layer.weight for layer in self.hidden]
        weights[0] = weights[0][:, order]
        # A unit of degree i can be computed after i values: `ends[i]` units have a degree of i at most
        ends = torch.searchsorted(self.degrees, torch.arange(self.spec.dims, device=self.device), right=True).tolist()
        for i, position in enumerate(order.tolist()):
            new, before = slice(ends[i - 1] if i else 0, ends[i]), values[:, :i]  # hidden units of degree i
            if new.start < new.stop:
                for state, weight, layer in zip(states, weights, self.hidden, strict=True):
                    # (n, units of degree i)
                    part = torch.addmm(layer.bias[new], before, weight[new, : before.shape[1]].T)
                    state[:, new] = part.relu_()
                    before = state[:, : new.stop]
            out = torch.addmm(self.bias[:, position], states[-1][:, : new.stop], self.out[:, position, : new.stop].T)
            if self.config.direct:
                out[:, self.centres] += (values[:, :i] @ self.direct[position, order[:i]])[:, None]
            value = self.head.sample_channel(out.unsqueeze(-1), canvas.x, 0, canvas.draw)[:, 0]
            values[:, i] = self.scale_levels(canvas.put(position, value))  # scaled, (n,)


def ledoit_wolf(x: Tensor, *, ridge: float) -> float:
    """Return the shrinkage intensity, 0 to 1, of the correlations of rows (N, D).

    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", of the standardised
    columns, to whose variances `ridge` is added.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    centred = x.double() - x.double().mean(0)
    standard = centred / (centred.square().mean(0) + ridge).sqrt()  # the variance of a constant value is 0
    return float(ledoit_wolf_shrinkage(standard.numpy(), assume_centered=True))
