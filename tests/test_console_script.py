"""`genfoundry COMMAND`: its help fits a screen, wrong use is one line and status 2, a user's error one and status 1."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli
from pipeline.commands import init, repro, retrain, ui, verify, verify_portable, withdraw

ROOT = Path(__file__).parent.parent


def call(*argv: str, root: Path = ROOT, script: bool = True) -> subprocess.CompletedProcess[str]:
    """The console script as pip makes it, or `python -m pipeline`."""
    module, name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["genfoundry"].split(":")
    start = ["-c", f"from {module} import {name}; {name}()"] if script else ["-m", "pipeline"]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "80"}
    return subprocess.run([sys.executable, *start, *argv], cwd=root, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("script", [True, False])
def test_help_fits_a_screen(script: bool) -> None:
    done = call("--help", script=script)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert all(f"    {name}" in done.stdout for name in cli.COMMANDS)


def test_help_needs_no_torch_and_little_time(tmp_path: Path) -> None:
    """Outside of a repository, too."""
    call("--help")
    began = time.process_time(), time.monotonic()
    assert call("--help", root=tmp_path).returncode == 0
    assert time.monotonic() - began[1] < 5  # on a busy machine; 0.2 s on an idle one
    code = "import sys; from pipeline import cli; cli.build_parser(); print({'torch', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_every_command_has_its_help() -> None:
    for name in cli.COMMANDS:
        if name not in cli.SERVING:
            with pytest.raises(SystemExit, match="0"):
                cli.main([name, "--help"])
    assert "--temperature" in call("sample", "--help").stdout
    assert "usage: genfoundry plan" in call("plan", "--help", script=False).stdout


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "genfoundry: the following arguments are required: COMMAND; see genfoundry --help"),
        (("trian",), "genfoundry: argument COMMAND: invalid choice: 'trian' (choose from "),
        (("golden", "x"), "genfoundry: golden: unrecognized arguments: x; see genfoundry --help"),
        (("repro", "--jbos", "2"), "genfoundry: repro: unrecognized arguments: --jbos"),
        (("repro", "--task"), "genfoundry repro: argument --task: expected one argument"),
        (("repro", "--engine", "rya"), "genfoundry repro: argument --engine: invalid choice: 'rya' (choose from "),
        (("sample",), "genfoundry sample: the following arguments are required: --task; see genfoundry sample --help"),
        (("score", "--task", "t"), "genfoundry score: the following arguments are required: --file"),
        (("sample", "--task", "t", "--n", "x"), "genfoundry sample: argument --n: invalid int value: 'x'"),
        (("-q", "-v", "plan"), "genfoundry: argument -v/--verbose: not allowed with argument -q/--quiet"),
        *((("repro", "--jobs", n), f"--jobs: expected a whole number of jobs from 1 to 1000, got '{n}'") for n in
          ("0", "two", "-1", "1.5", "²", "1001")),
        *((("ui", "--port", n), f"argument --port: expected a number from 1 to 65535, got '{n}'") for n in
          ("0", "x", "99999")),
        (("ui", "5001"), "genfoundry: ui: unrecognized arguments: 5001"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(argv: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        cli.main(list(argv))
    captured = capsys.readouterr()
    assert (status.value.code, captured.out) == (2, "")
    assert len(captured.err.splitlines()) == 1 and words in captured.err


def test_a_folder_that_is_no_repository_is_one_line(tmp_path: Path) -> None:
    done = call("plan", root=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"genfoundry plan: expected a folder with params.yaml, got {tmp_path}; run it in the repository's root\n"
    )


def test_the_code_of_the_current_folder_runs(tmp_path: Path) -> None:
    """In a copy of the repository the script runs the copy's commands, whichever package is installed."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/cli.py").write_text("import sys; print('the copy', sys.argv[1:]); sys.exit(3)")
    done = call("repro", "--jobs", "2", root=tmp_path)
    assert (done.returncode, done.stdout) == (3, "the copy ['repro', '--jobs', '2']\n")


def test_an_environment_need_not_be_activated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC and a stage's `python` are the environment's, though the shell does not find them."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/cli.py").write_text("import shutil; print(shutil.which('python'))")
    monkeypatch.setenv("PATH", os.defpath)
    assert call("plan", root=tmp_path).stdout == f"{Path(sys.executable).with_name('python')}\n"


@pytest.mark.parametrize(
    ("argv", "module", "expected"),
    [
        ("init a/b --name n --classes top --size 16 --set k=v", init, ("a/b", "n", "classes=top", "size=16", "k=v")),
        ("repro --jobs 2 --task t --engine ray train@x", repro,
         {"jobs": 2, "task": "t", "engine": "ray", "targets": ["train@x"],
          "experiment": "", "budget": "", "arithmetic": ""}),
        ("retrain --branch b", retrain, {"branch": "b"}),
        ("ui", ui, {"port": 5000}),
        ("verify --budget smoke", verify, {"budget": "smoke"}),
        ("verify-portable --native Haswell", verify_portable, {"native": True, "processors": ["Haswell"]}),
        ("withdraw --dataset d a.csv b.csv", withdraw, {"dataset": "d", "files": ["a.csv", "b.csv"]}),
    ],
)  # fmt: skip
def test_options_reach_their_command(argv: str, module: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(module, "run", lambda *args, **kwargs: calls.append(args or kwargs))
    monkeypatch.chdir(ROOT)
    assert cli.main(argv.split()) == 0
    assert calls == [expected]
