"""Files of the user's own as items that a model scores: read as `prepare` reads them, at the model's levels."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry import paths
from genfoundry.config import Patch
from genfoundry.errors import UserError
from genfoundry.files import read_json

if TYPE_CHECKING:
    from genfoundry.data.readers.arrays import ImageSet
    from genfoundry.data.readers.images import Form
    from genfoundry.serving.predictor import Predictor


def score_items(root: Path, file: Path, served: Predictor, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Nats (N,) and number of values (N,) of each item in a file.

    Raises:
        UserError: the file is damaged, or not of the kind, size or range that the model knows.
    """
    width = served.spec.shape[0]
    if file.is_dir() and served.modality != "images":
        raise UserError(f"{file}: a folder; one file of {served.modality} is wanted")
    if served.modality == "lines":
        found = _lines(file, served.alphabet, width)
        return served.score_text("\n".join(found), seed), np.array([len(line) + 1 for line in found])  # with the end
    if served.modality == "pairs":
        targets, sources, lengths = _pairs(file, served)
        return served.score(targets, sources, seed), lengths + 1  # with the end
    if served.modality == "text":
        text = _text(file, served.alphabet)
        nats = served.score_text(text, seed)
        return nats, np.array([min(width, len(text) - at) for at in range(0, len(text), width)])
    if served.modality == "series":
        x, past = _windows(file, served)
        return served.score(x, past, seed), (~np.isnan(x)).sum((1, 2))
    elif served.modality == "video":
        x, past = _videos(file, served)
        nats = served.score(x, past, seed)
    else:
        nats = served.score(_images(root, file, served), seed=seed)
    return nats, np.full(len(nats), served.spec.dims)


def _text(file: Path, alphabet: str) -> str:
    """The file's text as `prepare` would have it; characters outside the alphabet are left out, and said to be."""
    from genfoundry.data.readers import documents

    whole = documents.normalise(file, file.read_bytes())
    known = "".join(c for c in whole if c in alphabet)
    if not known.strip():
        raise UserError(f"{file}: no character of the model's alphabet {alphabet!r} in it")
    if left := len(whole) - len(known):
        print(
            f"{file}: {left} of {len(whole)} characters are not in the model's alphabet and left out", file=sys.stderr
        )
    return known


def _lines(file: Path, alphabet: str, width: int) -> list[str]:
    """The file's lines as `prepare` would have them; those that it would leave out are left out, and counted."""
    from genfoundry.data.modalities import lines

    every = list(lines.strip_lines(_text(file, alphabet)))
    found = [line for line in every if lines.fits(line, width)]
    if not found:
        raise UserError(f"{file}: no line with a letter of up to {width - 1} characters")
    if left := len(every) - len(found):
        print(f"{file}: {left} of {len(every)} lines have no letter or over {width - 1} characters", file=sys.stderr)
    return found


def _pairs(file: Path, served: Predictor) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Targets, sources and the targets' lengths of a file of TSV."""
    from genfoundry.data.modalities import pairs
    from genfoundry.data.readers import tsv

    found, sizes = (
        tsv.read_tsv(file, served.declared.get("header")).pairs,
        ((served.spec.cond_shape or (0,))[0], served.spec.shape[0] - 1),
    )
    for number, pair in found:
        for side, text, most in zip(("source", "target"), pair, sizes, strict=True):
            served.encode(text)  # refuses what the alphabet lacks
            if len(text) > most:
                raise UserError(f"{file}:{number}: the {side} has {len(text)} characters; this model takes {most}")
    if not found:
        raise UserError(f"{file}: no pairs; a source, a tab and a target a line are scored")
    source, _ = pairs.encode_padded([pair[0] for _, pair in found], served.alphabet, sizes[0])
    x, length = pairs.encode_padded([pair[1] for _, pair in found], served.alphabet, served.spec.shape[0])
    return x.astype(np.int64), source.astype(np.int64), length.astype(np.int64)


def _windows(file: Path, served: Predictor) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    from genfoundry.data.readers import time_csv
    from genfoundry.data.transforms import missing_values

    declared = served.declared
    step = declared.get("step")
    found = time_csv.read_series(file, "months" if step == "month" else None, tuple(declared.get("columns", ())))
    if "missing" not in declared:
        missing_values.require_complete(found)
    rows = found.rows  # the first column is the time
    rows = rows if step is None else missing_values.put_on_grid(rows, 1.0 if step == "month" else step, str(file))
    values = missing_values.fill_missing(rows, np.zeros(len(rows)), declared.get("missing", "error"), str(file)).rows[
        :, 1:
    ]
    (steps, columns), context = served.spec.shape, served.spec.cond_shape[0] if served.spec.cond_shape else 0
    count = (len(values) - context) // steps
    if values.shape[1] != columns or count < 1:
        raise UserError(
            f"{file}: {values.shape[1]} columns of values and {len(values)} rows; this model scores {columns} columns "
            f"({', '.join(served.names)}) and needs {context} rows of past and {steps} rows to score"
        )
    starts = context + steps * np.arange(count)
    x = np.stack([values[at : at + steps] for at in starts])
    if (
        context and served.spec.cond_shape and served.spec.cond_shape[1] > columns
    ):  # a file is counted from its first row
        values = np.concatenate([values, np.arange(len(values))[:, None]], 1)
    return x, np.stack([values[at - context : at] for at in starts]) if context else None


def _videos(file: Path, served: Predictor) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Frames to score, and the given ones before them, of the array `videos` (N, P + T, C, H, W) in an .npz."""
    steps, *frame = served.spec.shape
    given = served.spec.cond_shape[0] if served.spec.cond_shape else 0
    right = f"an .npz whose array `videos` is (N, {given + steps}, {', '.join(map(str, frame))})"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            x = arrays["videos"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: {error}; {right} is scored") from None
    if x.shape[1:] != (given + steps, *frame):
        raise UserError(f"{file}: videos of shape {x.shape}; {right} is scored")
    return x[:, given:], x[:, :given] if given else None


def _parts(file: Path, form: Form) -> list[ImageSet]:
    """What a file or folder holds; the label's column of a CSV is the last where the file does not show it."""
    from genfoundry.data.readers import image_folder
    from genfoundry.data.readers.grey_csv import AmbiguousLabel

    if file.is_dir():
        return image_folder.read_images(file, form).parts
    with tempfile.TemporaryDirectory() as alone:  # a data set's reader reads folders
        (Path(alone) / file.name).symlink_to(file.resolve())
        try:
            return image_folder.read_images(Path(alone), form).parts
        except AmbiguousLabel:
            return image_folder.read_images(Path(alone), replace(form, label="last")).parts
        except UserError as error:
            raise UserError(str(error).replace(f"{alone}/{file.name}", str(file))) from None


def _images(root: Path, file: Path, served: Predictor) -> NDArray[Any]:
    """Images of a file (or of a folder of pictures), at the levels that the model knows."""
    import torch

    from genfoundry.data.readers.images import SUFFIXES, Form
    from genfoundry.data.splits.base import SplitOptions
    from genfoundry.data.splits.images import ImageSplit

    size, patch = (served.declared.get(key) for key in ("size", "patch"))
    colour, label = served.declared.get("colour"), served.declared.get("label")
    form = Form(tuple(size) if size else None, colour, Patch(**patch) if patch else None, classes="none", label=label)
    parts = _parts(file, form)
    if not parts:
        raise UserError(f"{file}: no images; .npz, IDX (*-images-idx3-ubyte), {', '.join(SUFFIXES)} are read")
    for part in parts:
        if part.x.shape[1:] != served.spec.shape:
            raise UserError(f"{file}: images of {part.x.shape[1:]} (C, H, W); this model knows {served.spec.shape}")
    card = served.model.card
    prepared = root / paths.prepared(str(card["dataset"])) / "spec.json"
    native = int(read_json(prepared)["spec"]["levels"]) if prepared.exists() else max(served.spec.levels or 0, 256)
    x = np.concatenate([part.x for part in parts])
    if x.max() >= native:
        raise UserError(f"{file}: grey value {x.max()}; {card['dataset']} has 0 to {native - 1}")
    if served.spec.levels is None:
        return x
    tensors = {"x": torch.as_tensor(x), "label": torch.full((len(x),), -1)}
    spec = replace(served.spec, levels=native)
    options = SplitOptions(served.spec.levels, card.get("data", {}).get("binarise"))
    split = ImageSplit("score", tensors, spec, options)
    return np.asarray(split.eval_batch(torch.arange(len(x))).x.numpy())
