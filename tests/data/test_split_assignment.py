"""Groups that go to a split as a whole: enough in each, never moved, none in two, and one alone refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from raw_folders import images, pairs, text, write_idx

from genfoundry.data.dataset import Dataset
from genfoundry.data.split_assignment import assign_groups, hash_to_unit, number_groups, quotas, require_groups
from genfoundry.data.transforms import moving_items
from genfoundry.errors import UserError
from genfoundry.splits import HELD_OUT, SPLITS

Prepare = Callable[..., Dataset]


def digests(n: int, start: int = 0) -> list[bytes]:
    return [i.to_bytes(4, "big") for i in range(start, start + n)]


def counted(found: dict[bytes, str]) -> dict[str, int]:
    return {split: list(found.values()).count(split) for split in SPLITS}


@pytest.mark.parametrize("groups", [20, 21, 37, 80, 500])
@pytest.mark.parametrize("seed", range(5))
def test_each_held_out_split_has_five_groups_where_there_are_twenty(groups: int, seed: int) -> None:
    shares = {"val": 0.1, "gate": 0.05, "test": 0.2}
    found = counted(assign_groups(seed, digests(groups), [], images(split=shares), False))
    assert min(found.values()) >= 5
    assert [found[name] for name in HELD_OUT] == [max(5, round(share * groups)) for share in shares.values()]


@pytest.mark.parametrize(("groups", "held"), [(4, 1), (8, 2), (15, 3), (19, 4)])
def test_fewer_groups_are_spread_evenly(groups: int, held: int) -> None:
    shares = {"val": 0.05, "gate": 0.05, "test": 0.1}
    found = counted(assign_groups(0, digests(groups), [], images(split=shares), False))
    assert [found[name] for name in HELD_OUT] == [held] * 3 and found["train"] >= held


def test_train_is_left_groups_whatever_the_shares() -> None:
    for n in range(4, 60):
        found = quotas(n, {"val": 0.32, "gate": 0.32, "test": 0.32})
        assert min(found) >= n // 4 if n < 20 else min(found) >= 5
        assert n - sum(found) >= min(5, n // 4)


def test_a_published_test_split_keeps_its_groups_and_others_stay_out() -> None:
    found = counted(assign_groups(3, digests(40), [], images(), True))
    assert found == {"train": 28, "val": 6, "gate": 6, "test": 0}


@pytest.mark.parametrize("seed", range(20))
def test_later_groups_move_none_and_go_where_their_hash_falls(seed: int) -> None:
    old, dataset = digests(37), images(split={"val": 0.1, "gate": 0.1, "test": 0.1})
    before = assign_groups(seed, old, [], dataset, False)
    later = assign_groups(seed, old, digests(2000, start=1000), dataset, False)
    assert {group: later[group] for group in old} == before
    shares = np.array([counted(later)[name] for name in SPLITS]) / 2037
    assert shares[0] > 0.35 and (shares[1:] > 0.02).all()
    order = [later[group] for group in sorted(later, key=lambda group: hash_to_unit(seed, group))]
    assert [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name] == ["val", "gate", "test", "train"]


def test_many_groups_get_their_shares() -> None:
    later = assign_groups(1, digests(5000), digests(5000, start=9000), images(), False)
    assert np.allclose(np.array([counted(later)[name] for name in HELD_OUT]) / 10_000, (0.15, 0.15, 0.2), atol=0.02)


@pytest.mark.parametrize("raw", [0, 1, 2, 3])
@pytest.mark.filterwarnings("error")
def test_groups_that_come_to_few_or_none_get_their_shares(raw: int) -> None:
    for seed in range(20):
        old, dataset = digests(raw), images(split={"val": 0.1, "gate": 0.1, "test": 0.1})
        before = assign_groups(seed, old, [], dataset, False)
        later = assign_groups(seed, old, digests(500, start=900), dataset, False)
        assert {group: later[group] for group in old} == before and set(before.values()) <= {"train"}
        assert counted(later)["train"] > 250


def test_a_split_of_one_group_is_refused_in_one_line(tmp_path: Path) -> None:
    counts = {"train": 9, "val": 2, "gate": 1, "test": 2}
    with pytest.raises(UserError) as caught:
        require_groups(tmp_path, counts, text())
    assert str(caught.value) == (
        f"{tmp_path}: expected 2 groups or more in split gate, got 1 (of {counts}): its items are no independent "
        "ones; give it a smaller unit, a larger share or more data, or say `few_groups: true` under split"
    )
    require_groups(tmp_path, counts, text(split={"val": 0.1, "gate": 0.1, "test": 0.1, "few_groups": True}))


def plays(folder: Path, n: int, start: int = 0, lines: int = 30) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + n):
        words = np.random.default_rng(i).integers(0, 10, (lines, 7))
        (folder / f"{i:02}.txt").write_text("\n".join("".join(map("abcdefghij".__getitem__, row)) for row in words))


@pytest.mark.parametrize("modality", ["text", "lines"])
def test_texts_keep_enough_units_that_no_other_split_has(tmp_path: Path, prepare: Prepare, modality: str) -> None:
    plays(tmp_path / "raw", 24)
    few = {"val": 0.05, "gate": 0.05, "test": 0.05}
    data = prepare(text(modality=modality, split=few))
    groups = {name: set(data.split(name).groups.tolist()) for name in SPLITS}
    assert data.meta["groups"] == {name: len(own) for name, own in groups.items()}
    assert [len(groups[name]) for name in HELD_OUT] == [5, 5, 5]
    assert len(set.union(*groups.values())) == 24
    plays(tmp_path / "inbox", 30, start=50)
    later = prepare(text(modality=modality, split=few), out="later")
    for name in SPLITS:  # the raw folder's units are numbered first
        assert {group for group in later.split(name).groups.tolist() if group < 24} == groups[name]


def test_a_held_out_window_lies_inside_one_play(tmp_path: Path, prepare: Prepare) -> None:
    plays(tmp_path / "raw", 24)
    data = prepare(text())
    alphabet = data.meta["alphabet"]
    whole = {path.read_text() + "\n\n" for path in (tmp_path / "raw").iterdir()}
    for name in HELD_OUT:
        split = data.split(name)
        for group in split.groups.unique().tolist():
            own = split.eval_batch((split.groups == group).nonzero()[:, 0]).x.flatten().tolist()
            said = "".join(alphabet[code] for code in own)
            assert sum(play.startswith(said) and len(play) - len(said) < 8 for play in whole) == 1


def test_short_units_in_a_row_are_read_through(tmp_path: Path, prepare: Prepare) -> None:
    plays(tmp_path / "raw", 1, lines=400)
    split = prepare(text(unit="line", window=32)).split("test")
    assert len(split.tensor) % 32 == 0
    starts = np.flatnonzero(np.r_[True, split.tensor.numpy()[:-1] == 0])  # code 0 ends a line
    units = np.searchsorted(starts, np.arange(len(split)) * 32, side="right").tolist()
    assert (
        number_groups(list(map(str, split.groups.tolist()))).tolist() == number_groups(list(map(str, units))).tolist()
    )
    assert len(set(units)) == len(units) > 10


def test_pairs_of_one_source_are_one_group(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    rows = [f"a{i % 30:02}\t{i:03}" for i in range(120)]
    (tmp_path / "raw/a.tsv").write_text("\n".join(rows) + "\n")
    data = prepare(pairs(window=8, context=8))
    of_source: dict[str, set[tuple[str, int]]] = {}
    for name in SPLITS:
        split = data.split(name)
        sources = split.texts(split.eval_batch(torch.arange(len(split))).cond)  # type: ignore[attr-defined]
        for source, group in zip(sources, split.groups.tolist(), strict=True):
            of_source.setdefault(source, set()).add((name, group))
    assert {len(places) for places in of_source.values()} == {1} and len(of_source) == 30
    assert min(data.meta["groups"][name] for name in HELD_OUT) >= 5


def test_pairs_of_few_sources_are_refused(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.tsv").write_text("".join(f"{'abcd'[i % 4]}\t{i:03}\n" for i in range(40)))
    with pytest.raises(UserError, match=r"expected 2 groups or more in split val, got 1"):
        prepare(pairs(window=8, context=8))


@pytest.mark.parametrize("by", ["volume", "block"])
def test_slices_keep_enough_volumes_or_blocks(tmp_path: Path, prepare: Prepare, by: str) -> None:
    (tmp_path / "raw").mkdir()
    for i in range(24 if by == "volume" else 2):
        voxels = np.random.default_rng(i).integers(0, 256, (32, 32, 32)).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"raw/{i}.nii")
    few = {"val": 0.05, "gate": 0.05, "test": 0.05}
    data = prepare(images(split=few, size=[8, 8], slices={"by": by, "block": 4, "gap": 1}))
    assert [data.meta["groups"][name] for name in HELD_OUT] == [5, 5, 5]
    groups = {name: set(data.split(name).groups.tolist()) for name in SPLITS}
    assert sum(map(len, groups.values())) == len(set.union(*groups.values()))


def test_videos_share_no_item_as_far_as_there_are_enough() -> None:
    pool = moving_items.Pool(np.zeros((41, 4, 4), np.uint8), tuple(map(str, range(41))))
    apart = moving_items.choose_casts(pool, 20, 2, ("key",))
    assert len(np.unique(apart)) == 40
    again = moving_items.choose_casts(pool, 50, 2, ("key",))
    assert (again[:20] == apart).all() and (again[20:40] == apart).all()
    one = moving_items.choose_casts(moving_items.Pool(pool.x[:1], ("0",)), 3, 2, ("key",))
    assert one.tolist() == [[0, 0]] * 3


def test_items_of_their_own_are_prepared_as_ever(tmp_path: Path, prepare: Prepare) -> None:
    """Bytes as they were before there were groups."""
    write_idx(tmp_path / "raw")
    data = prepare(images())
    assert data.meta["digest"] == "adba1784e43bc22ca0a861b1057f71d2f6853273447a1b65c6c4ed7cc4b55d51"
    assert "groups" not in data.meta
    for name in SPLITS:
        assert data.split(name).groups.tolist() == list(range(len(data.split(name))))


def test_pairs_of_their_own_are_prepared_as_ever(tmp_path: Path, prepare: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.tsv").write_text("".join(f"{i:03}\tabc {i}\n" for i in range(60)))
    assert (
        prepare(pairs(window=12, context=8)).meta["digest"]
        == "075dcaa064efeca3898d16d81781d03133c557ad0078e3d5893379b8212960cf"
    )
