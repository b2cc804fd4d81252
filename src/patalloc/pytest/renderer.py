"""Events as text, with functions and source lines, by the process that waits for the session.

It is not under the library, and reads symbols once for all. Others ask it by a named pipe in the
session's directory: with the path of a file of events, next to which the text comes to be.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from patalloc.pytest.files import ANSWER, ASKED


def _text(events: Path) -> str:
    from patalloc.watch import read
    from patalloc.watch.rendering import render

    found = read(events.read_text(errors="surrogateescape"))
    return "\n".join(line for event in found for line in render(event))


def _answer_all(pipe: Path) -> None:
    """Until an empty line comes."""
    while True:
        with pipe.open() as asked:
            for line in asked:
                if not line.strip():
                    return
                events = Path(line.rstrip("\n"))
                with suppress(OSError, ValueError):  # else there is no answer in time
                    unfinished = events.with_suffix(".unfinished")
                    unfinished.write_text(_text(events), errors="surrogateescape")
                    unfinished.rename(events.with_suffix(ANSWER))


@contextmanager
def answering(session: Path) -> Iterator[None]:
    """Answer what the session's processes ask."""
    pipe = session / ASKED
    os.mkfifo(pipe, 0o600)
    thread = threading.Thread(target=_answer_all, args=(pipe,))
    thread.start()
    try:
        yield
    finally:
        pipe.write_text("\n")
        thread.join()
        pipe.unlink()
