"""What every model is: a Learner (a game of players), mostly a GenerativeModel, with optional abilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from genfoundry.errors import UserError
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

Likelihood = Literal["exact", "bound", "none"]


class Hyper(BaseModel):
    """Base of every model's `Config`: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Learner(nn.Module):
    """A network that `train.fit` can train.

    Every learner is a game; most have one player. `defaults` are the model's own defaults for `config.Train`; its `lr`
    names every player. All that a phase fits must live in parameters or buffers, so that a checkpoint holds it. What is
    only carried from step to step lives in buffers that are not persistent: a killed training gets them back, in any
    shape; the moving average and the finished model leave them out.
    """

    Config: ClassVar[type[Hyper]] = Hyper
    phases: ClassVar[tuple[str, ...]] = ("fit",)
    modalities: ClassVar[tuple[str, ...]] = ("images",)
    defaults: ClassVar[Mapping[str, Any]] = {"lr": {"model": 1e-3}}

    @classmethod
    def sized(cls, spec: Spec, items: int) -> dict[str, Any]:
        """`data`, `hyper`, `train`, `search` of an experiment on so many training items: what `make init` writes.

        The defaults of `Config` are tiny; a model says here how it scales with data.
        """
        return {}

    @classmethod
    def refuses(cls, levels: int | None) -> str:
        """Why so many levels (None: real values) are not for this model, and what is right; "" if they are."""
        return ""

    def __init__(self, spec: Spec, config: Hyper) -> None:
        super().__init__()
        if why := self.refuses(spec.levels):
            raise UserError(f"{type(self).__name__}: {why}")
        self.spec = spec
        self.config = config
        self.card: dict[str, Any] = {}  # model.json's content, once loaded
        self._turns: dict[tuple[str, ...], list[tuple[nn.Module, bool]]] = {}

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Name -> parameters: one optimizer each, no parameter shared, together all that gradient descent moves."""
        return {"model": list(self.parameters())}

    def turn(self, *names: str) -> None:
        """Put the modules of the named players in training mode and all others in evaluation mode.

        A game calls it before it computes the losses of one yield: else the BatchNorm statistics and spectral-norm
        vectors of players that do not move would. A module without parameters follows its parent.
        """
        if names not in self._turns:
            moving = {id(p) for name in names for p in self.players()[name]}
            self._turns[names] = list(_modes(self, moving, True))
        for module, mode in self._turns[names]:
            module.training = mode

    def check_rows(self, rows: int) -> None:
        """Refuse so few rows of a series that this model cannot be fitted to them.

        Raises:
            UserError: names the setting to lower.
        """

    def begin(self, phase: str, data: Split) -> None:
        """Before the phase's first step, with the whole training split at hand: closed-form fits, initialisations."""

    def end(self, phase: str, data: Split) -> None:
        """After the phase's last step (weights are the moving average's by then)."""

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        """The training objective: each yielded dict names the players to move and their scalar losses.

        All losses of one dict are differentiated before any of its players moves; when the generator resumes, they
        have moved.
        """
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        for tensor in (*self.parameters(), *self.buffers()):
            return tensor.device
        return torch.device("cpu")


def _modes(module: nn.Module, moving: set[int], inherited: bool) -> Iterator[tuple[nn.Module, bool]]:
    own = [id(p) for p in module.parameters()]
    mode = any(i in moving for i in own) if own else inherited
    yield module, mode
    for child in module.children():
        yield from _modes(child, moving, mode)


class GenerativeModel(Learner):
    """A learner that models p(x): it draws samples and measures -log p(x), a bound or (likelihood "none") nothing."""

    likelihood: ClassVar[Likelihood] = "exact"

    @property
    def conditional(self) -> bool:
        """Whether `sample` follows `label`: what class-conditional figures ask for."""
        return False

    @property
    def ordered(self) -> bool:
        """Whether p(x) is a product in one order: of a mixture over orders no part has a likelihood or a completion."""
        return True

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        yield {"model": self.measure(batch)["nll"].mean()}

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Name -> (B,) nats a sample; "nll" is the reported quantity, -log p(x) or its bound; {} without likelihood."""
        return {}

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """n samples, (n, *spec.shape), in the range of `Batch.x`; labels default to the class frequencies.

        `cond` (n, *cond_shape) is what the spec's condition is: a source, the past of a series. For text without a
        condition in its spec, (n, P) is a prompt that the samples continue.
        """
        raise NotImplementedError

    def panels(self, batch: Batch) -> dict[str, Tensor]:
        """Name -> data-space tensor (n, *spec.shape), or a sheet (rows, columns, *spec.shape): for a person's eyes."""
        return {"samples": self.sample(len(batch), batch.cond)}


@runtime_checkable
class Autoregressive(Protocol):
    """p(x) = prod_i p(x_i | the values before x_i), exactly.

    `sample` draws each value with `nn.draw.pick` from its log-probabilities, in that order, and nothing else: so a
    naive sampler, one `predict` a value, draws the same under the same seed. tests/models/test_autoregressive.py holds
    whatever has these two methods. A conditional model's `measure` sums over the labels, each weighted by its share in
    `spec.class_shares`.
    """

    def order(self) -> Tensor:
        """(dims,) int64: the flat positions in x, in the order in which they are drawn."""

    def predict(self, batch: Batch) -> Tensor:
        """(B, *spec.shape, levels) log-probabilities of every level of every value given the values before it.

        Given batch.label and batch.cond, if the model is conditional. float32; float64 of a model in float64.
        """


@runtime_checkable
class Reconstructs(Protocol):
    """x -> its reconstruction."""

    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, *spec.shape) in the range of `Batch.x`."""


@runtime_checkable
class Restores(Protocol):
    """Damaged x -> its restoration. `Config.noise` says which damage a model learns to undo, "none" for none."""

    damages: tuple[str, ...]  # of `objectives.DAMAGES`: those that it is made for; `undone` of its configuration

    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32 damaged levels -> (B, C, H, W) restored; `known` (bool) tells where x is not missing."""


def undone(config: Hyper) -> tuple[str, ...]:
    """The damages that a model so configured learns to undo: known before there is a model."""
    noise = getattr(config, "noise", "none")
    return () if noise == "none" else (noise,)


@runtime_checkable
class Completes(Protocol):
    """A known region -> the whole. An autoregressive model of images does it by `nn.ancestral.completed`."""

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """(B, *spec.shape) in the range of `Batch.x`, drawn given the values of x where `known` (bool) is true."""


@runtime_checkable
class Classifies(Protocol):
    """x -> class scores."""

    def classify(self, batch: Batch) -> Tensor:
        """(B, classes) logits."""


@runtime_checkable
class Embeds(Protocol):
    """x -> z."""

    def embed(self, batch: Batch) -> Tensor:
        """(B, latent) float32."""


@runtime_checkable
class Infers(Protocol):
    """x -> its posterior q(z | x) over continuous codes, whose divergence from their prior is part of the bound."""

    def posterior_means(self, batch: Batch) -> Tensor:
        """(B, latent) float32: E_q(z | x) [z]. What `embed` gives besides, such as classes, is not among them."""


@runtime_checkable
class Quantises(Protocol):
    """x -> discrete codes."""

    def codes(self, batch: Batch) -> dict[str, Tensor]:
        """Level ("codes" where there is one, else "top", "bottom") -> (B, cells) int64."""


@runtime_checkable
class Decodes(Protocol):
    """z -> x."""

    def prior(self, n: int) -> Tensor:
        """(n, latent) codes drawn from the prior, with torch's global generator."""

    def decode(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, *spec.shape) in the range of `Batch.x`."""


@runtime_checkable
class Edits(Protocol):
    """x -> x with its code moved. Only for models whose `decode(embed(x) + shift)` would lose what else they encode."""

    def edit(self, batch: Batch, shift: Tensor) -> Tensor:
        """The items with their codes, as `embed` has them, moved by `shift` (B, latent): (B, *spec.shape)."""


@runtime_checkable
class Tightens(Protocol):
    """A bound that comes nearer to -log p(x) the more draws it is given (Burda et al. 2016, arXiv:1509.00519)."""

    def bound(self, batch: Batch, k: int) -> Tensor:
        """(B,) nats: the importance-weighted bound of k draws on -log p(x), its noise from the global generator."""


@runtime_checkable
class Streams(Protocol):
    """A state that is carried from a text's piece to the next: -log p of a piece given all before it."""

    def stream(self, batch: Batch, state: Any) -> tuple[Tensor, Any]:
        """(B,) nats of the pieces (B, L) given what `state` (None: nothing) has read, and the state after them.

        Rows that `batch.fresh` marks begin anew, whatever the state.
        """


@runtime_checkable
class Translates(Protocol):
    """A source -> its target, of pairs."""

    def translate(self, cond: Tensor, cond_mask: Tensor | None = None) -> Tensor:
        """(B, *cond_shape), true in `cond_mask` where it counts -> (B, *spec.shape): the same every time."""


@runtime_checkable
class Forecasts(Protocol):
    """The past -> the distribution of what comes next."""

    def forecast(self, cond: Tensor, horizon: int, quantiles: tuple[float, ...]) -> Tensor:
        """(B, P, D) -> (B, len(quantiles), horizon, D); quantile 0.5 is the point forecast."""
