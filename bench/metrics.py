"""How long the metrics of samples take: n generated and n real items in 64 features, medians of three runs.

`python bench/metrics.py [n]`; n is 10,000 unless given.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.metrics import manifolds, memorization
from genfoundry.evaluation.metrics.frechet import frechet_distance
from genfoundry.evaluation.metrics.kernel_distance import kernel_distance


def seconds(call: Callable[[], object], runs: int = 3) -> float:
    """Median seconds of a call."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(n: int = 10_000) -> None:
    rng = np.random.default_rng(0)
    fake, real = rng.normal(0.1, 1, (n, 64)), rng.normal(size=(n, 64))
    train, queries = torch.rand(60_000, 196), torch.rand(n, 196)
    rows: dict[str, Callable[[], object]] = {
        "Frechet distance": lambda: frechet_distance(fake, real),
        "kernel distance": lambda: kernel_distance(fake, real),
        "precision, recall, density, coverage": lambda: manifolds.score_manifolds(fake, real),
        "nearest-neighbour test": lambda: manifolds.score_neighbours(fake, real),
        "nearest of 60,000 training items": lambda: memorization.find_nearest(queries, train),
    }
    print(f"n = {n:,}, 64 features, {torch.get_num_threads()} threads")
    for name, call in rows.items():
        print(f"{name:40} {seconds(call):7.2f} s")
    everything = seconds(lambda: aggregate({"features": fake, "real": real}, 1, "images"), runs=1)
    print(f"{'all of these with intervals':40} {everything:7.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
