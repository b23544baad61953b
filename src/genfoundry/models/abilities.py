"""Optional abilities of models: `typing.Protocol`s that evaluation tests with `isinstance`.

A metric applies to every model that has the ability it requires; no metric or stage names a model. Nothing is
registered: a model gains an ability by defining its methods.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel
from torch import Tensor

from genfoundry.types import Batch


@runtime_checkable
class Autoregressive(Protocol):
    """p(x) = prod_i p(x_i | x_<i), exactly, in a fixed order of the values.

    `sample` draws each value with `nn.heads.categorical_sampling.sample_categorical` from its log-probabilities, in
    that order, and draws nothing else. A naive sampler that calls `predict` once a value therefore draws the same
    values from the same seed; tests/models/test_autoregressive.py checks it for every model with these two methods.
    `measure` of a class-conditional model sums over the classes, each weighted by its share in `spec.class_shares`.
    """

    def order(self) -> Tensor:
        """Return (dims,) int64: flat positions in x, in the order in which they are drawn."""

    def predict(self, batch: Batch) -> Tensor:
        """Return (B, *spec.shape, levels) log-probabilities of every level of every value given the values before it.

        They are also given `batch.label` and `batch.cond` if the model is conditional. float32, or float64 if the
        weights are float64.
        """


@runtime_checkable
class Reconstructs(Protocol):
    """x -> its reconstruction."""

    def reconstruct(self, batch: Batch) -> Tensor:
        """Return (B, *spec.shape) in the range of `Batch.x`."""


@runtime_checkable
class Restores(Protocol):
    """Image restoration (denoising, inpainting): damaged x -> an estimate of the clean x.

    `damages` names the kinds of damage that the model undoes (see `get_damages`).
    """

    damages: tuple[str, ...]

    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Map damaged levels (B, C, H, W) float32 to restored ones; `known` (bool) is false where x is missing."""


def get_damages(config: BaseModel) -> tuple[str, ...]:
    """Return the kinds of damage that a model with this `Config` undoes, without building the model.

    It is the damage `noise` that the model learns to undo, or `damages` where it undoes them without having learnt to.
    """
    noise = getattr(config, "noise", "none")
    damages: tuple[str, ...] = getattr(config, "damages", () if noise == "none" else (noise,))
    return damages


@runtime_checkable
class Completes(Protocol):
    """Inpainting by conditional sampling: an observed region -> all of x (see `models.families.ancestral`)."""

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """Return (B, *spec.shape): x where `known` (bool, like x) is true, and a draw given these values elsewhere."""


@runtime_checkable
class Classifies(Protocol):
    """x -> class scores."""

    def classify(self, batch: Batch) -> Tensor:
        """Return (B, classes) logits."""


@runtime_checkable
class Embeds(Protocol):
    """x -> its latent code z."""

    def embed(self, batch: Batch) -> Tensor:
        """Return (B, latent) float32."""


@runtime_checkable
class Infers(Protocol):
    """x -> the posterior q(z | x) over continuous latents whose KL divergence from the prior is part of the bound."""

    def posterior_means(self, batch: Batch) -> Tensor:
        """Return (B, latent) float32: E_q(z | x)[z], without what else `embed` gives (such as class probabilities)."""


@runtime_checkable
class Quantises(Protocol):
    """x -> discrete codes."""

    def codes(self, batch: Batch) -> dict[str, Tensor]:
        """Return level -> (B, cells) int64; the level is "codes" if there is one, else "top" and "bottom"."""


@runtime_checkable
class Decodes(Protocol):
    """z -> x."""

    def prior(self, n: int) -> Tensor:
        """Draw (n, latent) codes from the prior with torch's global generator."""

    def decode(self, z: Tensor) -> Tensor:
        """Map (B, latent) to (B, *spec.shape) in the range of `Batch.x`."""


@runtime_checkable
class Interpolates(Protocol):
    """Codes between two codes, for models whose codes of items do not lie along straight lines."""

    def interpolate(self, a: Tensor, b: Tensor, share: Tensor) -> Tensor:
        """Return codes (..., latent) at shares (..., 1) of the way from a to b (..., latent)."""


@runtime_checkable
class Integrates(Protocol):
    """Samples by the numerical solution of a differential equation, in any number of steps."""

    def sample_in(self, n: int, steps: int, label: Tensor | None = None) -> Tensor:
        """Draw n samples (n, *spec.shape) as `sample` does, from the same noise for every number of steps."""


@runtime_checkable
class Edits(Protocol):
    """Latent edits of x, for models whose `decode(embed(x) + shift)` would lose what else they encode."""

    def edit(self, batch: Batch, shift: Tensor) -> Tensor:
        """Return (B, *spec.shape): the items with their codes (as `embed` gives them) moved by `shift` (B, latent)."""


@runtime_checkable
class Tightens(Protocol):
    """Importance-weighted bound on -log p(x), tighter with more draws (Burda et al. 2016, arXiv:1509.00519)."""

    def bound(self, batch: Batch, k: int) -> Tensor:
        """Return (B,) nats: the bound with k draws, whose noise comes from the global generator."""


@runtime_checkable
class Streams(Protocol):
    """Stateful likelihood: -log p of a piece of text given all pieces before it, by a state that is passed along."""

    def stream(self, batch: Batch, state: Any) -> tuple[Tensor, Any]:
        """Return (B,) nats of the pieces (B, L) given what `state` (None: nothing) has read, and the new state.

        Rows marked in `batch.fresh` start from the initial state.
        """


@runtime_checkable
class Translates(Protocol):
    """Source sequence -> target sequence."""

    def translate(self, cond: Tensor, cond_mask: Tensor | None = None) -> Tensor:
        """Map (B, *cond_shape) to (B, *spec.shape), deterministically; `cond_mask` is true at the source's symbols."""


@runtime_checkable
class Forecasts(Protocol):
    """Past values -> quantiles of the predictive distribution."""

    def forecast(self, cond: Tensor, horizon: int, quantiles: tuple[float, ...]) -> Tensor:
        """Map (B, P, D) to (B, len(quantiles), horizon, D); quantile 0.5 is the point forecast."""
