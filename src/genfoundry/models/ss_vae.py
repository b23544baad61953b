"""Semi-supervised variational autoencoder, model M2 of Kingma et al. 2014 (arXiv:1406.5298).

p(x, y, z) = p(y) p(z) p(x | y, z), with q(y | x) and q(z | x, y). A labelled item has the bound (their eq. 6)
L(x, y) = -E_q(z | x, y) [log p(x | y, z) + log p(y) + log p(z) - log q(z | x, y)]; an unlabelled one (eq. 7)
U(x) = sum_y q(y | x) (L(x, y) + log q(y | x)), by enumeration: the encoder runs once, all classes decode as a batch.
q(y | x) learns from U, from labels (weight `alpha`, eq. 9) and, which is not in the paper, from consistency under
augmentation and mixup (weight `consistency`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.conv.classifier import ConvClassifier, Mixup, augment, consistency_loss, supervised_loss
from genfoundry.nn.conv.encoder_decoder import Codec, Net
from genfoundry.nn.heads.simple import head_for
from genfoundry.nn.latent.gaussian import Normal, kl_divergence, kl_weight
from genfoundry.types import Batch, Clock, Draw, Spec

ANALOGIES = 8  # rows of that panel
IMPOSSIBLE = -1e4  # a logit whose softmax is 0, and 0 times which is 0


class SsVae(GenerativeModel):
    """x (B, C, H, W) -> class y and style z (B, latent) -> x. The label of an unlabelled item is -1.

    A code, as `embed` returns it and `decode` takes it, is (z, probabilities of the classes): latent walks change both.
    """

    class Config(Hyper):
        """`hidden`: width of q(z | x, y) and of MLPs; `recogniser`: of q(y | x); `width`, `blocks`: of a conv codec.

        `warm`: share of the steps over which the KL term's weight rises to 1; `sharpen`: the temperature of q(y | x) as
        its own target; `shift`, `mirror`, `erase`: see `nn.conv.classifier.augment`.
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

    likelihood: ClassVar[Likelihood] = "bound"
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 128, "lr": {"model": 3e-3}, "weight_decay": 0.01, "ema": 0.99}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"latent": 32, "hidden": 256, "recogniser": 32}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 1e-3, "high": 6e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.recogniser = ConvClassifier(spec, config.recogniser)
        codec, classes = Codec(config.net, config.width, config.blocks, config.hidden), spec.classes
        self.head = head_for(spec, config.mixtures)
        self.encoder = codec.encoder(spec)
        self.seen = nn.Linear(self.encoder.features, config.hidden)
        self.named = nn.Embedding(classes, config.hidden)
        self.posterior = nn.Linear(config.hidden, 2 * config.latent)
        self.decoder = codec.decoder(spec, config.latent + classes, self.head.parameters)  # the class enters one-hot
        self.register_buffer("frequency", torch.tensor(spec.class_shares), persistent=False)
        self.frequency: Tensor

    @property
    def conditional(self) -> bool:
        return True

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        c, x, label = self.config, scale_levels(batch.x, self.spec), batch.label
        assert label is not None
        unlabelled = label < 0
        mixup, augmented = Mixup.draw(unlabelled), augment(x, shift=c.shift, mirror=c.mirror, erase=c.erase)
        plain, mixed = self.recogniser.classify_views(x, mixup(augmented))  # (B, classes) each
        logits = self._mask_unseen(plain), self._mask_unseen(mixed)
        rate, distortion = self.terms_per_class(batch.x, x)  # (B, classes) each
        per_class = kl_weight(clock, c.warm) * rate + distortion + self._class_nll()  # (B, classes): L(x, y)
        labelled_bound = per_class.gather(1, label.clamp_min(0)[:, None]).squeeze(1)  # fixed shapes: no device waits
        bound = torch.where(unlabelled, unlabelled_bound(per_class, logits[0]), labelled_bound)
        yield {
            "model": bound.mean() / self.spec.dims
            + c.alpha * supervised_loss(logits, label)
            + c.consistency * consistency_loss(logits, unlabelled, mixup, c.sharpen)
        }

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Return the unlabelled bound, whatever the labels: `nll` = `distortion` + `rate`, the rate of z and y."""
        x = scale_levels(batch.x, self.spec)
        rate, distortion = self.terms_per_class(batch.x, x)
        logits = self._class_logits(x)  # (B, classes)
        expected = (logits.softmax(1) * distortion).sum(1)  # (B,), over q(y | x)
        nll = unlabelled_bound(rate + distortion + self._class_nll(), logits)
        return {"nll": nll, "rate": nll - expected, "distortion": expected}

    def _class_logits(self, x: Tensor) -> Tensor:
        """Scaled images (B, C, H, W) -> (B, classes) logits of q(y | x)."""
        return self._mask_unseen(self.recogniser(x))

    def _mask_unseen(self, logits: Tensor) -> Tensor:
        """Give classes without a training item a probability of 0."""
        return logits.masked_fill(self.frequency == 0, IMPOSSIBLE)

    def _class_nll(self) -> Tensor:
        """(classes,) nats: -log p(y); a class with p(y) = 0, which q(y | x) never chooses, has any finite number."""
        return -self.frequency.clamp_min(torch.finfo(torch.float32).tiny).log()

    def terms_per_class(self, levels: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, classes) nats for every class y: KL(q(z | x, y) || p(z)), and -log p(x | y, z) at a drawn z."""
        classes = torch.eye(self.spec.classes, device=x.device).repeat(len(x), 1)  # (B * classes, classes)
        q = self.style_posterior(self.encoder(x), self._all_classes(len(x)))  # (B * classes, latent)
        rate = kl_divergence(q, Normal.standard(q.mean)).sum(1)  # (B * classes,)
        out = self.decoder(torch.cat([q.sample(), classes], 1))
        distortion = self.head.nll(out, levels.repeat_interleave(self.spec.classes, 0))
        return rate.view(len(x), -1), distortion.view(len(x), -1)

    def _all_classes(self, n: int) -> Tensor:
        """(n, classes) int64: 0, 1, ... in every row."""
        return torch.arange(self.spec.classes, device=self.device).expand(n, -1)

    def style_posterior(self, features: Tensor, label: Tensor) -> Normal:
        """Return q(z | x, y) of the encoder's features and labels (B, M), as (B * M, latent)."""
        hidden = F.silu(self.seen(features.flatten(1))[:, None] + self.named(label))  # (B, M, hidden)
        return Normal.from_output(self.posterior(hidden).flatten(0, 1))

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        codes = self.prior(n)
        z, y = codes.tensor_split([self.config.latent], 1)  # (n, latent), (n, classes)
        if label is not None:
            y = F.one_hot(label, self.spec.classes).to(z)
        return self.head.sample(self.decoder(torch.cat([draw.temperature * z, y], 1)), draw)

    def prior(self, n: int) -> Tensor:
        """Draw (n, latent + classes): standard normal styles, and one-hot classes with their frequencies."""
        y = torch.multinomial(self.frequency, n, replacement=True)
        z = torch.randn(n, self.config.latent, device=self.device)
        return torch.cat([z, F.one_hot(y, self.spec.classes).to(z)], 1)

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """Return (B, latent + classes): the style's mean given the likeliest class, and the classes' probabilities."""
        x = scale_levels(batch.x, self.spec)
        probs = self._class_logits(x).softmax(1)
        return torch.cat([self.style_posterior(self.encoder(x), probs.argmax(1, keepdim=True)).mean, probs], 1)

    @torch.no_grad()
    def posterior_means(self, batch: Batch) -> Tensor:
        """Return (B, latent): means of the styles, each class's weighted by its probability."""
        x = scale_levels(batch.x, self.spec)
        probs = self._class_logits(x).softmax(1)  # (B, classes)
        means = self.style_posterior(self.encoder(x), self._all_classes(len(x))).mean  # (B * classes, latent)
        return (probs.unsqueeze(2) * means.view(*probs.shape, -1)).sum(1)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map (B, latent + classes) to expected values (B, C, H, W) float32; the classes' part is normalised."""
        style, y = z.tensor_split([self.config.latent], 1)
        y = y.clamp_min(0)  # a walk may leave the simplex
        y = y / y.sum(1, keepdim=True).clamp_min(1e-6)
        return self.head.mean(self.decoder(torch.cat([style, y], 1)))  # (B, C, H, W)

    def reconstruct(self, batch: Batch) -> Tensor:
        """Return expected values (B, C, H, W) float32 at the codes' means."""
        return self.decode(self.embed(batch))

    def classify(self, batch: Batch) -> Tensor:
        """Return (B, classes) logits of q(y | x)."""
        return self._class_logits(scale_levels(batch.x, self.spec))

    def panels(self, batch: Batch) -> dict[str, Tensor]:
        return {
            "samples": self.sample(len(batch)),
            "reconstructions": self.reconstruct(batch),
            "analogies": self.analogies(batch),
        }

    def analogies(self, batch: Batch) -> Tensor:
        """Return (rows, 1 + classes, C, H, W): an item, and its style in every class."""
        x, classes = batch.x[:ANALOGIES], self.spec.classes
        z = self.embed(Batch(x))[:, : self.config.latent].repeat_interleave(classes, 0)
        decoded = self.decode(torch.cat([z, torch.eye(classes, device=z.device).repeat(len(x), 1)], 1))
        return torch.cat([x.float()[:, None], decoded.view(len(x), classes, *x.shape[1:])], 1)


def unlabelled_bound(per_class: Tensor, logits: Tensor) -> Tensor:
    """Return U(x) = sum_y q(y | x) (L(x, y) + log q(y | x)), (B,), of bounds (B, classes) and logits of q(y | x)."""
    log_q = logits.log_softmax(1)  # (B, classes)
    return (log_q.exp() * (per_class + log_q)).sum(1)
