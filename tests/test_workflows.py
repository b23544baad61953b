"""The workflows call make targets and nothing else, one at a time where they write."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda p: p.name)
def test_steps_are_make_targets(path: Path) -> None:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands
    for command in commands:
        assert re.fullmatch(r"make \w+.*", command.strip()), command
        assert command.split()[1] in TARGETS


def test_help_lists_what_there_is() -> None:
    wanted = {"setup", "repro", "test", "lint", "type", "smoke", "sample", "score", "ui", "retrain", "clean"}
    wanted |= {"init", "verify", "verify-portable", "docs"}
    assert wanted <= TARGETS


def test_retraining_is_scheduled_alone_and_on_a_runner_of_choice() -> None:
    flow = yaml.safe_load((ROOT / ".github/workflows/retrain.yml").read_text())
    trigger = flow[True]  # YAML 1.1 reads `on` as true
    assert trigger["schedule"]
    assert "workflow_dispatch" in trigger
    assert flow["concurrency"]["cancel-in-progress"] is False
    assert "RETRAIN_RUNNER" in flow["jobs"]["retrain"]["runs-on"]


def test_ci_runs_every_python_that_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    flow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert flow["jobs"]["test"]["strategy"]["matrix"]["python-version"] == declared
    assert project["requires-python"] == f">={declared[0]}"


def test_ci_builds_the_documentation() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/docs.yml").read_text())["jobs"]["docs"]["steps"]
    assert {"run": "make docs"} in steps


def test_ci_runs_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()
