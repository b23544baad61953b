"""The files that a unit's code digest starts from: its stage file, and the modules that it imports by name.

A name that is made at run time is not seen in the sources, so it is given here: a modality's reader and split, the
models, the baselines of a modality, the metrics.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

SCIENCE = Path("src/genfoundry")
STAGES = Path("pipeline/stages")
TUNING = STAGES / "tune.py"  # what a training without a search leaves out
WATCHING = SCIENCE / "evaluation/class_share.py"  # what a training without a judge leaves out


def find_starts(
    stage: str, modality: str = "", models: Collection[str] = (), metrics: Collection[str] = (), root: Path = Path()
) -> list[Path]:
    """Return the files, relative to `root`, that a unit's digest starts from.

    Args:
        stage: the name of the stage.
        modality: that of the unit's data set; "" for a stage of no data set.
        models: those that the unit builds or loads: the experiment's, and its data set's judge where it is loaded.
        metrics: the files of `evaluation/metrics` that it computes: in a training that tunes that of its objective.
    """
    starts = [STAGES / f"{stage}.py", *(SCIENCE / f"models/{name}.py" for name in sorted(set(models)))]
    starts += [SCIENCE / f"evaluation/metrics/{name}.py" for name in sorted(set(metrics))]
    if modality:
        starts.append(SCIENCE / ("data/modalities" if stage == "prepare" else "data/splits") / f"{modality}.py")
    if modality and stage in ("baseline", "evaluate"):  # some modalities have no trivial models
        starts += [path for path in [SCIENCE / f"evaluation/baselines/{modality}.py"] if (root / path).exists()]
    return starts
