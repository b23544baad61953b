"""`make init`: what it sees, what it chooses, and that the whole params.yaml stays right; refusals are one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import user_files
import yaml
from PIL import Image
from proposals import PARAMS, ROOT, proposed

from genfoundry import models
from genfoundry.errors import UserError
from genfoundry.models.base import GenerativeModel
from pipeline.commands import init, show_plan

DAYS = pd.date_range("2020-01-01", periods=300)


def test_photographs(tmp_path: Path) -> None:
    entry, proposal = proposed(user_files.photographs(tmp_path / "shapes", 100))
    chosen = {key: entry[key] for key in ("modality", "size", "colour")}
    assert chosen == {"modality": "images", "size": 64, "colour": "rgb"}
    judge = proposal.sections["judges"]["mine"]
    assert judge["model"] == "judge" and entry["expect"]["labels"] == 2
    assert {t["objective"] for t in proposal.sections["tasks"].values()} == {"bits_per_dim", "frechet"}
    assert entry["raw"] == {"path": str(tmp_path / "shapes")}
    assert judge["steps"].keys() == PARAMS.budgets.keys()


def test_every_model_that_fits_gets_an_experiment_of_its_size(tmp_path: Path) -> None:
    _, proposal = proposed(user_files.photographs(tmp_path / "shapes", 100))
    left = {line.partition(" is left out")[0]: line for line in proposal.notes if " is left out: " in line}
    fitting = {
        name
        for name in models.names()
        if issubclass(models.find(name), GenerativeModel) and "images" in models.find(name).modalities
    } - left.keys()
    assert "expected levels: 2 " in left["fvsbn"]
    assert "got 12,288" in left["made"], "weights would grow with the square of a large image's values"
    experiments = proposal.sections["experiments"]
    assert {experiment["model"] for experiment in experiments.values()} == fitting
    for experiment in experiments.values():
        assert experiment["train"]["batch"] <= 16 and experiment["data"]["levels"] == 256
        steps = {budget: max(n.values()) if isinstance(n, dict) else n for budget, n in experiment["steps"].items()}
        assert 20 <= steps["smoke"] <= steps["quick"] < steps["standard"] < steps["full"]
        assert steps["quick"] * experiment["train"]["batch"] <= 40 * 100  # not the same few images for ever


def test_pictures_without_classes(tmp_path: Path) -> None:
    entry, proposal = proposed(user_files.photographs(tmp_path / "plain", 60, classes=False, low=30, high=44))
    assert "labels" not in entry["expect"]
    assert entry["size"] == 32  # the shorter sides' middle, by eights
    assert proposal.sections["judges"]["mine"]["model"] == "judge"  # which learns rotations where there are no labels
    assert any("turned" in line for line in proposal.notes)
    assert "frechet" in {t["objective"] for t in proposal.sections["tasks"].values()}


def test_pictures_of_one_small_size_keep_it(tmp_path: Path) -> None:
    for i in range(60):
        x = np.repeat(np.random.default_rng(i).integers(0, 256, (16, 20, 1), np.uint8), 3, 2)
        Image.fromarray(x).save(tmp_path / f"{i}.png")
    entry, _ = proposed(tmp_path)
    assert "size" not in entry and entry["colour"] == "grey"  # three equal channels are one


def test_a_medmnist_file(tmp_path: Path) -> None:
    entry, _ = proposed(user_files.medmnist(tmp_path / "med.npz"))
    assert "size" not in entry and "colour" not in entry and "levels" not in entry
    assert entry["expect"]["labels"] == 3
    entry, _ = proposed(user_files.medmnist(tmp_path / "large.npz", 96))
    assert entry["size"] == 64
    images = np.random.default_rng(0).integers(0, 9, (80, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "few.npz", images=images)
    entry, proposal = proposed(tmp_path / "few.npz")
    assert entry["levels"] == 9 and {t["levels"] for t in proposal.sections["tasks"].values()} == {9}


def test_a_series_with_gaps(tmp_path: Path) -> None:
    entry, proposal = proposed(user_files.weather(tmp_path / "weather.csv"))
    assert (entry["step"], entry["missing"]) == (1, "forward")
    expect = entry["expect"]
    assert expect["order"] and expect["gap"] == 1 and expect["filled"] > 0
    assert expect["values"][0] < 0 < 15 < expect["values"][1]
    assert {t["objective"] for t in proposal.sections["tasks"].values()} == {"mae"}
    assert proposal.sections["experiments"]
    entry, _ = proposed(user_files.weather(tmp_path / "whole.csv", lost=0, empty=0))
    assert not {"step", "missing", "filled"} & (entry.keys() | entry["expect"].keys())


def test_steps_of_a_month_and_days_without_weekends(tmp_path: Path) -> None:
    days = pd.bdate_range("2020-01-01", periods=300)
    months = pd.date_range("1990-01-31", periods=300, freq="ME").delete([40, 77])
    for name, times in (("days", days), ("months", months)):
        rows = [f"{t.date()},{np.sin(i)}" for i, t in enumerate(times)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["when,value", *rows]) + "\n")
    assert "step" not in (entry := proposed(tmp_path / "days.csv")[0]) and entry["expect"]["gap"] == 3
    assert (entry := proposed(tmp_path / "months.csv")[0])["step"] == "month" and entry["expect"]["gap"] == 1


@pytest.mark.parametrize(
    ("cell", "message"),
    [("7", "site (7 in every row)"), ("Kiel", "site (Kiel in every row)"), ("{w}", "site (words, such as A)")],
)
def test_columns_that_are_no_values_are_left_out_and_named(cell: str, message: str, tmp_path: Path) -> None:
    rows = (f"{d.date()},{cell.format(w='AB'[i % 9 > 0])},{np.sin(i)}" for i, d in enumerate(DAYS))
    (tmp_path / "x.csv").write_text("\n".join(["date,site,value", *rows]) + "\n")
    entry, proposal = proposed(tmp_path / "x.csv")
    assert entry["columns"] == ["value"] and any(line.endswith(f"left out: {message}") for line in proposal.notes)


def test_a_year_and_a_month_beside_words(tmp_path: Path) -> None:
    rows = (f"{2000 + i // 12},{i % 12 + 1},{np.sin(i)},DE" for i in range(300))
    (tmp_path / "x.csv").write_text("\n".join(["year,month,value,country", *rows]) + "\n")
    entry, _ = proposed(tmp_path / "x.csv")
    assert entry["columns"] == ["value"] and entry["expect"]["gap"] == 1


def test_months_are_steps_and_narrow_values_have_bounds(tmp_path: Path) -> None:
    months = [f"{2000 + i // 12}M{i % 12 + 1:02}" for i in range(300) if i not in (40, 77)]
    rows = (f"{month},{39000 + 9 * np.sin(i):.1f}" for i, month in enumerate(months))
    (tmp_path / "x.csv").write_text("\n".join(["period,value", *rows]) + "\n")
    entry, proposal = proposed(tmp_path / "x.csv")
    assert (entry["step"], entry["expect"]["gap"]) == ("month", 1) and "times are YYYYMmm" in proposal.notes
    low, high = entry["expect"]["values"]
    assert 38970 < low < 38991 < 39009 < high < 39030


def test_one_long_text_and_many(tmp_path: Path) -> None:
    entry, proposal = proposed(user_files.tale(tmp_path / "tale.txt"))
    assert entry["unit"] == "paragraph" and entry["alphabet"] == "\n .acdehmnorstw"
    assert proposal.sections["experiments"]
    (tmp_path / "many").mkdir()
    for i in range(40):
        (tmp_path / f"many/{i}.txt").write_text(f"{i} is a number of some length\n" * 9)
    assert "unit" not in proposed(tmp_path / "many")[0]


def test_a_long_text_is_read_along_streams(tmp_path: Path) -> None:
    for paragraphs, streams in ((100, False), (9000, True)):
        _, proposal = proposed(user_files.tale(tmp_path / "tale.txt", paragraphs))
        able = [
            experiment
            for experiment in proposal.sections["experiments"].values()
            if hasattr(models.find(experiment["model"]), "stream")
        ]
        assert able
        assert all(("streams" in experiment.get("data", {})) == streams for experiment in able)


def test_pairs_are_to_be_translated(tmp_path: Path) -> None:
    entry, proposal = proposed(user_files.translations(tmp_path / "pairs.tsv"))
    assert (entry["modality"], entry["window"], entry["context"]) == ("pairs", 16, 16)
    (task,) = proposal.sections["tasks"].values()
    assert (task["objective"], task["direction"]) == ("chrf", "maximize")
    assert len(proposal.sections["experiments"]) >= 2


def test_few_groups_are_allowed_and_said(tmp_path: Path) -> None:
    rows = "".join(f"{'abcd'[i % 4]} word\tword {i:03}\n" for i in range(400))
    (tmp_path / "pairs.tsv").write_text(rows)
    entry, proposal = proposed(tmp_path / "pairs.tsv")
    assert entry["split"]["few_groups"] is True
    (line,) = [line for line in proposal.notes if line.startswith("split: few_groups: true: ")]
    assert "expected 2 groups or more in split" in line and "or say" not in line  # `init` has said it


def test_a_key_that_is_given_is_said_where_another_value_was_found(tmp_path: Path) -> None:
    for i in range(6):
        path = tmp_path / "texts" / f"{i}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n\n".join(f"{chr(97 + i)}{k} goes {k * 7 % 100} on\nand on" for k in range(90)))
    entry, proposal = proposed(tmp_path / "texts", unit="document")
    assert entry["unit"] == "document" and "unit: document, as given" in proposal.notes
    assert not [line for line in proposed(tmp_path / "texts")[1].notes if line.endswith("as given")]


def test_names_quotes_and_hidden_characters_of_pairs_are_said(tmp_path: Path) -> None:
    rows = "".join(f'"olde ""{i}"""\told\u200b e\u0301 {i}\n' for i in range(80))
    (tmp_path / "pairs.tsv").write_text(f"source\ttarget\n{rows}")
    entry, proposal = proposed(tmp_path / "pairs.tsv")
    assert entry["header"] is True and '"' in entry["alphabet"]
    for words in (
        "header: true: 'source' and 'target'",
        "spreadsheet's quotes, which are taken off",
        "U+200B",
        "U+0301",
    ):
        assert any(words in line for line in proposal.notes), words


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("", r"b.tsv:1: no names of columns, but a.tsv has some"),
        ("de\ten\n", r"b.tsv:1: expected 'en' before 'de', as"),
    ],
)
def test_files_of_pairs_whose_names_differ(second: str, message: str, tmp_path: Path) -> None:
    user_files.translations(tmp_path / "a.tsv")
    (tmp_path / "b.tsv").write_text(second + (tmp_path / "a.tsv").read_text())
    (tmp_path / "a.tsv").write_text("en\tde\n" + (tmp_path / "a.tsv").read_text())
    with pytest.raises(UserError, match=message):
        proposed(tmp_path)


@pytest.mark.parametrize(("number", "by"), [(4, "block"), (24, "volume")])
def test_volumes(number: int, by: str, tmp_path: Path) -> None:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing="ij")
    for i in range(number):
        values = np.random.default_rng(i).random((24, 24, 24)) + 5 * (x * x + y * y + z * z < 0.7)
        values[0] = np.nan
        nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.eye(4)), tmp_path / f"{i}.nii.gz")
    entry, proposal = proposed(tmp_path)
    assert (entry["modality"], entry["size"]) == ("images", 24)
    assert (entry["slices"]["by"], entry["slices"]["missing"]) == (by, "background")
    assert proposal.sections["experiments"] and any("slices in three planes" in line for line in proposal.notes)


def test_a_list_beside_pictures_and_a_table_of_grey_values(tmp_path: Path) -> None:
    user_files.photographs(tmp_path / "shapes", 60, low=32, high=60)
    (tmp_path / "shapes/labels.csv").write_text("file,label\n0.jpg,disc\n")
    entry, proposal = proposed(tmp_path / "shapes")
    assert entry["modality"] == "images" and "left out: 1 .csv file, e.g. labels.csv" in proposal.notes
    rows = np.random.default_rng(0).integers(0, 17, (80, 65))
    rows[:, -1] = np.arange(80) % 4
    np.savetxt(tmp_path / "grey.csv", rows, fmt="%d", delimiter=",")
    entry, _ = proposed(tmp_path / "grey.csv")
    assert (entry["modality"], entry["levels"], entry["expect"]["labels"]) == ("images", 17, 4)


def few(path: Path) -> Path:
    return user_files.photographs(path / "few", 4)


def deep(path: Path) -> Path:
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(path / "deep.png")
    return path / "deep.png"


def written(name: str, content: bytes) -> Any:
    def write(path: Path) -> Path:
        (path / name).write_bytes(content)
        return path / name

    return write


def empty(path: Path) -> Path:
    (path / "empty").mkdir()
    return path / "empty"


def all_equal(path: Path) -> Path:
    np.savez(path / "equal.npz", images=np.full((80, 8, 8), 7, np.uint8), labels=np.arange(80) % 2)
    return path / "equal.npz"


REFUSED = {
    "all images equal": (
        all_equal,
        "equal.npz: expected 4 different images or more, .*, got 1 among 80: equal ones go to one split",
    ),
    "nothing there": (lambda path: path / "none", "none: no such file or folder"),
    "nothing in it": (empty, r"empty: no file of a kind that is read; \.png"),
    "another kind": (written("a.pdf", b"%PDF"), "no file of a kind that is read"),
    "too few": (few, "few: "),
    "too deep": (deep, "deep.png: .*16 or more bits"),
    "no picture": (written("a.png", b"x"), "a.png: not readable as an image"),
    "no array": (written("a.npz", b"x"), "a.npz: not readable as .npz"),
    "one line of text": (written("a.txt", b"hello\n"), "a.txt: "),
    "no text": (written("a.txt", b"\xff\xfe\x00"), "a.txt: byte 2 is not UTF-16"),
    "too many characters": (
        written("a.txt", "\n".join(map(chr, range(0x4E00, 0x4F00))).encode()),
        "different characters, but up to 255; replace rare ones",
    ),
    "unsorted": (
        written("a.csv", b"t,a\n2,1\n1,2\n3,4\n"),
        "a.csv:3: column t: expected times that grow, got 1 after a later one.*sort",
    ),
    "words": (written("a.csv", b"t,a\n1,1\n2,x\n3,4\n"), "a.csv:3: column a: expected a number, got 'x'"),
    "a short series": (written("a.csv", b"t,a\n" + b"".join(b"%d,%d\n" % (i, i) for i in range(9))), "a.csv: "),
    "one huge line": (written("a.txt", b"abc def " * 9000), "a.txt: 1 lines of text in all; .*: break the text into"),
    "packed text": (written("a.txt", b"\x1f\x8b\x08rest"), "a.txt: expected text, got a file compressed by gzip"),
    "a series with tabs": (
        written("a.tsv", b"date\tvalue\n" + b"".join(b"2019-01-%02d\t%d.5\n" % (i, i) for i in range(1, 32))),
        "a.tsv: dates and numbers, a series; .csv files are read as series",
    ),
    "no pairs": (written("a.tsv", b"one\ntwo\n"), "a.tsv:1: .*got 0 tabs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_and_changes_nothing(case: str, tmp_path: Path, site: Path) -> None:
    make, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as refused:
        init.run(str(make(tmp_path)), "mine")
    assert "\n" not in str(refused.value) and "genfoundry-init" not in str(refused.value)
    assert [p.name for p in site.iterdir()] == ["params.yaml"]
    assert (site / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fashion", "'fashion' is taken"),
        ("A b", "small letters"),
        ("../x", "small"),
        ("2020", "as a number; .*NAME=data-2020"),
        ("no", "as true or false"),
        ("2020-01-01", "as a date"),
    ],
)
def test_a_name_that_cannot_be(name: str, message: str, tmp_path: Path, site: Path) -> None:
    path = user_files.translations(tmp_path / "pairs.tsv")
    with pytest.raises(UserError, match=message):
        init.run(str(path), name)
    with pytest.raises(UserError, match="DATA is missing"):
        init.run("")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("2020", "data-2020"),
        ("no", "data-no"),
        ("1e3", "data-1e3"),
        ("2020-01-01", "data-2020-01-01"),
        ("a 2020", "a-2020"),
    ],
)
def test_a_folder_whose_name_is_no_word_to_yaml(folder: str, name: str) -> None:
    assert init.propose_name(Path(folder)) == name


def test_a_failing_dvc_leaves_nothing(tmp_path: Path, site: Path) -> None:
    with pytest.raises(UserError, match="dvc add"):
        init.run(str(user_files.translations(tmp_path / "pairs.tsv")), "mine")
    assert "mine" not in yaml.safe_load((site / "params.yaml").read_text())["datasets"]
    assert not (site / "data/inbox/mine").exists()


def test_the_plan_takes_it(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(init, "make_inbox", lambda name: None)
    init.run(str(user_files.weather(tmp_path / "My weather.csv")))
    stdout = capsys.readouterr().out
    assert (
        "params.yaml now has datasets: my-weather; tasks: my-weather-forecast" in stdout and "next: make plan" in stdout
    )
    for path in ("src", "pipeline", "requirements.lock"):
        (site / path).symlink_to(ROOT / path)
    show_plan.run()
    assert "my-weather-forecast" in capsys.readouterr().out


def test_a_readme_beside_the_data_is_no_data(tmp_path: Path) -> None:
    user_files.weather(tmp_path / "weather.csv")
    (tmp_path / "README.txt").write_text("These are days.\n" * 1000)
    entry, proposal = proposed(tmp_path)
    assert entry["modality"] == "series"
    assert any("left out: 1 .txt file, e.g. README.txt" in line for line in proposal.notes)
