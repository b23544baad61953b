"""Completing images: the lower half given the upper one, against the mean image and the nearest training item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.predictions import Scores, restoration
from genfoundry.models.abilities import Autoregressive, Completes
from genfoundry.models.base import Learner
from genfoundry.nn.autoregressive.ancestral import joint_log_prob
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch

if TYPE_CHECKING:
    from genfoundry.evaluation.context import Bench

AT_ONCE = 20  # items whose likelihood is computed together: every level of every value may have to be


@torch.no_grad()
def completed(model: Learner, bench: Bench, seed: int) -> tuple[Scores, dict[str, Scores]]:
    """`complete_psnr`, `complete_ssim` and, of a likelihood, `complete_nats` (n,); the same of classical methods.

    One completion an item is drawn. A picture: what is given, what the model makes of it, what was there.
    """
    if not isinstance(model, Completes) or not getattr(model, "ordered", True) or len(bench.split.spec.shape) != 3:
        return {}, {}
    posed = restoration.posed(bench.split, "complete")
    assert posed.known is not None
    clean, known = posed.clean.to(model.device), posed.known.to(model.device)
    torch.manual_seed(derive_seed(seed, bench.split.name, "complete"))
    made = model.complete(clean * known, known).cpu()
    own: Scores = dict(posed.scores("complete", made))
    if isinstance(model, Autoregressive):
        parts = zip(torch.split(clean, AT_ONCE), torch.split(known, AT_ONCE), strict=True)
        nats = torch.cat([missing(model, *part) for part in parts]).cpu().double().numpy()
        own |= grouped({"complete_nats": nats}, posed.split, posed.index)
    bench.pictures["completed"] = torch.stack([posed.x, made.float(), posed.clean.float()], 1).flatten(0, 1)
    return own, bench.classical("complete", posed)


def missing(model: Learner, x: Tensor, known: Tensor) -> Tensor:
    """(B,) nats: -log p(the values of x that are not known | those that are), the label summed over if there is one.

    p(x) / p(known), and what is known comes first in the model's order, so that its probability is a product too.
    """
    given, whole = joint_log_prob(model, Batch(x), known, torch.ones_like(known))
    return given.logsumexp(1) - whole.logsumexp(1)
