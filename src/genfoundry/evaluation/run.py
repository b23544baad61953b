"""Evaluation stages: write scores, metrics and pictures of an experiment, and of a task's reference models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry import files
from genfoundry.config import Bound
from genfoundry.data.dataset import Dataset, Subset
from genfoundry.data.iterate import sample_items
from genfoundry.evaluation import anchors, card, panels, random_features
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.baselines import base as baselines
from genfoundry.evaluation.cache import Shared
from genfoundry.evaluation.context import EvalContext, SplitContext
from genfoundry.evaluation.judge import load_judge
from genfoundry.evaluation.metrics import metrics_of, metrics_on_every_split, metrics_on_test
from genfoundry.evaluation.objectives import objectives
from genfoundry.evaluation.predict import predict, score
from genfoundry.evaluation.remarks import list_remarks
from genfoundry.evaluation.scores import Outputs, Scores
from genfoundry.models import checkpoint

if TYPE_CHECKING:
    from genfoundry.models.base import Learner

BOUND = Bound()
SPLITS = ("val", "gate", "test")  # ranked on, promoted on, reported


def evaluate_experiment(
    model: Path,
    data: Path,
    judge_folder: Path | None,
    *,
    scores: Path,
    figures: Path,
    pictures: Path,
    objective: str,
    samples: int,
    seed: int,
    device: str = "cpu",
    bound: Bound = BOUND,
    test_items: int | None = None,
    shared: Shared | None = None,
) -> None:
    """Measure the model in a folder on val, gate and test; write scores, the headline metrics, and panels.

    Args:
        model, data, judge_folder: folders of the trained model, the prepared data set and its judge, if it has one.
        scores: folder for card.json, with every metric, and scores.safetensors, which is all that the ranking reads.
        figures: file of the headline metrics.
        pictures: folder of panels on test.
        objective: what the experiment's task ranks by, the headline metric.
        samples: number of images to draw a split (fewer where the split has fewer items).
        seed: of all noise.
        device: what model and judge run on.
        bound: draws and items of the importance-weighted bound.
        test_items: of how many images of test the metrics are; None: of all.
        shared: what other evaluations by the same code computed of the same data, to read and add to.
    """
    learner, dataset, judge = checkpoint.load(model, device), Dataset(data), load_judge(judge_folder, device)
    modality, about = dataset.modality, card.describe_model(learner.card)
    how = {key: about[key] for key in ("levels", "binarise")}
    inputs = _read_splits(dataset, samples, seed, how, test_items)
    control = random_features.load(judge_folder, device)
    # What cached arrays are functions of, beside their names
    sizes = {name: len(split) for name, split in inputs.held_out.items()}
    digests = [network and network.card["digest"] for network in (judge, control)]
    shared = (shared or Shared()).of(dataset.meta, sizes, *digests).of(how, seed, device)
    contexts, test = _make_contexts(dataset, inputs, judge, control, shared)
    test.bound, test.binarise, test.without = bound, how["binarise"], tuple(about["without"])
    per_split: dict[str, dict[str, float]] = {}
    saved: dict[str, Any] = {}
    for name, context in contexts.items():
        outputs = predict(learner, context)
        scored = score(outputs, context)
        per_split[name] = _aggregate_split(scored, context, modality)
        saved |= {f"{name}/{key}": value for key, value in scored.items()}
    # The loop has left the outputs and scores of test, the last split
    extra = {**outputs, **_predict_test_only(learner, test)}
    scored = {**scored, **score(extra, test, metrics_on_test(modality))}
    per_split["test"] = aggregate(scored, test.split.spec.dims, modality) | {"n": len(test.split)}
    per_split["test"] |= {"iw_k": bound.k, "iw_n": len(scored["bound_gap"])} if "bound_gap" in scored else {}
    about |= {**card.describe_data(dataset, judge), **card.describe_likelihood(learner), "seed": seed}
    about |= {"absent": card.explain_absent(per_split["test"], modality, learner, judge)}
    about |= {"beside": _measure_beside(extra, test), "notes": card.note_collapse(per_split["test"], learner.card)}
    about |= {"seeds": _compare_seeds(model, contexts, per_split, modality, device)}
    about |= {"anchors": anchors.measure_anchors(inputs, modality, test, per_split["test"])}
    with files.replace_dir(scores) as folder:
        card.write_card(folder, {**about, "dims": test.split.spec.dims, "figures": per_split}, saved)
    card.write_headline(figures, objective, per_split)
    with files.replace_dir(pictures) as folder:
        panels.write_panels(folder, learner, test.split, dataset.meta, seed)
        panels.write_predictions(folder, outputs, test.split, dataset.meta)
        for plot in dict.fromkeys(m.plots for m in metrics_of(modality) if m.plots is not None):
            for name, draw in plot(extra, test).items():
                draw(folder / f"{name}.png")
        if "samples" in outputs and len(test.split.spec.shape) == 3:
            panels.write_tiles(
                folder, outputs["samples"], sample_items(test.split, panels.GRID), test.split.spec.levels
            )


def evaluate_baselines(
    task: str,
    data: Path,
    judge_folder: Path | None,
    *,
    dataset_name: str,
    out: Path,
    levels: int | None,
    binarise: str | None,
    labels: int | None = None,
    objective: str = "",
    samples: int,
    seed: int,
    test_items: int | None = None,
) -> None:
    """Measure the trivial models of a task; write card.json (`rows`), scores.safetensors and pictures.

    Args:
        task, dataset_name: names of the task and its data set.
        data, judge_folder: folders of the prepared data set and its judge, if it has one.
        out: folder for the card, the scores ("<row>/<split>/<score>") and a picture a row.
        levels, binarise, labels, objective: the task's.
        samples: number of images to draw a split (fewer where the split has fewer items).
        seed: of all noise.
        test_items: of how many images of test the metrics are; None: of all.
    """
    dataset, judge = Dataset(data), load_judge(judge_folder)
    how: dict[str, Any] = {"levels": levels, "binarise": binarise}
    inputs = _read_splits(dataset, samples, seed, how, test_items)
    inputs = replace(inputs, objective=objective, dataset=dataset_name, labels=labels)
    contexts, test = _make_contexts(dataset, inputs, judge, random_features.load(judge_folder), None)
    rows: dict[str, Any] = {}
    saved: dict[str, Any] = {}
    with files.replace_dir(out) as folder:
        for row in baselines.fit_baselines(inputs, dataset.modality):
            rows[row.name] = card.describe_baseline(row)
            for name, context in contexts.items():
                outputs = row.predict(context.split)
                scored = score(outputs, context)
                rows[row.name]["figures"][name] = _aggregate_split(scored, context, dataset.modality)
                saved |= {f"{row.name}/{name}/{key}": value for key, value in scored.items()}
            # As above, those of test
            scored = {**scored, **score(outputs, test, metrics_on_test(dataset.modality))}
            metrics = aggregate(scored, test.split.spec.dims, dataset.modality) | {"n": len(test.split)}
            rows[row.name]["figures"]["test"] = metrics
            panels.write_predictions(folder, outputs, test.split, dataset.meta, row.name)
        about = {"task": task, "dataset": dataset_name, **how, "labels": labels, **card.describe_data(dataset, judge)}
        about |= {"seed": seed, "remarks": list(list_remarks(inputs.held_out, labels)), "dims": test.split.spec.dims}
        card.write_card(folder, {**about, "rows": rows}, saved)


def _read_splits(
    dataset: Dataset, samples: int, seed: int, how: dict[str, Any], test_items: int | None
) -> baselines.BaselineInputs:
    """Train and the held-out splits; every row of a table compares as many samples with as many real items.

    No more than there are other held-out items, which real items are compared with.
    """
    held_out = {name: dataset.split(name, **how) for name in SPLITS}
    if test_items is not None and dataset.modality == "images" and test_items < len(held_out["test"]):
        held_out["test"] = Subset(held_out["test"], test_items)
    total = sum(map(len, held_out.values()))
    sizes = {name: min(samples, len(split), total - len(split)) for name, split in held_out.items()}
    alphabet = str(dataset.meta.get("alphabet") or "")
    return baselines.BaselineInputs(dataset.split("train", **how), held_out, sizes, seed, alphabet)


def _make_contexts(
    dataset: Dataset,
    inputs: baselines.BaselineInputs,
    judge: Learner | None,
    control: Learner | None,
    shared: Shared | None,
) -> tuple[dict[str, SplitContext], EvalContext]:
    """The contexts by split, in the order of `SPLITS`, and that of test."""

    def about(name: str) -> dict[str, Any]:
        common = {"judge": judge, "seed": inputs.seed, "shared": shared}
        return {"split": inputs.held_out[name], "samples": inputs.sample_counts[name], **common}

    test = EvalContext(**about("test"), dataset=dataset, train=inputs.train, control=control)
    return {name: test if name == "test" else SplitContext(**about(name)) for name in SPLITS}, test


def _aggregate_split(scores: Scores, context: SplitContext, modality: str) -> dict[str, float]:
    return aggregate(scores, context.split.spec.dims, modality, on_test=False) | {"n": len(context.split)}


def _predict_test_only(model: Learner, context: EvalContext) -> Outputs:
    done = {metric.predict for metric in metrics_on_every_split()}
    return predict(model, context, [m for m in metrics_on_test(context.dataset.modality) if m.predict not in done])


def _measure_beside(outputs: Outputs, context: EvalContext) -> dict[str, dict[str, float]]:
    """Metrics of classical methods for the same problems (filters, inpainting ...), by their names."""
    methods: dict[str, dict[str, Any]] = {}
    for call in dict.fromkeys(m.beside for m in metrics_of(context.dataset.modality) if m.beside is not None):
        for name, scores in call(outputs, context).items():
            methods[name] = methods.get(name, {}) | dict(scores)
    return {name: aggregate(scores, 1, "images") for name, scores in methods.items()}


def _compare_seeds(
    model: Path, contexts: Mapping[str, SplitContext], per_split: Mapping[str, Mapping[str, float]], modality: str,
    device: str,
) -> dict[str, Any]:  # fmt: skip
    """Objectives over training seeds: `values` and `spread` (standard deviation) on test, `val_spread` on val."""
    folders = sorted((model / "seeds").glob("*"), key=lambda p: int(p.name))  # 10 after 9
    rows: dict[str, list[Mapping[str, float]]] = {name: [per_split[name]] for name in ("val", "test")}  # the model's
    for folder in folders:
        learner = checkpoint.load(folder, device)
        for name, context in ((name, contexts[name]) for name in rows):
            scores = score(predict(learner, context), context)
            rows[name].append(_aggregate_split(scores, context, modality))
    values = {
        split: {o: [metrics[o] for metrics in seeds] for o in objectives() if all(o in metrics for metrics in seeds)}
        for split, seeds in rows.items()
    }
    spread: dict[str, dict[str, float]] = {"val": {}, "test": {}}
    if folders:
        spread = {split: {o: float(np.std(v, ddof=1)) for o, v in of.items()} for split, of in values.items()}
    return {"n": 1 + len(folders), "values": values["test"], "spread": spread["test"], "val_spread": spread["val"]}
