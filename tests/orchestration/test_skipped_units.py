"""Experiments without steps at the chosen budget: left out with a word, by plan, DVC, scheduler and ranking."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from plan_edits import Copy, Edit

from genfoundry import paths as paths_module
from genfoundry.config.load import read_params
from genfoundry.config.skipping import find_skipped
from genfoundry.errors import UserError
from pipeline.__main__ import run_stage
from pipeline.commands import repro, show_plan
from pipeline.orchestration import dag, skipped_units
from pipeline.orchestration.unit import Unit
from pipeline.stages import plan

TASKS = ("brain-restore", "brain-labels")  # all that there is of a data set with a judge
EXPERIMENTS = ("vae-brain-restore", "denoiser-brain", "ss-brain", "classifier-brain")
REASON = "no steps declared at quick"


def without_quick(text: str) -> str:
    """Steps of brain's entries and of one experiment on fashion are for other budgets alone."""
    for name in (*EXPERIMENTS, "dcgan-fashion"):
        block = text[(start := text.index(f"  {name}:")) : (end := text.index("steps:", start) + 60)]
        text = text.replace(block, re.sub(r" quick: \d+,", "", block))
        assert end
    return re.sub(r"(  brain: .model: judge.*) quick: \d+,", r"\1", text)


@pytest.fixture(scope="module")
def edit(copy: Copy) -> Edit:
    return copy.edit("params.yaml", without_quick)


@pytest.fixture
def units(edit: Edit) -> dict[str, Unit]:
    return dict(edit.after)


def test_what_is_skipped(edit: Edit, units: dict[str, Unit]) -> None:
    """An experiment, a task with the last of its own, a judge with the last of its tasks; nothing else is another."""
    before = {key for key, unit in edit.before.items() if skipped_units.is_skipped(unit)}
    skipped = {key for key, unit in units.items() if skipped_units.is_skipped(unit)} - before
    names = {*EXPERIMENTS, "dcgan-fashion"}
    assert skipped == {f"{stage}@{name}" for stage in ("train", "evaluate") for name in names} | {
        "judge@brain", *(f"baseline@{task}" for task in TASKS)
    }  # fmt: skip
    assert edit.changed == skipped | {"rank", "register", "report"}
    for key in skipped:  # DVC and the scheduler look at the same paths as ever
        assert (units[key].inputs, units[key].outputs) == (edit.before[key].inputs, edit.before[key].outputs)
    assert units["train@dcgan-fashion"].settings["skipped"] == REASON


def test_a_model_without_any_steps_is_not_skipped(units: dict[str, Unit]) -> None:
    assert not skipped_units.is_skipped(units["train@bayes-sunspots"])


def test_rankings_and_decisions_leave_them_out(units: dict[str, Unit]) -> None:
    """So that the champion of a skipped task stays as the ledger has it."""
    for stage in ("rank", "register"):
        assert not set(TASKS) & units[stage].settings["tasks"].keys()
        assert "fashion-samples" in units[stage].settings["tasks"]
    assert not {*EXPERIMENTS, "dcgan-fashion"} & set(units["rank"].settings["experiments"])


def test_one_job_a_data_set_writes_their_outputs(units: dict[str, Unit]) -> None:
    jobs = dag.make_jobs(units, units, show_plan.expected_seconds(units))
    assert set(jobs["skipped@brain"].units) == {key for key, u in units.items() if u.settings.get("skipped")
                                                and u.settings["dataset"] == "brain"}  # fmt: skip
    assert jobs["skipped@brain"].needs == {"data@brain"}
    assert jobs["skipped@fashion"].needs == {"data@fashion", "judge@fashion"}
    assert {"skipped@brain", "skipped@fashion"} <= jobs["results"].needs
    assert not any("brain" in job.name for job in jobs.values() if job.name not in ("data@brain", "skipped@brain"))


def test_a_skipped_stage_empties_its_outputs(units: dict[str, Unit], tmp_path: Path, monkeypatch: Any) -> None:
    """Those of another budget would be ranked beside what this one trains."""
    monkeypatch.chdir(tmp_path)
    plan.write(tmp_path, list(units.values()))
    for stage in ("train", "evaluate"):
        unit = units[f"{stage}@dcgan-fashion"]
        for path in unit.inputs:
            Path(path).mkdir(parents=True, exist_ok=True)
        for path in map(Path, unit.outputs):
            target = path if path.suffix else path / "card.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("of another budget")
        assert run_stage(stage, [str(unit.path)]) is None
        assert all(Path(path).exists() for path in unit.outputs)
    left = [path for folder in ("models", "reports") for path in Path(folder).rglob("*") if path.is_file()]
    names = {path.name for path in left}
    assert names == {"skipped.txt", "dcgan-fashion.csv", "dcgan-fashion.json"}, "a score card would be ranked"
    assert paths_module.evaluation("dcgan-fashion").read_text() == "{}\n"
    why = paths_module.model("dcgan-fashion") / "skipped.txt"
    assert why.read_text() == f"train@dcgan-fashion: {REASON}\n"


def test_asking_for_one_says_why_not(units: dict[str, Unit]) -> None:
    with pytest.raises(UserError, match=f"experiments.dcgan-fashion: skipped: {REASON}"):
        repro.select_units(units, repro.Options(experiment="dcgan-fashion"))
    with pytest.raises(UserError, match=r"tasks.brain-labels: skipped: none of its experiments has steps at quick"):
        repro.select_units(units, repro.Options(task="brain-labels"))
    selected = repro.select_units(units, repro.Options(task="fashion-samples"))
    assert "register@fashion-samples" in selected


def test_the_plan_has_a_word_for_each(copy: Copy, units: dict[str, Unit], tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(without_quick((copy.root / "params.yaml").read_text()))
    params = read_params(path)
    monkeypatch.chdir(tmp_path)
    rows = {row[0]: row[-1] for row in show_plan.table_rows(params, units)}
    told = [name for name, word in rows.items() if word.startswith("skipped")]
    assert told == list(find_skipped(params)["experiments"])
    assert rows["dcgan-fashion"] == f"skipped: {REASON}"


def test_a_judge_that_is_needed_must_have_steps(copy: Copy, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (copy.root / "params.yaml").read_text()
    path.write_text(re.sub(r"(  brain: .model: judge.*) quick: \d+,", r"\1", text))
    with pytest.raises(UserError, match=r"judges.brain.steps \(for budget quick\): unknown name 'quick'"):
        read_params(path)
