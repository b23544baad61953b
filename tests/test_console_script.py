"""`genfoundry COMMAND`: its help fits a screen, wrong use is one line and status 2, a user's error one and status 1."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from genfoundry.serving import cli as serving
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
        (("-q", "plan", "-v"), "genfoundry: argument -v/--verbose: not allowed with argument -q/--quiet"),
        (("repro", "--task", "a", "--task=b"), "genfoundry repro: argument --task: expected once, got a and b; see "),
        (("repro", "--jobs", "2", "x", "--job", "2"), "argument --jobs: expected once, got 2 and 2; see "),
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


def list_options(command: str) -> list[str]:
    """Every option of a command that takes a value, by its help."""
    parser, text = serving.build_parser() if command in cli.SERVING else cli.build_parser(), io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        parser.parse_args([command, "--help"])
    return re.findall(r"^  (--[a-z-]+) [A-Z{]", text.getvalue(), re.MULTILINE)


CHOICES = {("init", "--classes"): "top", ("init", "--label"): "last", ("repro", "--engine"): "local"}
OPTIONS = [(command, option) for command in cli.COMMANDS for option in list_options(command) if option != "--set"]


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_an_option_that_keeps_one_value_is_given_once(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every option of every command, so that a new one is under the same rule."""
    parser = serving.build_parser() if command in cli.SERVING else cli.build_parser()
    value, data = CHOICES.get((command, option), "7"), ["x"] if command == "init" else []
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([command, *data, option, value, option, value])
    shown = "7.0" if option in ("--temperature", "--top-p") else value
    words = f"genfoundry {command}: argument {option}: expected once, got {shown} and {shown}; see genfoundry {command}"
    assert capsys.readouterr().err == f"{words} --help\n"


def test_options_that_are_given_once() -> None:
    assert {("repro", "--task"), ("score", "--file"), ("ui", "--port"), ("init", "--size")} <= set(OPTIONS)
    assert cli.build_parser().parse_args(["init", "x", "--set", "a=1", "--set", "b=2"]).set == ["a=1", "b=2"]


def test_a_parser_can_be_used_again() -> None:
    parser = cli.build_parser()
    assert [parser.parse_args(["repro", "--task", task]).task for task in "ab"] == ["a", "b"]


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
        ("init a/b n --classes top --size 16 --set k=v", init, ("a/b", "n", "classes=top", "size=16", "k=v")),
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
