"""Generator and critic of images of any size (Radford et al. 2016, arXiv:1511.06434).

Stages halve the image until its shorter side is below 8, at least once: 28 -> 14 -> 7, 32 -> 16 -> 8 -> 4,
48 -> 24 -> 12 -> 6, 128 -> ... -> 4. Channels double a stage, up to `CAP` times those of the first. Classes enter the
generator beside z and by the gains and biases of its normalisation, and the critic by a projection (Miyato and Koyama
2018, arXiv:1802.05637).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.adversarial.normalisation import ConditionalBatchNorm, normalise_weights
from genfoundry.nn.conv.blocks import Crop, halve_size
from genfoundry.types import Spec

SMALL = 8  # a side that is not halved any more is below it
CAP = 8  # of a stage's channels, in those of the first
SLOPE = 0.2  # of leaky ReLUs below 0


def count_stages(spec: Spec) -> int:
    """Return how often the images are halved."""
    side, stages = min(spec.shape[1:]), 1
    while -(-side // 2**stages) >= SMALL:
        stages += 1
    return stages


def stage_channels(width: int, stages: int) -> list[int]:
    """Return the channels at half the resolution, a quarter, ...: `width`, doubled a stage, at most `CAP` of it."""
    return [width * min(2**stage, CAP) for stage in range(stages)]


class Generator(nn.Module):
    """z (B, latent), label (B,) int64 -> (B, C, H, W) in [-1, 1], or real values where the spec has no levels.

    Shares of classes (B, classes) float32 may stand for a label: an image between classes.

    Args:
        spec: of the images.
        latent: number of values of z.
        width: channels at half the resolution.
        classes: 0 for a generator without labels.
    """

    def __init__(self, spec: Spec, latent: int, width: int, classes: int = 0) -> None:
        super().__init__()
        full = (spec.shape[1], spec.shape[2])
        channels = stage_channels(width, count_stages(spec))
        sizes = [halve_size(full, times) for times in range(len(channels) + 1)]  # odd sizes are rounded up
        self.base = sizes[-1]
        self.project = nn.Linear(latent + classes, channels[-1] * self.base[0] * self.base[1], bias=False)
        self.classes = classes
        self.norms = nn.ModuleList(ConditionalBatchNorm(c, classes) for c in reversed(channels))
        self.stages = nn.ModuleList(
            nn.Sequential(_upsample(inputs, outputs), Crop(size))
            for inputs, outputs, size in zip(
                channels[::-1], [*channels[-2::-1], spec.shape[0]], sizes[-2::-1], strict=True
            )
        )
        self.squash = nn.Identity() if spec.levels is None else nn.Tanh()  # real values have no range

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        x = (
            self.project(self._join(z, label))
            .view(len(z), -1, *self.base)
            .contiguous(memory_format=torch.channels_last)
        )
        for norm, stage in zip(self.norms, self.stages, strict=True):
            x = stage(F.relu(norm(x, label)))  # (B, c, h, w) -> (B, c / 2, 2h, 2w)
        return self.squash(x)  # type: ignore[no-any-return]

    def _join(self, z: Tensor, label: Tensor | None) -> Tensor:
        """(B, latent + classes): gains alone would have to grow, channel by channel, from a network without classes."""
        if not self.classes:
            return z
        if label is None:
            raise ValueError(f"label: expected classes 0..{self.classes - 1}, (B,), got None")
        shares = label if label.is_floating_point() else F.one_hot(label, self.classes)
        return torch.cat([z, shares.to(z)], 1)


def _upsample(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """(B, inputs, H, W) -> (B, outputs, 2H, 2W)."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


def _downsample(spec: Spec, inputs: int, width: int, spectral: bool) -> tuple[nn.Sequential, int]:
    """Return (B, inputs, H, W) -> (B, channels, h, w), a stage after the other, and channels * h * w."""
    channels = stage_channels(width, count_stages(spec))
    layers: list[nn.Module] = []
    for before, after in zip([inputs, *channels], channels, strict=False):
        conv = nn.Conv2d(before, after, 4, stride=2, padding=1)  # odd sizes are rounded down
        layers += [normalise_weights(conv, spectral), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers), channels[-1] * (spec.shape[1] >> len(channels)) * (spec.shape[2] >> len(channels))


def _class_table(classes: int, features: int) -> nn.Embedding:
    """A vector a class, of length 1: by default its products with features would drown the rest of the score."""
    table = nn.Embedding(classes, features)
    nn.init.normal_(table.weight, std=features**-0.5)
    return table


class Encoder(nn.Module):
    """x (B, C + extra, H, W) -> (B, outputs): the critic's stages, and no normalisation.

    Args:
        spec: of the images.
        outputs: number of values an image.
        width: channels at half the resolution.
        extra: input channels beside the image's.
    """

    def __init__(self, spec: Spec, outputs: int, width: int, extra: int = 0) -> None:
        super().__init__()
        self.body, features = _downsample(spec, spec.shape[0] + extra, width, spectral=False)
        self.linear = nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.body(x).flatten(1))  # type: ignore[no-any-return]


class Critic(nn.Module):
    """x (B, C, H, W) -> a score (B,), without other normalisation than that of weights by their spectral norm.

    The score of x and class y is y' V phi(x) + psi(phi(x)) (Miyato and Koyama 2018, eq. 5): phi are the activations of
    the last stage, psi is linear in them. A label of -1 has no class term.

    Args:
        spec: of the images.
        width: channels at half the resolution.
        spectral: whether all layers have spectral norm 1.
        classes: 0 for a critic without labels.
    """

    def __init__(self, spec: Spec, width: int, spectral: bool = True, classes: int = 0) -> None:
        super().__init__()
        self.body, outputs = _downsample(spec, spec.shape[0], width, spectral)
        self.linear = normalise_weights(nn.Linear(outputs, 1), spectral)  # psi
        self.classes = normalise_weights(_class_table(classes, outputs), spectral) if classes else None  # V

    def features(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the last stage's activations (B, channels, h, w)."""
        return self.body(x)  # type: ignore[no-any-return]

    def score(self, features: Tensor, label: Tensor | None = None) -> Tensor:
        """Map `features` and labels (B,), -1 for unlabelled, to scores (B,) float32."""
        features = features.flatten(1)
        score: Tensor = self.linear(features).float().squeeze(1)
        if self.classes is None:
            return score
        if label is None:
            raise ValueError("label: expected classes or -1, (B,), got None")
        projection: Tensor = (self.classes(label.clamp_min(0)) * features).sum(1)  # (B,)
        return score + projection.float() * (label >= 0)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        return self.score(self.features(x), label)
