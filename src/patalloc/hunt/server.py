"""A fork server: a run that stands where something is selected first, and is forked for others.

What they do until there is done once (csrc/watch/serve.h; the idea is that of American Fuzzy Lop:
https://lcamtuf.blogspot.com/2014/10/fuzzing-binaries-without-execve.html).
"""

import os
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs

from patalloc.hunt.waiting import LOOK, wait

_ANSWER = struct.Struct("i")
_READY = 1
_PATIENCE = 60  # seconds, for the end of what was killed


@attrs.define
class Fifos:
    """Those of a server that is to be started, both ends of which are there."""

    orders: int
    answers: int

    @classmethod
    def beside(cls, selection: Path) -> "Fifos":
        """Of the process with that selection.

        Raises:
            OSError: where there can be none, as on some file systems.
        """
        names = [f"{selection}.orders", f"{selection}.answers"]
        for name in names:
            os.mkfifo(name, 0o600)
        opened = [os.open(name, os.O_RDWR | os.O_CLOEXEC) for name in names]
        return cls(*opened)

    def close(self) -> None:
        """The server ends by that."""
        os.close(self.orders)
        os.close(self.answers)


@attrs.define
class Server:
    """A process that is to be forked.

    Attributes:
        process: the process. fifos: its own.
    """

    process: "subprocess.Popen[bytes]"
    fifos: Fifos
    _child: int = 0

    def _answer(self, until: float) -> int:
        """The next one.

        Raises:
            TimeoutError: it takes longer.
            EOFError: the process has ended.
        """
        ready = wait(self.process.pid, [self.fifos.answers], until - time.monotonic())
        if ready is None:
            raise TimeoutError
        if not ready:
            raise EOFError
        (answer,) = _ANSWER.unpack(os.read(self.fifos.answers, _ANSWER.size))
        return int(answer)

    def is_ready(self, timeout: float) -> bool:
        """Whether it has come to where it stands, and can be forked there."""
        with suppress(EOFError, OSError, AttributeError):  # there may be no pidfd_open
            return self._answer(time.monotonic() + timeout) == _READY
        return False

    def _awaited(self, until: float, is_enough: Callable[[], bool] | None) -> int | None:
        """The next answer; None where it is enough before."""
        while is_enough:
            with suppress(TimeoutError):
                return self._answer(min(until, time.monotonic() + LOOK))
            if time.monotonic() >= until:
                raise TimeoutError
            if is_enough():
                return None
        return self._answer(until)

    def fork(
        self, timeout: float, is_enough: Callable[[], bool] | None = None
    ) -> tuple[int | None, int]:
        """A process that goes on from there: what came of it, and its number.

        None if it took longer than so many seconds, or was ended as what it did is enough.

        Raises:
            EOFError: there is no server any more.
        """
        until = time.monotonic() + timeout
        os.write(self.fifos.orders, b"1")
        self._child = 0
        try:
            self._child = self._answer(until)
            status = self._awaited(until, is_enough)
        except TimeoutError:
            status = None
        except BaseException:
            self._end_child()
            raise
        if status is None:
            self._end_child()
            try:
                self._answer(time.monotonic() + _PATIENCE)
            except TimeoutError:
                raise EOFError from None
        child, self._child = self._child, 0
        return None if status is None else os.waitstatus_to_exitcode(status), child

    def _end_child(self) -> None:
        if self._child:
            with suppress(ProcessLookupError):
                os.killpg(self._child, signal.SIGKILL)

    def stop(self) -> None:
        """End all of it, as another thread may."""
        self._end_child()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        self.stop()
        self.process.wait()
        self.fifos.close()
