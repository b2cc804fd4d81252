"""Allocates in many ways, and tells each time where Python itself says that it is."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Iterator
from types import FrameType

KEPT: list[bytearray] = []
TOLD: dict[int, list[list[object]]] = {}


def calls(frame: FrameType | None) -> list[list[object]]:
    found = []
    while frame:
        code = frame.f_code
        found.append([code.co_filename, code.co_qualname, frame.f_lineno])
        frame = frame.f_back
    return found


def told() -> int:
    """How large the next one is to be; of a bytearray malloc is asked for a byte more."""
    size = 1_000_000 + len(KEPT)
    TOLD[size + 1] = calls(sys._getframe(1))
    return size


def größe_人() -> None:  # noqa: N802 (it is)
    KEPT.append(bytearray(told()))


def generator() -> Iterator[None]:
    for _ in range(2):
        größe_人()
        yield


class Thing:
    def method(self) -> list[None]:
        return [größe_人() for _ in range(2)]

    async def coroutine(self) -> None:
        await asyncio.sleep(0)
        größe_人()


def deep(n: int) -> None:
    return deep(n - 1) if n else größe_人()


def deep_in_c(n: int) -> object:
    return max([n], key=lambda _: deep_in_c(n - 1) or 0) if n else größe_人()


def of_text() -> None:
    """Codes that come one after the other where others were."""
    for i in range(100):
        lines = "\n" * (i % 7)
        text = f"def f{i % 10}(g):\n{lines}    g()\nf{i % 10}(g)"
        exec(compile(text, f"<text {i}>", "exec"), {"g": größe_人})  # noqa: S102


def in_a_thread() -> None:
    for _ in range(3):
        größe_人()


def main() -> None:
    threads = [threading.Thread(target=in_a_thread) for _ in range(4)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    list(generator())
    Thing().method()
    asyncio.run(Thing().coroutine())
    deep(50)
    deep_in_c(50)
    of_text()
    sorted([2, 1], key=lambda _: größe_人() or 0)
    child = os.fork()
    if not child:
        größe_人()
    else:
        os.waitpid(child, 0)
    with open("told" if child else "child", "w") as file:
        json.dump(TOLD, file)


main()
