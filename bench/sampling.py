"""Seconds that a model's own sampler takes, against one full pass a value, both arms in one run.

    PYTHONPATH=src python bench/sampling.py [CASE ...]

Weights are random, since speed does not depend on them, and moved away from where training starts. Both arms draw from
equal seeds, and whether they drew the same is printed. Of a case with `values` the naive arm draws so many alone, its
seconds are scaled up, and these values are compared. CPU seconds stand beside: machines are busy.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genfoundry import models
from genfoundry.config import check
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Batch, Spec

ROUNDS = 3  # of the fast arm; the naive one runs once
BINARY = Spec((1, 28, 28), 2)
GREY = Spec((1, 28, 28), 256)
TEXT = Spec((256,), 84)
TRANSFORMER = {"width": 64, "layers": 3, "heads": 2, "embedding": 8, "reach": 3, "rows": 2, "patch": 7, "detail": 64}
MOVING = Spec((5, 1, 32, 32), 2, cond_shape=(5, 1, 32, 32), cond_levels=2)
PAIRS = Spec((64,), 85, cond_shape=(64,), cond_levels=85)  # sources are empty: speed does not depend on them
BYTENET = {"width": 96, "dilations": [1, 2, 4], "encoder": 2, "decoder": 2}


@dataclass(frozen=True)
class Case:
    """A model's configuration, and how many samples are drawn at once."""

    model: str
    spec: Spec
    hyper: dict[str, Any] = field(default_factory=dict)
    n: int = 64
    values: int | None = None


CASES = {
    "fvsbn": Case("fvsbn", BINARY),
    "made": Case("made", BINARY, {"hidden": 2000}),
    "made, two layers": Case("made", BINARY, {"hidden": 2000, "layers": 2}),
    "transformer": Case("transformer", BINARY, TRANSFORMER, values=112),
    "transformer, a token a pixel": Case("transformer", BINARY, {**TRANSFORMER, "patch": 1, "layers": 2}, values=14),
    "video_pixel": Case("video_pixel", MOVING, {"memory": 24, "width": 24, "layers": 3}, values=8),
    "bytenet": Case("bytenet", PAIRS, BYTENET),
    "bytenet, follow": Case("bytenet", PAIRS, {**BYTENET, "unfold": "follow"}),
    "char_seq2seq": Case("char_seq2seq", PAIRS, {"width": 120, "embedding": 32}),
    "made, grey": Case("made", GREY, {"hidden": 300}, values=28),
    "pixel_cnn": Case("pixel_cnn", BINARY, {"layers": 5, "width": 32}, values=28),
    "pixel_cnn, whole": Case("pixel_cnn", BINARY, {"layers": 5, "width": 32}, n=4),
    "pixel_cnn, 10x128": Case("pixel_cnn", BINARY, {"layers": 10, "width": 128}, values=28),
    "pixel_cnn, grey": Case("pixel_cnn", GREY, {"layers": 3, "width": 24, "mixtures": 5}, n=200, values=1),
    "char_rnn": Case("char_rnn", TEXT, {"cell": "lstm", "width": 256, "embedding": 64}, values=32),
    "char_rnn, one": Case("char_rnn", TEXT, {"cell": "lstm", "width": 256, "embedding": 64}, n=1, values=32),
    "pixel_rnn": Case("pixel_rnn", BINARY, {"width": 16, "layers": 2}, values=28),
}


def build(case: Case) -> Any:
    kind = models.find(case.model)
    torch.manual_seed(0)
    model = kind(case.spec, check(kind.Config, case.hyper, case.model))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def timed(draw: Callable[[], Tensor]) -> tuple[Tensor, float, float]:
    """What was drawn from seed 1, seconds, CPU seconds."""
    torch.manual_seed(1)
    wall, cpu = time.perf_counter(), time.process_time()
    drawn = draw()
    return drawn, time.perf_counter() - wall, time.process_time() - cpu


@torch.inference_mode()
def naive(model: Any, n: int, places: list[int]) -> Tensor:
    """One full pass a value, (n, dims)."""
    x = torch.zeros(n, *model.spec.shape, dtype=torch.int64)
    for position in places:
        x.view(n, -1)[:, position] = sample_categorical(model.predict(Batch(x)).flatten(1, -2)[:, position])
    return x.flatten(1)


def run(name: str, case: Case) -> None:
    model = build(case)
    places = model.order().tolist()[: case.values]
    slow, wall, cpu = timed(lambda: naive(model, case.n, places))
    scale = case.spec.dims / len(places)
    wall, cpu = wall * scale, cpu * scale
    runs = [timed(lambda: model.sample(case.n).flatten(1)) for _ in range(ROUNDS)]
    fast, used = (statistics.median(r[i] for r in runs) for i in (1, 2))
    same = torch.equal(runs[0][0][:, places], slow[:, places])
    of = "" if scale == 1 else f" (from {len(places)} values)"
    print(f"{name}: {case.n} samples of {case.spec.dims} values, {case.hyper or 'its defaults'}")
    print(f"  a full pass a value{of}: {wall:.2f} s, CPU {cpu:.2f} s")
    print(f"  its own sampler: {fast:.3f} s, CPU {used:.3f} s: {wall / fast:.0f} times as fast, CPU {cpu / used:.0f}")
    print(f"  the same samples: {'yes' if same else 'NO'}", flush=True)


def main() -> None:
    names = sys.argv[1:] or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        sys.exit(f"no case {', '.join(unknown)}; there are: {'; '.join(CASES)}")
    print(f"{torch.get_num_threads()} threads")
    for name in names:
        run(name, CASES[name])


if __name__ == "__main__":
    main()
