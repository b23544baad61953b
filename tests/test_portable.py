"""Portable arithmetic: its settings, the golden hashes, and the comparison of processors, which can fail."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from genfoundry import files, models, paths
from genfoundry.config import load
from genfoundry.errors import UserError
from genfoundry.training import device
from pipeline.commands import configure, golden, smoke, verify_portable
from pipeline.orchestration import compiler, resolve
from pipeline.orchestration.environment import environment
from pipeline.stages import plan

ROOT = Path(__file__).parent.parent
PORTABLE = {"threads": 1, "arithmetic": "portable"}
SMOKE = load.read_params(ROOT / smoke.PARAMS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_every_code_of_numpys_beyond_avx2_is_off() -> None:
    """Against numpy itself: the features it was built to choose by, but for the one that all such processors have."""
    from numpy._core._multiarray_umath import __cpu_dispatch__

    assert set(__cpu_dispatch__) - {"X86_V3"} == set(device.PORTABLE["NPY_DISABLE_CPU_FEATURES"].split())


@pytest.mark.skipif(bool(device.lacking_features()), reason=f"portable arithmetic needs {device.lacking_features()}")
def test_the_libraries_obey() -> None:
    """In a process with the settings torch, numpy, both OpenBLAS and Arrow say themselves that they use AVX2."""
    script = """
import json, numpy, pyarrow, scipy.linalg, torch
from numpy._core._multiarray_umath import __cpu_features__ as features
from threadpoolctl import threadpool_info
blas = [i for i in threadpool_info() if i["internal_api"] == "openblas"]
print(json.dumps({"torch": torch.backends.cpu.get_cpu_capability(), "numpy": features["X86_V4"],
    "blas": sorted({i["architecture"] for i in blas}), "threads": max(i["num_threads"] for i in blas),
    "libraries": len(blas), "arrow": pyarrow.runtime_info().simd_level}))
"""
    env = {**os.environ, **environment({**PORTABLE, "threads": 2})}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    expected = {"torch": "AVX2", "numpy": False, "blas": ["Haswell"], "threads": 1, "libraries": 2, "arrow": "avx2"}
    assert json.loads(done.stdout) == expected


REPLACED = """
import sys, torch
from genfoundry.training import device

x = (torch.rand(3, 4, 5, 5) * 0.8 + 0.1).to(memory_format=torch.channels_last)
before = {name: getattr(torch, name)(x) for name in device.REPLACED}
device._replace_kernels()
for name, old in before.items():
    function = getattr(torch, name)
    new, written, moved, whole = function(x), torch.empty(0), x.clone(), torch.ones(2, dtype=torch.int64)
    assert torch.allclose(old, new, rtol=4e-6, atol=1e-7) and old.stride() == new.stride(), name
    assert torch.equal(function(x, out=written), new) and torch.equal(written, new), name
    assert getattr(moved, name + "_")() is moved and torch.equal(moved, new), name
    assert torch.autograd.gradcheck(function, (x.double().requires_grad_(),)), name
    assert function(x[0, 0, 0, 0]).shape == () and function(whole).dtype == torch.float32, name
    assert function(x.bfloat16()).dtype == torch.bfloat16, name
assert torch.equal(torch.sqrt(torch.tensor([-1.0, 0.0, 4.0])).nan_to_num(7), torch.tensor([7.0, 0.0, 2.0]))
"""


def test_the_replaced_functions_are_torchs_own() -> None:
    """Values, gradients, layout and types of a function that numpy or SciPy computes for torch."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-W", "error", "-c", REPLACED]
    subprocess.run(command, env=env, check=True)


def test_no_root_escapes_as_a_power() -> None:
    """`x ** 0.5` of a tensor goes to MKL's vector library behind the dispatcher's back."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            power = node.right if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) else None
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "pow":
                power = node.args[-1]
            assert power is None or ast.unparse(power) not in ("0.5", "1 / 2"), f"{path}:{node.lineno}: write x.sqrt()"


def armed(monkeypatch: pytest.MonkeyPatch, **set_to: Any) -> torch.device:
    for key, value in device.PORTABLE.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", torch.backends.mkldnn.enabled)
    monkeypatch.setattr(device, "_replace_kernels", lambda: None)  # it would last as long as the process
    params = load.read_params(ROOT / "params.yaml").model_copy(update={**PORTABLE, **set_to})
    try:
        return device.configure_torch(resolve.select_run(params))
    finally:
        torch.backends.nnpack.set_flags(True)
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("key", device.PORTABLE)
def test_a_missing_setting_is_said(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "PORTABLE", {**device.PORTABLE})
    for name, value in device.PORTABLE.items():
        monkeypatch.setenv(name, value if name != key else "another")
    with pytest.raises(UserError, match=rf"arithmetic: portable needs {key}='.*' before Python starts$"):
        device.configure_torch(SMOKE.model_copy(update=PORTABLE))
    torch.use_deterministic_algorithms(False)


def test_a_processor_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    can = {"architecture": "x86_64", "avx2": False, "fma3": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    with pytest.raises(UserError, match=r"needs a processor with AVX2 and FMA3, and this has no AVX2; use native"):
        armed(monkeypatch)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "arm64"})
    with pytest.raises(UserError, match=r"needs an x86-64 processor, and this is arm64"):
        armed(monkeypatch)


@pytest.mark.skipif(bool(device.lacking_features()), reason=f"portable arithmetic needs {device.lacking_features()}")
def test_a_gpu_that_is_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert armed(monkeypatch, device="auto") == torch.device("cpu")


@pytest.mark.parametrize(("key", "value"), [("device", "cuda"), ("precision", "bf16")])
def test_what_portable_cannot_be_joined_with(key: str, value: str, root: Path) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text()) | {"arithmetic": "portable", key: value}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(UserError, match=rf"^params.yaml: {key}: expected .* with arithmetic: portable, got '{value}'"):
        resolve.load_params(root / "params.yaml")


def test_configure_changes_one_value_and_keeps_the_comments(root: Path) -> None:
    before = (root / "params.yaml").read_text()
    configure.change(root, "arithmetic", "portable")
    after = (root / "params.yaml").read_text()
    assert resolve.load_params(root / "params.yaml").arithmetic == "portable"
    assert after == before.replace("arithmetic: native ", "arithmetic: portable ")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("arithmetic", "portible", "arithmetic: .*got 'portible'"),
        ("budget", "", "budget"),
        ("arithmatic", "portable", "'arithmatic' cannot be set so; expected one of seed, threads, device"),
        ("datasets", "x", "'datasets' cannot be set so"),
    ],
)
def test_configure_refuses_and_leaves_the_file(key: str, value: str, message: str, root: Path) -> None:
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(UserError, match=message):
        configure.change(root, key, value)
    assert (root / "params.yaml").read_bytes() == before


def test_hashes_see_every_byte_of_an_out_but_not_the_code(root: Path) -> None:
    judge, units = root / paths.judge("digits"), compiler.compile_units(ROOT, SMOKE, dict.fromkeys(SMOKE.datasets, ""))
    plan.write(root, units)
    files.write_json(judge / "model.json", {"digest": "d"})
    files.write_bytes(root / "reports/panels/vae-digits/samples.png", b"one")
    first = golden.hash_outputs(root)
    assert list(first) == ["judge@digits", "evaluate@vae-digits"]
    plan.write(root, [replace(unit, code="another") for unit in units])
    assert golden.hash_outputs(root) == first
    files.write_json(judge / "model.json", {"digest": "e"})
    files.write_bytes(root / "reports/panels/vae-digits/samples.png", b"two")
    files.write_bytes(root / "reports/panels/vae-digits/new.png", b"")
    lines = golden.differences(first, golden.hash_outputs(root))
    assert lines == [
        "judge@digits: data/prepared/digits/judge/model.json: other bytes",
        "evaluate@vae-digits: reports/panels/vae-digits/new.png: new",
        "evaluate@vae-digits: reports/panels/vae-digits/samples.png: other bytes",
    ]
    assert golden.differences(first, {}) == [
        "judge@digits: data/prepared/digits/judge/model.json: gone",
        "evaluate@vae-digits: reports/panels/vae-digits/samples.png: gone",
    ]


def test_the_golden_file_is_of_the_units_that_there_are() -> None:
    known = json.loads((ROOT / golden.FILE).read_text())
    units = compiler.compile_units(ROOT, SMOKE, dict.fromkeys(SMOKE.datasets, ""))
    assert list(known) == [unit.key for unit in units if unit.outputs]


WORKER = """
import os, sys
cores = len(os.sched_getaffinity(0))
print("char_rnn on text", "aa", sep="\\t")
print("vae on grey", "bb" if sys.argv[-1] == "portable" else os.environ.get("PROCESSOR", cores), sep="\\t")
print("no digest")
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker of two digests, and an emulator that tells it which processor it is."""
    emulator, worker = tmp_path / "qemu", tmp_path / "worker.py"
    emulator.write_text('#!/bin/sh\nPROCESSOR="$2"; export PROCESSOR; shift 2; exec "$@"\n')
    emulator.chmod(0o755)
    worker.write_text(WORKER)
    monkeypatch.setattr(verify_portable, "WORKER", str(worker))
    monkeypatch.setattr(shutil, "which", lambda name: str(emulator) if name == "qemu-x86_64" else None)
    monkeypatch.setattr(device, "lacking_features", lambda: "")
    return worker


def test_equal_bytes_are_said_a_line_a_model_and_processor(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify_portable.run(["Haswell", "EPYC"])
    printed = [
        " ".join(line.split()[1:-2]) for line in capsys.readouterr().out.splitlines() if line.startswith("same ")
    ]
    assert printed[:2] == ["here, on one core: char_rnn on text", "here, on one core: vae on grey"]
    assert printed[2:] == [
        f"{name}: {case}" for name in ("Haswell", "EPYC") for case in ("char_rnn on text", "vae on grey")
    ]


def test_other_bytes_are_found(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"2 digests differ: vae on grey \(Haswell\), vae on grey \(EPYC\)|3 digests"):
        verify_portable.run(["Haswell", "EPYC"], native=True)
    assert "DIFFERS  EPYC: vae on grey" in capsys.readouterr().out


def test_a_digest_that_does_not_come_is_a_difference(fake: Path) -> None:
    differing = verify_portable.compare("Haswell", [sys.executable, str(fake), "portable"], {"char_rnn on text": "aa",
        "vae on grey": "bb", "vae on colour": "cc"})  # fmt: skip
    assert differing == ["vae on colour"]


def test_a_worker_that_fails_is_no_agreement(fake: Path) -> None:
    fake.write_text("import sys; print('a\\tb'); sys.exit('no such model')")
    with pytest.raises(UserError, match=r"worker.py portable: no such model"):
        verify_portable.run(["Haswell"])


def test_without_the_emulator_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(device, "lacking_features", lambda: "")
    verify_portable.run()
    assert "skipped, it needs qemu-x86_64" in capsys.readouterr().out


@pytest.mark.skipif(
    not shutil.which("qemu-x86_64") or bool(device.lacking_features()), reason="needs qemu-x86_64, AVX2 and FMA3"
)
def test_every_model_comes_to_the_same_bytes_on_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    worker = [sys.executable, verify_portable.WORKER, "--models", "portable"]
    reference = dict(verify_portable.run_worker(worker))
    assert {name.split()[0] for name in reference} == set(models.names())
    assert verify_portable.compare("Haswell", ["qemu-x86_64", "-cpu", "Haswell", *worker], reference) == []
