"""Tools that look for errors in the heap, and what each makes of a program."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs

from patalloc.preload import library

LIBRARIES = Path("/usr/lib")
NAMED, STOPPED, MISSED = "named", "stopped", "missed"


@attrs.frozen
class Tool:
    """A way to run a program that looks for errors.

    Attributes:
        says: what a line that names an error looks like.
        env: what it has in the environment.
        preload: a library's file name, found under /usr/lib, newest last.
        prefix: words before the program; flags: of the compiler.
    """

    name: str
    says: str
    env: dict[str, str] = attrs.field(factory=dict)
    preload: str = ""
    prefix: Sequence[str] = ()
    flags: Sequence[str] = ()

    def environment(self) -> dict[str, str] | None:
        """Its environment; None where it is not installed."""
        found = sorted(LIBRARIES.glob(f"**/{self.preload}")) if self.preload else []
        if self.preload and not found:
            return None
        preload = {"LD_PRELOAD": str(found[-1])} if found else {}
        return {**os.environ, "MALLOC_CHECK_": "0", **preload, **self.env}


# Every block guarded, and freed ones out of reach at once.
FIND = (
    "report=yes:stacks=16:guard_small=all:align=8:delay=0:threshold=4K:slack_check=all:"
    "small_fill=both:on_free=quarantine"
)
GLIBC = r"free\(|double free|malloc\(|realloc\(|munmap_chunk\(|corrupted "  # it is below patalloc
DEATHS = r"null-pointer|stack-overflow|wild-jump|wild-access: SIG|abort|fatal-signal"
SCUDO = "libclang_rt.scudo_standalone-x86_64.so"


def patalloc(name: str, options: str) -> Tool:
    """The library with these options. What a process died of names no error in a heap."""
    env = {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": options}
    return Tool(name, f"^(patalloc: (?!{DEATHS})|{GLIBC}).*", env)


TOOLS = [
    Tool("glibc", f"^({GLIBC}).*"),
    patalloc("patalloc", FIND),
    patalloc("patalloc, side=left", f"{FIND}:side=left"),
    Tool("Scudo", r"^Scudo ERROR: .*", {"SCUDO_OPTIONS": "GWP_ASAN_Enabled=false"}, SCUDO),
    Tool(
        "GWP-ASan",  # in Scudo, for every allocation
        r"^(Scudo ERROR: .*|(Buffer|Use|Double|Invalid|Unknown).* at 0x\w+.*)",
        {
            "SCUDO_OPTIONS": "GWP_ASAN_SampleRate=1:GWP_ASAN_MaxSimultaneousAllocations=1000:"
            "GWP_ASAN_InstallSignalHandlers=true"
        },
        SCUDO,
    ),
    Tool("DUMA", r"^DUMA (Aborting|Exiting).*", {"DUMA_FILL": "171"}, "libduma.so.0"),
    Tool("Electric Fence", r"^ElectricFence (Aborting|Exiting).*", {}, "libefence.so.0"),
    Tool(
        "AddressSanitizer",
        r".*ERROR: AddressSanitizer: .*",
        {"ASAN_OPTIONS": "detect_leaks=0"},
        flags=["-fsanitize=address"],
    ),
    Tool(
        "valgrind memcheck",
        r"^==\d+== (Invalid|Address|Mismatched|Jump).*",
        prefix=["valgrind", "--error-exitcode=99"],
    ),
]


@attrs.frozen
class Outcome:
    """What a tool made of a program.

    Attributes:
        verdict: NAMED where a message said what was wrong, STOPPED where a signal ended it without
            one, MISSED otherwise.
        status: its exit status, minus the number of a signal, None for one that took too long.
    """

    verdict: str
    message: str
    output: str
    status: int | None


def examine(tool: Tool, program: Path, env: dict[str, str], timeout: float = 120) -> Outcome:
    """Run a program once, without input."""
    command = [*tool.prefix, str(program)]
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return Outcome(MISSED, "", "", None)
    output = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    said = re.search(tool.says, output, re.MULTILINE)
    verdict = NAMED if said else STOPPED if done.returncode < 0 else MISSED
    return Outcome(verdict, said.group() if said else "", output, done.returncode)
