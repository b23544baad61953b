"""NIfTI volumes: slices of the right plane, the right way up, and no near duplicates in two splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from raw_folders import images

from genfoundry.config import Slices
from genfoundry.data.dataset import Dataset
from genfoundry.data.readers import nifti
from genfoundry.errors import UserError
from genfoundry.onboarding.inspect.volumes import inspect_volumes
from genfoundry.splits import SPLITS

Prepare = Callable[..., Dataset]
SHAPE = (20, 24, 16)  # left to right, posterior to anterior, inferior to superior


def body(seed: int = 0) -> np.ndarray:
    """A bright head in the dark, brighter to the right, to the front and to the top: corners tell directions."""
    x, y, z = np.meshgrid(*(np.linspace(0, 1, n) for n in SHAPE), indexing="ij")
    noise = np.random.default_rng(seed).random(SHAPE)
    return (40 + 30 * x + 60 * y + 120 * z + 5 * noise).astype(np.float32)


def write(path: Path, values: np.ndarray, axes: str = "RAS") -> Path:
    """A file whose own axes are in another order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    turn = ornt_transform(axcodes2ornt(tuple("RAS")), axcodes2ornt(tuple(axes)))
    turned = nibabel.apply_orientation(values, turn)
    nibabel.save(nibabel.Nifti1Image(turned, np.eye(4) @ inv_ornt_aff(turn, values.shape)), path)
    return path


@pytest.mark.parametrize("axes", ["RAS", "LPS", "ASR", "SPL"])
def test_planes_and_directions(tmp_path: Path, axes: str) -> None:
    """Whatever the order of a file's axes, up is superior (axial: anterior), and right is right."""
    write(tmp_path / "a.nii.gz", body(), axes)
    found = list(nifti.read_slices(tmp_path, Slices(lit=0.0)))
    assert sorted({int(part.label[0]) for part in found}) == [0, 1, 2]
    shapes = {0: (24, 20), 1: (16, 20), 2: (16, 24)}  # (up, across), before the black around
    for part in found:
        up, across = shapes[int(part.label[0])]
        side = max(up, across)
        assert part.x.shape[1:] == (1, side, side)
        inner = part.x[:, 0, (side - up) // 2 :, (side - across) // 2 :][:, :up, :across].astype(float)
        assert inner[:, 0].mean() > inner[:, -1].mean() + 20  # to the top it is brighter
        assert inner[:, :, -1].mean() > inner[:, :, 0].mean() + 10
    counts = {label: sum(len(p.x) for p in found if p.label[0] == label) for label in range(3)}
    assert counts == {0: 16, 1: 24, 2: 20}


def test_values_are_those_of_the_voxels(tmp_path: Path) -> None:
    values = body()
    write(tmp_path / "a.nii", values)
    grey, sides = nifti.read_volume(tmp_path / "a.nii")
    high = np.percentile(values, 99.9)
    expected = ((values - values.min()) / (high - values.min()) * 255).clip(0, 255)
    assert np.abs(grey - expected).max() <= 0.51 and sides.tolist() == [1, 1, 1]
    axial = next(p for p in nifti.read_slices(tmp_path, Slices(lit=0.0)) if p.label[0] == 0)
    assert (axial.x[3, 0, :, 2:22] == grey[:, ::-1, 3].T).all()


def test_blocks_leave_a_gap_and_pair_the_sides() -> None:
    by = Slices(by="block", block=5, gap=2)
    assert nifti.assign_blocks(12, by, False) == {0: [0, 1, 2], 1: [5, 6, 7], 2: [10, 11]}
    assert nifti.assign_blocks(9, by, True) == {0: [2, 3, 4, 5, 6]}
    assert nifti.assign_blocks(12, Slices(block=5, gap=2), False) == {0: [*range(5)], 1: [*range(5, 10)], 2: [10, 11]}


def test_no_block_in_two_splits(tmp_path: Path, prepare: Prepare) -> None:
    """Neither of one contrast nor of another of the same body; between blocks of two splits a gap is left out."""
    for name in ("t1", "gm"):
        write(tmp_path / f"raw/{name}.nii.gz", np.kron(body(len(name)), np.ones((2, 2, 2))) + np.arange(32.0))
    by = {"by": "block", "block": 3, "gap": 1}
    data = prepare(images(slices=by, size=8, split={"val": 0.2, "gate": 0.2, "test": 0.2}))
    rows = pd.read_parquet(data.folder / "describe.parquet")
    place = rows["source"].str.extract(r"^(?:t1|gm)\.nii\.gz (\w+) (\d+) to (\d+)$")
    assert (rows.groupby([place[0], place[1]])["split"].nunique() == 1).all()
    assert set(rows["split"]) == set(SPLITS) and data.meta["names"] == ["axial", "coronal", "sagittal"]
    assert ((place[2].astype(int) - place[1].astype(int) <= 1) | (place[0] == "sagittal")).all()


def test_volumes_stay_whole_and_folders_are_classes(tmp_path: Path, prepare: Prepare) -> None:
    for i in range(24):
        write(tmp_path / f"raw/{'sick' if i % 2 else 'well'}/{i:02}.nii.gz", body(i))
    data = prepare(images(size=8, split={"val": 0.2, "gate": 0.2, "test": 0.2}))
    rows = pd.read_parquet(data.folder / "describe.parquet")
    assert (rows.groupby(rows["source"].str.split().str[0])["split"].nunique() == 1).all()
    assert data.meta["names"] == ["sick", "well"]
    assert ((rows["label"] == 0) == rows["source"].str.startswith("sick")).all()


def test_folders_that_may_be_patients_want_a_word(tmp_path: Path) -> None:
    for i in range(9):
        write(tmp_path / f"sub-{i}/T1w.nii.gz", body(i))
    paths = sorted(tmp_path.rglob("*.nii.gz"))
    with pytest.raises(
        UserError, match=r"9 folders of one or two volumes each may be patients or classes; .*CLASSES=none"
    ):
        inspect_volumes(tmp_path, paths, {})
    alone = inspect_volumes(tmp_path, paths, {"classes": "none"})
    assert alone.entry["classes"] == "none" and any("no class" in line for line in alone.notes), alone.notes
    assert any("classes: 9" in line for line in inspect_volumes(tmp_path, paths, {"classes": "parent"}).notes)


def test_dark_slices_are_left_out(tmp_path: Path) -> None:
    values = body()
    values[:, :, :4] = 0
    write(tmp_path / "a.nii", values)
    axial = sum(len(p.x) for p in nifti.read_slices(tmp_path, Slices()) if p.label[0] == 0)
    assert axial == SHAPE[2] - 4


def test_thick_slices_are_shown_in_proportion() -> None:
    assert nifti.square(np.ones((10, 4), np.uint8), np.array([1.0, 3.0])).shape == (12, 12)


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"no volume")
    with pytest.raises(UserError, match=r"a\.nii\.gz: not readable as a NIfTI volume"):
        list(nifti.read_slices(tmp_path, Slices()))
    write(tmp_path / "a.nii.gz", body())
    (tmp_path / "a.nii.gz").write_bytes((tmp_path / "a.nii.gz").read_bytes()[:5000])
    with pytest.raises(UserError, match=r"a\.nii\.gz: not readable as a NIfTI volume"):
        list(nifti.read_slices(tmp_path, Slices()))
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4, 2), np.float32), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(UserError, match=r"expected one volume of three axes, got 4 axes, \(4, 4, 4, 2\)"):
        list(nifti.read_slices(tmp_path, Slices()))
    write(tmp_path / "a.nii.gz", np.full(SHAPE, np.nan, np.float32))
    with pytest.raises(UserError, match="got no value at all"):
        list(nifti.read_slices(tmp_path, Slices()))


def test_a_wrong_suffix_and_a_wrong_header(tmp_path: Path) -> None:
    packed = write(tmp_path / "a.nii.gz", body()).read_bytes()
    plain = write(tmp_path / "b.nii", body()).read_bytes()
    for name, content, says in (
        ("c.nii", packed, r"\.nii\.gz may be"),
        ("d.nii.gz", plain, r"not compressed .*\.nii may"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: not readable as a NIfTI volume: .*{says}"):
            nifti.read_volume(tmp_path / name)
    nibabel.save(nibabel.Nifti1Image(body(), np.diag([1e-6, 1, 1, 1])), tmp_path / "e.nii")
    with pytest.raises(
        UserError, match=r"e\.nii: expected voxels of .*, got 1e-06 x 1 x 1 mm by its header; is it damaged\?"
    ):
        nifti.read_volume(tmp_path / "e.nii")


def test_a_fourth_axis_of_one_voxel_is_none(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", body())
    nibabel.save(nibabel.Nifti1Image(body()[..., None, None], np.eye(4)), tmp_path / "b.nii.gz")
    for one, other in zip(
        nifti.read_volume(tmp_path / "a.nii.gz"), nifti.read_volume(tmp_path / "b.nii.gz"), strict=True
    ):
        assert (one == other).all()


def test_missing_voxels_are_as_declared(tmp_path: Path, prepare: Prepare) -> None:
    values = body()
    values[:, :, :4] = np.nan
    write(tmp_path / "a.nii.gz", values)
    with pytest.raises(
        UserError, match=r"a.nii.gz: expected a value .* none in 25% of them \(NaN\); slices: \{missing: backgr"
    ):
        list(nifti.read_slices(tmp_path, Slices()))
    grey, _ = nifti.read_volume(tmp_path / "a.nii.gz", "background")
    dark, _ = nifti.read_volume(write(tmp_path / "b.nii.gz", np.where(np.isnan(values), np.nanmin(values), values)))
    assert (grey == dark).all() and (grey[:, :, :4] == 0).all() and grey.max() == 255


RGB = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
ODD = {
    "colours": (RGB, r"expected one grey value a voxel, got RGB voxels \(colours\)"),
    "complex": (body().astype(np.complex64), "one real value a voxel, .*, got complex voxels"),
    "a series": (np.stack([body()] * 3, -1), r"4 axes, .*: 3 volumes; save one of them"),
    "vectors": (np.stack([body()[..., None]] * 3, -1), r"5 axes, "),
    "one value": (np.full(SHAPE, 7, np.int16), "got 7 in every voxel"),
    "infinite": (np.where(body() > 100, np.inf, body()).astype(np.float32), "got an infinite voxel"),
    "dark": (np.where(np.arange(np.prod(SHAPE)).reshape(SHAPE) < 9, 100, 0).astype(np.int16), "lower slices: lit"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_grey_volume_is_one_line(case: str, tmp_path: Path) -> None:
    values, says = ODD[case]
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(UserError, match=rf"a\.nii\.gz: .*{says}") as refused:
        list(nifti.read_slices(tmp_path, Slices()))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("declared", "names"), [(None, None), ("top", ["sick", "well"]), ("parent", ["p0", "p1"]), ("none", [])]
)
def test_classes_of_volumes_are_as_declared(
    declared: str | None, names: list[str] | None, tmp_path: Path, prepare: Prepare
) -> None:
    for i in range(8):
        write(tmp_path / f"raw/{'sick' if i % 2 else 'well'}/p{i // 2 % 2}/{i}.nii.gz", body(i))
    by = {"by": "block", "block": 3, "gap": 1}
    own = images(
        raw={"path": "mine"}, size=8, slices=by, classes=declared, split={"val": 0.2, "gate": 0.2, "test": 0.2}
    )
    if names is None:
        with pytest.raises(UserError, match="classes are ambiguous: sick, well by `classes: top`"):
            prepare(own)
        return
    data = prepare(own)
    rows = pd.read_parquet(data.folder / "describe.parquet")
    assert data.meta["names"] == names and rows["label"].nunique() == max(1, len(names))


def test_a_published_test_split_of_volumes_is_kept(tmp_path: Path, prepare: Prepare) -> None:
    for i in range(8):
        write(tmp_path / f"raw/{'train' if i < 6 else 'test'}/{'sick' if i % 2 else 'well'}/{i}.nii.gz", body(i))
    data = prepare(images(size=8, slices={"by": "block", "block": 3, "gap": 1}))
    rows = pd.read_parquet(data.folder / "describe.parquet")
    assert ((rows["split"] == "test") == rows["source"].str.startswith("test/")).all()
    assert data.meta["names"] == ["sick", "well"]
