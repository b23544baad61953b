"""`python -m pipeline STAGE PLAN`: a mistake is one line and an exit status, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genfoundry import files
from pipeline.orchestration.code_digest import Code
from pipeline.orchestration.unit import KEYS, Unit

ROOT = Path(__file__).parent.parent
USER, USAGE, INTERRUPTED = 1, 2, 130
PLAN = "build/plan/act/x.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with the real entrance, and no stage."""
    (tmp_path / "pipeline/stages").mkdir(parents=True)
    shutil.copy(ROOT / "pipeline/__main__.py", tmp_path / "pipeline")
    (tmp_path / "pipeline/orchestration").symlink_to(ROOT / "pipeline/orchestration")
    return tmp_path


def call(root: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The entrance in `root`."""
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    environment = {**clean, "PYTHONPATH": str(ROOT / "src"), **env}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *argv], cwd=root, env=environment, capture_output=True, text=True
    )


def stage(
    root: Path, source: str, outputs: tuple[str, ...] = ("out",), inputs: tuple[str, ...] = (), **run: Any
) -> None:
    """A stage of this source, and a unit of it that is set to `run`."""
    path = "pipeline/stages/act.py"
    (root / path).write_text(f"import errno, os, time\nfrom genfoundry.errors import UserError\n{source}\n")
    code = Code(root).digest([Path(path)])
    unit = Unit("act", "x", inputs, outputs, (path,), (), code, {"run": {"threads": 1} | run})
    files.write_bytes(root / unit.path, unit.dump())


def run_stage(root: Path, source: str, **env: str) -> subprocess.CompletedProcess[str]:
    stage(root, source)
    return call(root, "act", PLAN, **env)


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str, lines: int = 1) -> None:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert len(said) == lines, done.stderr
    assert all(line.startswith("genfoundry") for line in said)
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("argv", [("trian", PLAN), ("__main__",), ("../tune", "x"), ("tune", PLAN)])
def test_an_unknown_name(argv: tuple[str, ...]) -> None:
    done = call(ROOT, *argv)
    refused(done, USAGE, repr(argv[0]), "is no stage or command", "fetch, ", "train, ", "repro, ")
    assert "tune, " not in done.stderr


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("train",), "genfoundry train: expected python -m pipeline train build/plan/train/NAME.json"),
        (("act", PLAN, "more"), "genfoundry act: too many positional arguments"),
    ],
)
def test_a_wrong_number_of_arguments(argv: tuple[str, ...], words: str, root: Path) -> None:
    stage(root, "def run(unit): pass")
    refused(call(ROOT if argv[0] == "train" else root, *argv), USAGE, words)


BAD = {
    "not JSON": ("{", f"genfoundry act@x: {PLAN}: not JSON: "),
    "not text": ("\udcff", f"genfoundry act@x: {PLAN}: not JSON: "),
    "a list": ("[]", "expected a unit of the plan with the keys stage, name, "),
    "no paths": (json.dumps(dict.fromkeys(KEYS, "act")), "expected a unit of the plan with the keys stage, name, "),
    "a key too few": ('{"stage": "act"}', "expected a unit of the plan with the keys stage, name, "),
}


@pytest.mark.parametrize("case", BAD)
def test_a_plan_that_is_damaged(case: str, root: Path) -> None:
    stage(root, "def run(unit): pass")
    text, words = BAD[case]
    (root / PLAN).write_bytes(text.encode(errors="surrogateescape"))
    refused(call(root, "act", PLAN), USER, words)


def test_a_plan_that_is_not_there(root: Path) -> None:
    stage(root, "def run(unit): pass")
    refused(call(root, "act", "build/plan/act/y.json"), USER, "genfoundry act@y: build/plan/act/y.json: not there; ")


def test_an_input_that_is_not_there(root: Path) -> None:
    """No stage takes back what it wrote before, only to find that there is nothing to read."""
    stage(root, "def run(unit): print('it ran')", inputs=("pipeline", "data/arrays"))
    refused(call(root, "act", PLAN), USER, "genfoundry act@x: data/arrays: not there; `dvc repro act@x` makes it first")
    stage(root, "def run(unit, task): print(task)", inputs=("data/arrays",))
    assert call(root, "act", PLAN, "early").stdout == "early\n"


def test_a_plan_of_another_stage(root: Path) -> None:
    stage(root, "def run(unit): pass")
    (root / "pipeline/stages/other.py").write_text("def run(unit): pass")
    refused(call(root, "other", PLAN), USER, f"{PLAN}: expected a unit of the stage other, got one of act")


def test_a_plan_that_is_out_of_date(root: Path) -> None:
    stage(root, "def run(unit): print('it ran')")
    with (root / "pipeline/stages/act.py").open("a") as file:
        file.write("X = 1\n")
    refused(call(root, "act", PLAN), USER, f"genfoundry act@x: {PLAN}: the sources of act@x changed since the plan")


def test_a_unit_without_outs_has_nothing_to_guard(root: Path) -> None:
    """As `register`: nothing of it is recorded."""
    stage(root, "def run(unit): print(unit.key)", outputs=())
    with (root / "pipeline/stages/act.py").open("a") as file:
        file.write("X = 1\n")
    done = call(root, "act", PLAN)
    assert (done.returncode, done.stdout) == (0, "act@x\n"), done.stderr


def test_a_stage_is_given_what_it_asks_for(root: Path) -> None:
    """More arguments, an engine, and a folder for its state, which is the same in a later process."""
    stage(root, "def run(unit, *more, engine, state): print(more, engine.map(str, [(1,)]), state)")
    first, second = (call(root, "act", PLAN, "one", "two").stdout for _ in range(2))
    assert first.startswith("('one', 'two') ['1'] .state/act-x-") and first == second


def test_every_line_of_a_mistake_says_where(root: Path) -> None:
    done = run_stage(root, "def run(unit): raise UserError('one: x\\ntwo: y')")
    refused(done, USER, "genfoundry act@x: one: x", "genfoundry act@x: two: y", lines=2)


@pytest.mark.parametrize(("code", "advice"), [("ENOSPC", "free some space"), ("EACCES", "make it writable")])
def test_a_disk_that_refuses(code: str, advice: str, root: Path) -> None:
    done = run_stage(root, f"def run(unit): raise OSError(errno.{code}, os.strerror(errno.{code}), 'out/file')")
    refused(done, USER, "genfoundry act@x: out/file: ", advice)


def test_a_full_disk_that_names_no_file(root: Path) -> None:
    source = "def run(unit): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))"
    done = run_stage(root, source)
    refused(done, USER, "genfoundry act@x: No space left on device; free some space")
    assert "None" not in done.stderr


def test_an_interruption_says_how_to_go_on(root: Path) -> None:
    done = run_stage(root, "def run(unit): raise KeyboardInterrupt")
    refused(done, INTERRUPTED, "genfoundry act@x: interrupted; run it again")


def test_a_mistake_of_ours_keeps_its_traceback(root: Path) -> None:
    done = run_stage(root, "def run(unit): return {}['key']")
    assert done.returncode == 1
    assert "KeyError: 'key'" in done.stderr and "Traceback" in done.stderr


SHOW = "def run(unit): print(*(f'{k}={v}' for k, v in os.environ.items()), sep='\\n')"


def shown(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def test_the_environment_of_a_stage(root: Path) -> None:
    found = shown(run_stage(root, SHOW, MLFLOW_RUN_ID="0123", MPLBACKEND="TkAgg", ATEN_CPU_CAPABILITY="default"))
    assert "MLFLOW_RUN_ID" not in found  # or every stage of `mlflow run` would join one run
    assert found["MPLBACKEND"] == "Agg"
    assert found["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert found["DVC_NO_ANALYTICS"] == found["DO_NOT_TRACK"] == "1"
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true" and found["GX_ANALYTICS_ENABLED"] == "false"
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == "1"
    assert found["ATEN_CPU_CAPABILITY"] == "default"  # native arithmetic leaves it alone


def test_portable_arithmetic_is_set_before_torch_is_imported(root: Path) -> None:
    stage(root, f"import sys\nassert 'torch' not in sys.modules\n{SHOW}", arithmetic="portable", threads=2)
    found = shown(call(root, "act", PLAN))
    assert (found["ATEN_CPU_CAPABILITY"], found["MKL_CBWR"]) == ("avx2", "COMPATIBLE")
    assert found["OPENBLAS_CORETYPE"] == "Haswell" and found["OMP_NUM_THREADS"] == "2"


def test_the_times_are_noted(root: Path) -> None:
    log = root / "times.jsonl"
    log.write_text("{}\n")
    source = "time.sleep(0.2)\ndef run(unit):\n    time.sleep(0.3)\n    return 0.1"
    assert run_stage(root, source, GENFOUNDRY_TIMES=str(log)).returncode == 0
    first, line = log.read_text().splitlines()
    assert first == "{}"
    row = json.loads(line)
    assert row.keys() == {"stage", "startup", "work", "end"}
    assert row["stage"] == "act@x"
    assert 0.2 <= row["work"] < 5  # what the stage itself says was start-up is not work
    assert 0.3 <= row["startup"] < 60


def test_a_stage_that_failed_notes_no_time(root: Path) -> None:
    done = run_stage(root, "def run(unit): raise UserError('x')", GENFOUNDRY_TIMES=str(root / "times.jsonl"))
    refused(done, USER, "genfoundry act@x: x")
    assert not (root / "times.jsonl").exists()


def test_output_that_nobody_reads_to_its_end(root: Path) -> None:
    done = run_stage(root, "def run(unit): raise BrokenPipeError(errno.EPIPE, 'Broken pipe')")
    assert (done.returncode, done.stderr) == (141, "")
