"""What evaluations share is computed once, by whoever comes first, and is never that of other inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genfoundry import config
from genfoundry.evaluation import cache
from genfoundry.evaluation.cache import Shared


class Counting:
    """Computes a figure, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.calls += 1
        return {"x": np.arange(3, dtype=np.float64) / 7}


def test_it_is_computed_once_and_read_by_others_to_the_same_bits(tmp_path: Path) -> None:
    compute = Counting()
    for _ in range(3):  # processes
        found = Shared(tmp_path, ("data", 256)).get("lengths", compute)["x"]
        np.testing.assert_array_equal(found, np.arange(3) / 7)
    assert compute.calls == 1


def test_other_inputs_and_other_names_are_other_values(tmp_path: Path) -> None:
    compute, plain = Counting(), Shared(tmp_path, ("code",))
    for one in (plain.of("fashion", 256), plain.of("fashion", 2), plain.of("digits", 256)):
        for name in ("lengths", "near"):
            one.get(name, compute)
    assert compute.calls == 6


def test_without_a_folder_it_is_computed_once_an_evaluation() -> None:
    compute, one = Counting(), Shared()
    for _ in range(2):
        one.get("lengths", compute)
    assert compute.calls == 1
    Shared().get("lengths", compute)
    assert compute.calls == 2


def test_a_repository_shares_what_one_version_of_its_code_computed(tmp_path: Path) -> None:
    run, compute = config.Run(seed=0, threads=1), Counting()
    for code, other in (("a", {}), ("a", {}), ("b", {}), ("a", {"seed": 1}), ("a", {"threads": 2})):
        cache.open_cache(tmp_path, code, run.model_copy(update=other)).get("lengths", compute)
    assert compute.calls == 3  # a seed is for who asks to say


def test_a_damaged_file_is_computed_anew(tmp_path: Path) -> None:
    compute = Counting()
    Shared(tmp_path).get("lengths", compute)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:5])
    for _ in range(2):
        np.testing.assert_array_equal(Shared(tmp_path).get("lengths", compute)["x"], np.arange(3) / 7)
    assert compute.calls == 2
