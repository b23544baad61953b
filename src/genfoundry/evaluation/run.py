"""What the evaluation stages write: scores and figures of an experiment, of a task's trivial models, and panels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry import files
from genfoundry.config import Bound
from genfoundry.data.dataset import Dataset, Subset
from genfoundry.data.iterate import sample_items
from genfoundry.evaluation import anchors, objective_intervals, objectives, panels, random_features, yardstick
from genfoundry.evaluation.baselines import base as baselines
from genfoundry.evaluation.cache import Shared
from genfoundry.evaluation.context import Bench, abilities, real_features, reasons
from genfoundry.evaluation.context import samples as samples_of
from genfoundry.evaluation.judge import load as judge
from genfoundry.evaluation.predict import answers, score
from genfoundry.evaluation.predictions import Scores
from genfoundry.evaluation.remarks import remarks
from genfoundry.models import checkpoint
from genfoundry.models.base import GenerativeModel, Learner

if TYPE_CHECKING:
    from genfoundry.splits import Split

BOUND = Bound()
COLLAPSED = 1.0  # nats a sample: codes that carry less are not in use
SPLITS = ("val", "gate", "test")  # ranked on, promoted on, reported
DIGITS = 5  # significant digits of a headline figure: a table of all experiments fits a terminal


def write_scores(folder: Path, card: Mapping[str, Any], scores: Mapping[str, NDArray[np.generic]]) -> None:
    """card.json and scores.safetensors."""
    from safetensors.numpy import save

    files.write_bytes(folder / "scores.safetensors", save({k: np.ascontiguousarray(v) for k, v in scores.items()}))
    files.write_json(folder / "card.json", card)


def of_experiment(
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
    """Measure the model in a folder on val, gate and test; write scores, the headline figures, and panels.

    Args:
        model, data, judge_folder: folders of the trained model, the prepared data set and its judge, if it has one.
        scores: folder for card.json, with every figure, and scores.safetensors, which is all that the ranking reads.
        figures: file of the headline figures.
        pictures: folder of panels on test.
        objective: what the experiment's task ranks by, the headline figure.
        samples: number of images to draw a split (fewer where the split has fewer items).
        seed: of all noise.
        device: what model and judge run on.
        bound: draws and items of the importance-weighted bound.
        test_items: of how many images of test the figures are; None: of all.
        shared: what other evaluations by the same code computed of the same data, to read and add to.
    """
    learner, dataset, judging = checkpoint.load(model, device), Dataset(data), judge(judge_folder, device)
    card: dict[str, Any] = learner.card
    how = {key: card.get("data", {}).get(key) for key in ("levels", "binarise")}
    known = _known(dataset, samples, seed, how, test_items)
    control = random_features.load(judge_folder, device)
    shared = _shared(shared or Shared(), dataset, known, (judging, control)).of(how, seed, device)
    per_split: dict[str, dict[str, float]] = {}
    kept: Scores = {}
    for name in SPLITS:
        split = known.held_out[name]
        found = answers(learner, split, samples=known.sample_counts[name], seed=seed)
        scored = score(found, split, judging, real_features(shared, split, found, judging))
        if name != "test":
            per_split[name] = _figures(scored, split, dataset.modality)
        kept |= {f"{name}/{key}": value for key, value in scored.items()}
    bench = Bench(dataset, known.train, split, judging, found, bound, how["binarise"], _without(card))
    bench = replace(bench, control=control, shared=shared)
    own, beside = abilities(learner, bench, seed, known.sample_counts["test"])
    everything = {**scored, **samples_of(found, bench), **own}
    per_split["test"] = yardstick.figures(everything, split.spec.dims, dataset.modality) | {"n": len(split)}
    per_split["test"] |= {"iw_k": bound.k, "iw_n": len(own["bound_gap"])} if "bound_gap" in own else {}
    about = {key: card.get(key) for key in ("experiment", "model", "task", "dataset", "digest")}
    about |= {"labels": card.get("data", {}).get("labels"), "without": list(_without(card))}
    about |= {**how, **_about(dataset, judging), "likelihood": getattr(learner, "likelihood", "none"), "seed": seed}
    about |= {"absent": _absent(per_split["test"], dataset.modality, learner, judging), "beside": _beside(beside)}
    about |= {"notes": _notes(per_split["test"])}
    steps = card.get("train", {}).get("steps")
    about |= {"steps": None if steps is None else sum(steps.values())}
    about |= {"seeds": _seeds(model, known, judging, dataset.modality, per_split, seed, device, shared)}
    about |= {"anchors": anchors.of(known, dataset.modality, judging, shared, per_split["test"])}
    with files.replace_dir(scores) as folder:
        write_scores(folder, {**about, "dims": split.spec.dims, "figures": per_split}, kept)
    files.write_json(figures, headline(objective, per_split))
    with files.replace_dir(pictures) as folder:
        panels.write_panels(folder, learner, split, dataset.meta, seed)
        _draw(folder, bench)


def headline(objective: str, per_split: Mapping[str, Mapping[str, float]]) -> dict[str, str | float]:
    """What DVC shows of an experiment: its objective on val, gate and test, the ends of the 95% interval on test.

    Figures that are unknown are absent; every figure in full is in the card.
    """
    places = {split: (split, objective) for split in SPLITS}
    places |= {end: ("test", f"{objective}_{end}") for end in ("low", "high")}
    values = {key: per_split.get(split, {}).get(name) for key, (split, name) in places.items()}
    rounded = {key: float(f"{value:.{DIGITS}g}") for key, value in values.items() if value is not None}
    return {"objective": objective, **rounded}


def _shared(
    shared: Shared, dataset: Dataset, known: baselines.BaselineInputs, networks: tuple[Learner | None, Learner | None]
) -> Shared:
    """What may be shared by evaluations of the same data, of as many items a split, in these networks' features."""
    sizes = {name: len(split) for name, split in known.held_out.items()}
    return shared.of(dataset.meta, sizes, *((n and n.card["digest"]) for n in networks))


def _draw(folder: Path, bench: Bench) -> None:
    """What was answered, and what the examination left behind."""
    panels.write_predictions(folder, bench.found, bench.split, bench.dataset.meta)
    panels.write_sheets(folder, bench.pictures, bench.split.spec.levels)
    for name, drawing in bench.drawings.items():
        drawing(folder / f"{name}.png")
    if "samples" in bench.found and len(bench.split.spec.shape) == 3:
        panels.write_tiles(
            folder, bench.found["samples"], sample_items(bench.split, panels.GRID), bench.split.spec.levels
        )


def _without(card: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(card.get("data", {}).get("without") or ())


def _known(dataset: Dataset, samples: int, seed: int, how: Any, test_items: int | None) -> baselines.BaselineInputs:
    """Train and the held-out splits; every row of a table compares as many samples with as many real items.

    No more than there are other held-out items, which real items are compared with.
    """
    held = {name: dataset.split(name, **how) for name in SPLITS}
    if test_items is not None and dataset.modality == "images" and test_items < len(held["test"]):
        held["test"] = Subset(held["test"], test_items)
    total = sum(map(len, held.values()))
    sizes = {name: min(samples, len(split), total - len(split)) for name, split in held.items()}
    alphabet = str(dataset.meta.get("alphabet") or "")
    return baselines.BaselineInputs(dataset.split("train", **how), held, sizes, seed, alphabet)


def _seeds(
    model: Path, known: baselines.BaselineInputs, judging: Learner | None, modality: str,
    per_split: Mapping[str, Mapping[str, float]], seed: int, device: str, shared: Shared,
) -> dict[str, Any]:  # fmt: skip
    """What other training seeds give: `values` and `spread` (standard deviation) on test, `val_spread` on val."""
    folders = sorted((model / "seeds").glob("*"), key=lambda p: int(p.name))
    found: dict[str, list[Mapping[str, float]]] = {name: [per_split[name]] for name in ("val", "test")}
    for folder in folders:
        learner = checkpoint.load(folder, device)
        for name, rows in found.items():
            split = known.held_out[name]
            answered = answers(learner, split, samples=known.sample_counts[name], seed=seed)
            scored = score(answered, split, judging, real_features(shared, split, answered, judging))
            rows.append(_figures(scored, split, modality))
    out: dict[str, Any] = {"n": 1 + len(folders)}
    values = {name: {o: [row[o] for row in rows] for o in objectives.OBJECTIVES if all(o in row for row in rows)}
              for name, rows in found.items()}  # fmt: skip
    if not folders:
        return out | {"values": values["test"], "spread": {}, "val_spread": {}}
    spread = {name: {o: float(np.std(v, ddof=1)) for o, v in rows.items()} for name, rows in values.items()}
    return out | {"values": values["test"], "spread": spread["test"], "val_spread": spread["val"]}


def _absent(figures: Mapping[str, float], modality: str, learner: Learner, judging: Learner | None) -> dict[str, str]:
    """Why a figure that models of such data can have is not there."""
    sampled = "no judge" if judging is None else "not finite, or too few items"
    sampled = sampled if isinstance(learner, GenerativeModel) else "draws no samples"
    labels = "not class-conditional" if judging is None or judging.spec.classes else "no labels"
    why = {"likelihood": "no likelihood" if getattr(learner, "likelihood", "none") == "none" else "not finite"}
    why |= {"samples": sampled, "labels": labels}
    why |= {"restore": "does not restore", "complete": "does not complete", "classify": "tells no classes"}
    why |= {"stream": "carries no state"}
    why |= reasons(learner, judging)
    return {
        f.name: why[f.needs] for f in yardstick.FIGURES.values() if modality in f.modalities and f.name not in figures
    }


def _notes(figures: Mapping[str, float]) -> list[str]:
    """What has to be said of a model beside its figures: that its posterior is its prior."""
    rate = figures.get("rate", COLLAPSED)
    return [f"collapsed: rate {rate:.2g} nats"] if rate < COLLAPSED else []


def _beside(found: Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    """Figures of classical methods that restore what a model restores."""
    return {name: yardstick.figures(scores, 1, "images") for name, scores in found.items()}


def _about(dataset: Dataset, judging: Learner | None) -> dict[str, Any]:
    """What figures are stated with: the data's digest; the judge's digest and accuracy."""
    if judging is None:
        return {"data": dataset.meta["digest"], "judge": None}
    hits = judging.card.get("accuracy", {}).get("test")
    kind = getattr(judging, "kind", "classes")
    return {"data": dataset.meta["digest"], "judge": {"digest": judging.card["digest"], "accuracy": hits, "kind": kind}}


def _figures(scores: Scores, split: Split, modality: str) -> dict[str, float]:
    return objective_intervals.figures(scores, split.spec.dims, modality) | {"n": len(split)}


def of_baselines(
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
    """The trivial models of a task: card.json (`rows`), scores.safetensors ("<row>/<split>/<score>") and pictures."""
    dataset, judging = Dataset(data), judge(judge_folder)
    how: Any = {"levels": levels, "binarise": binarise}
    known = _known(dataset, samples, seed, how, test_items)
    known = replace(known, objective=objective, dataset=dataset_name, labels=labels)
    bench = Bench(dataset, known.train, known.held_out["test"], judging, control=random_features.load(judge_folder))
    cards: dict[str, Any] = {}
    kept: Scores = {}
    real: dict[str, NDArray[np.generic]] = {}
    with files.replace_dir(out) as folder:
        for row in baselines.fit_baselines(known, dataset.modality):
            cards[row.name] = {
                "role": row.role,
                "likelihood": row.likelihood,
                "absent": dict(row.absent),
                "figures": {},
            }
            for name in SPLITS:
                split = known.held_out[name]
                found = row.predict(split)
                scored = score(found, split, judging, real.get(name))
                real |= {name: scored["real"]} if "real" in scored else {}
                if name != "test":
                    cards[row.name]["figures"][name] = _figures(scored, split, dataset.modality)
                kept |= {f"{row.name}/{name}/{key}": value for key, value in scored.items()}
            everything = {**scored, **samples_of(found, bench)}
            shown = yardstick.figures(everything, split.spec.dims, dataset.modality) | {"n": len(split)}
            cards[row.name]["figures"]["test"] = shown
            panels.write_predictions(folder, found, split, dataset.meta, row.name)
        about = {
            "task": task,
            "dataset": dataset_name,
            **how,
            "labels": labels,
            **_about(dataset, judging),
            "seed": seed,
        }
        about |= {"remarks": list(remarks(known.held_out, labels))}
        write_scores(folder, {**about, "dims": known.held_out["test"].spec.dims, "rows": cards}, kept)
