"""What the evaluation stages write: scores and figures of an experiment, of a task's trivial models, and panels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry import baseline, checkpoint, metrics, panels
from genfoundry.data.base import Dataset
from genfoundry.evaluate import Scores, answers, judge, score
from genfoundry.models.base import Learner

if TYPE_CHECKING:
    from genfoundry.data.base import Split

SPLITS = ("val", "gate", "test")  # ranked on, promoted on, reported


def write_scores(folder: Path, card: Mapping[str, Any], scores: Mapping[str, NDArray[np.generic]]) -> None:
    """card.json and scores.safetensors."""
    from safetensors.numpy import save

    checkpoint.write_bytes(folder / "scores.safetensors", save({k: np.ascontiguousarray(v) for k, v in scores.items()}))
    checkpoint.write_json(folder / "card.json", card)


def of_experiment(
    model: Path,
    data: Path,
    judge_folder: Path,
    *,
    scores: Path,
    figures: Path,
    pictures: Path,
    samples: int,
    seed: int,
    device: str = "cpu",
) -> None:
    """Measure the model in a folder on val, gate and test; write scores, the flat figures on test, and panels.

    Args:
        model, data, judge_folder: folders of the trained model, the prepared data set and its judge.
        scores: folder for card.json and scores.safetensors, which is all that the ranking reads.
        figures: file of the flat figures on test.
        pictures: folder of panels on test.
        samples: number of images to draw a split (fewer where the split has fewer items).
        seed: of all noise.
        device: what model and judge run on.
    """
    learner, dataset, judging = checkpoint.load(model, device), Dataset(data), judge(judge_folder, device)
    card: dict[str, Any] = learner.card
    how = {key: card.get("data", {}).get(key) for key in ("levels", "binarise")}
    per_split: dict[str, dict[str, float]] = {}
    kept: Scores = {}
    for name in SPLITS:
        split = dataset.split(name, **how)
        found = answers(learner, split, samples=samples, seed=seed)
        scored = score(found, split, judging)
        per_split[name] = _figures(scored, split, dataset.modality)
        kept |= {f"{name}/{key}": value for key, value in scored.items()}
    about = {key: card.get(key) for key in ("experiment", "model", "task", "dataset", "digest")}
    about |= {**how, **_about(dataset, judging), "likelihood": getattr(learner, "likelihood", "none")}
    with checkpoint.fresh(scores) as folder:
        write_scores(folder, {**about, "dims": split.spec.dims, "figures": per_split}, kept)
    anchors = baseline.anchors(dataset.split("train", **how), dataset.modality, samples)
    beside = {row: score(row.answers(split), split, judging, scored.get("real")) for row in anchors}
    flat = {**per_split["test"], **_anchored(beside, per_split["test"], split.spec.dims)}
    checkpoint.write_json(figures, {**flat, "likelihood": about["likelihood"]})
    with checkpoint.fresh(pictures) as folder:
        panels.draw(folder, found, split, dataset.meta)
        panels.draw_model(folder, learner, split, dataset.meta, seed)


def _about(dataset: Dataset, judging: Learner | None) -> dict[str, Any]:
    """What figures are stated with: the data's digest; the judge's digest and accuracy."""
    if judging is None:
        return {"data": dataset.meta["digest"], "judge": None}
    hits = judging.card.get("accuracy", {}).get("test")
    return {"data": dataset.meta["digest"], "judge": {"digest": judging.card["digest"], "accuracy": hits}}


def _figures(scores: Scores, split: Split, modality: str) -> dict[str, float]:
    found = metrics.figures(scores, split.spec.dims, modality) | {"n": len(split)}
    return found | ({"frechet_n": len(scores["features"])} if "features" in scores else {})


def _anchored(anchors: Mapping[baseline.Row, Scores], own: Mapping[str, float], dims: int) -> dict[str, float]:
    """`frechet_floor`, `mae_persistence`, ...: the anchors' figures, for the objectives that the model has too."""
    return {
        f"{name}_{row.role if row.role in ('floor', 'ceiling') else row.name}": unit.value(scores, dims)
        for row, scores in anchors.items()
        for name, unit in metrics.OBJECTIVES.items()
        if name in own and all(need in scores for need in unit.needs)
    }


def of_baselines(
    task: str,
    data: Path,
    judge_folder: Path,
    *,
    out: Path,
    levels: int | None,
    binarise: str | None,
    samples: int,
    seed: int,
) -> None:
    """The trivial models of a task: card.json (`rows`), scores.safetensors ("<row>/<split>/<score>") and pictures."""
    dataset, judging = Dataset(data), judge(judge_folder)
    how: Any = {"levels": levels, "binarise": binarise}
    splits = {name: dataset.split(name, **how) for name in SPLITS}
    rows = baseline.rows(dataset.split("train", **how), dataset.modality, samples, seed, dataset.meta.get("alphabet"))
    cards: dict[str, Any] = {}
    kept: Scores = {}
    real: dict[str, NDArray[np.generic]] = {}
    with checkpoint.fresh(out) as folder:
        for row in rows:
            cards[row.name] = {"role": row.role, "likelihood": row.likelihood, "figures": {}}
            for name in SPLITS if row.role != "compressor" else SPLITS[-1:]:
                found = row.answers(splits[name])
                scored = score(found, splits[name], judging, real.get(name))
                real |= {name: scored["real"]} if "real" in scored else {}
                cards[row.name]["figures"][name] = _figures(scored, splits[name], dataset.modality)
                kept |= {f"{row.name}/{name}/{key}": value for key, value in scored.items()}
            panels.draw(folder, found, splits["test"], dataset.meta, row.name)
        about = {"task": task, "dataset": data.name, **how, **_about(dataset, judging)}
        write_scores(folder, {**about, "dims": splits["test"].spec.dims, "rows": cards}, kept)
