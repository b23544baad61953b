"""Continuing a text: what a window's second half costs given the first, and what the model writes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from genfoundry.data.alphabet import decode
from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices
from genfoundry.evaluation import plots
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.predictions import Scores
from genfoundry.models.abilities import Autoregressive
from genfoundry.models.base import GenerativeModel, Learner
from genfoundry.nn.autoregressive.ancestral import nll_per_value
from genfoundry.seeding import derive_seed
from genfoundry.splits import Contiguous

if TYPE_CHECKING:
    from genfoundry.evaluation.context import Bench

ITEMS, SHOWN = 500, 6  # of test


@torch.no_grad()
def continued(model: Learner, bench: Bench, seed: int) -> Scores:
    """`continue_nats_per_char` (n,): of the true continuation. A text: what is given, what is drawn, what was there."""
    split = bench.split
    if not isinstance(model, GenerativeModel) or not isinstance(split, Contiguous) or split.spec.dims < 2:
        return {}
    if not isinstance(model, Autoregressive):
        return {}
    index, given, parts = sample_indices(split, min(ITEMS, len(split))), split.spec.dims // 2, []
    for batch in iter_batches(split, index, EVAL_BATCH):
        parts.append(nll_per_value(model, batch.to(model.device))[:, given:].mean(1).cpu().double())
    shown = split.eval_batch(index[:SHOWN].to(split.tensor.device)).x
    torch.manual_seed(derive_seed(seed, split.name, "continue"))
    drawn = model.sample(len(shown), cond=shown[:, :given])[:, : split.spec.dims - given]
    alphabet = str(bench.dataset.meta.get("alphabet") or "")
    rows = (("given", shown[:, :given]), ("continued", drawn), ("as it was", shown[:, given:]))
    texts = [(title, [decode(row, alphabet) for row in x.cpu().numpy()]) for title, x in rows]
    blocks = ["\n".join(f"[{title}]\n{each[i]}" for title, each in texts) for i in range(len(shown))]
    bench.drawings["continued"] = lambda path: plots.write_texts(path.with_suffix(".txt"), blocks)
    return grouped({"continue_nats_per_char": torch.cat(parts).numpy()}, split, index)
