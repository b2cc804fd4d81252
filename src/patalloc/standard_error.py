"""Standard error as it was at the start, for reports of programs that put another file there.

A test runner does, for as long as a test runs; what went there is lost when a report is the last
thing that a process says.
"""

from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl

_ABOVE = 200  # descriptors that tests may count
_STANDARD = 2
_kept = _STANDARD


def keep() -> None:
    """What standard error is now is to have the reports to come, if this is the first call."""
    global _kept
    if _kept == _STANDARD:
        with suppress(OSError):  # it is closed, or there are fewer descriptors
            _kept = fcntl(_STANDARD, F_DUPFD_CLOEXEC, _ABOVE)


def descriptor() -> int:
    """Its number."""
    return _kept
