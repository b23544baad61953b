"""The model interface: `Learner` for all that is trained, `GenerativeModel` for what models p(x).

A model is one file in this folder with one public class, named after the file (`vq_vae.py`: `VqVae`). Nothing else
names it. This is a complete model, an independent Bernoulli distribution of every pixel::

    class PixelBernoulli(GenerativeModel):
        \"\"\"p(x) = prod_i Bernoulli(x_i; sigmoid(scale * w_i)).\"\"\"

        class Config(Hyper):
            \"\"\"`scale`: multiplies the logits.\"\"\"

            scale: float = Field(1.0, gt=0)

        defaults: ClassVar[Mapping[str, Any]] = {"batch": 32, "lr": {"model": 0.1}}
        config: Config

        def __init__(self, spec: Spec, config: Config) -> None:
            super().__init__(spec, config)
            self.weight = nn.Parameter(torch.zeros(spec.shape))

        def measure(self, batch: Batch) -> dict[str, Tensor]:
            logits = (self.config.scale * self.weight).expand(batch.x.shape)
            nll = F.binary_cross_entropy_with_logits(logits, batch.x.float(), reduction="none")
            return {"nll": nll.flatten(1).sum(1)}

        def sample(self, n, cond=None, label=None, draw=Draw()):
            p = torch.sigmoid(self.config.scale * self.weight)
            return torch.bernoulli(p.expand(n, *self.spec.shape)).long()

The interface, most of which has defaults:

======================  ============================================================================================
`Config`                frozen pydantic class of hyperparameters; its defaults are the tiny model the tests train
`modalities`            data the model takes: "images", "text", "lines", "series", "video", "pairs"
`phases`                training phases in order, ("fit",) by default; each has its own number of steps
`defaults`              default training settings (`config.Train`), with `lr`: player -> learning rate
`players()`             player -> its parameters; one optimizer each, no parameter shared
`begin`, `end`          called before and after each phase with the training split (closed-form fits, initialisation)
`losses(batch, clock)`  yields {player: scalar loss}, once a batch for most models
`measure(batch)`        name -> (B,) nats; "nll" is the reported -log p(x), or its bound
`sample(...)`           n draws
`panels(batch)`         pictures for people
`likelihood`            "exact", "bound", "estimate" (by a numerical method) or "none"
`likelihood_note`       words on how the likelihood is computed, shown beside it
`passes`                network passes that a sample takes
======================  ============================================================================================

Optional abilities (reconstruction, inpainting, forecasts ...) are the protocols of `models.abilities`.

Training is a game; most models have one player. The loop (`training.loop.fit`) differentiates all losses of a yielded
dict, each with respect to its own player's parameters alone, before any player moves; when the generator resumes, they
have moved. A GAN yields {"critic": ...}, then {"generator": ...}. Everything that a phase fits must be a parameter or a
buffer, so that a checkpoint holds it. State that is only passed from step to step belongs in non-persistent buffers: a
killed training gets them back, while the moving average and the finished model leave them out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from genfoundry.errors import UserError
from genfoundry.models.abilities import Reconstructs
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

Likelihood = Literal["exact", "bound", "estimate", "none"]


class Hyper(BaseModel):
    """Base class of every model's `Config`: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Learner(nn.Module):
    """A network that `training.loop.fit` can train: generative models, the judge, supervised baselines.

    Args:
        spec: shape and levels of one sample.
        config: hyperparameters, an instance of `Config`.

    Raises:
        UserError: the model does not support `spec.levels`.
    """

    Config: ClassVar[type[Hyper]] = Hyper
    phases: ClassVar[tuple[str, ...]] = ("fit",)
    modalities: ClassVar[tuple[str, ...]] = ("images",)
    defaults: ClassVar[Mapping[str, Any]] = {"lr": {"model": 1e-3}}
    candidate: ClassVar[bool] = True  # whether it may stand under `experiments:`

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        """Return `data`, `hyper`, `train` and `search` of an experiment on `items` training items.

        `genfoundry init` writes them to params.yaml. The defaults of `Config` are tiny; this scales them.
        """
        return {}

    @classmethod
    def why_unsupported(cls, levels: int | None) -> str:
        """Explain why the model cannot take so many levels (None: real values); "" if it can."""
        return ""

    def __init__(self, spec: Spec, config: Hyper) -> None:
        super().__init__()
        if reason := self.why_unsupported(spec.levels):
            raise UserError(f"{type(self).__name__}: {reason}")
        self.spec = spec
        self.config = config
        self.card: dict[str, Any] = {}  # the content of model.json, once loaded
        self.diagnostics: dict[str, Tensor] = {}  # scalars that `losses` writes for the loop to log, never to train on
        self._modes: dict[tuple[str, ...], list[tuple[nn.Module, bool]]] = {}  # players -> each module's mode, cached

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Return player -> parameters: one optimizer each, no parameter shared, all that gradient descent moves."""
        return {"model": list(self.parameters())}

    def set_training(self, *names: str) -> None:
        """Put the modules of the named players in train mode and all others in eval mode.

        A model with several players calls it before it computes the losses of a yield: otherwise the BatchNorm
        statistics and spectral-norm vectors of players that do not move would change. A module without parameters
        follows its parent.
        """
        if names not in self._modes:
            moving = {id(p) for name in names for p in self.players()[name]}  # parameters, by identity
            self._modes[names] = list(_iterate_modes(self, moving, True))
        for module, mode in self._modes[names]:
            module.training = mode  # not module.train(), which would set its children, too

    def check_rows(self, rows: int) -> None:
        """Check that a series of so many rows suffices to fit this model.

        Raises:
            UserError: it does not; the message names the setting to lower.
        """

    def begin(self, phase: str, data: Split) -> None:
        """Prepare a phase, given the training split: closed-form fits, codebook initialisation."""

    def end(self, phase: str, data: Split) -> None:
        """Finish a phase, given the training split; the weights are the moving average by then."""

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        """Yield the training objective: player to move -> its scalar loss."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        # Lazily, as models ask for it in every step; a model fitted in closed form has buffers alone
        for tensor in itertools.chain(self.parameters(), self.buffers()):
            return tensor.device
        return torch.device("cpu")


def _iterate_modes(module: nn.Module, moving: set[int], inherited: bool) -> Iterator[tuple[nn.Module, bool]]:
    parameters = [id(p) for p in module.parameters()]
    mode = any(i in moving for i in parameters) if parameters else inherited
    yield module, mode
    for child in module.children():
        yield from _iterate_modes(child, moving, mode)


class GenerativeModel(Learner):
    """A model of p(x): it draws samples and measures -log p(x), a bound on it, or nothing (`likelihood` "none")."""

    likelihood: ClassVar[Likelihood] = "exact"

    @property
    def conditional(self) -> bool:
        """Whether `sample` follows `label`, which class-conditional metrics require.

        Of a model with the setting `classes` it does where that is set and the data have classes.
        """
        return bool(getattr(self.config, "classes", False)) and self.spec.classes > 0

    def class_index(self, label: Tensor | int | None, n: int) -> Tensor | None:
        """Return (n,) rows of an embedding of the classes, the last of which is for unlabelled items (None, or -1).

        None for a model that is not `conditional`.
        """
        if not self.conditional:
            return None
        index = torch.as_tensor(-1 if label is None else label, device=self.device).expand(n)
        return torch.where(index < 0, self.spec.classes, index)

    @property
    def ordered(self) -> bool:
        """Whether p(x) factorises in one order. A mixture over orders has no conditionals, hence no completion."""
        return True

    @property
    def passes(self) -> int | None:
        """Number of evaluations of the network that one sample takes, or None where it varies or is not stated."""
        return None

    @property
    def likelihood_note(self) -> str:
        """How the reported -log p(x) comes about (estimator, steps, dequantisation, its error); "" if plain.

        Pages, cards and the leaderboard show it beside the number, above all where `likelihood` is "estimate".
        """
        return ""

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        yield {"model": self.measure(batch)["nll"].mean()}

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Return name -> (B,) nats a sample; "nll" is the reported -log p(x) or its bound; {} without a likelihood."""
        return {}

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """Draw n samples, (n, *spec.shape) in the range of `Batch.x`.

        Args:
            n: number of samples.
            cond: (n, *spec.cond_shape), the condition: a source sentence, the past of a series. For text whose spec has
                no condition, (n, P) is a prompt that the samples continue.
            label: (n,) classes; by default drawn with the class frequencies of training.
            draw: temperature, top-k and top-p.
        """
        raise NotImplementedError

    def panels(self, batch: Batch) -> dict[str, Tensor]:
        """Return pictures for people: name -> (n, *spec.shape), or a sheet (rows, columns, *spec.shape)."""
        pictures = {"samples": self.sample(len(batch), batch.cond)}
        if isinstance(self, Reconstructs):
            pictures |= {"originals": batch.x, "reconstructions": self.reconstruct(batch)}
        return pictures
