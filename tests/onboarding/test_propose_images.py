"""`make init` on pictures as people have them: classes, kinds of files, and an entry that passes its own validation."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import yaml
from PIL import Image
from proposals import PARAMS, proposed

from genfoundry import config
from genfoundry.data import preparation
from genfoundry.data.validation.great_expectations import validate
from genfoundry.errors import UserError
from pipeline.commands import init


def pngs(folder: Path, *names: str, side: int = 8) -> Path:
    """Grey pictures of noise, one a name."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (side, side), np.uint8)).save(path)
    return folder


def check_proposal(path: Path, **given: Any) -> tuple[dict[str, Any], list[str]]:
    """The entry, which must pass the validation stage's own rules on what the prepare stage makes of it; what is said.

    The second preparing is as a stage would do it: with the entry as it stands in params.yaml.
    """
    entry, proposal = proposed(path, **given)
    dataset = config.check(config.Dataset, entry, "datasets.mine")
    raw = path if path.is_dir() else path.parent / "raw"
    if path.is_file():
        raw.mkdir()
        shutil.copy(path, raw)
    out = path.parent / "prepared"
    preparation.prepare(raw, path.parent / "inbox", out, dataset, PARAMS.seed)
    validate(out, "mine", dataset.expect, path.parent / "verdict.json", path.parent / "docs")
    return entry, proposal.notes


def test_classes_are_printed_with_counts_and_two_files(tmp_path: Path) -> None:
    names = [f"train/n{k}/images/{i}.png" for k in range(3) for i in range(20)]
    entry, notes = check_proposal(pngs(tmp_path / "tiny", *names, *(f"val/images/{i}.png" for i in range(4))))
    assert entry["classes"] == "top"
    at = notes.index("classes: 3 (classes: top)")
    assert notes[at + 1] == "  n0: 20, e.g. train/n0/images/0.png, train/n0/images/1.png"
    assert notes[at + 4] == "  without a class: 4, e.g. val/images/0.png, val/images/1.png"


def test_unlabelled_train_and_test_are_no_classes(tmp_path: Path) -> None:
    names = [f"train/{i}.png" for i in range(60)] + [f"test/{i}.png" for i in range(10)]
    entry, notes = check_proposal(pngs(tmp_path / "plain", *names))
    assert "labels" not in entry["expect"] and "no classes: no folder names one" in notes
    assert any("published test split is kept" in line and "(10 images, e.g. test/0.png)" in line for line in notes)


def test_an_ambiguous_folder_is_refused_until_the_key_is_given(tmp_path: Path) -> None:
    folder = pngs(tmp_path / "mixed", *(f"{'ab'[i % 2]}/{'xyz'[i % 3]}/{i}.png" for i in range(90)))
    with pytest.raises(UserError, match=r"mixed: classes are ambiguous: .*CLASSES=top") as refused:
        proposed(folder)
    assert "\n" not in str(refused.value)
    for rule, count in (("top", 2), ("parent", 3)):
        entry, _ = check_proposal(folder, classes=rule)
        assert entry["classes"] == rule and entry["expect"]["labels"] == count
    assert "labels" not in check_proposal(folder, classes="none")[0]["expect"]


def test_every_kind_that_is_left_out_is_counted(tmp_path: Path) -> None:
    folder = pngs(tmp_path / "mix", *(f"{'ab'[i % 2]}/{i}{('.png', '.webp')[i % 3 > 0]}" for i in range(60)))
    (folder / "plum").mkdir()
    for name in ("a/x.heic", "plum/y.HEIC", "b/z.svg", "notes.pdf", "all.npy"):
        (folder / name).touch()
    (folder / "a/gone.png").symlink_to(tmp_path / "nowhere.png")
    _, proposal = proposed(folder)
    assert "kinds of files: 40 .webp, 20 .png" in proposal.notes
    assert "left out: 2 .heic files, e.g. a/x.heic (convert them to PNG or JPEG)" in proposal.notes
    assert "folders without a file that is read: 1, e.g. plum" in proposal.notes
    assert "left out: 1 .svg file, e.g. b/z.svg (convert them to PNG or JPEG)" in proposal.notes
    assert "left out: 1 .pdf file, e.g. notes.pdf" in proposal.notes
    assert any(line.startswith("left out: 1 .npy file, e.g. all.npy (np.savez") for line in proposal.notes)
    assert "left out: 1 symbolic link without a target, e.g. a/gone.png" in proposal.notes


def test_captions_beside_pictures_make_no_text(tmp_path: Path) -> None:
    folder = pngs(tmp_path / "captions", *(f"{i}.png" for i in range(60)))
    for name in (*(f"{i}" for i in range(60)), "classes", "more"):
        (folder / f"{name}.txt").write_text("a cat\n")
    entry, proposal = proposed(folder)
    assert entry["modality"] == "images" and "left out: 62 .txt files, e.g. 0.txt" in proposal.notes


def test_only_kinds_that_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", np.zeros((9, 4, 4), np.uint8))
    with pytest.raises(UserError, match=r"no file of a kind that is read; .*; left out: 1 .npy file, e.g. all.npy"):
        proposed(tmp_path)


def class_of_one(path: Path) -> Path:
    return pngs(path / "one", *(f"{'ab'[i % 2]}/{i}.png" for i in range(60)), "rare/0.png")


def two_a_class(path: Path) -> Path:
    return pngs(path / "two", *(f"k{i // 2:02}/{i}.png" for i in range(60)))


def some_equal(path: Path) -> Path:
    x = np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8)
    x[::2] = x[0]
    np.savez(path / "some.npz", images=x, labels=np.where(np.arange(80) % 20, 1, 4))
    return path / "some.npz"


def one_class(path: Path) -> Path:
    return pngs(path / "single", *(f"holiday/{i}.png" for i in range(60)))


def of_mode(mode: str, suffix: str) -> Any:
    def make(path: Path) -> Path:
        for i in range(60):
            (path / "modes" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
            x = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(x).convert(mode).save(path / "modes" / "ab"[i % 2] / f"{i}{suffix}")
        return path / "modes"

    return make


UNEVEN = {
    "a class of one image": class_of_one,
    "two images a class": two_a_class,
    "some images equal": some_equal,
    "one class": one_class,
    "1 bit": of_mode("1", ".png"),
    "palette": of_mode("P", ".png"),
    "CMYK": of_mode("CMYK", ".jpg"),
    "grey as rgb": lambda path: of_mode("RGB", ".png")(of_mode("L", ".png")(path).parent / "rgb"),
}


@pytest.mark.parametrize("case", UNEVEN)
def test_what_init_writes_passes_its_own_validation(case: str, tmp_path: Path) -> None:
    check_proposal(UNEVEN[case](tmp_path))


def test_what_a_class_of_one_image_costs_is_said(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8)
    for place in range(80):  # somewhere the only image of class 1 is not in train
        np.savez(tmp_path / "a.npz", images=np.roll(x, place, 0), labels=(np.arange(80) == 0).astype(int))
        entry, proposal = proposed(tmp_path / "a.npz")
        if "labels" not in entry["expect"]:
            break
    assert any(line.startswith("expect.labels: 2 is left out: every class in train") for line in proposal.notes)


def test_labels_from_1_are_said_to_be_numbered(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (90, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", images=x, labels=1 + np.arange(90) % 3)
    entry, notes = check_proposal(tmp_path / "a.npz")
    assert entry["expect"]["labels"] == 3 and "labels 1, 2, 3 are numbered 0 to 2" in notes


def test_the_column_of_the_label_is_written_down(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (90, 64))
    x[:, [0, -1]] = 0
    np.savetxt(tmp_path / "mnist.csv", np.column_stack([np.arange(90) % 3, x]), fmt="%d", delimiter=",")
    entry, notes = check_proposal(tmp_path / "mnist.csv")
    assert entry["label"] == "first" and "label: first: the column of the label" in notes


def test_keys_of_the_entry_by_make(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init, "make_inbox", lambda name: None)
    folder = pngs(tmp_path / "mixed", *(f"{'ab'[i % 2]}/{'xyz'[i % 3]}/{i}.png" for i in range(90)))
    init.run(str(folder), "", "classes=top", "size=16")
    entry = yaml.safe_load((site / "params.yaml").read_text())["datasets"]["mixed"]
    assert (entry["classes"], entry["size"]) == ("top", 16)
    for key, message in (
        ("classes=up", "'up'"),
        ("clases=top", "did you mean 'classes'"),
        ("top", "expected key=value"),
    ):
        with pytest.raises(UserError, match=message):
            init.run(str(folder), "other", key)
    with pytest.raises(UserError, match=r"^size: expected once, got 16 and 8$"):
        init.run(str(folder), "other", "size=16", "size=8")


def test_a_file_name_in_latin_1_is_one_line(tmp_path: Path, site: Path) -> None:
    folder = pngs(tmp_path / "photos", *(f"{i}.png" for i in range(60)))
    os.rename(folder / "0.png", os.fsencode(folder) + b"/caf\xe9.png")
    with pytest.raises(UserError, match=r"photos: the file name b'caf\\xe9.png' is not UTF-8; rename it"):
        init.run(str(folder), "mine")
    os.rename(folder, os.fsencode(tmp_path) + b"/f\xfcr")
    with pytest.raises(UserError, match=r"f\\xfcr' is not UTF-8; rename it"):
        init.run(os.fsdecode(os.fsencode(tmp_path) + b"/f\xfcr"), "mine")


def test_arrays_that_are_not_read_are_said(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", images=x, labels=np.arange(80) % 2, masks=x, ids=np.arange(80))
    assert "left out: arrays of a.npz that are no images or labels: ids, masks" in check_proposal(tmp_path / "a.npz")[1]


def volumes(folder: Path, *names: str, missing: int = -1) -> Path:
    """NIfTI volumes of noise; the one of number `missing` has voxels without a value."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(i).random((20, 22, 18)).astype(np.float32)
        values[0] = np.nan if i == missing else values[0]
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return folder


def test_classes_of_volumes_are_printed_and_the_key_is_obeyed(tmp_path: Path) -> None:
    folder = volumes(tmp_path / "mri", *(f"{'sick' if i % 2 else 'well'}/p{i // 2}/a.nii.gz" for i in range(4)))
    with pytest.raises(UserError, match=r"mri: classes are ambiguous: sick, well by .*CLASSES=top"):
        proposed(folder)
    entry, notes = check_proposal(folder, classes="top")
    assert entry["classes"] == "top" and "  sick: 2, e.g. sick/p0/a.nii.gz, sick/p1/a.nii.gz" in notes
    assert "labels" not in check_proposal(folder, classes="none")[0]["expect"]
    _, notes = check_proposal(volumes(tmp_path / "flat", "a.nii.gz", "b.nii.gz"))
    assert "classes: axial, coronal, sagittal: the plane that a slice is cut in" in notes


def test_missing_voxels_of_any_volume_are_seen(tmp_path: Path) -> None:
    entry, notes = check_proposal(volumes(tmp_path / "mri", "a.nii.gz", "b.nii.gz", missing=1))
    assert entry["slices"]["missing"] == "background"
    assert any("b.nii.gz: expected a value in every voxel, got none in 5% of them (NaN)" in line for line in notes)


def test_two_kinds_of_images_in_a_folder_are_refused(tmp_path: Path) -> None:
    folder = volumes(pngs(tmp_path / "mix", *(f"{i}.png" for i in range(30))), "a.nii.gz")
    with pytest.raises(UserError, match=r"mix: 30 pictures \(e.g. 0.png\) and 1 NIfTI volumes \(e.g. a.nii.gz\)"):
        proposed(folder)
    (folder / "a.nii.gz").unlink()
    np.savez(folder / "x.npz", images=np.zeros((9, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"30 pictures .* and 1 .npz or IDX files \(e.g. x.npz\); one kind"):
        proposed(folder)


def test_a_few_coloured_pictures_among_grey_ones_keep_their_colour(tmp_path: Path) -> None:
    folder = pngs(tmp_path / "few", *(f"{i:03}.png" for i in range(200)))
    for i, path in enumerate(sorted(folder.iterdir())):
        image = Image.open(path).convert("RGB")
        if i == 100:
            image.putpixel((0, 0), (255, 0, 0))
        image.save(path)
    assert proposed(folder)[0]["colour"] == "rgb"
    (folder / "100.png").unlink()
    assert proposed(folder)[0]["colour"] == "grey"


def test_classes_that_differ_in_capitals_alone_are_named(tmp_path: Path) -> None:
    _, notes = check_proposal(pngs(tmp_path / "pets", *(f"{('Cat', 'cat', 'dog')[i % 3]}/{i}.png" for i in range(60))))
    assert "  Cat and cat are 2 classes; give their folders or labels one name if they are one" in notes


def test_folders_of_arrays_are_said_to_name_no_classes(tmp_path: Path) -> None:
    for i, name in enumerate(("cat", "dog")):
        (tmp_path / "sets" / name).mkdir(parents=True)
        images = np.random.default_rng(i).integers(0, 256, (40, 8, 8), np.uint8)
        np.savez(tmp_path / "sets" / name / "x.npz", images=images)
    assert "folders of such files name no classes, labels do: cat, dog" in check_proposal(tmp_path / "sets")[1]


def test_too_few_pictures_are_refused_with_what_is_least(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"one: too few data for four splits: expected 2 items or more in each$"):
        proposed(pngs(tmp_path / "one", "a.png"))


def test_a_size_that_is_given_is_the_one_that_is_said(tmp_path: Path) -> None:
    entry, notes = check_proposal(pngs(tmp_path / "large", *(f"{i}.png" for i in range(40)), side=80), size=16)
    assert entry["size"] == 16 and "size: 16: the shorter side is resized to it, the centre cut out" in notes
    images = np.random.default_rng(0).integers(0, 10, (60, 12, 12), np.uint8)
    np.savez(tmp_path / "ten.npz", images=images)  # resized, they have more than ten levels
    entry, _ = check_proposal(tmp_path / "ten.npz", size=8)
    assert entry["size"] == 8 and "levels" not in entry


def test_patches_of_large_pictures_are_cut_from_them_as_they_are(tmp_path: Path) -> None:
    patch = {"size": 16, "stride": 8, "region": 32}
    entry, notes = check_proposal(pngs(tmp_path / "photos", "a.png", "b.png", "c.png", side=200), patch=patch)
    assert "size" not in entry and f"patch: {patch}, as given" in notes
