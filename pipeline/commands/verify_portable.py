"""`genfoundry verify-portable`: run every model and stage, tiny, here and on emulated processors: the same bytes?

With `--native` it must find differences.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from genfoundry.errors import UserError
from genfoundry.training import device
from pipeline.orchestration.environment import environment

PROCESSORS = ("Haswell", "Skylake-Client", "EPYC")  # Intel 2013, Intel 2015, AMD 2017: qemu emulates no AVX-512
WORKER = "tests/models/portable.py"
THREADS = 2
HERE, ONE_CORE = "here", "here, on one core"


def run(processors: Sequence[str] = (), native: bool = False) -> None:
    """Compare the digests of this machine with those on one core and on `processors` (names that qemu knows).

    Raises:
        UserError: digests differ, or a worker failed.
    """
    processors = processors or PROCESSORS
    emulator = shutil.which("qemu-x86_64")
    if reason := device.lacking_features() or (
        "" if emulator else "qemu-x86_64 (on Debian: sudo apt-get install qemu-user)"
    ):
        # No failure: a machine without the emulator, or without AVX2, has nothing to compare.
        print(f"verify-portable: skipped, it needs {reason}")
        return
    worker = [sys.executable, WORKER, "native" if native else "portable"]
    began = time.monotonic()
    reference = dict(run_worker(worker))
    after = f"{ONE_CORE}, then as {', '.join(processors)}: 4 minutes each, more where the machine is busy"
    print(f"{HERE}: {len(reference)} digests in {time.monotonic() - began:.0f} s; next {after}", flush=True)
    others = {ONE_CORE: worker, **{name: [str(emulator), "-cpu", name, *worker] for name in processors}}
    differ = [f"{name} ({where})" for where, command in others.items() for name in compare(where, command, reference)]
    if differ:
        raise UserError(f"{len(differ)} digests differ: {', '.join(differ[:6])}{', ...' if differ[6:] else ''}")
    print(f"{len(reference)} digests, the same bytes everywhere; {time.monotonic() - began:.0f} s")


def compare(where: str, command: list[str], reference: Mapping[str, str]) -> list[str]:
    """Return the names whose digests are not the reference's; print a line for each digest as it comes."""
    began, differ, digests = time.monotonic(), [], {}
    for name, digest in run_worker(command, one_core=where == ONE_CORE):
        digests[name] = digest
        same = reference.get(name) == digest
        differ += [] if same else [name]
        print(f"{'same   ' if same else 'DIFFERS'}  {where}: {name}  {time.monotonic() - began:.0f} s", flush=True)
    return differ + [name for name in reference if name not in digests]


def run_worker(command: list[str], one_core: bool = False) -> Iterator[tuple[str, str]]:
    """Run a worker and yield name and digest as it prints them; the command's last word is its arithmetic.

    Raises:
        UserError: the worker failed; the last line it wrote to standard error tells why.
    """
    env = {**os.environ, **environment({"threads": THREADS, "arithmetic": command[-1]}), "PYTHONPATH": "src:."}
    env |= {"OMP_WAIT_POLICY": "PASSIVE"}  # an emulated thread that spins takes the time of the one it waits for
    core = {min(os.sched_getaffinity(0))}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            env=env,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, core)) if one_core else None,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "\t" in line:
                name, _, digest = line.rstrip("\n").partition("\t")
                yield name, digest
        if process.wait():
            errors.seek(0)
            # qemu warns of every feature of a processor that it lacks: those lines do not tell why a worker failed.
            lines = [line for line in errors.read().splitlines() if "TCG doesn't support" not in line]
            raise UserError(f"{' '.join(command)}: {lines[-1] if lines else f'exit status {process.returncode}'}")
