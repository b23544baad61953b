"""The champions at the command line: draw samples, score a file. They come from the ledger; MLflow is not needed.

`python -m genfoundry.serving.cli sample --task T --n N [--prompt P] [--label L] [--out FILE]` writes a picture (or
.npz) of images or videos, prints text, writes CSV of series. `python -m genfoundry.serving.cli score --task T --file
FILE [--out FILE]` prints the mean and writes a row an item. Without --out, files go to build/.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry import paths
from genfoundry.errors import UserError
from genfoundry.files import read_tensors
from genfoundry.selection import ledger, weight_store
from genfoundry.serving import score_file
from genfoundry.types import Draw

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.serving.predictor import Predictor

OUT = Path("build")
PAST = ("series", "video")  # modalities whose samples go on from the data set's own


@dataclass(frozen=True)
class ServedChampion:
    """The champion of a task: the model, and the ledger's line about it."""

    served: Predictor
    line: ledger.Decision


def load_champion(root: Path, task: str) -> ServedChampion:
    """The champion of a task, its weights brought from workspace, DVC cache or DVC remote.

    Raises:
        UserError: the task has none (the message lists those that have), or its weights are not to be had.
    """
    lines = ledger.read_decisions(root / paths.LEDGER)
    line = ledger.find_champion(lines, task)
    if line is None:
        known = sorted({one["task"] for one in lines if ledger.find_champion(lines, one["task"])})
        raise UserError(f"task {task!r} has no champion; {', '.join(known) or 'no task'} has; `make repro` makes them")
    folder = weight_store.find(root, line["weights"])
    from genfoundry.serving.predictor import Predictor  # torch: after the cheap mistakes

    return ServedChampion(Predictor(folder), line)


def sample(
    root: Path,
    task: str,
    n: int,
    *,
    prompt: str = "",
    label: int = -1,
    length: int = 0,
    draw: Draw = Draw(),
    seed: int = 0,
    out: Path | None = None,
) -> str:
    """Draw n samples from a task's champion; returns what to print.

    Raises:
        UserError: no champion, or a value that the model does not take.
    """
    served = load_champion(root, task).served
    past = {"series": _past, "video": _frames}[served.modality](root, served) if served.modality in PAST else None
    found = served.sample(n, label=label, prompt=prompt, past=past, length=length, draw=draw, seed=seed)
    if served.alphabet:
        between = "\n" if served.modality in ("lines", "pairs") else "\n" + "-" * 72 + "\n"
        text = between.join(found)
        return _written(out, text + "\n") if out else text
    if served.modality == "series":
        header = ["sample", "step", *(served.names or [f"value{i}" for i in range(found[0].shape[-1])])]
        rows = [[i, t, *step] for i, one in enumerate(found) for t, step in enumerate(one.tolist())]
        return _written(out or root / OUT / f"{task}-samples.csv", header, rows)
    return _pictures(out or root / OUT / f"{task}-samples.png", np.stack(found), served.spec.levels)


def _pictures(path: Path, images: NDArray[Any], levels: int | None) -> str:
    if path.suffix.lower() not in (".png", ".npz"):
        raise UserError(f"{path}: samples of images are written as .png (a grid) or .npz (the arrays)")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".npz":
        np.savez_compressed(path, images=images)
    else:
        from genfoundry.evaluation import plots

        plots.write_strips(path, [images], levels) if images.ndim == 5 else plots.write_grid(path, images, levels)
    return f"{len(images)} samples of shape {images.shape[1:]}: {path}"


def _past(root: Path, served: Predictor) -> NDArray[np.float64]:
    """The last steps that there are of the data set: what a sample goes on from."""
    arrays = _held(root, served)
    steps = served.spec.cond_shape[0] if served.spec.cond_shape else 0
    known = np.concatenate([arrays["past"].double().numpy(), arrays["x"].double().numpy()])
    if steps and served.spec.cond_shape and served.spec.cond_shape[1] > known.shape[1]:  # the rows' numbers, too
        number = np.arange(len(known)) + int(arrays["first"]) - len(arrays["past"])
        known = np.concatenate([known, number[:, None]], 1)
    return known[len(known) - steps :] if steps else known[:0]


def _frames(root: Path, served: Predictor) -> NDArray[Any]:
    """The given frames of the first video of test, which all samples go on from."""
    video: NDArray[Any] = _held(root, served)["x"][0].numpy()
    return video[: served.spec.cond_shape[0] if served.spec.cond_shape else 0]


def _held(root: Path, served: Predictor) -> dict[str, Tensor]:
    path = root / paths.prepared(str(served.model.card["dataset"])) / "test.safetensors"
    if not path.exists():
        raise UserError(f"{path}: not there; a sample goes on from what it holds: `dvc pull` or `dvc repro prepare`")
    return read_tensors(path)


def score(root: Path, task: str, file: Path, *, out: Path | None = None, seed: int = 0) -> str:
    """Score a file by a task's champion: a row an item in CSV; returns what to print.

    Items are images, lines, or windows of the model's length of a text or series, each scored afresh.

    Raises:
        UserError: no champion, one without a likelihood, or a file that is not what the model knows.
    """
    if not file.exists():
        raise UserError(f"{file}: no such file; FILE is an image, .npz or IDX file, a .txt, a .tsv, or a .csv")
    found = load_champion(root, task)
    served = found.served
    if served.model.likelihood == "none":
        raise UserError(f"task {task}: its champion, {found.line['experiment']}, has no likelihood and cannot score")
    nats, values = score_file.score_items(root, file, served, seed)
    header = ["item", "nats", served.unit]
    rows = [
        [i, float(v), served.per_value(float(v), int(k))] for i, (v, k) in enumerate(zip(nats, values, strict=True))
    ]
    path = out or root / OUT / f"{task}-scores.csv"
    where = _written(path, header, rows)
    mean = served.per_value(float(nats.sum()), int(values.sum()))
    error = f" +- {np.std([row[2] for row in rows], ddof=1) / np.sqrt(len(rows)):.4f}" if len(rows) > 1 else ""
    kind = {"exact": "", "bound": " (upper bound)"}[served.model.likelihood]
    return f"{len(rows)} items: {nats.mean():.4f} nats an item, {mean:.4f}{error} {served.unit}{kind}: {where}"


def _written(path: Path, header: str | Sequence[str], rows: Iterable[Sequence[object]] = ()) -> str:
    """Write text, or a table as CSV; returns where it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            if isinstance(header, str):
                file.write(header)
            else:
                csv.writer(file, lineterminator="\n").writerows([header, *rows])
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a file that can be written with --out") from None
    return str(path)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m genfoundry.serving.cli", description=str(__doc__).splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("sample", help="draw samples from a task's champion")
    two = commands.add_parser("score", help="score a file by a task's champion")
    for command in (one, two):
        command.add_argument("--task", required=True)
        command.add_argument("--out", type=Path, help="file to write (default: in build/)")
        command.add_argument("--seed", type=int, default=0)
    one.add_argument("--n", type=int, default=16, help="number of samples")
    one.add_argument("--prompt", default="", help="what text goes on from; of pairs, the source")
    one.add_argument("--label", type=int, default=-1, help="class, for models that know classes")
    one.add_argument("--length", type=int, default=0, help="characters of text (default: the model's window)")
    one.add_argument("--temperature", type=float, default=1.0)
    one.add_argument("--top-k", type=int, default=0)
    one.add_argument("--top-p", type=float, default=1.0)
    two.add_argument("--file", type=Path, required=True, help="image, .npz, IDX, .txt, .tsv or .csv")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake is one line and status 1."""
    a = build_parser().parse_args(argv)
    root = Path()
    try:
        if a.command == "score":
            print(score(root, a.task, a.file, out=a.out, seed=a.seed))
        else:
            draw = Draw(a.temperature, a.top_k, a.top_p)
            print(
                sample(
                    root,
                    a.task,
                    a.n,
                    prompt=a.prompt,
                    label=a.label,
                    length=a.length,
                    draw=draw,
                    seed=a.seed,
                    out=a.out,
                )
            )
    except UserError as error:
        print(f"{a.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
