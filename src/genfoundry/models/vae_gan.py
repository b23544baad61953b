"""VAE/GAN (Larsen et al. 2016, arXiv:1512.09300): an autoencoder that compares images as a critic sees them.

A reconstruction is compared with its image in the activations of the critic's last stage (their eq. 7 and 8) instead
of pixel by pixel, so that it may be sharp where its details cannot be told. The decoder also learns to convince the
critic, of reconstructions and of images decoded from the prior. With `noise` the encoder sees a damaged image and
everything else the clean one, as in `models.vae`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from genfoundry.models.families.adversarial import AdversarialConfig, AdversarialModel
from genfoundry.nn.adversarial.losses import LOSSES
from genfoundry.nn.adversarial.networks import Critic, Encoder, Generator
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.conv.corruption import Corruption, Noise, paste_known
from genfoundry.nn.conv.dequantisation import dequantise
from genfoundry.nn.latent.gaussian import Normal, kl_divergence, kl_weight
from genfoundry.types import Batch, Clock, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

AVERAGED = 4  # draws of a restoration: the posterior mean is the best estimate in squared error
ROWS = 64  # images, and draws, of a batch that normalises the finished decoder


class VaeGan(AdversarialModel):
    """x (B, C, H, W) -> z (B, latent) -> x, against a critic of x."""

    class Config(AdversarialConfig):
        """`width`, `critic_width`: channels at half the resolution, doubled at each further half.

        `precision`: of the normal distribution of the critic's features about a reconstruction's (1 in the paper);
        `beta`: weight of the KL term, reached over the first share `warm` of the steps; `gamma`: weight of the
        reconstruction in the decoder's loss. `noise` and `level`: the damage that it learns to undo (`Corruption`).
        """

        latent: int = Field(8, ge=1)
        loss: Literal["hinge", "non_saturating"] = "hinge"
        precision: float = Field(1.0, gt=0)
        beta: float = Field(1.0, ge=0)
        gamma: float = Field(0.1, ge=0)
        warm: float = Field(0.1, ge=0, le=1)
        spectral: bool = True
        noise: Noise = "none"
        level: float | None = Field(None, gt=0)

    defaults: ClassVar[Mapping[str, Any]] = {
        "batch": 32,
        "lr": {"encoder": 2e-3, "decoder": 2e-3, "critic": 2e-3},
        "betas": [0.0, 0.9],  # no momentum: the opponent moves
        "clip": None,
        "ema": 0.99,
    }
    calibration: ClassVar[int] = 32
    config: Config
    critic: Critic

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        width = 32 if items >= 2000 else 16
        hyper = {"latent": 32, "width": width, "critic_width": width}
        return {"hyper": hyper, "search": cls.search_rates(5e-4, 4e-3)}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.corruption = Corruption(config.noise, config.level)
        self.damages = self.corruption.damages
        self.encoder = Encoder(spec, 2 * config.latent, config.width, self.corruption.extra)
        self.decoder = Generator(spec, config.latent, config.width)
        self.critic = Critic(spec, config.critic_width, config.spectral)

    @property
    def generator(self) -> Generator:  # type: ignore[override]
        """What the critic judges; it learns as the player "decoder"."""
        return self.decoder

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        c, loss = self.config, LOSSES[self.config.loss]
        q = Normal.from_output(self.encoder(self.corruption.corrupt(scale_levels(batch.x, self.spec))))  # (B, latent)
        rate = kl_divergence(q, Normal.standard(q.mean)).sum(1).mean()
        real = dequantise(batch.x, self.spec.levels)
        fake = self.decoder(torch.cat([q.sample(), self.prior(len(batch))])).float()  # (2B, C, H, W)
        features = self.critic.features(torch.cat([real, fake]))  # of images, reconstructions, and the prior's
        scores = self.critic.score(features)  # (3B,)
        real_scores, fake_scores = scores[: len(batch)], scores[len(batch) :]
        similarity = self.similarity_nll(*features.chunk(3)[:2]).mean()
        self.diagnose(real, fake[len(batch) :], real_scores, fake_scores[len(batch) :])  # of the prior's images
        yield {  # algorithm 1: all three move by the gradients of one pass
            "encoder": c.beta * kl_weight(clock, c.warm) * rate + similarity,
            "decoder": c.gamma * similarity + loss.generator(fake_scores),
            "critic": loss.critic(real_scores, fake_scores),
        }

    def similarity_nll(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return (B,) nats, but for a constant: -log N(real; fake, I / precision) of the critic's features (eq. 7)."""
        return 0.5 * self.config.precision * (real.float() - fake.float()).square().flatten(1).sum(1)

    def draw_codes(self, data: Split) -> Tensor:
        """Draw codes (2 * ROWS, latent) as the decoder meets them: given images of training, and from the prior."""
        batch = data.train_batch(torch.randint(data.positions, (ROWS,))).to(self.device)
        damaged = self.corruption.corrupt(scale_levels(batch.x, self.spec))
        return torch.cat([Normal.from_output(self.encoder(damaged)).sample(), self.prior(ROWS)])

    def _encode(self, x: Tensor, known: Tensor | None = None) -> Normal:
        """Levels (B, C, H, W) as they are -> q(z | x)."""
        return Normal.from_output(self.encoder(self.corruption.to_input(scale_levels(x, self.spec), known)))

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """Return (B, latent): means of the codes."""
        return self._encode(batch.x).mean

    posterior_means = embed

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map (B, latent) to (B, C, H, W) float32 in the range of `Batch.x`."""
        levels = self.spec.levels
        value = self.generate(z).float().contiguous()
        # The middle of level k's bin is k itself
        return value if levels is None else ((value + 1.0) * (0.5 * levels) - 0.5).clamp(0, levels - 1)

    def reconstruct(self, batch: Batch) -> Tensor:
        """Return (B, C, H, W) float32, decoded from the codes' means."""
        return self.decode(self.embed(batch))

    @torch.no_grad()
    def restore(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Map damaged levels (B, C, H, W) to an estimate of the clean image, float32, averaged over drawn codes."""
        q = self._encode(x, known)
        means = torch.stack([self.decode(q.sample()) for _ in range(AVERAGED)])
        return paste_known(means.mean(0), x, known)
