"""Losses of adversarial training: what a critic minimises, and what the generator that it judges minimises.

Scores are (B,), higher for what the critic takes to be real; losses are scalars, means over the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AdversarialLoss:
    """A pair of losses.

    Attributes:
        critic: scores of real and of generated items, (B,) each -> scalar.
        generator: scores of generated items (B,) -> scalar.
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return E[max(0, 1 - real)] + E[max(0, 1 + fake)] (Miyato et al. 2018, arXiv:1802.05957, eq. 16)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def negative_score(fake: Tensor) -> Tensor:
    """Return -E[fake], the generator's loss against a hinge critic (their eq. 17) and a Wasserstein critic."""
    return -fake.mean()


def logistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return -E[log s(real)] - E[log(1 - s(fake))], s the logistic function (Goodfellow et al. 2014, eq. 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def non_saturating_generator(fake: Tensor) -> Tensor:
    """Return -E[log s(fake)], whose gradient is large where the critic is sure (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake).mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return E[fake] - E[real], for critics of Lipschitz constant 1 (Arjovsky et al. 2017, arXiv:1701.07875, eq. 2)."""
    return fake.mean() - real.mean()


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return E[-log s(real - fake)] over pairs (Jolicoeur-Martineau 2018, arXiv:1807.00734, eq. 5).

    Each generated item is compared with a real one, so that a generator which drops modes finds no local minimum in
    which the critic parts the two sets by a single threshold (Sun et al. 2020, arXiv:2011.04926).
    """
    return F.softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Return E[-log s(fake - real)] over pairs; `real` is a constant to the generator."""
    return F.softplus(real - fake).mean()


LOSSES = {
    "hinge": AdversarialLoss(hinge_critic, negative_score),
    "non_saturating": AdversarialLoss(logistic_critic, non_saturating_generator),
    "wasserstein": AdversarialLoss(wasserstein_critic, negative_score),
}
