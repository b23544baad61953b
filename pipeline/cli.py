"""The command line `genfoundry COMMAND`: every command and its options; a command's module is imported when it runs."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from genfoundry.console import messages
from genfoundry.console.parser import Parser
from genfoundry.errors import UserError
from pipeline.orchestration import process
from pipeline.orchestration.environment import ENGINES

COMMANDS = {
    "init": "add entries for your own data to params.yaml",
    "repro": "run what is due, from data to registered champions",
    "plan": "check params.yaml; print what would run, and how long",
    "sample": "draw samples from a task's champion",
    "score": "compute the likelihood of your data under a champion",
    "report": "render the report's pages anew and say where they are",
    "ui": "bring MLflow's store up to date and open its pages",
    "retrain": "look for new data, retrain, decide, publish and push",
    "withdraw": "take files out of a data set's inbox for good",
    "verify": "run twice in fresh clones and compare dvc.lock",
    "verify-portable": "compare digests here and on emulated processors",
    "smoke": "run a tiny pipeline in a throw-away copy",
    "golden": "write the smoke run's hashes in tests/golden/ anew",
}
MODULES = {"plan": "show_plan", "verify-portable": "verify_portable"}  # where it is not the command's own name
SERVING = ("sample", "score")  # parsed by the package, which serves champions without a pipeline


def build_parser() -> Parser:
    """Build the parser of all commands."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    level = shared.add_mutually_exclusive_group()
    level.add_argument("-q", "--quiet", action="store_true", help="print warnings and errors alone")
    level.add_argument("-v", "--verbose", action="store_true", help="print details")
    parser = Parser("genfoundry", parents=[shared])
    subparsers = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands", prog="genfoundry"
    )
    add = {}
    for name, text in COMMANDS.items():
        # The options of `sample` and `score`, --help among them, are left to the package's own parser.
        command = subparsers.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[shared], add_help=name not in SERVING
        )
        add[name] = command.add_argument
    init, repro = add["init"], add["repro"]
    init("data", metavar="PATH", help="a file or folder of your data")
    init("name", metavar="NAME", nargs="?", default="", help="the data set's name (default: made of the path's)")
    init("--classes", choices=("parent", "top", "none"), help="which folder names an image's class")
    init("--label", choices=("first", "last"), help="which column of a table is the label")
    init("--size", metavar="N", help="the side that images are resized to")
    init("--set", metavar="KEY=VALUE", action="append", default=[], help="another key of the data set's entry")
    repro("targets", metavar="TARGET", nargs="*", help="targets of `dvc repro` (default: everything that is due)")
    repro("--jobs", metavar="N", type=_job_count, help="jobs at once (default: what cores, memory and GPUs hold)")
    repro("--task", metavar="NAME", default="", help="stop at the decision on this task")
    repro("--experiment", metavar="NAME", default="", help="stop at the evaluation of this experiment")
    repro("--engine", choices=ENGINES, default="", help="where stages work: here, on Ray, or on Slurm")
    repro("--budget", metavar="NAME", default="", help="write this budget into params.yaml first")
    repro("--arithmetic", metavar="KIND", default="", help="write native or portable into params.yaml first")
    add["ui"]("--port", metavar="N", type=_port, default=5000, help="the port of the pages (default: 5000)")
    add["retrain"]("--branch", default="", help="push the result to this branch (default: the one checked out)")
    add["withdraw"]("--dataset", metavar="NAME", default="", help="the data set whose inbox has the files")
    add["withdraw"]("files", metavar="FILE", nargs="*", help="a path within the inbox")
    add["verify"]("--budget", metavar="NAME", default="", help="the budget of both runs (default: params.yaml's)")
    add["verify-portable"]("--native", action="store_true", help="use native arithmetic, which must differ")
    add["verify-portable"]("processors", metavar="PROCESSOR", nargs="*", help="qemu's name of a processor")
    return parser


def _job_count(text: str) -> int:
    if text.isdecimal() and text.isascii() and 1 <= int(text) <= 1000:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number of jobs from 1 to 1000, got {text!r}")


def _port(text: str) -> int:
    if text.isdecimal() and text.isascii() and 0 < int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a number from 1 to 65535, got {text!r}")


def run(command: str, options: dict[str, Any], serving: list[str]) -> int | None:
    """Run a command with its options, or with those that the package itself parses.

    Raises:
        UserError: the current folder is no repository of this project, or what the command says.
    """
    if command in SERVING:
        from genfoundry.serving import cli

        return cli.main([command, *serving])
    if not Path("params.yaml").exists():
        raise UserError(f"expected a folder with params.yaml, got {Path.cwd()}; run it in the repository's root")
    # Only the command's module is imported: `--help` must not wait for torch.
    module = importlib.import_module(f"pipeline.commands.{MODULES.get(command, command)}")
    if command == "init":  # the named ones are settings of the data set's entry, as --set gives them
        settings = [f"{key}={options[key]}" for key in ("classes", "label", "size") if options[key]]
        module.run(options["data"], options["name"], *settings, *options["set"])
        return 0
    status: int | None = module.run(**options)
    return status


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status: 1 on a user's error, 2 where it is called wrongly."""
    parser = build_parser()
    # What this parser does not know is the serving commands' own.
    parsed, rest = parser.parse_known_args(argv)
    options = vars(parsed)
    command, quiet, verbose = (options.pop(key, False) for key in ("command", "quiet", "verbose"))
    if rest and command not in SERVING:
        parser.error(f"{command}: unrecognized arguments: {' '.join(rest)}")
    if quiet and verbose:  # one before the command and one after it, which argparse's group does not see together
        parser.error("argument -v/--verbose: not allowed with argument -q/--quiet")
    if quiet or verbose:
        # In the environment, so that stages, which are processes of their own, follow it.
        os.environ[messages.LEVEL] = "WARNING" if quiet else "DEBUG"
    return process.run(command, lambda: run(command, options, rest))


if __name__ == "__main__":
    sys.exit(main())
