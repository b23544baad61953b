"""Lines: one a sample, padded with ends, in the split of their document; what is no line is counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from raw_folders import text
from safetensors.numpy import load_file, save_file

from genfoundry.config import Expect
from genfoundry.data.dataset import Dataset
from genfoundry.data.splits.lines import lengths
from genfoundry.data.validation.rules import derive, rules
from genfoundry.errors import UserError
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.baselines import base as baselines
from genfoundry.splits import SPLITS

Prepare = Callable[..., Dataset]


def write(folder: Path, n: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        (folder / f"{i:02}.txt").write_text(f"abc {i}\n\n  bad {i}  \n12 34\nabcdefgh\nabcdefg\n")


def shown(data: Dataset, split: str) -> list[str]:
    return ["".join(data.meta["alphabet"][i] for i in row) for row in data.split(split).tensor.tolist()]


def test_a_line_is_a_sample(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    data = prepare(text(modality="lines"))
    assert data.spec.shape == (8,) and data.spec.levels == len(data.meta["alphabet"])
    every = [line for split in SPLITS for line in shown(data, split)]
    assert len(every) == 90 and {len(line) for line in every} == {8}
    assert sorted(line.rstrip("\n") for line in every) == sorted(
        line for i in range(30) for line in (f"abc {i}", f"bad {i}", "abcdefg")
    )
    assert all(line.partition("\n")[2].strip("\n") == "" and line.endswith("\n") for line in every)


def test_what_is_left_out_is_counted(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    rows = pd.read_parquet(prepare(text(modality="lines")).folder / "describe.parquet")
    assert rows["dropped"].sum() == 60  # a line without a letter, and one too long, in each of 30 files
    counting = [r for r in rules(Expect(), rows.columns) if r.column == "dropped"]
    assert len(counting) == 1 and counting[0].counts
    assert not any(r.column == "dropped" for r in rules(Expect(), ()))


def test_a_document_stays_in_one_split(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    rows = pd.read_parquet(prepare(text(modality="lines")).folder / "describe.parquet")
    assert (rows.groupby("source")["split"].nunique() == 1).all() and set(rows["split"]) == set(SPLITS)
    longer = derive(rows, Expect.model_validate({"duplicates": {"longer": 7}}))["duplicate_across_splits"]
    assert longer.sum() == 3  # abcdefg stands in all four splits


def test_masks_and_lengths(tmp_path: Path, prepare: Prepare) -> None:
    write(tmp_path / "raw", 30)
    split = prepare(text(modality="lines")).split("train")
    batch = split.eval_batch(torch.arange(len(split)))
    assert batch.mask is not None
    assert batch.mask.sum(1).tolist() == lengths(batch.x.numpy()).tolist()
    assert lengths(np.array([[1, 2, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 2, 0]])).tolist() == [3, 1, 4, 2]


def test_no_line_fits(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.txt").write_text("abcdefghij\n" * 9)
    with pytest.raises(UserError, match="expected lines with a letter of up to 7 characters, got none; raise window"):
        prepare(text(modality="lines"))


def test_no_figure_divides_by_padding(tmp_path: Path, prepare: Prepare) -> None:
    """A wider window changes no trivial model's figure, and no figure is by the window's length."""
    write(tmp_path / "raw", 30)
    found = []
    for window in (8, 16):
        data = prepare(text(modality="lines", window=window), out=f"w{window}")
        if window == 16:  # the same lines in it
            for path in data.folder.glob("*.safetensors"):
                x = load_file(tmp_path / "w8" / path.name)["x"]
                save_file({"x": np.pad(x, ((0, 0), (0, 8)))}, path)
            data = Dataset(data.folder)
        held = {name: data.split(name) for name in SPLITS[1:]}
        known = baselines.BaselineInputs(data.split("train"), held, {}, 20, data.meta["alphabet"])
        scores = {row.name: row.predict(held["test"])["nll"].numpy() for row in baselines.fit_baselines(known, "lines")}
        found.append({name: aggregate({"nll": nll}, window, "lines", on_test=False) for name, nll in scores.items()})
        assert scores["5-gram"].mean() < scores["unigram"].mean()
    for name, figures in found[0].items():
        assert {name.removesuffix("_stderr") for name in figures} == {
            "nats_per_sample", "nats_per_sample_n", "nats_per_sample_groups"}  # fmt: skip
        assert figures == pytest.approx(found[1][name])


def test_ngrams_of_lines_are_normalised(tmp_path: Path, prepare: Prepare) -> None:
    """Over all lines of up to two characters and their ends, and those that go on, the mass is one."""
    write(tmp_path / "raw", 30)
    data = prepare(text(modality="lines"))
    levels = data.spec.levels or 0
    every = [[0, 0], *([a, b] for a, b in itertools.product(range(1, levels), range(levels)))]
    known = baselines.BaselineInputs(data.split("train"), {}, {}, 20, data.meta["alphabet"])
    split = data.split("test")
    split.tensor = torch.tensor(every, dtype=torch.uint8)
    for row in baselines.fit_baselines(known, "lines")[:2]:
        assert row.predict(split)["nll"].neg().exp().sum().item() == pytest.approx(1.0)
