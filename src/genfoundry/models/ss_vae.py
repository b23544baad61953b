"""Semi-supervised variational autoencoder, model M2 of Kingma et al. 2014 (arXiv:1406.5298).

p(x, y, z) = p(y) p(z) p(x | y, z), with q(y | x) and q(z | x, y). A labelled item has the bound
L(x, y) = -E_q(z | x, y) [log p(x | y, z) + log p(y) + log p(z) - log q(z | x, y)]; an unlabelled one
U(x) = sum_y q(y | x) (L(x, y) + log q(y | x)), by enumeration: the encoder runs once, all classes decode as a batch.
q(y | x) learns from U, from labels (weight `alpha`) and, which is not in the paper, from agreeing with itself about
varied and blended items (weight `consistency`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.conv.blocks import scaled
from genfoundry.nn.conv.classifier import Blend, Recogniser, consistency, supervised, varied
from genfoundry.nn.conv.encoder_decoder import Codec, Net
from genfoundry.nn.heads.simple import head_for
from genfoundry.nn.latent.gaussian import Normal, anneal, divergence
from genfoundry.types import Batch, Clock, Draw, Spec

STYLES = 8  # rows of the analogies
IMPOSSIBLE = -1e4  # a logit whose softmax is 0, and 0 times which is 0


class SsVae(GenerativeModel):
    """x (B, C, H, W) -> class y and style z (B, latent) -> x. An unlabelled item's label is -1.

    A code, as `embed` gives it and `decode` takes it, is (z, probabilities of the classes): walks change both.
    """

    class Config(Hyper):
        """`hidden`: width of q(z | x, y) and of MLPs; `recogniser`: of q(y | x); `width`, `blocks`: of a conv codec.

        `warm`: share of the steps over which the divergence's weight rises to 1; `sharpen`: the temperature of what
        q(y | x) teaches itself; items are varied as `nn.recognise.varied` says.
        """

        net: Net = "mlp"
        latent: int = Field(8, ge=1)
        hidden: int = Field(32, ge=1)
        width: int = Field(8, ge=1)
        blocks: int = Field(1, ge=0)
        mixtures: int = Field(1, ge=1)
        recogniser: int = Field(8, ge=1)
        alpha: float = Field(1.0, ge=0)
        consistency: float = Field(1.0, ge=0)
        sharpen: float = Field(0.5, gt=0, le=1)
        warm: float = Field(0.1, ge=0, le=1)
        shift: float = Field(0.07, ge=0, lt=0.5)
        mirror: bool = False
        erase: float = Field(0.0, ge=0, lt=1)

    modalities: ClassVar[tuple[str, ...]] = ("images",)
    likelihood: ClassVar[Likelihood] = "bound"
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 128, "lr": {"model": 3e-3}, "weight_decay": 0.01, "ema": 0.99}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"latent": 32, "hidden": 256, "recogniser": 32}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 1e-3, "high": 6e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.recogniser = Recogniser(spec, config.recogniser)
        codec, classes = Codec(config.net, config.width, config.blocks, config.hidden), spec.classes
        self.head = head_for(spec, config.mixtures)
        self.encoder = codec.encoder(spec)
        self.seen = nn.Linear(self.encoder.features, config.hidden)
        self.named = nn.Embedding(classes, config.hidden)
        self.posterior = nn.Linear(config.hidden, 2 * config.latent)
        self.decoder = codec.decoder(spec, config.latent + classes, self.head.parameters)
        self.register_buffer("frequency", torch.tensor(spec.class_shares), persistent=False)
        self.frequency: Tensor

    @property
    def conditional(self) -> bool:
        return True

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        c, x, label = self.config, scaled(batch.x, self.spec), batch.label
        assert label is not None
        hidden = label < 0
        blend, moved = Blend.draw(hidden), varied(x, shift=c.shift, mirror=c.mirror, erase=c.erase)
        plain, changed = self.recogniser.both(x, blend(moved))
        logits = self.possible(plain), self.possible(changed)
        rate, distortion = self.each(batch.x, x)
        named = anneal(clock, c.warm) * rate + distortion + self.surprise()
        labelled = named.gather(1, label.clamp_min(0)[:, None]).squeeze(1)  # all shapes are fixed: no device waits
        bound = torch.where(hidden, mixed(named, logits[0]), labelled).mean() / self.spec.dims
        yield {
            "model": bound
            + c.alpha * supervised(logits, label)
            + c.consistency * consistency(logits, hidden, blend, c.sharpen)
        }

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """The unlabelled bound, whatever the labels: `nll` = `distortion` + `rate`, the rate of z and y."""
        x = scaled(batch.x, self.spec)
        rate, distortion = self.each(batch.x, x)
        logits = self.recognise(x)
        expected = (logits.softmax(1) * distortion).sum(1)
        nll = mixed(rate + distortion + self.surprise(), logits)
        return {"nll": nll, "rate": nll - expected, "distortion": expected}

    def recognise(self, x: Tensor) -> Tensor:
        """(B, C, H, W), scaled -> (B, classes) logits of q(y | x)."""
        return self.possible(self.recogniser(x))

    def possible(self, logits: Tensor) -> Tensor:
        """Logits with those of classes of which training sees no item so low that their probability is 0."""
        return logits.masked_fill(self.frequency == 0, IMPOSSIBLE)

    def surprise(self) -> Tensor:
        """(classes,) nats: -log p(y), of a class with p(y) = 0, which q(y | x) never chooses, any finite number."""
        return -self.frequency.clamp_min(torch.finfo(torch.float32).tiny).log()

    def each(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(B, classes) nats given every class: KL(q(z | x, y) || p(z)), and -log p(x | y, z) at a drawn z."""
        classes = torch.eye(self.spec.classes, device=x.device).repeat(len(x), 1)  # (B * classes, classes)
        q = self.style(self.encoder(seen), torch.arange(self.spec.classes, device=x.device).expand(len(x), -1))
        rate = divergence(q, Normal.standard(q.mean)).sum(1)
        distortion = self.head.nll(
            self.decoder(torch.cat([q.draw(), classes], 1)), x.repeat_interleave(self.spec.classes, 0)
        )
        return rate.view(len(x), -1), distortion.view(len(x), -1)

    def style(self, features: Tensor, label: Tensor) -> Normal:
        """q(z | x, y) of encoder's features and labels (B, M), as (B * M, latent)."""
        hidden = F.silu(self.seen(features.flatten(1))[:, None] + self.named(label))
        return Normal.of(self.posterior(hidden).flatten(0, 1))

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        codes = self.prior(n)
        z, y = codes.tensor_split([self.config.latent], 1)
        if label is not None:
            y = F.one_hot(label, self.spec.classes).to(z)
        return self.head.sample(self.decoder(torch.cat([draw.temperature * z, y], 1)), draw)

    def prior(self, n: int) -> Tensor:
        """(n, latent + classes): standard normal styles, and one class each by the class frequencies."""
        y = torch.multinomial(self.frequency, n, replacement=True)
        z = torch.randn(n, self.config.latent, device=self.device)
        return torch.cat([z, F.one_hot(y, self.spec.classes).to(z)], 1)

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """(B, latent + classes): means of the styles given the likeliest class, and the classes' probabilities."""
        x = scaled(batch.x, self.spec)
        chance = self.recognise(x).softmax(1)
        return torch.cat([self.style(self.encoder(x), chance.argmax(1, keepdim=True)).mean, chance], 1)

    @torch.no_grad()
    def posterior_means(self, batch: Batch) -> Tensor:
        """(B, latent): means of the styles, each class's weighted by its probability."""
        x = scaled(batch.x, self.spec)
        chance = self.recognise(x).softmax(1)  # (B, classes)
        every = torch.arange(self.spec.classes, device=x.device).expand(len(x), -1)
        return (chance.unsqueeze(2) * self.style(self.encoder(x), every).mean.view(*every.shape, -1)).sum(1)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """(B, latent + classes) -> (B, C, H, W) float32 expected values; the classes' part becomes a probability."""
        style, y = z.tensor_split([self.config.latent], 1)
        y = y.clamp_min(0)
        y = y / y.sum(1, keepdim=True).clamp_min(1e-6)
        return self.head.mean(self.decoder(torch.cat([style, y], 1)))

    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, C, H, W) float32 expected values at the codes' means."""
        return self.decode(self.embed(batch))

    def classify(self, batch: Batch) -> Tensor:
        """(B, classes) logits of q(y | x)."""
        return self.recognise(scaled(batch.x, self.spec))

    def panels(self, batch: Batch) -> dict[str, Tensor]:
        return {
            "samples": self.sample(len(batch)),
            "reconstructions": self.reconstruct(batch),
            "analogies": self.analogies(batch),
        }

    def analogies(self, batch: Batch) -> Tensor:
        """(rows, 1 + classes, C, H, W): an item, and its style in every class."""
        x, classes = batch.x[:STYLES], self.spec.classes
        z = self.embed(Batch(x))[:, : self.config.latent].repeat_interleave(classes, 0)
        drawn = self.decode(torch.cat([z, torch.eye(classes, device=z.device).repeat(len(x), 1)], 1))
        return torch.cat([x.float()[:, None], drawn.view(len(x), classes, *x.shape[1:])], 1)


def mixed(named: Tensor, logits: Tensor) -> Tensor:
    """(B,) sum_y q(y | x) (L(x, y) + log q(y | x)) of bounds (B, classes) and the logits of q(y | x)."""
    log = logits.log_softmax(1)
    return (log.exp() * (named + log)).sum(1)
