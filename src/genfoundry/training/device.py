"""The device to work on, deterministic torch, and arithmetic that is the same on every processor."""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from genfoundry.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from genfoundry.config import Run

# Settings of libraries that choose their kernels by the processor; each reads its own when it is imported.
# glibc needs none: its exp, log, pow have one variant for all processors with AVX2 and FMA.
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "MKL_CBWR": "COMPATIBLE",  # torch's BLAS and LAPACK; AVX2 still differs between makers of processors
    "OPENBLAS_CORETYPE": "Haswell",  # numpy's and scipy's, which scikit-learn and statsmodels use too
    "OPENBLAS_NUM_THREADS": "1",  # of more threads than processors, it would take fewer
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # sorts, transcendental functions, sums
    "ARROW_USER_SIMD_LEVEL": "AVX2",
}
# torch's functions that MKL's vector library computes, with kernels that it chooses by the processor's maker, whatever
# the settings: some start from the reciprocal estimate, which differs. Those of numpy and SciPy do not, and are fast.
# `x ** 0.5` would escape this: write x.sqrt().
REPLACED = {"exp": "exp", "log": "log", "log2": "log2", "log10": "log10", "sqrt": "sqrt", "tanh": "tanh"}
REPLACED |= {"sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan"}
REPLACED |= {name: name for name in ("erf", "erfc", "erfinv")}  # SciPy's


def find_device(name: str) -> torch.device:
    """Return the torch device called `name`; "auto" is the GPU if there is one, else the CPU.

    Raises:
        UserError: there is no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= (count := counts[device.type]):
        raise UserError(
            f"params.yaml: device: {name!r} is not there ({count} {device.type} devices, torch {torch.__version__}); "
            "use auto or cpu, or install torch's CUDA build (README)"
        )
    return device


def configure_torch(run: Run) -> torch.device:
    """Configure threads, deterministic algorithms, arithmetic and memory of torch; returns the device to work on.

    Raises:
        UserError: there is no such device, or this process cannot do portable arithmetic.
    """
    import torch

    torch.set_num_threads(run.threads)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms alone imports all of torch's compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads it
    torch.backends.cudnn.benchmark = False
    # TF32 rounds products to 10 bits of mantissa; torch's own default lets convolutions have it, but not matrices.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = run.precision == "tf32"
    _keep_memory()
    if run.arithmetic == "native":
        return find_device(run.device)
    if missing := [f"{k}='{v}'" for k, v in PORTABLE.items() if os.environ.get(k) != v]:
        raise UserError(f"params.yaml: arithmetic: portable needs {' '.join(missing)} before Python starts")
    if lacking := lacking_features():
        raise UserError(f"params.yaml: arithmetic: portable needs {lacking}; use native")
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # its blocking follows the cache sizes
    _replace_kernels()
    torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]  # so does this one's
    return torch.device("cpu")


def _keep_memory() -> None:
    """Have glibc keep freed memory; without glibc, do nothing.

    It would return blocks of 128 kB and more to the system at once, and getting them back, page by page, takes longer
    than filling them.
    """
    import ctypes

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD, bytes
        mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD, bytes


def lacking_features() -> str:
    """Return which processor features portable arithmetic lacks here, in words; "" if none."""
    import torch

    features = torch.cpu.get_capabilities()
    if features["architecture"] != "x86_64":
        return f"an x86-64 processor, and this is {features['architecture']}"
    lacking = [name.upper() for name in ("avx2", "fma3") if not features[name]]
    return f"a processor with AVX2 and FMA3, and this has no {' and no '.join(lacking)}" if lacking else ""


@cache
def _replace_kernels() -> torch.library.Library:
    """Have numpy or SciPy compute the `REPLACED` functions on the CPU, until the process ends."""
    import numpy as np
    import scipy.special
    import torch

    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Overriding a previously registered kernel")
        for name, other in REPLACED.items():
            function = getattr(np, other, None) or getattr(scipy.special, other)
            for variant, kernel in zip(("", ".out", "_"), _kernels(function), strict=True):
                library.impl(name + variant, kernel, "CPU")  # type: ignore[no-untyped-call]
    return library


def _kernels(function: Callable[[Any], Any]) -> tuple[Callable[..., Tensor], ...]:
    """The three variants of a torch function, from one on arrays: a new tensor, `out=`, in place."""
    import numpy as np
    import torch

    def new(x: Tensor) -> Tensor:
        dtype = x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else torch.get_default_dtype()
        computed = dtype if dtype not in (torch.float16, torch.bfloat16) else torch.float32
        with np.errstate(all="ignore"):
            values = np.asarray(function(x.to(computed).numpy(force=True)))
        return torch.from_numpy(values).to(dtype)

    def out(x: Tensor, *, out: Tensor) -> Tensor:
        return out.resize_(x.shape).copy_(new(x))

    return new, out, lambda x: x.copy_(new(x))
