"""The command `patalloc` for gdb: which block an address is in, by whom, and since when.

gdb loads this by `source` or -x: by itself it would only where its user allows that, and complain
elsewhere. It runs `patalloc describe`, which reads the process that is debugged, or its core dump.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import gdb  # type: ignore[import-not-found, import-untyped, unused-ignore]

_BESIDE = Path(__file__).resolve().parents[4] / "bin" / "patalloc"


def _command() -> str:
    """That of the same installation, or else the first one on the path."""
    found = str(_BESIDE) if _BESIDE.exists() else shutil.which("patalloc")
    if not found:
        raise gdb.GdbError("there is no patalloc beside this file, nor on PATH")
    return found


def _core_dump() -> str:
    """The path of the core dump that is debugged; gdb tells it by words alone."""
    files = gdb.execute("info files", to_string=True)
    found = re.search(r"Local core dump file:\s+`(.+)', file type", files)
    if not found:
        raise gdb.GdbError("neither a process nor a core dump is debugged")
    return str(found.group(1))


def _address(expression: str) -> str:
    try:
        return hex(int(gdb.parse_and_eval(expression).cast(gdb.lookup_type("unsigned long"))))
    except gdb.error as error:
        raise gdb.GdbError(str(error)) from None


class Describe(gdb.Command):  # type: ignore[misc]
    """patalloc EXPRESSION: tell which block an address is in, or near.

    By whom that was allocated and freed, and when, as far as the program's options have it known.
    """

    def __init__(self) -> None:
        """Add the command."""
        super().__init__("patalloc", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument: str, _from_tty: bool) -> None:
        """Run it. What gdb may read of the process, others may not (Yama): the opened file can."""
        if not argument:
            raise gdb.GdbError("patalloc takes an expression, which is an address")
        command, kept = [_command(), "describe", _address(argument)], []
        inferior = gdb.selected_inferior()
        if inferior.connection and inferior.connection.type == "native":
            kept = [os.open(f"/proc/{inferior.pid}/mem", os.O_RDONLY)]
            command += ["--pid", str(inferior.pid), "--memory", str(kept[0])]
        else:
            command += ["--core", _core_dump()]
        try:
            done = subprocess.run(
                command, pass_fds=kept, capture_output=True, text=True, check=False
            )
        finally:
            for descriptor in kept:
                os.close(descriptor)
        if done.returncode:
            raise gdb.GdbError(done.stderr.strip().splitlines()[-1])
        gdb.write(done.stdout)


Describe()
