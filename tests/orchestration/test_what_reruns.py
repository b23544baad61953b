"""What an edit of the sources re-runs: the units whose plan is another, and those that read their outs (`due`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
from plan_edits import LAST, PARAMS, SEARCHES, SKIPPED, Copy, units

from genfoundry import models
from genfoundry.training.health import is_adversarial
from pipeline.orchestration.code_digest import Code
from pipeline.orchestration.skipped_units import is_skipped
from pipeline.orchestration.unit import Unit

SCIENCE = "src/genfoundry"


def add_code(text: str) -> str:
    return text + "\nEDITED = 1\n"


def add_words(text: str) -> str:
    """Another module docstring, and comments at both ends."""
    return "# edited\n" + re.sub(r'^"""', '"""Edited. ', text) + "\n# edited\n"


def of_model(model: str) -> set[str]:
    entries = PARAMS.experiments.items()
    names = [name for name, entry in entries if entry.model == model and name not in SKIPPED["experiments"]]
    return {f"{stage}@{name}" for stage in ("train", "evaluate") for name in names}


def find_adversarial() -> list[str]:
    return [name for name in models.names() if is_adversarial(models.find(name))]


def of(*modalities: str) -> Callable[[str], bool]:
    return lambda dataset: PARAMS.datasets[dataset].modality in modalities


def test_the_plan_has_a_unit_for_everything(copy: Copy) -> None:
    running = {key for key, unit in copy.units.items() if not is_skipped(unit)}
    assert running == units("fetch prepare validate judge baseline train evaluate rank register report")
    assert copy.edit("params.yaml", str).changed == set()


def test_a_comment_or_a_docstring_anywhere_re_runs_nothing(copy: Copy) -> None:
    assert copy.edit("src/**/*.py pipeline/**/*.py", add_words).changed == set()


MACHINERY = [f"{SCIENCE}/{name}/**/*.py" for name in ("tracking", "reporting", "serving", "onboarding", "data/fetch")]
MACHINERY += ["pipeline/orchestration/**/*.py", "pipeline/commands/*.py", "pipeline/__*__.py"]


@pytest.mark.parametrize("patterns", [*MACHINERY, "pipeline/stages/plan.py"])
def test_an_edit_of_machinery_re_runs_nothing(patterns: str, copy: Copy) -> None:
    assert copy.edit(patterns, add_code).changed == set()


MODALITIES = sorted({dataset.modality for dataset in PARAMS.datasets.values()})


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_modality_re_runs_its_data_sets_and_what_depends_on_them(modality: str, copy: Copy) -> None:
    every = units("prepare validate judge baseline train evaluate", of(modality))
    edit = copy.edit(f"{SCIENCE}/data/modalities/{modality}.py", add_code)
    assert units("prepare", of(modality)) <= edit.changed <= every
    assert edit.due == every | LAST
    splits = copy.edit(f"{SCIENCE}/data/splits/{modality}.py", add_code).changed
    assert units("judge baseline train evaluate", of(modality)) <= splits <= every


@pytest.mark.parametrize("model", ["vae", "ss_vae", "dcgan", "char_rnn", "linear_ar"])
def test_a_model_re_runs_its_experiments(model: str, copy: Copy) -> None:
    edit = copy.edit(f"{SCIENCE}/models/{model}.py", add_code)
    assert edit.changed == of_model(model)
    assert edit.due == edit.changed | LAST


def test_the_model_of_judges_re_runs_them_and_what_they_measure(copy: Copy) -> None:
    """Of the trainings those alone that tune on a data set with a judge, or whose samples it classifies meanwhile."""
    judged = PARAMS.judges.__contains__
    edit = copy.edit(f"{SCIENCE}/models/families/feature_network.py", add_code)
    measured = units("judge baseline evaluate", judged)
    adversarial = {key for model in find_adversarial() for key in of_model(model)}
    assert measured <= edit.changed <= measured | (units("train", judged) & (SEARCHES | adversarial))


def test_what_classifies_samples_re_runs_the_adversarial_trainings_alone(copy: Copy) -> None:
    edit = copy.edit(f"{SCIENCE}/evaluation/class_share.py", add_code)
    watched = {key for model in find_adversarial() for key in of_model(model)}
    assert edit.changed == watched & units("train", PARAMS.judges.__contains__) != set()


METRICS = ["metrics/ood", "metrics/latent_edits", "metrics/kernel_distance"]  # of images alone


@pytest.mark.parametrize("metric", [*METRICS, "bootstrap", "aggregate", "distance_intervals", "panels"])
def test_a_metric_that_nothing_is_chosen_by_trains_nothing(metric: str, copy: Copy) -> None:
    edit = copy.edit(f"{SCIENCE}/evaluation/{metric}.py", add_code)
    measured = of("images") if metric in METRICS else lambda dataset: True
    assert units("evaluate", measured) <= edit.changed <= units("evaluate baseline", measured) | {"register"}
    assert edit.due == edit.changed | LAST


def test_a_trivial_model_re_runs_the_tables_of_its_modality(copy: Copy) -> None:
    expected = units("baseline evaluate", of("series"))
    assert copy.edit(f"{SCIENCE}/evaluation/baselines/series.py", add_code).changed == expected


ONLY = {
    "data/readers/time_csv": units("prepare", of("series")),
    "data/readers/documents": units("prepare", of("text", "lines", "pairs")),
    "data/readers/nifti": units("prepare", of("images", "video")),  # a video shows images
    "data/split_assignment": units("prepare"),
    "data/preparation": units("prepare"),
    "training/trainer": units("judge train"),
    "evaluation/metrics/translation": units("baseline evaluate register", of("pairs"))
    | (SEARCHES & units("train", of("pairs"))),
    "evaluation/metrics/forecast_errors": units("baseline evaluate register", of("series"))
    | (SEARCHES & units("train", of("series"))),
    "data/validation/great_expectations": units("validate"),
    "selection/promotion": {"register"},
}


@pytest.mark.parametrize("file", ONLY)
def test_a_file_re_runs_what_imports_it_and_nothing_else(file: str, copy: Copy) -> None:
    assert copy.edit(f"{SCIENCE}/{file}.py", add_code).changed == ONLY[file]


def test_the_training_loop_re_runs_every_training(copy: Copy) -> None:
    """Evaluations and baselines too: both train classifiers on samples, and a denoiser to hold models against."""
    changed = copy.edit(f"{SCIENCE}/training/loop.py", add_code).changed
    assert units("judge train") <= changed <= units("judge train evaluate baseline")


FILES = {name: name for name in ("fetch", "prepare", "validate", "judge", "baseline", "train", "evaluate", "report")}
FILES |= {"rank": "rank register", "register": "register"}


@pytest.mark.parametrize(("stage", "rerun"), FILES.items())
def test_a_stages_file_re_runs_its_units(stage: str, rerun: str, copy: Copy) -> None:
    """`register` runs the ranking's: it decides on a task before the others are measured."""
    assert copy.edit(f"pipeline/stages/{stage}.py", add_code).changed == units(rerun)


@pytest.mark.parametrize("path", ["pipeline/stages/tune.py", f"{SCIENCE}/training/tuning.py"])
def test_the_tuning_re_runs_what_searches(path: str, copy: Copy) -> None:
    assert copy.edit(path, add_code).changed == SEARCHES


def importing(copy: Copy, library: str) -> set[str]:
    """The units of which some file imports a library, by its text."""
    code, typing = Code(copy.root), re.compile(r"(?m)^if TYPE_CHECKING:\n(    .*\n)*")

    @cache
    def imports(path: Path) -> bool:
        text = typing.sub("", (copy.root / path).read_text(encoding="utf-8"))
        return bool(re.search(rf"(?m)^\s*(import|from) {library}\b", text))

    def closure(unit: Unit) -> set[Path]:
        return code.closure([Path(path) for path in unit.starts], [Path(path) for path in unit.leave_out])

    return {key for key, unit in copy.units.items() if any(map(imports, closure(unit)))}


LIBRARIES = [  # one, a unit that imports it, one that does not
    ("statsmodels", "baseline@co2-forecast", "train@vae-fashion"),
    ("nibabel", "prepare@brain", "train@char-shakespeare"),
    ("optuna", "train@vae-fashion", "judge@fashion"),
    ("torch", "train@vae-fashion", "fetch@fashion"),
    ("sacrebleu", "evaluate@bytenet-folio", "train@vae-fashion"),
]


@pytest.mark.parametrize(("library", "user", "other"), LIBRARIES)
def test_a_librarys_version_re_runs_what_imports_it(library: str, user: str, other: str, copy: Copy) -> None:
    edit = copy.edit("requirements.lock", partial(re.sub, rf"(?m)^{library}==.*$", f"{library}==0.0.1"))
    assert edit.changed == importing(copy, library)
    assert user in edit.changed and other not in edit.changed


def test_a_library_of_the_machinery_re_runs_nothing(copy: Copy) -> None:
    edit = copy.edit("requirements.lock", partial(re.sub, r"(?m)^(mlflow|dvc)==.*$", r"\1==0.0.1"))
    assert edit.changed == set()
