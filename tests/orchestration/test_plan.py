"""The plan's files: what dvc.yaml says of every stage, the same bytes in every process, and no more than there is."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from plan_edits import ROOT, Copy, compile_plan

from genfoundry import paths as paths_module
from genfoundry.errors import UserError
from pipeline.orchestration import memo
from pipeline.orchestration.unit import Unit, read_all
from pipeline.stages import plan

PARAMS: Mapping[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
Declared = tuple[str, list[str], list[str]]  # command, deps, outs


def declared(path: Path) -> Iterator[tuple[str, Declared]]:
    """Every stage of a dvc.yaml by DVC's name, its templates filled in by params.yaml."""
    for stage, body in yaml.safe_load(path.read_text())["stages"].items():
        if "foreach" not in body:
            yield stage, _fill(body, "", {})
            continue
        for key, item in PARAMS[body["foreach"].strip("${}")].items():
            yield f"{stage}@{key}", _fill(body["do"], key, item)


def _fill(body: Mapping[str, Any], key: str, item: Mapping[str, Any]) -> Declared:
    def fill(text: str) -> str:
        return re.sub(r"\$\{(?:key|item\.(\w+))\}", lambda match: item[match[1]] if match[1] else key, text)

    kinds = [[next(iter(entry)) if isinstance(entry, dict) else entry for entry in body.get(kind, [])]
             for kind in ("deps", "outs", "metrics", "plots")]  # fmt: skip
    deps, *outs = (sorted(map(fill, paths)) for paths in kinds)
    return fill(body["cmd"]), deps, sorted(chain(*outs))


def test_units_are_the_stages_of_dvc_yaml_in_its_order(copy: Copy) -> None:
    """Else DVC would depend on one thing, and the guard and the scheduler on another."""
    stages = dict(declared(ROOT / "dvc.yaml"))
    assert list(copy.units) == list(stages)
    for key, unit in copy.units.items():
        command = f"PYTHONPATH=src python -m pipeline {unit.stage} {unit.path}"
        assert (command, sorted([str(unit.path), *unit.inputs]), sorted(unit.outputs)) == stages[key], key


def test_a_stage_reads_what_earlier_stages_write(copy: Copy) -> None:
    written: set[Path] = set()
    for unit in copy.units.values():
        for path in map(Path, unit.inputs):
            covered = any(out == path or path in out.parents or out in path.parents for out in written)
            assert covered or path == paths_module.inbox(unit.name), f"{unit.key}: nothing before it writes {path}"
        written |= {Path(out) for out in unit.outputs}


SCRIPT = """
import hashlib
from pathlib import Path
from plan_edits import compile_plan
print(hashlib.sha256(b"".join(unit.dump() for unit in compile_plan(Path.cwd()).values())).hexdigest())
"""


def test_every_process_writes_the_same_bytes(copy: Copy) -> None:
    here = hashlib.sha256(b"".join(unit.dump() for unit in copy.units.values())).hexdigest()
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT, Path(__file__).parent)))
    env = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=copy.root, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == here, done.stderr


@pytest.fixture
def written(copy: Copy, tmp_path: Path) -> Path:
    """A folder with the plan of the default params.yaml."""
    plan.write(tmp_path, list(copy.units.values()))
    return tmp_path


def test_a_plan_is_read_back_in_its_order(copy: Copy, written: Path) -> None:
    units = read_all(written)
    assert list(units) == list(copy.units)
    assert units == copy.units


def test_only_files_that_changed_are_written(copy: Copy, written: Path) -> None:
    """And one of an experiment that is no more goes; a file that no plan wrote stays."""
    (written / paths_module.PLAN / "train/nobody.json").write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*.json")}
    one, gone = (
        written / paths_module.plan("train", "vae-fashion"),
        written / paths_module.plan("train", "bayes-sunspots"),
    )
    one.write_text("damaged")
    plan.write(written, [unit for key, unit in copy.units.items() if key != "train@bayes-sunspots"])
    after = {path: path.stat().st_mtime_ns for path in written.rglob("*.json")}
    index = written / paths_module.PLAN / "index.json"
    assert before.keys() - after.keys() == {gone} and not after.keys() - before.keys()
    assert {path for path in after if after[path] != before[path]} == {one, index}
    assert one.read_bytes() == copy.units["train@vae-fashion"].dump()


OUTS = ["reports/scores/{}/new", "reports/evaluation/{}.json", "reports/training/{}.csv", "reports/tuning/{}",
        "reports/panels/{}", "reports/baselines/{}", "reports/validation/{}.json", "reports/validation/{}",
        "data/prepared/{}/arrays"]  # fmt: skip


@pytest.fixture(params=["an earlier plan", "dvc.lock"])
def before(request: pytest.FixtureRequest, copy: Copy, tmp_path: Path) -> list[Path]:
    """A repository whose earlier plan, or dvc.lock, has an experiment and a data set more; their outputs."""
    units = [
        replace(copy.units["train@bayes-sunspots"], name="nobody", outputs=(OUTS[0].format("nobody"),)),
        replace(copy.units["fetch@sunspots"], name="no-data", outputs=tuple(out.format("no-data") for out in OUTS[1:])),
    ]
    if request.param == "dvc.lock":
        stages = {unit.key: {"cmd": "x", "outs": [{"path": out} for out in unit.outputs]} for unit in units}
        (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    else:
        plan.write(tmp_path, [*copy.units.values(), *units])
    return [tmp_path / out for unit in units for out in unit.outputs]


def test_outputs_of_what_params_yaml_no_longer_has_are_removed(before: list[Path], copy: Copy, tmp_path: Path) -> None:
    """The ranking reads whole folders. What a person put beside them stays."""
    beside = [path.with_name(name) for path in before for name in (".gitignore", "of-a-person")]
    for file in (*before, *beside):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    plan.remove_obsolete(tmp_path, list(copy.units.values()))
    assert [path for path in before if path.exists()] == [path for path in beside if not path.exists()] == []


def test_outputs_that_are_planned_stay(copy: Copy, tmp_path: Path) -> None:
    outputs = [tmp_path / out / "file" for unit in copy.units.values() for out in unit.outputs]
    outputs += [tmp_path / paths_module.docs("fashion") / "file"]
    for file in outputs:
        file.parent.mkdir(parents=True)
        file.touch()
    plan.write(tmp_path, list(copy.units.values()))
    plan.remove_obsolete(tmp_path, list(copy.units.values()))
    assert [file for file in outputs if not file.exists()] == []


def test_outputs_of_a_stage_of_a_person_stay(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "reports/panels/mine").mkdir(parents=True)
    stages = {"mine": {"cmd": "x", "outs": [{"path": "reports/panels/mine"}]}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    plan.remove_obsolete(tmp_path, list(copy.units.values()))
    assert (tmp_path / "reports/panels/mine").exists()


@pytest.fixture
def site(copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose stage `plan` has not run yet."""
    for name in ("src", "pipeline", "requirements.lock"):
        (tmp_path / name).symlink_to(copy.root / name)
    (tmp_path / "params.yaml").write_bytes((copy.root / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_stage_writes_the_plan_and_the_limits(site: Path) -> None:
    text = (site / "params.yaml").read_text()
    (site / "params.yaml").write_text(text.replace("max_minutes: {}", "max_minutes: {vae-fashion: 5}"))
    plan.compile_plan()
    assert list(read_all(site)) == list(compile_plan(ROOT))
    assert yaml.safe_load((site / paths_module.LIMITS).read_text()) == {"vae-fashion": 5}
    assert memo.recall(Path()) is not None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("budget: quick", "budgit: quick", "budgit: unknown key"),
        ("objective: frechet", "objective: frechett", "'frechett' is not known"),
        ("{low: 1, high: 20}", "{low: 1, high: 90}", "hyper.order"),
        ("hyper: {order: 9}\n", "hyper: {ordre: 9}\n", "experiments.linear-sunspots.hyper.ordre"),
    ],
)
def test_a_wrong_entry_writes_nothing(old: str, new: str, fault: str, site: Path) -> None:
    text = (site / "params.yaml").read_text()
    assert old in text
    (site / "params.yaml").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=f"^params.yaml: .*{re.escape(fault)}"):
        plan.compile_plan()
    assert not (site / paths_module.PLAN).exists() and not (site / ".state").exists()


def test_a_file_that_is_no_unit(tmp_path: Path) -> None:
    path = tmp_path / "vae.json"
    with pytest.raises(UserError, match=r"vae.json: not there; expected a file of the plan, which `dvc repro` writes"):
        Unit.read(path)
    for text in ("[]", '{"stage": "train"}'):
        path.write_text(text)
        with pytest.raises(UserError, match=r"vae.json: expected a unit of the plan with the keys stage, name, "):
            Unit.read(path)
    with pytest.raises(UserError, match=r"index.json: not there; `dvc repro` writes the plan first"):
        read_all(tmp_path)
