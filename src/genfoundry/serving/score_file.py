"""Scoring of a user's file: read as `prepare` reads it, at the model's levels, an item a row, line or window."""

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


def score_items(
    root: Path, file: Path, predictor: Predictor, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Nats (N,) and number of values (N,) of each item in a file.

    Raises:
        UserError: the file is damaged, or not of the kind, size or range that the model takes.
    """
    modality = predictor.modality
    if file.is_dir() and modality != "images":
        raise UserError(f"{file}: a folder; expected one file of {modality}")
    if modality in ("text", "lines"):
        text = _read_text(file, predictor.alphabet)
        text = text if modality == "text" else "\n".join(_select_lines(file, text, predictor.spec.shape[0]))
        return predictor.score_text(text, seed)
    if modality == "pairs":
        targets, sources, lengths = _read_pairs(file, predictor)
        return predictor.score(targets, sources, seed), lengths + 1  # with the end
    if modality == "series":
        x, past = _read_windows(file, predictor)
        return predictor.score(x, past, seed), (~np.isnan(x)).sum((1, 2))
    x, past = _read_videos(file, predictor) if modality == "video" else (_read_images(root, file, predictor), None)
    nats = predictor.score(x, past, seed)
    return nats, np.full(len(nats), predictor.spec.dims)


def _read_text(file: Path, alphabet: str) -> str:
    """The file's text as `prepare` would have it, without characters outside the alphabet, which are counted."""
    from genfoundry.data.readers import documents

    text = documents.normalise(file, file.read_bytes())
    known = "".join(c for c in text if c in alphabet)
    if not known.strip():
        raise UserError(f"{file}: no character of the model's alphabet {alphabet!r} in it")
    _warn(file, len(text) - len(known), len(text), "characters are not in the model's alphabet and left out")
    return known


def _select_lines(file: Path, text: str, width: int) -> list[str]:
    """The lines that `prepare` would take; the others are counted."""
    from genfoundry.data.modalities import lines

    stripped = list(lines.strip_lines(text))
    selected = [line for line in stripped if lines.fits(line, width)]
    if not selected:
        raise UserError(f"{file}: no line with a letter of up to {width - 1} characters")
    wrong = f"lines have no letter or over {width - 1} characters"
    _warn(file, len(stripped) - len(selected), len(stripped), wrong)
    return selected


def _warn(file: Path, left_out: int, total: int, reason: str) -> None:
    if left_out:
        print(f"{file}: {left_out} of {total} {reason}", file=sys.stderr)


def _read_pairs(file: Path, predictor: Predictor) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Targets, sources and the targets' lengths of a file of TSV."""
    from genfoundry.data.modalities import pairs
    from genfoundry.data.readers import tsv

    numbered = tsv.read_tsv(file, predictor.declared.get("header")).pairs
    sizes = (predictor.past_steps, predictor.spec.shape[0] - 1)
    for number, pair in numbered:
        for side, text, most in zip(("source", "target"), pair, sizes, strict=True):
            predictor.encode(text)  # refuses what the alphabet lacks
            if len(text) > most:
                raise UserError(f"{file}:{number}: {side}: expected up to {most} characters, got {len(text)}")
    if not numbered:
        raise UserError(f"{file}: no pairs; expected a source, a tab and a target a line")
    sources, _ = pairs.encode_padded([pair[0] for _, pair in numbered], predictor.alphabet, sizes[0])
    targets, lengths = pairs.encode_padded([pair[1] for _, pair in numbered], predictor.alphabet, sizes[1] + 1)
    return targets.astype(np.int64), sources.astype(np.int64), lengths.astype(np.int64)


def _read_windows(file: Path, predictor: Predictor) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Windows (N, T, D) of a CSV file side by side, and the rows before each."""
    from genfoundry.data.readers import time_csv
    from genfoundry.data.transforms import missing_values

    declared, spec, past = predictor.declared, predictor.spec, predictor.past_steps
    step = declared.get("step")
    table = time_csv.read_series(file, "months" if step == "month" else None, tuple(declared.get("columns", ())))
    # A data set that declares nothing for missing values was prepared from complete tables only.
    if "missing" not in declared:
        missing_values.require_complete(table)
    rows = table.rows  # the first column is the time
    rows = rows if step is None else missing_values.put_on_grid(rows, 1.0 if step == "month" else step, str(file))
    filled = missing_values.fill_missing(rows, np.zeros(len(rows)), declared.get("missing", "error"), str(file))
    values = filled.rows[:, 1:]
    steps, columns = spec.shape
    count = (len(values) - past) // steps
    if values.shape[1] != columns or count < 1:
        raise UserError(
            f"{file}: {values.shape[1]} columns of values and {len(values)} rows; this model scores {columns} columns "
            f"({', '.join(predictor.names)}) and needs {past} rows of past and {steps} rows to score"
        )
    starts = past + steps * np.arange(count)
    x = np.stack([values[at : at + steps] for at in starts])  # (N, T, D)
    if spec.cond_shape and spec.cond_shape[1] > columns:  # the rows' numbers: a file is counted from its first row
        values = np.concatenate([values, np.arange(len(values))[:, None]], 1)
    return x, np.stack([values[at - past : at] for at in starts]) if past else None


def _read_videos(file: Path, predictor: Predictor) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Frames to score, and the given ones before them, of the array `videos` (N, P + T, C, H, W) in an .npz."""
    (steps, *frame), past = predictor.spec.shape, predictor.past_steps
    expected = f"an .npz whose array `videos` is (N, {past + steps}, {', '.join(map(str, frame))})"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            x = arrays["videos"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: {error}; expected {expected}") from None
    if x.shape[1:] != (past + steps, *frame):
        raise UserError(f"{file}: videos of shape {x.shape}; expected {expected}")
    return x[:, past:], x[:, :past] if past else None


def _read_parts(file: Path, form: Form) -> list[ImageSet]:
    """The arrays of a file or folder; the label's column of a CSV is the last where the file does not show it."""
    from genfoundry.data.readers import image_folder
    from genfoundry.data.readers.grey_csv import AmbiguousLabel

    if file.is_dir():
        return image_folder.read_images(file, form).parts
    with tempfile.TemporaryDirectory() as folder:  # a data set's reader reads folders
        (Path(folder) / file.name).symlink_to(file.resolve())
        try:
            return image_folder.read_images(Path(folder), form).parts
        except AmbiguousLabel:
            return image_folder.read_images(Path(folder), replace(form, label="last")).parts
        except UserError as error:
            raise UserError(str(error).replace(f"{folder}/{file.name}", str(file))) from None


def _read_images(root: Path, file: Path, predictor: Predictor) -> NDArray[Any]:
    """Images (N, C, H, W) of a file (or of a folder of pictures), at the levels that the model knows."""
    import torch

    from genfoundry.data.readers.images import SUFFIXES, Form
    from genfoundry.data.splits.base import SplitOptions
    from genfoundry.data.splits.images import ImageSplit

    declared, spec, card = predictor.declared, predictor.spec, predictor.model.card
    size, patch = declared.get("size"), declared.get("patch")
    form = Form(
        tuple(size) if size else None,
        declared.get("colour"),
        Patch(**patch) if patch else None,
        classes="none",
        label=declared.get("label"),
    )
    parts = _read_parts(file, form)
    if not parts:
        raise UserError(f"{file}: no images; .npz, IDX (*-images-idx3-ubyte), {', '.join(SUFFIXES)} are read")
    if wrong := [part.x.shape[1:] for part in parts if part.x.shape[1:] != spec.shape]:
        raise UserError(f"{file}: images of {wrong[0]} (C, H, W); this model knows {spec.shape}")
    prepared = root / paths.prepared(str(card["dataset"])) / "spec.json"
    # Without the prepared data (only the champion was pulled), images of 8 bits are assumed.
    native = int(read_json(prepared)["spec"]["levels"]) if prepared.exists() else max(spec.levels or 0, 256)
    x = np.concatenate([part.x for part in parts])  # (N, C, H, W)
    if x.max() >= native:
        raise UserError(f"{file}: grey value {x.max()}; {card['dataset']} has 0 to {native - 1}")
    if spec.levels is None:
        return x
    tensors = {"x": torch.as_tensor(x), "label": torch.full((len(x),), -1)}
    options = SplitOptions(spec.levels, card.get("data", {}).get("binarise"))
    split = ImageSplit("score", tensors, replace(spec, levels=native), options)
    return np.asarray(split.eval_batch(torch.arange(len(x))).x.numpy())
