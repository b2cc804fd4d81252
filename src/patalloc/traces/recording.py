"""Recording: emptying the rings that processes write to, into a trace file each.

The rings lie in a directory (csrc/watch/ring.h), and so are there still when a process was killed.
"""

import errno
import fcntl
import mmap
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from patalloc._core import ffi, lib
from patalloc.hunt.trace import Table
from patalloc.traces.file import Writer, named
from patalloc.traces.maps import Looker, look_at, tell_stacks
from patalloc.watch import Module
from patalloc.watch.heapmap import Attached

_SHARED = Path("/dev/shm")  # noqa: S108 - tempfile makes a directory of its own there
_ROOM = 1 << 30  # bytes that the rings and stacks of many threads may take
_FLUSH = 0.5  # seconds after which events are written even if they are few
_LOOK = 0.02  # seconds between two looks for new processes and threads
_SAMPLE = 0.1  # seconds between two samples of a process's memory
_MAGIC = b"patring\n"
_PAGE = os.sysconf("SC_PAGESIZE")  # what the program says of itself it may have overwritten
_BELL = 4096  # bytes of its file
_STACKS = 4096  # that are written at a time


@contextmanager
def directory(*, on: bool = True) -> Iterator[Path]:
    """A directory for rings; in memory where there is room, as no disk need ever see them.

    Args:
        on: whether recording begins with the programs.
    """
    room = 0
    with suppress(OSError):
        room = shutil.disk_usage(_SHARED).free if os.access(_SHARED, os.W_OK) else 0
    where = _SHARED if room >= _ROOM else None
    with tempfile.TemporaryDirectory(prefix="patalloc-", dir=where) as made:
        path = Path(made)
        bell = struct.pack("III", 0, not on, os.getpid())  # whose children wait to be looked at
        (path / "bell").write_bytes(bell.ljust(_BELL, b"\0"))
        yield path


@cache
def _tick(counter: int) -> float:
    """Nanoseconds of one, measured."""
    pairs = []
    for _ in range(2):
        ticks, nanoseconds = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        lib.trace_clock(counter, ticks, nanoseconds)
        pairs.append((ticks[0], nanoseconds[0]))
        time.sleep(0.01)
    (first, began), (last, ended) = pairs
    return float((ended - began) / (last - first))


def _opened(path: Path) -> IO[bytes]:
    """For writing: empty, and nobody else's who records."""
    file = path.open("ab", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BlockingIOError(errno.EAGAIN, "another recording writes to it") from None
    if path.is_file():
        file.truncate(0)
    return file


class Recorded:
    """A process that is recorded: one program, from its start or a fork to its end or an exec."""

    def __init__(self, control: Path, output: Callable[[int], Path], max_size: int) -> None:
        """Open its files.

        Raises:
            OSError: the output can't be written.
        """
        self._stem = str(control).removesuffix(".control")
        self._file = control.open("r+b")
        self._map: mmap.mmap | None = mmap.mmap(self._file.fileno(), 0)
        self._held: Any = ffi.from_buffer(self._map)
        self._control: Any = ffi.cast("struct ring_control *", self._held)
        if self._control.version != lib.RING_VERSION:
            raise ValueError("it runs under another version of patalloc")
        self._max_size = max_size
        self._rings: list[Any] = []
        self._writer: Any = ffi.gc(lib.trace_writer_new(), lib.trace_writer_free)
        self._table: Table | None = None
        self._modules: tuple[Module, ...] = ()
        self._looker: Looker | None = None
        self._is_looked_at = False
        self._maps: list[bytes] = []
        self.looked_cpu = 0.0
        self._named: set[int] = set()
        self._samples: list[dict[str, int]] = []
        self._written = self._sampled = time.monotonic()
        self.pid: int = self._control.process
        self.events = 0
        self.path = output(self.pid)
        self.cut = self.left = False
        self.failed = ""
        self._lost = self._abandoned = self._stackless = 0
        self._tick = _tick(self._control.counter)
        self._trace: Writer | None = None
        try:
            self._trace = Writer(_opened(self.path), self._start())
        except OSError as error:
            self._fail(error)

    def _start(self) -> dict[str, Any]:
        command = ffi.buffer(self._control.command)[: self._control.command_length]
        ticks, nanoseconds = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        lib.trace_clock(self._control.counter, ticks, nanoseconds)
        ago = (ticks[0] - self._control.began) * self._tick / 1e9
        return {
            "process": self.pid,
            "parent": self._control.parent,
            "command": [each.decode(errors="replace") for each in command.split(b"\0")[:-1]],
            "began": time.time() - ago,
            "page_size": _PAGE,
        }

    @property
    def is_over(self) -> bool:
        """Whether the process is gone: with it goes its lock, unless a child has it, too."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with suppress(PermissionError):
                try:
                    os.kill(self.pid, 0)
                except ProcessLookupError:
                    return True
            return False
        return True

    @property
    def troubles(self) -> list[str]:
        """What is not in the trace, a sentence each."""
        found = []
        if self.failed:
            found.append(f"it ends where {self.failed}")
        if self.cut:
            found.append(f"it has reached {self._max_size:,} bytes, and ends there")
        if self.left:
            found.append("it ends where the program did that was run; this one went on")
        if self._lost:
            found.append(f"{self._lost} threads are not in it, as there was no memory")
        if self._stackless:
            found.append("it has no call stacks, as there was no memory for them")
        if self._abandoned:
            found.append("it ends where nobody read what the program wrote for two seconds")
        return found

    def _fail(self, error: Exception, what: str = "it could not be written") -> None:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        self.failed = f"{what}: {why}"
        self.stop()

    def stop(self) -> None:
        """Have it write no more."""
        self._control.stopped = 1
        self._control.on = 0
        self._look_no_more()

    @property
    def has_python(self) -> bool:
        """Whether it is a Python's."""
        return any("python" in Path(each.path).name for each in self._modules)

    def collect(self) -> bool:
        """Take what there is; whether there was any. What can't be written ends the trace."""
        if self.failed:
            return False
        try:
            self._open_rings()
        except (OSError, MemoryError, ValueError) as error:
            self._fail(error, "what a thread asks for could not be read")
            return False
        try:
            return self._collect()
        except (OSError, MemoryError, ValueError) as error:
            self._fail(error)
            return False

    def _open_rings(self) -> None:
        while len(self._rings) < self._control.rings:
            with open(f"{self._stem}.{len(self._rings)}", "r+b") as file:
                ring = mmap.mmap(file.fileno(), lib.RING_BYTES)
            held = ffi.from_buffer(ring)
            self._rings.append(held)
            if not lib.trace_writer_add(self._writer, held):
                raise MemoryError

    def _collect(self) -> bool:
        total = 0
        while True:
            began = self._control.began
            noted = lib.trace_writer_collect(self._writer, self._control.counter, began, self._tick)
            if noted < 0:
                raise MemoryError
            total += noted
            self.events += noted
            for packed in self._looker.new() if self._looker else ():
                self._maps.append(tell_stacks(self._writer, packed))
            now = time.monotonic()
            pending = lib.trace_writer_pending(self._writer)
            full = pending >= lib.TRACE_CHUNK
            is_late = now - self._written > _FLUSH and (pending or self._maps)
            if self._trace and (full or is_late):
                self._write(self._trace)
                self._written = now
            if not full:
                break
        if now - self._sampled > _SAMPLE and not self.is_over:
            self.look()
            self._sample()
            self._sampled = now
        return bool(total)

    def _now(self) -> int:
        """Microseconds from the trace's begin."""
        ticks, nanoseconds = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        lib.trace_clock(self._control.counter, ticks, nanoseconds)
        return int((ticks[0] - self._control.began) * self._tick / 1000)

    def look(self) -> None:
        """Have its heap looked at from now on, unless that is not to be had."""
        if self._is_looked_at:
            return
        self._is_looked_at = True
        with suppress(OSError, ValueError), closing(Attached(self.pid)) as process:
            if not self.is_over:  # and it has not become another program meanwhile
                self._looker = look_at(process, self._control, self._now)
        if not self._looker:
            self._control.looked = 1

    def _look_no_more(self) -> None:
        self._is_looked_at = True
        self._control.looked = 1
        if self._looker:
            self._looker.end()
            self.looked_cpu, self._looker = self._looker.cpu, None

    def _sample(self) -> None:
        with suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{self.pid}/statm").read_text().split()
            at = self._now()
            resident, shared = int(fields[1]) * _PAGE, int(fields[2]) * _PAGE
            self._samples.append({"time": at, "rss": resident, "anonymous": resident - shared})

    def _open_stacks(self) -> Table | None:
        if self._table is None:
            with suppress(OSError, ValueError), open(f"{self._stem}.stacks", "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
                self._table = Table(memoryview(mapped))
        return self._table

    def _write(self, trace: Writer) -> None:
        numbers = ffi.new(f"uint32_t[{_STACKS}]")
        while count := lib.trace_writer_stacks(self._writer, numbers, _STACKS):
            table = self._open_stacks()
            stacks = [table.stack(numbers[i]) if table else () for i in range(count)]
            if table:
                self._write_names(trace, table, stacks)
            trace.stacks(stacks)
        table = self._open_stacks()
        if table and (modules := table.modules) != self._modules:
            self._modules = modules
            trace.modules(modules)
        if lib.trace_writer_pending(self._writer):
            chunk = ffi.new("uint8_t const **")
            size = lib.trace_writer_chunk(self._writer, chunk)
            if not size:
                raise MemoryError
            trace.events(ffi.buffer(chunk[0], size)[:])
        if self._samples:
            trace.json("SMPL", self._samples)
            self._samples = []
        for packed in self._maps:
            trace.chunk("HMAP", packed)
        self._maps.clear()
        if self._max_size and trace.size > self._max_size and not self.cut:
            self.cut = True
            self.stop()

    def _write_names(self, trace: Writer, table: Table, stacks: list[tuple[int, ...]]) -> None:
        """Of the calls of Python's in these stacks that are in none before."""
        new: dict[int, tuple[str, str]] = {}
        for call in filter(None, (named(frame) for stack in stacks for frame in stack)):
            if call[0] not in self._named:
                self._named.add(call[0])
                new[call[0]] = table.name(call[0])
        if new:
            trace.names(new)

    def _finish(self, trace: Writer, status: int | None, cpu: float | None) -> None:
        if not self.failed:
            self._write(trace)
        trace.json(
            "ENDS",
            {
                "status": status,
                "cpu": cpu,
                "events": self.events,
                "duration": self._now(),
                "reached_exit": bool(self._control.ended),
                "threads_lost": self._lost,
                "abandoned": bool(self._abandoned),
                "stackless": bool(self._stackless),
                "size_limit": self.cut,
                "left": self.left,
            },
        )
        trace.close()

    def end(self, status: int | None, cpu: float | None = None) -> None:
        """Take what is left, and end the trace.

        Args:
            status: the program's exit status, or minus a signal; None where that is not known.
            cpu: seconds of processor time that it has taken; None likewise.
        """
        while self.collect():
            pass
        self._look_no_more()
        control = self._control
        self._lost, self._abandoned = control.lost, control.abandoned
        self._stackless = control.stackless
        if self._trace:
            with suppress(OSError, MemoryError, ValueError):
                self._finish(self._trace, status, cpu)
        self._file.close()
        self._rings.clear()  # and with them what they have mapped
        self._table = self._writer = self._control = self._held = self._map = None
        for path in Path(self._stem).parent.glob(Path(self._stem).name + ".*"):
            path.unlink()


def _when(control: Path) -> int:
    """When the process began that it is of."""
    when = control.name.removesuffix(".control").partition("-")[2]
    return int(when) if when.isdigit() else 0


class Recorder:
    """Records all processes that write to a directory.

    Attributes:
        pid: of the program that is run; its trace goes on until `end`, which knows its status.
        looked_cpu: seconds of processor time that those took which looked at heaps.
        ended: those that have ended.
        troubles: of processes that have no trace, a sentence each.
    """

    def __init__(self, directory: Path, output: Callable[[int], Path], max_size: int = 0) -> None:
        """Begin.

        Args:
            directory: theirs.
            output: the path of a process's trace, by its number.
            max_size: bytes of a trace, which ends then; 0 for any.
        """
        self._directory, self._output = directory, output
        self._max_size = max_size
        self._seen: set[str] = set()
        self._processes: list[Recorded] = []
        self.pid = 0
        self.looked_cpu = 0.0
        self.troubles: list[str] = []
        self.ended: list[Recorded] = []
        with (directory / "bell").open("r+b") as file:
            self._bell = ffi.from_buffer(mmap.mmap(file.fileno(), _BELL))

    def look(self) -> None:
        """Take what there is, of new processes, too."""
        found = [path for path in self._directory.glob("*.control") if path.name not in self._seen]
        for path in sorted(found, key=_when):
            try:
                if path.read_bytes().startswith(_MAGIC):
                    self._seen.add(path.name)
                    self._processes.append(Recorded(path, self._output, self._max_size))
                    self._tend(self._processes[-1])  # it may be over, and needs its files no more
            except (OSError, MemoryError, ValueError) as error:
                self._seen.add(path.name)
                self.troubles.append(f"process {path.name.partition('-')[0]}: {error}")
        for process in [*self._processes]:
            self._tend(process)

    def _tend(self, process: Recorded) -> None:
        over = process.is_over
        if process.pid == self.pid and not over:
            process.look()
        process.collect()
        if over and process.pid != self.pid:
            self._end(process, None)

    def _end(self, process: Recorded, status: int | None, cpu: float | None = None) -> None:
        process.end(status, cpu)
        self._processes.remove(process)
        self.looked_cpu += process.looked_cpu
        self.ended.append(process)

    def sleep(self) -> None:
        """Until something is to be done."""
        lib.trace_sleep(self._bell, int(_LOOK * 1000))

    def end(self, status: int, cpu: float) -> None:
        """Have those that are left write no more, and end their traces.

        Args:
            status: with which the program has ended, as Popen has it.
            cpu: seconds of processor time that it and its children have taken.
        """
        for _ in range(2):  # the second time what came while others were looked at
            self.look()
        last = [each for each in self._processes if each.pid == self.pid][-1:]
        for process in [*self._processes]:
            process.left = process.pid != self.pid and not process.is_over
            process.stop()
            is_it = process in last
            self._end(process, status if is_it else None, cpu if is_it else None)

    def stop(self) -> None:
        """Have all write no more."""
        for process in self._processes:
            process.stop()
