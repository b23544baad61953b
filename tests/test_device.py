"""What a process does to be fast, beside what makes it deterministic (which test_portable.py holds)."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from genfoundry import device
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
