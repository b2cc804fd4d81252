"""What the tests share: C programs built on demand, and programs run under the library."""

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from patalloc import Config
from patalloc.machine import features
from patalloc.preload import environment

# In the background of a shell it is ignored, and would be in every program that a test starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "tests" / "c"
# Of the highest floor only what stands in its place where the core is linked.
LINKED = ROOT / "csrc" / "preload" / "libc.c"
CORE = [
    path
    for path in sorted((ROOT / "csrc").glob("*/*.c"))
    if path.parent != LINKED.parent or path == LINKED
]
FLAGS = [
    *("-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-fno-builtin", "-Wall", "-Wextra", "-Werror"),
    *(f"-I{ROOT}/csrc", f"-I{ROOT}/csrc/include"),
]
# Each kernel feature that can be done without, and each other way that a block can take.
FALLBACKS = [
    "without=memfd",
    "without=mremap_dontunmap",
    "without=guard_regions",
    "without=dontneed_locked",
    "without=process_madvise",
    "without=pagemap_scan",
    "without=proc",
    "without=mremap_dontunmap,guard_regions,pagemap_scan",
    "without=populate,huge_pages",
    "backend=none",
    "fill=refpage",
    "fill=memset",
    "on_free=reset",
    "on_free=quarantine:quarantine_blocks=20",
    "on_free=quarantine:quarantine_size=8M:without=guard_regions",
    "small_fill=both:slack_check=large",
    "guard_small=all",
    "guard_small=all:delay=0:slack_check=large",
    "guard_small=all:without=guard_regions",
    "guard_small=all:without=guard_regions,uffd_move",
    "report=yes:slack_check=large:guard_small=1000",  # as `patalloc run` has it
    "guard_small=7:side=random:delay=50:report=yes:stacks=4",
    "report=yes:stacks=16:slack_check=all:small_fill=both:on_free=quarantine",
]

if any(feature.name == "userfaultfd" and feature.available for feature in features()):
    FALLBACKS.append("backend=uffd")

Build = Callable[..., Path]


def compile_program(name: str, *flags: str, directory: Path, core: bool = False) -> Path:
    """Compile tests/c/NAME.c, with the core if asked to; the same only once in a directory."""
    key = hashlib.sha256(repr((name, flags, core)).encode()).hexdigest()[:8]
    program = directory / f"{name}-{key}"
    if not program.exists():
        sources = [SOURCES / f"{name}.c", *(CORE if core else [])]
        heap = ["-DHEAP"] if core else []
        libraries = ["-lpthread", "-ldl"]
        command = ["cc", *FLAGS, *heap, *sources, "-o", program, *flags, *libraries]
        subprocess.run(command, check=True)
    return program


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compile tests/c/NAME.c: compile_program in a directory of the session's."""
    return partial(compile_program, directory=tmp_path_factory.mktemp("built"))


def preloaded(
    command: Sequence[str | Path], options: str = "", timeout: float = 300, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program under the library; its output as text."""
    env = environment(Config.parse(options), dict(os.environ) | variables)
    return subprocess.run(
        [str(part) for part in command], env=env, capture_output=True, text=True, timeout=timeout
    )


def assert_passes(result: subprocess.CompletedProcess[str]) -> None:
    assert (result.returncode, result.stderr) == (0, "")


def chromium(*arguments: str | Path) -> str:
    """Without network."""
    program = shutil.which("chromium")
    assert program
    command = ["unshare", "-n", program, "--headless", "--no-sandbox", "--disable-gpu"]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
