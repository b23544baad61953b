"""Champions at the command line: draw samples, score a file. They come from the ledger; MLflow is not needed.

`sample --task T --n N [--prompt P] [--label L] [--out FILE]` writes a picture (or .npz) of images or videos, prints
text, writes CSV of series. `score --task T --file FILE [--out FILE]` prints the mean and writes a row an item. Without
--out, files go to build/.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import paths
from genfoundry.console.parser import Parser
from genfoundry.errors import UserError
from genfoundry.types import Draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genfoundry.serving.predictor import Predictor

OUT = Path("build")


def load_champion(root: Path, task: str) -> Predictor:
    """The champion of a task, its weights brought from workspace, DVC cache or DVC remote.

    Raises:
        UserError: the task has none (the message lists those that have), or its weights are nowhere.
    """
    from genfoundry.selection import weight_store

    _, folder = weight_store.find_champion(root, task)
    from genfoundry.serving.predictor import Predictor  # torch: after the cheap mistakes

    return Predictor(folder)


def sample(root: Path, task: str, n: int, *, out: Path | None = None, **settings: Any) -> str:
    """Draw n samples from a task's champion; returns what to print. `settings` are keywords of `Predictor.sample`.

    Raises:
        UserError: no champion, or a value that the model does not take.
    """
    predictor = load_champion(root, task)
    # A forecast or a video needs given steps to go on from; the data set's own test split is at hand for that.
    past = _read_past(root, predictor) if predictor.modality in ("series", "video") else None
    samples = predictor.sample(n, past=past, **settings)
    if predictor.alphabet:
        between = "\n" if predictor.modality in ("lines", "pairs") else "\n" + "-" * 72 + "\n"
        text = between.join(samples)
        return _write(out, text + "\n") if out else text
    if predictor.modality == "series":
        header = ["sample", "step", *(predictor.names or [f"value{i}" for i in range(samples[0].shape[-1])])]
        rows = [[i, t, *step] for i, series in enumerate(samples) for t, step in enumerate(series.tolist())]
        return _write(out or root / OUT / f"{task}-samples.csv", header, rows)
    import numpy as np

    return _write_images(out or root / OUT / f"{task}-samples.png", np.stack(samples), predictor.spec.levels)


def _write_images(path: Path, images: NDArray[Any], levels: int | None) -> str:
    if path.suffix.lower() not in (".png", ".npz"):
        raise UserError(f"{path}: samples of images are written as .png (a grid) or .npz (the arrays)")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".npz":
        import numpy as np

        np.savez_compressed(path, images=images)
    else:
        from genfoundry.evaluation import plots

        plots.write_strips(path, [images], levels) if images.ndim == 5 else plots.write_grid(path, images, levels)
    return f"{len(images)} samples of shape {images.shape[1:]}: {path}"


def _read_past(root: Path, predictor: Predictor) -> NDArray[Any]:
    """Past of the samples: the given frames of test's first video, or the last steps of the series (P, D)."""
    import numpy as np

    from genfoundry.files import read_tensors

    path = root / paths.prepared(str(predictor.model.card["dataset"])) / "test.safetensors"
    if not path.exists():
        raise UserError(f"{path}: not there; a sample goes on from what it holds: `dvc pull` or `dvc repro prepare`")
    tensors, steps, shape = read_tensors(path), predictor.past_steps, predictor.spec.cond_shape
    if predictor.modality == "video":
        return np.asarray(tensors["x"][0].numpy()[:steps])
    past = np.concatenate([tensors["past"].double().numpy(), tensors["x"].double().numpy()])
    if shape and shape[1] > past.shape[1]:  # the rows' numbers, too
        # The model has learnt rows numbered from the beginning of the series, of which test is the end.
        numbers = np.arange(len(past)) + int(tensors["first"]) - len(tensors["past"])
        past = np.concatenate([past, numbers[:, None]], 1)
    return past[len(past) - steps :]


def score(root: Path, task: str, file: Path, *, out: Path | None = None, seed: int = 0) -> str:
    """Score a file by a task's champion: a row an item in CSV; returns what to print.

    Items are images, lines, or windows of the model's length of a text or series, each scored afresh.

    Raises:
        UserError: no champion, one without a likelihood, or a file that the model does not take.
    """
    import numpy as np

    from genfoundry.serving import score_file

    # Before the champion is loaded, which takes seconds, or a download.
    if not file.exists():
        raise UserError(f"{file}: no such file; FILE is an image, .npz or IDX file, a .txt, a .tsv, or a .csv")
    predictor = load_champion(root, task)
    if predictor.model.likelihood == "none":
        name = predictor.model.card["experiment"]
        raise UserError(f"task {task}: its champion, {name}, has no likelihood and cannot score")
    nats, values = score_file.score_items(root, file, predictor, seed)
    rows = [
        [i, float(v), predictor.per_value(float(v), int(k))] for i, (v, k) in enumerate(zip(nats, values, strict=True))
    ]
    path = _write(out or root / OUT / f"{task}-scores.csv", ["item", "nats", predictor.unit], rows)
    # The ratio of sums, not the mean of ratios: a last, shorter window counts by the values that it has.
    mean = predictor.per_value(float(nats.sum()), int(values.sum()))
    error = f" +- {np.std([row[2] for row in rows], ddof=1) / np.sqrt(len(rows)):.4f}" if len(rows) > 1 else ""
    word = {"bound": "upper bound", "estimate": "estimate"}.get(predictor.model.likelihood, "")
    words = ": ".join(filter(None, (word, predictor.model.likelihood_note)))
    kind = f" ({words})" if words else ""
    return f"{len(rows)} items: {nats.mean():.4f} nats an item, {mean:.4f}{error} {predictor.unit}{kind}: {path}"


def _write(path: Path, header: str | Sequence[str], rows: Iterable[Sequence[object]] = ()) -> str:
    """Write text, or a table as CSV; returns the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            if isinstance(header, str):
                file.write(header)
            else:
                csv.writer(file, lineterminator="\n").writerows([header, *rows])  # csv would end lines with CR LF
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give a file that can be written with --out") from None
    return str(path)


def build_parser() -> Parser:
    """The parser of the subcommands `sample` and `score`."""
    parser = Parser("genfoundry", description=str(__doc__).splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    draw = commands.add_parser("sample", description="Draw samples from a task's champion.")
    score_parser = commands.add_parser("score", description="Compute the likelihood of a file under a champion.")
    for command in (draw, score_parser):
        command.add_argument("--task", metavar="NAME", required=True, help="the task whose champion is asked")
        command.add_argument("--out", metavar="FILE", type=Path, help="file to write (default: in build/)")
        command.add_argument("--seed", metavar="N", type=int, default=0, help="of the random numbers (default: 0)")
    draw.add_argument("--n", metavar="N", type=int, default=16, help="number of samples (default: 16)")
    draw.add_argument("--prompt", metavar="TEXT", default="", help="text that samples go on from; of pairs, the source")
    draw.add_argument("--label", metavar="N", type=int, default=-1, help="class, for models that know classes")
    draw.add_argument("--length", metavar="N", type=int, default=0, help="characters of text (default: one window)")
    draw.add_argument("--temperature", metavar="T", type=float, default=1.0, help="of the softmax (default: 1)")
    draw.add_argument("--top-k", metavar="K", type=int, default=0, help="draw from the K likeliest values alone")
    draw.add_argument("--top-p", metavar="P", type=float, default=1.0, help="draw from a share P of the probability")
    score_parser.add_argument(
        "--file", metavar="FILE", type=Path, required=True, help="image, .npz, IDX, .txt, .tsv or .csv"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; a user's mistake is one line on standard error and status 1."""
    a = build_parser().parse_args(argv)
    try:
        if a.command == "score":
            print(score(Path(), a.task, a.file, out=a.out, seed=a.seed))
        else:
            settings = {"prompt": a.prompt, "label": a.label, "length": a.length, "seed": a.seed, "out": a.out}
            print(sample(Path(), a.task, a.n, draw=Draw(a.temperature, a.top_k, a.top_p), **settings))
    except UserError as error:
        print(f"genfoundry {a.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
