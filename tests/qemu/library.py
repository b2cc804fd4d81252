"""What is tried in guests: the library with its C tests, and the kernel module."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from guest import ROOT, build_library, build_program, libraries

PROGRAMS = {
    "workload": "4 200 5",
    "sparse": "4 2000",
    "family": "",
    "fork": "",
    "early": "",
    "cancel": "",
    "locked current": "",
    "descriptors /tmp/foreign": "",
    "vmas 1": "",
}
COMPLAINTS = "|".join(
    [
        "BUG|WARNING:|KASAN|UBSAN|Oops|Bad page|Internal error|Unable to handle|general protection",
        "possible (circular|recursive) locking|inconsistent lock|rcu.*(stall|detected)",
        "blocked for more than",
    ]
)
LOADERS = {
    "cc": "lib64/ld-linux-x86-64.so.2",
    "aarch64-linux-gnu-gcc": "lib/ld-linux-aarch64.so.1",
}
MACHINE = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048"]


def build_module(build: Path, output: Path, *, sparse: bool) -> Iterator[str]:
    """With every warning that the kernel's build has, and sparse's."""
    module = output / "module"
    shutil.rmtree(module, ignore_errors=True)
    shutil.copytree(ROOT / "kernel", module)
    check = ["C=2"] if sparse and shutil.which("sparse") else []
    done = subprocess.run(
        ["make", "-s", "-C", module, f"BUILD={build}", "W=1", *check],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = [line for line in done.stdout.splitlines() if "BTF" not in line]
    yield f"{'FAIL' if done.returncode or said else 'PASS'} module: builds without a warning"
    yield from said
    if sparse and not check:
        yield "not run: sparse, which is not installed"


def guest_files(compiler: str, output: Path) -> dict[str, Path | bytes]:
    """The library, and the programs that run under it."""
    tests, loader = ROOT / "tests", LOADERS[compiler]
    files: dict[str, Path | bytes] = {
        "lib/libpatalloc.so": build_library(compiler, output / "libpatalloc.so"),
        **libraries(compiler, Path(loader).name, "libc.so.6", "libgcc_s.so.1"),
    }
    files[loader] = files.pop(f"lib/{Path(loader).name}")
    for command in PROGRAMS:
        name = command.split()[0]
        files[f"bin/tests/{name}"] = build_program(
            compiler, tests / "c" / f"{name}.c", output / name
        )
    files["bin/tests/faults"] = build_program(
        compiler,
        tests / "c" / "faults.c",
        output / "faults",
        core=True,
        flags=["-static", "-DPATALLOC_FAULTS"],
    )
    return files
