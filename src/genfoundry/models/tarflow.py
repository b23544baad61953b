"""Transformer autoregressive flow (TarFlow; Zhai et al. 2024, "Normalizing flows are capable generative models",
arXiv:2412.06329).

Blocks map an image's patches to N(0, I), each an affine transform of every patch by a causal transformer that has read
the patches before it; the order is reversed from block to block. log p(x) = log N(z; 0, I) + sum of the blocks'
log-determinants, exactly, of real values. Levels are dequantised uniformly: by Jensen's inequality,
log P(level) >= E_u [log p(level + u)] (Theis et al. 2016, arXiv:1511.01844), so that the figure is a bound on -log P.

Left out: noise augmentation and the denoising of samples that it asks for (the paper's own additions). They train the
density of noisy images for the looks of samples, and would give up the bound on the levels' likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper, Likelihood
from genfoundry.nn.autoregressive.ancestral import class_log_shares
from genfoundry.nn.conv.dequantisation import centre_levels, dequantise, quantise
from genfoundry.nn.flows.patch_sequence import PatchSequence
from genfoundry.nn.flows.transformer_block import TransformerBlock
from genfoundry.nn.flows.triangular import TriangularMap
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

MAX_VALUES = 4096  # values of an image up to which `genfoundry init` proposes a linear map
FIT_ITEMS = 20_000  # training items that it is fitted to
ITEMS_PER_VALUE = 4  # items a value from which it pays to fit correlations
RIDGE = 1e-6  # added to the variances of values in [-1, 1]


class Tarflow(GenerativeModel):
    """x (B, C, H, W) <-> z (B, C * H * W), with a density of dequantised x.

    Where the data have classes it models p(x | class), and p(x), the sum over classes of p(class) p(x | class), which
    takes a pass a class. `embed` and `decode` are of the model without a class.
    """

    class Config(Hyper):
        """`blocks`, each a transformer of `layers`, `width` and `heads`; `patch`: side of a patch in pixels.

        `linear`: the first block transforms what a linear prediction from all values before leaves of a value, of the
        same patch, too. It is fitted in closed form, and has a weight for each pair of values.

        `classes`: given the class, if there are classes, of which a share `unlabelled` is hidden in training;
        `guidance`: of samples of a class away from samples of none.
        """

        patch: int = Field(2, ge=1)
        blocks: int = Field(2, ge=1)
        layers: int = Field(1, ge=1)
        width: int = Field(16, ge=1)
        heads: int = Field(2, ge=1)
        linear: bool = True
        classes: bool = True
        unlabelled: float = Field(0.1, ge=0, lt=1)
        guidance: float = Field(0.0, ge=0)

        @model_validator(mode="after")
        def _check_heads(self) -> Tarflow.Config:
            if self.width % self.heads:
                raise ValueError(f"expected width to be a multiple of the heads, {self.heads}, got {self.width}")
            return self

    likelihood: ClassVar[Likelihood] = "bound"
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 32, "lr": {"model": 2e-3}, "betas": [0.9, 0.95]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        side = max(spec.shape[1:])
        hyper = {"patch": max(2, -(-side // 8)), "blocks": 4, "layers": 2, "width": 64, "heads": 2, "classes": False}
        hyper["linear"] = spec.dims <= MAX_VALUES
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 5e-4, "high": 4e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.patches = PatchSequence(spec, config.patch)
        first = TriangularMap(self.patches.inside) if config.linear else None
        size = {"width": config.width, "layers": config.layers, "heads": config.heads}
        classes = spec.classes + 1 if self.conditional else 0  # + 1: unlabelled
        self.blocks: list[TransformerBlock] = nn.ModuleList(  # type: ignore[assignment]
            TransformerBlock(self.patches.inside, **size, classes=classes, reverse=i % 2 == 1, linear=linear)
            for i, linear in enumerate([first, *[None] * (config.blocks - 1)])
        )

    @property
    def passes(self) -> int:
        """One a patch, each of a single token in every block, since keys and values are cached; twice if guided."""
        guided = self.conditional and self.config.guidance > 0
        return self.patches.tokens * (1 + guided)

    @property
    def likelihood_note(self) -> str:
        """What the density is of, and why it bounds the likelihood of levels."""
        if self.spec.levels is None:
            return "the exact density of real values"
        return "the exact density of levels dequantised by uniform noise, one draw an item, which makes it a bound"

    def begin(self, phase: str, data: Split) -> None:
        """Fit the first block's linear map; with few items its correlations are left out: they would be overfitted."""
        if (linear := self.blocks[0].linear) is None:
            return
        index = torch.randperm(data.positions)[:FIT_ITEMS].to(self.device)  # items may be sorted by class
        x = self.patches.split(dequantise(data.train_batch(index).x, self.spec.levels))
        linear.fit(x, ridge=RIDGE, shrinkage=float(data.positions < ITEMS_PER_VALUE * self.spec.dims))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        label = batch.label
        if self.conditional and label is not None:
            label = label.masked_fill(torch.rand(label.shape, device=label.device) < self.config.unlabelled, -1)
        nll = -self.log_density(dequantise(batch.x, self.spec.levels), label)  # (B,)
        yield {"model": nll.mean() / self.spec.dims}

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        """Return the bound with one draw of the dequantisation noise an item; of real values, -log p itself."""
        x, joint = dequantise(batch.x, self.spec.levels), []
        for log_share, label in class_log_shares(self.spec) if self.conditional else [(0.0, -1)]:
            labels = torch.full((len(x),), label, device=x.device)
            joint.append(log_share + self.log_density(x, labels))  # log p(class, x), (B,)
        return {"nll": self._log_volume() - torch.stack(joint).logsumexp(0)}

    def bound(self, batch: Batch, k: int) -> Tensor:
        """Return (B,) nats: the bound on -log P with the mean density of k draws of the dequantisation noise."""
        draws = torch.stack([self.measure(batch)["nll"] for _ in range(k)])  # (k, B)
        return math.log(k) - (-draws).logsumexp(0)

    def _log_volume(self) -> float:
        """Nats: -log of the volume of a level's bin, over all values of an image."""
        return 0.0 if self.spec.levels is None else self.spec.dims * math.log(self.spec.levels / 2)

    def log_density(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Return (B,): log p of dequantised images (B, C, H, W), given their labels."""
        z, log_determinant = self(x, label)
        log_prior: Tensor = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
        log_density: Tensor = log_prior + log_determinant
        return log_density

    def forward(self, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map images (B, C, H, W), labels (B,) to z (B, C * H * W) and log|det dz/dx| (B,)."""
        z, log_determinant, index = self.patches.split(x), x.new_zeros(len(x)), self.class_index(label, len(x))
        for block in self.blocks:
            z, change = block(z, index)
            log_determinant = log_determinant + change
        return self.patches.join(z).flatten(1), log_determinant

    def inverse(self, z: Tensor, label: Tensor | None = None, guidance: float = 0.0) -> Tensor:
        """Map z (B, C * H * W), labels (B,) to images (B, C, H, W)."""
        x, index = self.patches.split(z.view(-1, *self.spec.shape)), self.class_index(label, len(z))
        for block in reversed(self.blocks):
            x = block.inverse(x, index, guidance)
        return self.patches.join(x)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        z = draw.temperature * self.prior(n)
        if self.conditional and label is None:
            shares = torch.tensor(self.spec.class_shares, device=self.device)
            label = torch.multinomial(shares, n, replacement=True)
        return self._to_levels(self.inverse(z, label, self.config.guidance))

    def _to_levels(self, x: Tensor) -> Tensor:
        """Dequantised images -> levels; real values stay real."""
        # Far from the data, where walks and untrained flows get to, scales may overflow
        return quantise(x.nan_to_num(0.0, 1.0, -1.0), self.spec.levels).contiguous()

    def prior(self, n: int) -> Tensor:
        """Draw (n, C * H * W) codes from N(0, I) with the global generator."""
        return torch.randn(n, self.spec.dims, device=self.device)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Map codes (B, C * H * W) to levels (B, C, H, W)."""
        return self._to_levels(self.inverse(z))

    @torch.no_grad()
    def embed(self, batch: Batch) -> Tensor:
        """Return (B, C * H * W): the exact codes of the items, their levels at the middles of their bins."""
        z: Tensor = self(centre_levels(batch.x, self.spec.levels))[0]
        return z
