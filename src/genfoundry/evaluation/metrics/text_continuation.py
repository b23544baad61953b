"""Continuation of a text: what a window's second half costs given the first, and what the model writes there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from genfoundry.evaluation import plots
from genfoundry.evaluation.metric import Draw, Metric, Requirement
from genfoundry.evaluation.scores import Outputs, Scores, add_groups
from genfoundry.seeding import derive_seed
from genfoundry.splits import Contiguous

if TYPE_CHECKING:
    from pathlib import Path

    from genfoundry.evaluation.context import EvalContext

ITEMS, SHOWN = 500, 6  # of test


def continue_text(model: Any, context: EvalContext) -> Outputs:
    """ "continuation_nats" (n,) a character of the true continuation, and "continuations" of the first items."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices
    from genfoundry.nn.autoregressive.ancestral import nll_per_value

    split = context.split
    if not isinstance(split, Contiguous) or split.spec.dims < 2:
        return {}
    index, given, parts = sample_indices(split, min(ITEMS, len(split))), split.spec.dims // 2, []
    for batch in iter_batches(split, index, EVAL_BATCH):
        parts.append(nll_per_value(model, batch.to(model.device))[:, given:].mean(1).cpu().double())  # (B,)
    shown = split.eval_batch(index[:SHOWN].to(split.tensor.device)).x
    torch.manual_seed(derive_seed(context.seed, split.name, "continue"))
    drawn = model.sample(len(shown), cond=shown[:, :given])[:, : split.spec.dims - given]
    return {"continuation_nats": torch.cat(parts), "continuation_index": index, "continuations": drawn.cpu()}


def score_continuations(outputs: Outputs, context: EvalContext) -> Scores:
    """ "continue_nats_per_char" (n,)."""
    if "continuation_nats" not in outputs:
        return {}
    nats = {"continue_nats_per_char": outputs["continuation_nats"].numpy()}
    return add_groups(nats, context.split, outputs["continuation_index"])


def plot_continuations(outputs: Outputs, context: EvalContext) -> dict[str, Draw]:
    """A text: what is given, what is drawn, what was there."""
    from genfoundry.data.alphabet import decode

    if "continuations" not in outputs:
        return {}
    split, given = context.split, context.split.spec.dims // 2
    shown = split.eval_batch(outputs["continuation_index"][:SHOWN].to(split.tensor.device)).x
    alphabet = str(context.dataset.meta.get("alphabet") or "")
    rows = {"given": shown[:, :given], "continued": outputs["continuations"], "as it was": shown[:, given:]}
    texts = {title: [decode(row, alphabet) for row in x.cpu().numpy()] for title, x in rows.items()}
    blocks = ["\n".join(f"[{title}]\n{text[i]}" for title, text in texts.items()) for i in range(len(shown))]
    return {"continued": partial(_write, blocks=blocks)}


def _write(path: Path, blocks: list[str]) -> None:
    plots.write_texts(path.with_suffix(".txt"), blocks)


METRICS = (
    Metric(
        name="continue_nats_per_char",
        title="continuation, nats/char",
        unit="nats",
        direction="minimize",
        description="negative log-likelihood of a window's second half given the first",
        requires=Requirement(
            "likelihood of a continuation",
            ("GenerativeModel", "Autoregressive"),
            lambda model, judge: "no likelihood of a part",
        ),
        group="likelihood",
        inputs=("continue_nats_per_char",),
        modalities=("text",),
        column=False,
        test_only=True,
        predict=continue_text,
        score=score_continuations,
        plots=plot_continuations,
    ),
)
