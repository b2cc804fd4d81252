"""Running processes that a command looks into: whether they are there, and why one may not."""

from contextlib import suppress
from pathlib import Path

import click


def refusal(pid: int, error: Exception) -> click.UsageError:
    """What is said of a process that can't be read."""
    if isinstance(error, (FileNotFoundError, ProcessLookupError)):
        return click.UsageError(f"there is no process {pid}")
    if isinstance(error, PermissionError):
        return click.UsageError(
            f"process {pid} may not be read by this user, or not by this process (ptrace(2))"
        )
    return click.UsageError(str(error))


def is_there(pid: int) -> bool:
    """And not a zombie, which has no memory."""
    with suppress(OSError):
        return bool(Path(f"/proc/{pid}/maps").read_bytes())
    return False
