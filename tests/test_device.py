"""What a process does to be fast, beside what makes it deterministic (which test_portable.py holds)."""

from __future__ import annotations

import ctypes
import resource

import pytest
import torch

from genfoundry import device


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc here")
def test_memory_of_tensors_is_kept_for_the_next_ones() -> None:
    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            torch.empty(1 << 20).fill_(1.0)  # 4 MB, a thousand pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    device._keep_memory()
    faults()
    assert faults() < 2000, "more than two tensors' pages came anew from the system"
