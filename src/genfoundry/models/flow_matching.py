"""Flow matching on straight paths (Lipman et al. 2023, arXiv:2210.02747; rectified flow, Liu et al. 2023).

x_t = (1 - t) x0 + t x1 leads from noise x0 ~ N(0, I) to a dequantised item x1; the network learns the mean velocity
E[x1 - x0 | x_t] by squared error (Lipman's eq. 23 with no least width), and samples solve dx/dt = v(x, t) from 0 to 1.
v is the linear velocity of a Gaussian fitted to the items of the class (`nn.flows.gaussian_flow`), which is integrated
exactly, plus what a U-Net adds. With a share of the labels dropped the same network is conditional and unconditional,
and guidance extrapolates from one to the other (Ho and Salimans 2022, arXiv:2207.12598, eq. 6).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.models.families.optimal_pairing import pair_optimally
from genfoundry.nn.conv.corruption import HIGH, LEVELS, LOW, paste_known
from genfoundry.nn.conv.dequantisation import centre_levels, dequantise, quantise
from genfoundry.nn.flows import density
from genfoundry.nn.flows.gaussian_flow import GaussianFlow, normal_log_density
from genfoundry.nn.flows.inpainting import draw_missing, estimate_missing
from genfoundry.nn.flows.ode import PASSES, Solver, integrate, time_grid
from genfoundry.nn.flows.unet import UNet
from genfoundry.nn.latent.spherical import slerp
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

FIT_ITEMS = 20_000  # training items that the Gaussian is fitted to


class FlowMatching(GenerativeModel):
    """x_t (B, C, H, W), t (B,), class -> velocity (B, C, H, W)."""

    class Config(Hyper):
        """`width`, `blocks`, `attention`: of the U-Net; `components`: principal components of the Gaussian.

        `pairing` of noise and items in training; `times`: their distribution; `drop`: share of labels that are dropped;
        `guidance`: 1 for none. `solver` and `steps`: of samples, whose last step leads to the mean of the items that
        the point before may become if `denoise`, as a step of Euler's does, which leaves no grain. `density_steps`,
        `trace`, `probes`: of the likelihood; `repair_steps`: of images with missing pixels.
        """

        damages: ClassVar[tuple[str, ...]] = ("gaussian", "mask")

        width: int = Field(8, ge=4, multiple_of=2)
        blocks: int = Field(1, ge=1)
        attention: bool = True
        components: int = Field(16, ge=0)
        classes: bool = True
        drop: float = Field(0.1, ge=0, le=1)
        guidance: float = Field(1.0, ge=0)
        pairing: Literal["independent", "optimal"] = "independent"
        times: Literal["uniform", "logit_normal"] = "uniform"
        solver: Solver = "heun"
        steps: int = Field(4, ge=1)
        denoise: bool = True
        density_steps: int = Field(4, ge=1)
        trace: Literal["hutchinson", "exact"] = "hutchinson"
        probes: int = Field(2, ge=1)
        repair_steps: int = Field(16, ge=1)

    likelihood: ClassVar[Likelihood] = "estimate"
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 32, "lr": {"model": 3e-3}, "betas": [0.9, 0.99], "ema": 0.99}
    damages = Config.damages
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"width": 32, "components": 128, "steps": 8, "density_steps": 8}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 1e-3, "high": 6e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        classes = spec.classes + 1 if self.conditional else 0  # + 1: unlabelled
        inputs = 2 * spec.shape[0]  # x_t, and the item that the Gaussian expects of it
        self.network = UNet(spec, inputs, config.width, config.blocks, classes=classes, attention=config.attention)
        self.gaussian = GaussianFlow(spec.dims, config.components, max(classes - 1, 0))
        self.register_buffer("shares", torch.tensor(spec.class_shares), persistent=False)
        self.shares: Tensor

    @property
    def uses_guidance(self) -> bool:
        """Whether a sample takes two evaluations of the network at a point, with its class and without."""
        return self.conditional and self.config.guidance != 1

    @property
    def passes(self) -> int | None:
        c, evaluations = self.config, PASSES[self.config.solver]  # of a step
        return (evaluations * c.steps + (1 - evaluations) * c.denoise) * (1 + self.uses_guidance)

    def begin(self, phase: str, data: Split) -> None:
        """Fit the Gaussians to training items."""
        index = torch.randperm(data.positions)[:FIT_ITEMS].to(self.device)  # items may be sorted by class
        batch = data.train_batch(index)
        self.gaussian.fit(dequantise(batch.x, self.spec.levels).flatten(1), batch.label if self.conditional else None)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        x1, label = dequantise(batch.x, self.spec.levels), self.class_index(batch.label, len(batch))
        x0 = torch.randn(x1.shape, device=x1.device).contiguous(memory_format=torch.channels_last)  # randn_like is slow
        if self.config.pairing == "optimal":
            x0 = pair_optimally(x0, x1, label)
        t = self._draw_times(len(x1))  # (B,)
        x = torch.lerp(x0, x1, t.view(-1, 1, 1, 1))
        if label is not None:
            label = torch.where(torch.rand_like(t) < self.config.drop, self.spec.classes, label)
        linear, rest = self._velocities(x, t, label)
        yield {"model": F.mse_loss(rest, x1 - x0 - linear)}

    def _draw_times(self, n: int) -> Tensor:
        """(n,) in (0, 1), one in each n-th part of the distribution: the loss varies less (Kingma et al. 2021)."""
        share = (torch.rand((), device=self.device) + torch.arange(n, device=self.device) / n) % 1  # (n,)
        share = share[torch.randperm(n, device=self.device)]
        if self.config.times == "uniform":
            return share
        normal: Tensor = torch.special.ndtri(share.clamp(1e-4, 1 - 1e-4))
        return normal.sigmoid()  # Esser et al. 2024, arXiv:2403.03206

    def _velocities(self, x: Tensor, t: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """The Gaussian's velocity at x (B, C, H, W) and times (B,), and what the network adds, in float32."""
        flat, column = x.flatten(1), t[:, None]
        linear = self.gaussian.velocity(flat, column, label)  # (B, D)
        expected = flat + (1 - column) * linear  # of x1
        inputs = torch.cat([x, expected.view(x.shape)], 1).contiguous(memory_format=torch.channels_last)
        return linear.view(x.shape), self.network(inputs, t, label).float()

    def _guided_velocities(
        self, x: Tensor, time: float, label: Tensor | None, guidance: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """The same at one time, with guidance in what is added to the Gaussian's."""
        n, t = len(x), x.new_full((len(x),), time)
        if guidance == 1 or label is None:
            return self._velocities(x, t, label)
        both = torch.cat([label, torch.full_like(label, self.spec.classes)])
        # One pass over both: (2B, C, H, W)
        linear, added = self._velocities(x.repeat(2, 1, 1, 1), t.repeat(2), both)
        given, free = (linear + added).chunk(2)
        return linear[:n], added[:n] + (guidance - 1) * (given - free)

    def predict_item(self, x: Tensor, time: float, label: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """Return E[x1 | x_t] (B, C, H, W) at points x (B, C, H, W) and one time."""
        label = self.class_index(label, len(x))
        linear, added = self._guided_velocities(x, time, label, guidance)
        return x + (1 - time) * (linear + added)

    def _field(self, label: Tensor | None, guidance: float = 1.0) -> density.Velocity:
        """The velocity of u (B, D), the coordinates in which the flow of the label's Gaussian stands still."""

        def velocity(u: Tensor, time: float) -> Tensor:
            x = self.gaussian.locate(u, time, label).view(-1, *self.spec.shape)
            added = self._guided_velocities(x, time, label, guidance)[1]
            return self.gaussian.whiten(added.flatten(1), time, label)

        return velocity

    def _solve(self, u: Tensor, label: Tensor | None, times: Sequence[float], *, guidance: float = 1.0) -> Tensor:
        """Follow u (B, D) from the first of `times` to the last; returns the point there, (B, C, H, W)."""
        field = self._field(label, guidance)
        (u,) = integrate(lambda state, t: (field(state[0], t),), (u,), times, self.config.solver)
        return self.gaussian.locate(u, times[-1], label).view(-1, *self.spec.shape)

    @torch.no_grad()
    def sample_in(self, n: int, steps: int, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw n samples as `sample` does, in so many steps; `temperature` scales the noise that they start from."""
        if self.conditional and label is None:
            label = torch.multinomial(self.shares, n, replacement=True)
        index, guidance, times = self.class_index(label, n), self.config.guidance, time_grid(steps)
        x = self._solve(
            temperature * self.prior(n), index, times[:-1] if self.config.denoise else times, guidance=guidance
        )
        if self.config.denoise:
            x = self.predict_item(x, times[-2], label, guidance)
        return quantise(x, self.spec.levels).contiguous()

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return self.sample_in(n, self.config.steps, label, draw.temperature)

    def prior(self, n: int) -> Tensor:
        """Draw (n, D) noise with the global generator."""
        return torch.randn(n, self.spec.dims, device=self.device)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map noise (B, D) to the images (B, C, H, W) at the ends of its unconditional paths."""
        x = self._solve(z, self.class_index(None, len(z)), time_grid(self.config.steps))
        return quantise(x, self.spec.levels).contiguous()

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """Return the noise (B, D) at the start of the unconditional path to an item, the inverse of `decode`."""
        u = self.gaussian.whiten(centre_levels(batch.x, self.spec.levels).flatten(1) - self.gaussian.mean[-1], 1.0)
        field, times = self._field(self.class_index(None, len(u))), time_grid(self.config.steps, 1.0, 0.0)
        return integrate(lambda state, t: (field(state[0], t),), (u,), times, self.config.solver)[0]

    def interpolate(self, a: Tensor, b: Tensor, share: Tensor) -> Tensor:
        """Return noise (..., D) on the arc from a to b."""
        return slerp(a, b, share)

    @torch.no_grad()
    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Map damaged levels (B, C, H, W) to expected ones, float32.

        Without `known`, Gaussian noise of the level of `Corruption` is removed: with t = 1 / (1 + sigma), t (x1 + sigma
        noise) is a point of x1's path, where one evaluation gives its mean.
        """
        values = centre_levels(x, self.spec.levels)
        if known is not None:
            out = estimate_missing(self.predict_item, values, known, self.config.repair_steps)
            return paste_known(self._to_levels(out), x, known)
        top = 1.0 if self.spec.levels is None else 1 - 1 / self.spec.levels  # levels in [-1, 1) span less
        time = 1 / (1 + LEVELS["gaussian"] * (HIGH - LOW) * top)
        return self._to_levels(self.predict_item(time * values, time))

    @torch.no_grad()
    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """Return (B, C, H, W): x where `known` is true, and elsewhere a draw that fits it, of any class."""
        drawn = draw_missing(self.predict_item, centre_levels(x, self.spec.levels), known, self.config.repair_steps)
        return torch.where(known, x, quantise(drawn, self.spec.levels))

    def _to_levels(self, value: Tensor) -> Tensor:
        return value if self.spec.levels is None else (value + 1) * (self.spec.levels / 2) - 0.5

    @property
    def likelihood_note(self) -> str:
        """How the likelihood is estimated, and what it leaves open."""
        c = self.config
        probes = "exact" if c.trace == "exact" else f"by Hutchinson's estimator with {c.probes} random signs an item"
        noise = "" if self.spec.levels is None else "; levels are dequantised by uniform noise, which makes it a bound"
        error = "" if c.trace == "exact" or c.probes < 2 else "; `probe_error` is the standard error of an item's trace"
        return (
            f"by the probability-flow ODE in {c.density_steps} steps ({c.solver}), whose error is not in the number; "
            f"trace {probes}{error}{noise}"
        )

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Estimate the unconditional -log p of levels, see `likelihood_note`; "probe_error": its standard error.

        -log p(x) <= -E[log p(x1)] - D log(2 / levels) over the noise of dequantisation (Theis et al. 2016, eq. 4).
        """
        c = self.config
        # Gradients are taken by x, whatever mode the caller is in
        with torch.inference_mode(False):
            x = dequantise(batch.x.clone(), self.spec.levels).flatten(1)
            label = self.class_index(None, len(x))
            u = self.gaussian.whiten(x - self.gaussian.mean[-1], 1.0)
            probes = density.draw_probes(u, c.probes) if c.trace == "hutchinson" else density.unit_probes(u)
            times = time_grid(c.density_steps, 1.0, 0.0)
            origin, growth = density.trace_back(self._field(label), u, times, c.solver, probes)
        growth = growth.sum(0, keepdim=True) if c.trace == "exact" else growth  # (probes, B)
        bins = 0.0 if self.spec.levels is None else self.spec.dims * math.log(2 / self.spec.levels)
        nll = growth.mean(0) + self.gaussian.log_volume() - normal_log_density(origin) - bins
        if len(growth) == 1:
            return {"nll": nll}
        return {"nll": nll, "probe_error": growth.std(0) / math.sqrt(len(growth))}
