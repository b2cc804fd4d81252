"""What the suites here are made of."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs

CXX = {".cc", ".cpp"}


@attrs.frozen
class Case:
    """A program that makes an error, or, `good`, one that makes none.

    Attributes:
        name: of the error; programs of one name are variants of it, of which none may be missed.
        group: a row of the table.
        compiler: cc or clang, and c++ in place of it for C++.
        went_on: what in its output says that it was not stopped in time; empty: its end says it.
        went_on_status, unmet: exit statuses that say so, or that the error could not be made.
    """

    name: str
    group: str
    sources: Sequence[Path]
    flags: Sequence[str] = ()
    good: bool = False
    compiler: str = "cc"
    went_on: str = ""
    went_on_status: int | None = None
    unmet: int | None = None

    def build(self, directory: Path, flags: Sequence[str]) -> Path:
        """Compile it there; once for all that are the same."""
        key = hashlib.sha256(repr((self.sources, self.flags)).encode()).hexdigest()[:8]
        program = directory / f"{self.sources[0].stem[:100]}-{key}"
        if not program.exists():
            is_cxx = self.sources[0].suffix in CXX
            compiler = os.environ.get("CXX", "c++") if is_cxx else self.compiler
            words = [compiler, "-w", *self.flags, *flags, *map(str, self.sources)]
            done = subprocess.run(
                [*words, "-o", program, "-lpthread", "-lm"], capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(done.stderr)
        return program
