"""`make verify-portable`: every model and every stage, tiny, here and on emulated processors: the same bytes?

`python -m pipeline verify_portable [--native] [PROCESSOR...]`; with `--native` it must find differences.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping

from genfoundry.errors import UserError
from genfoundry.training import device
from pipeline.orchestration.environment import environment

PROCESSORS = ("Haswell", "Skylake-Client", "EPYC")  # Intel 2013, Intel 2015, AMD 2017: qemu emulates no AVX-512
WORKER = "tests/models/portable.py"
THREADS = 2
HERE, ONE = "here", "here, on one core"


def run(*argv: str) -> None:
    processors = [word for word in argv if word != "--native"] or PROCESSORS
    emulator = shutil.which("qemu-x86_64")
    if reason := device.lacking_features() or (
        "" if emulator else "qemu-x86_64 (on Debian: sudo apt-get install qemu-user)"
    ):
        print(f"verify-portable: skipped, it needs {reason}")
        return
    arithmetic = "native" if "--native" in argv else "portable"
    worker = [sys.executable, WORKER, arithmetic]
    began = time.monotonic()
    reference = dict(lines(worker))
    after = f"{ONE}, then as {', '.join(processors)}: 4 minutes each, more where the machine is busy"
    print(f"{HERE}: {len(reference)} digests in {time.monotonic() - began:.0f} s; next {after}", flush=True)
    others = {ONE: worker, **{name: [str(emulator), "-cpu", name, *worker] for name in processors}}
    differ = [f"{name} ({where})" for where, command in others.items() for name in compared(where, command, reference)]
    if differ:
        raise UserError(f"{len(differ)} digests differ: {', '.join(differ[:6])}{', ...' if differ[6:] else ''}")
    print(f"{len(reference)} digests, the same bytes everywhere; {time.monotonic() - began:.0f} s")


def compared(where: str, command: list[str], reference: Mapping[str, str]) -> list[str]:
    """Names whose digests are not the reference's; a line each as they come."""
    began, differ, found = time.monotonic(), [], {}
    for name, digest in lines(command, one_core=where == ONE):
        found[name] = digest
        same = reference.get(name) == digest
        differ += [] if same else [name]
        print(f"{'same   ' if same else 'DIFFERS'}  {where}: {name}  {time.monotonic() - began:.0f} s", flush=True)
    return differ + [name for name in reference if name not in found]


def lines(command: list[str], one_core: bool = False) -> Iterator[tuple[str, str]]:
    """What a worker prints, name and digest, as it comes; the command's last word is its arithmetic.

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
            said = [line for line in errors.read().splitlines() if "TCG doesn't support" not in line]
            raise UserError(f"{' '.join(command)}: {said[-1] if said else f'exit status {process.returncode}'}")
