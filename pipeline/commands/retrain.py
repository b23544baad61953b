"""`genfoundry retrain`, the scheduled job: look for new data, refuse or retrain, decide, publish, commit and push."""

import logging
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genfoundry import files
from genfoundry import paths as paths_module
from genfoundry.console import shell
from genfoundry.data.fetch import check
from genfoundry.errors import UserError
from genfoundry.selection import ledger
from pipeline.commands import repro
from pipeline.orchestration import dvc_lock, git_sync, inbox, resolve, run_lock, sources, uncommitted, unit
from pipeline.stages import plan

HERE = Path()
logger = logging.getLogger(__name__)
JUDGING = ("genfoundry prepare@", "genfoundry validate@")  # how the lines begin that say what is wrong with data
SUMMARY = paths_module.RETRAIN_SUMMARY
LOCKS = ("dvc.lock", "pipeline/dvc.lock")
EDITED = ("params.yaml", "dvc.yaml", "src", "pipeline", ":(exclude)pipeline/dvc.lock")  # what a person edits
KEPT = (*LOCKS, "ledger.jsonl", "data/inbox", "data/sources.json",
        "reports/evaluation", "reports/training", "reports/ranking",
        "reports/validation", "reports/leaderboard.json", "reports/leaderboard.md", "reports/retrain.md")  # fmt: skip


def run(branch: str = "") -> int:
    """Retrain and push to `branch`, by default the one that is checked out; return the exit status.

    Raises:
        UserError: the data are refused or could not be had, a stage failed, or the result could not be pushed.
    """
    with run_lock.hold(HERE):
        shell.check_versioned(HERE)
        to = git_sync.find_destination(HERE, branch)
        if to and update_code(to):  # other code than this process has read: begin again with it
            options = ("--branch", branch) if branch else ()
            return shell.show(sys.executable, "-m", "pipeline.cli", "retrain", *options, root=HERE)
        retrain(to)
    return 0


def update_code(to: git_sync.Destination) -> bool:
    """Bring the branch up to date; return whether code changed."""
    before = ledger.get_commit(HERE)[0]
    git_sync.update(HERE, to)
    changed = shell.ask("git", "diff", "--name-only", str(before), "HEAD", "--", "src", "pipeline", root=HERE)
    return bool(changed)


def retrain(to: git_sync.Destination | None) -> None:
    """Take new data, train what is due, or publish what an earlier run did not."""
    params = resolve.load_params()
    for name in params.datasets:
        add_new_files(name)
    plan.run()  # without DVC, which would write what is new into its lock, whether or not it is retrained
    # `plan.run` has just said what it found; `dvc repro` runs that stage again, which need not repeat it.
    os.environ[plan.REPORTED] = "1"
    away = [status.message for status in sources.check_all(HERE, params) if status.state == "away"]
    for name, dataset in params.datasets.items():
        for line in check.check_remote(name, dataset, paths_module.raw(name), paths_module.DOWNLOADS):
            logger.warning("%s", line)
    if due := dvc_lock.find_stale(HERE, unit.read_all(HERE)):
        print(f"retrain: {len(due)} stages are due: {', '.join(due[:8])}{' ...' if len(due) > 8 else ''}")
        train(list(params.datasets), to)
    else:
        print("retrain: nothing is new; the champions stay as they are")
        if to and git_sync.count_apart(HERE, to)[0]:  # an earlier run was not pushed
            publish(to, data=True)
    if away:
        raise UserError("done, but new data may have been missed: " + "; ".join(away))


def train(datasets: list[str], to: git_sync.Destination | None) -> None:
    """Validate every data set, run what is due, commit and push the result."""
    uncommitted.check_committed(HERE, *EDITED)
    if to:
        check_remotes(to)
        # Without --allow-missing DVC fails where nothing was pushed so far, as in a new project.
        shell.show("dvc", "pull", "-q", "--allow-missing", root=HERE)
    before = len(ledger.read_decisions(paths_module.LEDGER))
    # Before any training: an hour on data that are refused in the end would be lost.
    validate_all(datasets, before, to)
    repro.reproduce(repro.Options())
    finish(before, "Retrain on new data", to)


def check_remotes(to: git_sync.Destination) -> None:
    """Ask git's remote and DVC's whether they would take the result, before anything is trained.

    Raises:
        UserError: one would not; its reason.
    """
    git_sync.check_push(HERE, to)
    tracked = next(iter(sorted(paths_module.INBOXES.glob("*.dvc"))), None)
    if tracked is not None:  # an inbox, mostly an empty one, is the least that can be pushed
        try:
            shell.ask("dvc", "push", tracked, root=HERE)
        except UserError as error:
            raise UserError(f"nothing was run: the data could not be pushed to DVC's remote: {error}") from None


def add_new_files(name: str) -> None:
    """Add new files of an inbox to DVC.

    The inbox only grows, unless files are withdrawn: tracked ones that are not here (a new clone) are brought back.
    """
    folder, tracked = paths_module.inbox(name), inbox.read_tracked(HERE, name)
    folder.mkdir(parents=True, exist_ok=True)
    if message := inbox.restore(HERE, name):
        print(f"retrain: {message}")
    inbox.check_names(HERE, name)
    inbox.check_complete(HERE, name)
    if not tracked or tracked.get("nfiles") or any(folder.iterdir()):
        shell.ask("dvc", "add", folder, root=HERE)


def validate_all(datasets: list[str], before: int, to: git_sync.Destination | None) -> None:
    """Validate every data set before anything is trained; one that fails leaves everything as it was.

    Raises:
        UserError: the data are refused; the reason is in the ledger, the champions stay. Or they could not be had.
    """
    for name in datasets:
        error = Path(tempfile.mkstemp(suffix=".txt")[1])
        status = shell.show(
            "bash", "-c", f"set -o pipefail; dvc repro 'validate@{name}' 2> >(tee {error} >&2)", root=HERE
        )
        lines = [line for line in error.read_text(encoding="utf-8").splitlines() if line.startswith("genfoundry ")]
        error.unlink()
        if not status:
            continue
        reason = "; ".join(line.partition(": ")[2] for line in lines) or "dvc repro failed, see its output"
        if not any(line.startswith(JUDGING) for line in lines):  # no fault of the data: a source, a disk, the code
            raise UserError(f"{name}: the data could not be had, and nothing was decided: {reason}")
        tracked = f"{paths_module.inbox(name)}.dvc"
        data = inbox.read_tracked(HERE, name)["md5"]
        # What DVC recorded of the refused data is undone, so that the next run looks at them again.
        in_git = shell.ask("git", "ls-files", "-z", *LOCKS, tracked, root=HERE).split("\0")
        shell.ask("git", "checkout", "-q", "--", *filter(None, in_git), root=HERE)
        for task, settings in resolve.load_params().tasks.items():
            if settings.dataset == name:
                record_refusal(task, data, reason)
        finish(before, f"Refuse new data of {name}", to, str(paths_module.LEDGER), str(SUMMARY))
        raise UserError(f"{name}: the new data are refused, the champion stays: {reason}")


def record_refusal(task: str, data: str, reason: str) -> None:
    """Append a line to the ledger, unless the last one for the task refuses the same data already."""
    # The job is scheduled, and bad data stay until somebody mends them: one line says it.
    last = ledger.find_last(ledger.read_decisions(paths_module.LEDGER), task)
    if last and last["decision"] == "refused" and last["data"] == data:
        return
    line: dict[str, Any] = {"task": task, "decision": "refused", "reason": reason, "data": data}
    line["who"] = ledger.get_user_name(HERE)
    line["time"] = datetime.now(UTC).isoformat(timespec="seconds")
    line["commit"], line["clean"] = ledger.get_commit(HERE)
    line |= dict.fromkeys(("experiment", "model", "digest", "ranking")) | {"weights": {}, "figures": {}}
    ledger.append_decision(paths_module.LEDGER, line)


def finish(before: int, message: str, to: git_sync.Destination | None, *paths: str) -> None:
    """Write the summary, commit, and push: data to DVC's remote first, then the commit to git's."""
    lines = ledger.read_decisions(paths_module.LEDGER)[before:]
    files.write_bytes(SUMMARY, summarize(lines).encode())
    print(SUMMARY.read_text(encoding="utf-8"))
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(SUMMARY.read_text(encoding="utf-8"))
    if to and not to.upstream:
        # A branch for results alone: it begins anew at this commit, whatever it held.
        shell.ask("git", "checkout", "-q", "-B", to.branch, root=HERE)
    decided = ", ".join(f"{line['task']}: {line['decision']}" for line in lines)
    if shell.commit(HERE, f"{message}\n\n{decided or 'No task was decided anew.'}", *(paths or KEPT)) and to:
        publish(to, data=not paths)


def publish(to: git_sync.Destination, *, data: bool) -> None:
    """Push the data, then the commits that name them."""
    if data:
        shell.ask("dvc", "push", root=HERE)
    # The data are pushed by now: a commit whose data are nowhere could not be made again by anybody.
    git_sync.push(HERE, to)


def summarize(lines: list[dict[str, Any]]) -> str:
    """Return Markdown: a row for each decision, the leaderboard, and the champions' pictures."""
    text = [f"# Retraining, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", ""]
    text += ["| task | decision | experiment | reason |", "|---|---|---|---|"]
    text += [f"| {x['task']} | {x['decision']} | {x.get('experiment') or ''} | {x['reason']} |" for x in lines]
    board = paths_module.LEADERBOARD[1]
    if board.exists() and any(x["decision"] != "refused" for x in lines):
        text += ["", board.read_text(encoding="utf-8")]
        for name in sorted({x["experiment"] for x in lines if x.get("experiment")}):
            text += [f"![{name}](panels/{name}/{p.name})" for p in sorted(paths_module.panels(name).glob("*.png"))]
    return "\n".join(text) + "\n"
