"""`python -m pipeline STAGE [KEY]`: a mistake is one line and an exit status, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
USER, USAGE, INTERRUPTED = 1, 2, 130


def call(root: Path, *argv: str, code: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """The entrance in `root`, a folder with a params.yaml; `code` holds the package `pipeline`."""
    paths = os.pathsep.join(map(str, (code, ROOT / "src")))
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    command = [sys.executable, "-m", "pipeline", *argv]
    return subprocess.run(
        command, cwd=root, env={**clean, "PYTHONPATH": paths, **env}, capture_output=True, text=True, check=False
    )


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str, lines: int = 1) -> None:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert len(said) == lines, done.stderr
    assert all(line.startswith("genfoundry") for line in said)
    assert all(word in done.stderr for word in words), done.stderr


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the default params.yaml and nothing else."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def staged(root: Path, source: str, *keys: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A stage of this source, through the real entrance."""
    code = root / "code"
    (code / "pipeline").mkdir(parents=True)
    shutil.copy(ROOT / "pipeline/__main__.py", code / "pipeline")
    (code / "pipeline/act.py").write_text(f"import errno, os, time\nfrom genfoundry.types import UserError\n{source}\n")
    return call(root, "act", *keys, code=code, **env)


@pytest.mark.parametrize("argv", [(), ("--help",), ("trian", "vae-fashion"), ("__main__",), ("../tune", "x")])
def test_an_unknown_stage(argv: tuple[str, ...], root: Path) -> None:
    refused(call(root, *argv), USAGE, repr(argv[0] if argv else "?"), "is no stage", "fetch", "train", "tune")


def test_a_key_too_few_or_too_many(root: Path) -> None:
    refused(call(root, "fetch"), USAGE, "genfoundry fetch: missing a required argument: 'name'", "usage")
    refused(call(root, "fetch", "digits", "fashion"), USAGE, "too many", "usage")


def test_a_key_that_is_not_there(root: Path) -> None:
    refused(call(root, "fetch", "digit"), USAGE, "'digit'", "datasets", "sunspots, ", ", digits, ")
    refused(call(root, "register", "digits"), USAGE, "'digits'", "tasks", "fashion-density")


BROKEN = {
    "not YAML": ("seed: [1, 2\nbudget: }", ["params.yaml:2: not YAML: ", "in 'budget: }'"]),
    "not text": ("\udcff", ["params.yaml: byte 0 is not UTF-8"]),
    "empty": ("", ["params.yaml: empty; expected the keys seed, "]),
    "a list": ("- 1\n- 2\n", ["params.yaml: expected `key: value` lines at the top, got a list"]),
    "a typo": ("budgit: quick\n", ["params.yaml: budgit: unknown key; did you mean 'budget'"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_params_yaml(case: str, root: Path) -> None:
    text, words = BROKEN[case]
    path = root / "params.yaml"
    if case == "a typo":
        text = path.read_text().replace("budget: quick", text.strip())
    path.write_bytes(text.encode(errors="surrogateescape"))
    refused(call(root, "fetch", "digits"), USER, "genfoundry fetch:digits: ", *words)


def test_no_params_yaml(tmp_path: Path) -> None:
    refused(call(tmp_path, "fetch", "digits"), USER, "params.yaml: No such file", "run from the folder that holds it")


def test_a_mistake_inside_a_stage(root: Path) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["datasets"]["digits"]["raw"] = {"path": "not/there"}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    refused(call(root, "fetch", "digits"), USER, "genfoundry fetch:digits: ", "not/there")
    assert not (root / "data").exists()


def test_a_stage_before_its_inputs(root: Path) -> None:
    done = call(root, "register", "sunspots-forecast")
    refused(done, USER, "genfoundry register:sunspots-forecast: reports/scores/sunspots")


def test_every_line_of_a_mistake_says_where(root: Path) -> None:
    done = staged(root, "def run(name: str) -> None: raise UserError('one: x\\ntwo: y')", "key")
    refused(done, USER, "genfoundry act:key: one: x", "genfoundry act:key: two: y", lines=2)


@pytest.mark.parametrize(("code", "advice"), [("ENOSPC", "free some space"), ("EACCES", "make it writable")])
def test_a_disk_that_refuses(code: str, advice: str, root: Path) -> None:
    done = staged(root, f"def run(): raise OSError(errno.{code}, os.strerror(errno.{code}), 'out/file')")
    refused(done, USER, "genfoundry act: out/file: ", advice)


def test_a_full_disk_that_names_no_file(root: Path) -> None:
    source = "def run(): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))"
    done = staged(root, source)
    refused(done, USER, "genfoundry act: No space left on device; free some space")
    assert "None" not in done.stderr


def test_an_interruption_says_how_to_go_on(root: Path) -> None:
    done = staged(root, "def run(): raise KeyboardInterrupt")
    refused(done, INTERRUPTED, "genfoundry act: interrupted; run it again")


def test_a_mistake_of_ours_keeps_its_traceback(root: Path) -> None:
    done = staged(root, "def run(): return {}['key']")
    assert done.returncode == 1
    assert "KeyError: 'key'" in done.stderr and "Traceback" in done.stderr


SHOW = "def run(): print(*(f'{k}={v}' for k, v in os.environ.items()), sep='\\n')"


def shown(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def test_the_environment_of_a_stage(root: Path) -> None:
    found = shown(staged(root, SHOW, MLFLOW_RUN_ID="0123", MPLBACKEND="TkAgg", ATEN_CPU_CAPABILITY="default"))
    assert "MLFLOW_RUN_ID" not in found  # or every stage of `mlflow run` would join one run
    assert found["MPLBACKEND"] == "Agg"
    assert found["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert found["DVC_NO_ANALYTICS"] == found["DO_NOT_TRACK"] == "1"
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true" and found["GX_ANALYTICS_ENABLED"] == "false"
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == "1"
    assert found["ATEN_CPU_CAPABILITY"] == "default"  # native arithmetic leaves it alone


def test_portable_arithmetic_is_set_before_torch_is_imported(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("arithmetic: native", "arithmetic: portable"))
    found = shown(staged(root, f"import sys\nassert 'torch' not in sys.modules\n{SHOW}"))
    assert (found["ATEN_CPU_CAPABILITY"], found["MKL_CBWR"]) == ("avx2", "COMPATIBLE")
    assert found["OPENBLAS_CORETYPE"] == "Haswell"


def test_a_broken_params_yaml_still_starts_the_stage(root: Path) -> None:
    (root / "params.yaml").write_text("threads: many")
    found = shown(staged(root, SHOW))
    assert found["MPLBACKEND"] == "Agg" and "OMP_NUM_THREADS" not in found


def test_the_times_are_noted(root: Path) -> None:
    log = root / "times.jsonl"
    log.write_text("{}\n")
    source = "time.sleep(0.2)\ndef run(name):\n    time.sleep(0.3)\n    return 0.1"
    assert staged(root, source, "key", GENFOUNDRY_TIMES=str(log)).returncode == 0
    first, line = log.read_text().splitlines()
    assert first == "{}"
    row = json.loads(line)
    assert row.keys() == {"stage", "startup", "work", "end"}
    assert row["stage"] == "act:key"
    assert 0.2 <= row["work"] < 5  # what the stage itself says was start-up is not work
    assert 0.3 <= row["startup"] < 60


def test_a_stage_that_failed_notes_no_time(root: Path) -> None:
    done = staged(root, "def run(): raise UserError('x')", GENFOUNDRY_TIMES=str(root / "times.jsonl"))
    refused(done, USER, "genfoundry act: x")
    assert not (root / "times.jsonl").exists()


def test_output_that_nobody_reads_to_its_end(root: Path) -> None:
    done = staged(root, "def run() -> None: raise BrokenPipeError(errno.EPIPE, 'Broken pipe')")
    assert (done.returncode, done.stderr) == (141, "")
