"""`make retrain`, the scheduled job: look for new data, refuse or retrain, decide, publish, commit and push, report."""

import filecmp
import os
import re
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from genfoundry import checkpoint, experiment, graph, ledger, places, shell, turns
from genfoundry.config import Folder
from genfoundry.types import UserError
from pipeline import repro

HERE = Path()
SUMMARY = Path("reports/retrain.md")
KEPT = ("dvc.lock", "ledger.jsonl", "data/inbox", "reports/evaluation", "reports/training", "reports/ranking",
        "reports/validation", "reports/leaderboard.json", "reports/leaderboard.md", "reports/retrain.md")  # fmt: skip


def run(*argv: str) -> None:
    with turns.taken(HERE):
        retrain(argv[argv.index("--branch") + 1] if "--branch" in argv else "")


def retrain(branch: str) -> None:
    params = experiment.settings()
    remote = bool(shell.ask("git", "remote", root=HERE))
    if remote and shell.ask("git", "rev-parse", "--abbrev-ref", "@{u}", root=HERE, check=False):
        shell.ask("git", "pull", "-q", "--ff-only", root=HERE)
    for name in params.datasets:
        look(name)
    own = [f"fetch@{name}" for name, dataset in params.datasets.items() if isinstance(dataset.raw, Folder)]
    if own:
        shell.show("dvc", "repro", "-q", "-f", "-s", *own, root=HERE)
    due = stale(HERE)
    if not due:
        print("retrain: nothing is new; the champions stay as they are")
        return
    print(f"retrain: {len(due)} stages are due: {', '.join(due[:8])}{' ...' if len(due) > 8 else ''}")
    if remote:
        shell.show("dvc", "pull", "-q", "--allow-missing", root=HERE)
    before = len(ledger.read(places.LEDGER))
    refuse_bad(list(params.datasets), before, remote, branch)
    repro.run()
    finish(before, "Retrain on new data", remote, branch)


def look(name: str) -> None:
    """Take new files of an inbox into DVC.

    The inbox only grows: tracked files that are not here (a new clone) are brought back first, beside the new ones.
    """
    folder, tracked = places.inbox(name), places.inbox(name).with_suffix(".dvc")
    folder.mkdir(parents=True, exist_ok=True)
    if not tracked.exists():
        shell.ask("dvc", "add", "-q", folder, root=HERE)
        return
    known = yaml.safe_load(tracked.read_text())["outs"][0]
    if known.get("nfiles"):
        restore(folder, tracked)
    if known.get("nfiles") or any(folder.iterdir()):
        shell.ask("dvc", "add", "-q", folder, root=HERE)


def restore(folder: Path, tracked: Path) -> None:
    """Bring tracked files back beside the new ones, of which a copy is kept until all stand together.

    Raises:
        UserError: a new file has the name of a tracked one, but not its content.
    """
    aside = Path(".state/inbox", folder.name)
    shutil.copytree(folder, aside, dirs_exist_ok=True)
    shell.ask("dvc", "pull", "-q", "--force", tracked, root=HERE)
    for path in sorted(p for p in aside.rglob("*") if p.is_file()):
        there = folder / path.relative_to(aside)
        if there.exists() and not filecmp.cmp(path, there, shallow=False):
            raise UserError(f"{there}: an earlier batch has this name and other content; rename {path} and put it here")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, there)
    shutil.rmtree(aside)


def stale(root: Path) -> list[str]:
    """The stages that would run, by DVC's own reckoning, whether or not their outs are on this machine."""
    always = {name for name, stage in graph.stages(root).items() if stage.always}
    shell.ask("dvc", "repro", "-q", "code", root=root)  # the others' dependence on code is read from its out
    # A dry run fails at a stage that would run and whose dependencies are not on this machine: it names that one too.
    dry = ("dvc", "repro", "--dry", "--allow-missing")
    done = subprocess.run(dry, cwd=root, capture_output=True, text=True)
    found = re.findall(r"(?:Running stage|failed to reproduce) '([^']+)'", done.stdout + done.stderr)
    if done.returncode and not found:
        raise UserError(f"{' '.join(dry)}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return [name for name in found if name not in always]


def refuse_bad(datasets: list[str], before: int, remote: bool, branch: str) -> None:
    """Validate every data set before anything is trained; one that fails leaves everything as it was.

    Raises:
        UserError: the data are refused; the reason is in the ledger, the champions stay.
    """
    for name in datasets:
        error = Path(tempfile.mkstemp(suffix=".txt")[1])
        status = shell.show(
            "bash", "-c", f"set -o pipefail; dvc repro 'validate@{name}' 2> >(tee {error} >&2)", root=HERE
        )
        said = [line for line in error.read_text(encoding="utf-8").splitlines() if line.startswith("genfoundry ")]
        error.unlink()
        if not status:
            continue
        reason = "; ".join(line.partition(": ")[2] for line in said) or "dvc repro failed, see its output"
        tracked = f"{places.inbox(name)}.dvc"
        data = yaml.safe_load(Path(tracked).read_text())["outs"][0]["md5"]
        shell.ask("git", "checkout", "-q", "--", *(p for p in ("dvc.lock", tracked) if in_git(p)), root=HERE)
        for task, one in experiment.settings().tasks.items():
            if one.dataset == name:
                refuse(task, data, reason)
        finish(before, f"Refuse new data of {name}", remote, branch, "ledger.jsonl", str(SUMMARY))
        raise UserError(f"{name}: the new data are refused, the champion stays: {reason}")


def refuse(task: str, data: str, reason: str) -> None:
    """One ledger line, unless the last one for the task refuses the same data already."""
    last = ledger.last(ledger.read(places.LEDGER), task)
    if last and last["decision"] == "refused" and last["data"] == data:
        return
    line: dict[str, Any] = {
        "task": task,
        "decision": "refused",
        "reason": reason,
        "data": data,
        "who": ledger.who(HERE),
    }
    line |= {"time": datetime.now(UTC).isoformat(timespec="seconds"), "commit": ledger.commit(HERE)[0]}
    line |= dict.fromkeys(("experiment", "model", "digest", "ranking")) | {"weights": {}, "figures": {}}
    ledger.append(places.LEDGER, line)


def in_git(path: str) -> bool:
    return bool(shell.ask("git", "ls-files", path, root=HERE))


def finish(before: int, message: str, remote: bool, branch: str, *paths: str) -> None:
    """Summary, commit, data to the DVC remote first, then the commit to git's."""
    lines = ledger.read(places.LEDGER)[before:]
    checkpoint.write_bytes(SUMMARY, summary(lines).encode())
    print(SUMMARY.read_text(encoding="utf-8"))
    if shown := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(shown).open("a", encoding="utf-8") as file:
            file.write(SUMMARY.read_text(encoding="utf-8"))
    if branch and remote:
        shell.ask("git", "checkout", "-q", "-B", branch, root=HERE)
    decided = ", ".join(f"{line['task']}: {line['decision']}" for line in lines)
    if not shell.commit(HERE, f"{message}\n\n{decided or 'No task was decided anew.'}", *(paths or KEPT)) or not remote:
        return
    if not paths:
        shell.ask("dvc", "push", "-q", root=HERE)
    shell.ask("git", "push", "-q", *(("-f", "-u", "origin", branch) if branch else ()), root=HERE)


def summary(lines: list[dict[str, Any]]) -> str:
    """Markdown: a row a decision with its figures, the leaderboard, and the champions' pictures."""
    text = [f"# Retraining, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", ""]
    text += ["| task | decision | experiment | reason |", "|---|---|---|---|"]
    text += [f"| {x['task']} | {x['decision']} | {x.get('experiment') or ''} | {x['reason']} |" for x in lines]
    board = Path("reports/leaderboard.md")
    if board.exists() and any(x["decision"] != "refused" for x in lines):
        text += ["", board.read_text(encoding="utf-8")]
        for name in sorted({x["experiment"] for x in lines if x.get("experiment")}):
            text += [f"![{name}](panels/{name}/{p.name})" for p in sorted(places.panels(name).glob("*.png"))]
    return "\n".join(text) + "\n"
