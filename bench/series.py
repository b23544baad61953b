"""An AR(32) on 1,000,000 values: this project's fit against statsmodels' AutoReg, both arms in one run, interleaved.

    PYTHONPATH=src python bench/series.py [ORDER] [VALUES]

The series is an AR(2); the fits' coefficients are compared. Medians, since machines are noisy.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch
from scipy.signal import lfilter
from statsmodels.tsa.ar_model import AutoReg

from genfoundry.nn.timeseries.order_selection import compute_criteria
from genfoundry.nn.timeseries.var import fit_least_squares

ROUNDS = 3


def main() -> None:
    order, length = (int(text) for text in (*sys.argv[1:3], *("32", "1000000")[len(sys.argv) - 1 :]))
    torch.set_num_threads(1)
    x = lfilter([1.0], [1.0, -0.6, -0.2], np.random.default_rng(0).normal(size=length))
    series = torch.from_numpy(x)[:, None]
    arms = {
        "fit": lambda: fit_least_squares(series, order),
        "all orders": lambda: compute_criteria(series, order),
        "AutoReg": lambda: AutoReg(x, order).fit(),
    }
    times: dict[str, list[float]] = {name: [] for name in arms}
    fits = {}
    for _ in range(ROUNDS):
        for name, run in arms.items():
            began = time.perf_counter()
            fits[name] = run()
            times[name].append(time.perf_counter() - began)
    middle = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in middle.items():
        print(f"AR({order}) on {length} values, {name:10} {seconds * 1e3:9.1f} ms")
    ours, theirs = fits["fit"].phi[:, 0, 0].numpy(), fits["AutoReg"].params[1:]
    print(
        f"{middle['AutoReg'] / middle['fit']:.0f}x; coefficients differ by {np.abs(ours - theirs).max():.1e}, 1 thread"
    )


if __name__ == "__main__":
    main()
