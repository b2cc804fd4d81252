"""Running a program, and recording it and what it starts."""

import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs

from patalloc.errors import OptionError, PreloadError
from patalloc.heap import PRESETS, Config
from patalloc.preload import WITHOUT_POOLS, environment, signals_for, with_site
from patalloc.reach import obstacle
from patalloc.traces.recording import Recorder, directory

_CHEAP = "small_fill=no:guard_small=0"  # small requests go on as they come


@attrs.define
class _Names:
    """Paths of traces: the program's is FILE, and those of other processes are named after it."""

    output: str
    pid: int = 0
    taken: set[Path] = attrs.field(factory=set)

    def __call__(self, pid: int) -> Path:
        name = self.output.replace("%p", str(pid))
        if pid == self.pid or "%p" in self.output:
            return self._free(Path(name), keep=True)
        path = Path(name)
        return self._free(path.with_name(f"{path.stem}.{pid}{path.suffix}"), keep=False)

    def _free(self, path: Path, *, keep: bool) -> Path:
        """The path; of a process that has become another program another one."""
        number, found = 2, path
        while found in self.taken or (not keep and found.exists()):
            found = path.with_name(f"{path.stem}-{number}{path.suffix}")
            number += 1
        self.taken.add(found)
        return found


@attrs.frozen
class Run:
    """A program that was recorded.

    Attributes:
        status: its exit status, or minus a signal.
        pid: its number.
        recorder: has the processes, and what their traces lack.
        has_pools: whether CPython and others kept their pools in front of malloc.
    """

    status: int
    pid: int
    recorder: Recorder
    has_pools: bool

    @property
    def last(self) -> Path | None:
        """The trace of the program that its process was at the end; None for none."""
        found = [each.path for each in self.recorder.ended if each.pid == self.pid]
        return found[-1] if found else None


def record(
    command: Sequence[str],
    output: str,
    *,
    stacks: int = 32,
    python: bool = False,
    max_size: int = 0,
    on: bool = True,
) -> Run:
    """Run a program, and record it until it has ended.

    Args:
        command: it, and its arguments.
        output: the path of its trace, with %p for its number or without; other processes' are named
            after it.
        stacks: frames of call stacks, at most 64; 0 for none.
        python: whether CPython and others are to call malloc for each object.
        max_size: bytes of a trace, which ends then; 0 for any.
        on: whether it is recorded before it asks for that.

    Raises:
        OptionError: PATALLOC_OPTIONS has what is not recorded, or a bad option.
        PreloadError: the program can't be recorded.
        OSError: it can't be started.
    """
    inherited = os.environ.get("PATALLOC_OPTIONS")
    given = [PRESETS["light"], _CHEAP, *([inherited] if inherited else [])]
    config = Config.parse(":".join(given))
    if config.trace or config.select:
        raise OptionError("PATALLOC_OPTIONS: trace and select are for hunts, and not recorded")
    if in_the_way := obstacle(command):
        raise PreloadError(f"{in_the_way}: it can't be recorded")
    with directory(on=on) as where:
        config = attrs.evolve(config, record=str(where), stacks=str(stacks), report="no")
        environ = environment(config)
        if python:
            environ = with_site({**WITHOUT_POOLS, **environ})
        names = _Names(output)
        recorder = Recorder(where, names, max_size)
        process = subprocess.Popen(command, env=environ)
        recorder.pid = names.pid = process.pid
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each thread's ring is a file
        with signals_for(process):
            try:
                while process.poll() is None:
                    recorder.look()
                    recorder.sleep()
                used = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = used.ru_utime + used.ru_stime - recorder.looked_cpu
                recorder.end(process.returncode, cpu)
            except Exception:
                recorder.stop()
                process.wait()
                raise
    return Run(process.returncode, process.pid, recorder, "PYTHONMALLOC" not in environ)
