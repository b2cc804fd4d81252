"""Waiting for a process, or for what it writes."""

import os
import select
from collections.abc import Sequence

LOOK = 0.02  # seconds between two looks whether a run has come far enough
_LONGEST = (1 << 31) - 1  # milliseconds, that poll(2) takes


def wait(pid: int, descriptors: Sequence[int], seconds: float) -> list[int] | None:
    """The descriptors that can be read; none of them if the process ends first.

    None if it takes longer than so many seconds.

    Raises:
        OSError: before Linux 5.3.
        AttributeError: Python was built with older headers.
    """
    ended = os.pidfd_open(pid)
    try:
        awaited = select.poll()
        for descriptor in (*descriptors, ended):
            awaited.register(descriptor, select.POLLIN)
        ready = [each for each, _ in awaited.poll(min(max(seconds, 0) * 1000, _LONGEST))]
        return [each for each in ready if each != ended] if ready else None
    finally:
        os.close(ended)
