"""What a process does to be fast, beside what makes it deterministic (which test_portable.py holds)."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from genfoundry import config
from genfoundry.training import device
from pipeline.orchestration import resolve

FAULTS = """
import resource, torch
from genfoundry.training import device
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.empty(1 << 20).fill_(1.0) for _ in range(25)]  # 4 MB each: 25,000 pages
    del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
device._keep_memory()
for _ in range(4):
    faults()  # the heap grows to what is needed; what else the process allocates may take a block of it once or twice
print(faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc here")
def test_memory_of_tensors_is_kept_for_the_next_ones() -> None:
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    assert before > 10_000, "this system keeps it by itself: nothing is proved here"
    assert after < 1000, "pages that tensors had left came anew from the system"


@pytest.mark.parametrize(("precision", "rounded"), [("float32", False), ("bf16", False), ("tf32", True)])
def test_a_gpu_rounds_products_only_where_that_was_asked_for(precision: str, rounded: bool) -> None:
    """torch's flags, of a CPU too: its own default rounds convolutions to TF32's 10 bits."""
    params = resolve.load_params().model_copy(update={"precision": precision, "device": "cpu"})
    flags = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False  # torch's own
        device.configure_torch(params)
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (rounded, rounded)
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = flags
        torch.use_deterministic_algorithms(False)


def test_precision_is_one_of_three() -> None:
    raw = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    assert config.check(config.Params, raw | {"precision": "tf32"}, "", "params.yaml").precision == "tf32"
