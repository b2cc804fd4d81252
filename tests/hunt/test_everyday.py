"""patalloc hunt on what people run: test runners, builds, pools of threads and of processes.

CPython keeps its own pool here, without which a program that is clean is hunted once more.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SMOOTH = """
import numpy as np


class Window:
    def __init__(self, size):
        self.size = size


def smooth(values, window):
    out = {make}(len(values), dtype=np.float32)
    for i in range(len(values) - window.size + 1):
        out[i] = values[i : i + window.size].mean()
    return out
"""

TESTS = """
import numpy as np
import pytest
from smooth import Window, smooth


@pytest.fixture
def window():
    return Window(2)


@pytest.mark.parametrize("size", {sizes})
def test_smooth(size, window):
    values = np.arange(size, dtype=np.float32)
    assert smooth(values, window)[-1] == 0, (window, object())


def test_nothing():
    assert Window(3).size == 3
"""


def hunt(directory: Path, *command: str | Path) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "patalloc", "hunt", "--json", "--", *map(str, command)],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=600,
        env=dict(os.environ) | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONMALLOC": "pymalloc"},
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def write_smooth(directory: Path, *, wrong: bool) -> int:
    """The line that allocates."""
    text = SMOOTH.format(make="np.empty" if wrong else "np.zeros")
    (directory / "smooth.py").write_text(text)
    return 1 + text[: text.index("out =")].count("\n")


def check(directory: Path, command: list[str | Path], file: str, line: int, *, wrong: bool) -> None:
    status, found = hunt(directory, *command)
    assert status == (1 if wrong else 0), found
    told = {"".join(each["python"][:1]) for f in found["findings"] for each in f["culprits"]}
    assert all(f'{file}", line {line} in' in each for each in told), told
    assert bool(told) == wrong


@pytest.mark.parametrize("wrong", [True, False])
@pytest.mark.parametrize("sizes", [[3000], pytest.param([3, 3000], marks=pytest.mark.full)])
def test_pytest(tmp_path: Path, sizes: list[int], wrong: bool) -> None:
    line = write_smooth(tmp_path, wrong=wrong)
    (tmp_path / "test_smooth.py").write_text(TESTS.replace("{sizes}", str(sizes)))
    check(tmp_path, [sys.executable, "-m", "pytest"], "smooth.py", line, wrong=wrong)


THREADS = """
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from smooth import Window, smooth

logging.basicConfig(format="%(asctime)s %(process)d %(threadName)s %(message)s", level="INFO")


def work(size):
    time.sleep(0.01 * (size % 3))
    logging.info("begun with %d", size)
    return float(smooth(np.arange(size, dtype=np.float32), Window(4)).sum())


with ThreadPoolExecutor(3) as pool:
    for total in pool.map(work, [5000, 700, 10]):
        print(total)
"""


PROCESSES = """
import multiprocessing
import sys

import numpy as np
from smooth import Window, smooth


def work(size):
    return float(smooth(np.arange(size, dtype=np.float32), Window(4)).sum())


if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        print(pool.map(work, [5000, 700, 10], chunksize=1))
"""


@pytest.mark.parametrize("wrong", [pytest.param(True, marks=pytest.mark.full), False])
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_a_pool_of_processes(tmp_path: Path, way: str, wrong: bool) -> None:
    line = write_smooth(tmp_path, wrong=wrong)
    (tmp_path / "main.py").write_text(PROCESSES)
    check(tmp_path, [sys.executable, "main.py", way], "smooth.py", line, wrong=wrong)


ASYNCIO = """
import asyncio
import time

import numpy as np
from smooth import Window, smooth


async def answer(reader, writer):
    size = int(await reader.readline())
    total = smooth(np.arange(size, dtype=np.float32), Window(4)).sum()
    writer.write(b"%r\\n" % float(total))
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for size in (5000, 700, 10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"%d\\n" % size)
        print(time.strftime("%H:%M:%S"), port, await reader.readline())
        writer.close()
    server.close()


asyncio.run(main())
"""


@pytest.mark.parametrize("wrong", [pytest.param(True, marks=pytest.mark.full), False])
@pytest.mark.parametrize("program", [THREADS, ASYNCIO], ids=["threads", "asyncio"])
def test_threads_and_servers_with_times(tmp_path: Path, program: str, wrong: bool) -> None:
    line = write_smooth(tmp_path, wrong=wrong)
    (tmp_path / "main.py").write_text(program)
    check(tmp_path, [sys.executable, "main.py"], "smooth.py", line, wrong=wrong)


BUILD = """
test: main
\t@echo "began at $$(date +%N), as $$$$"; ./main $(CURDIR); echo "took $$(date +%N)"

main: main.c
\tcc -g -O1 -o $@ $<
"""

MAIN = """
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  int *counts = %s;
  counts[0] = 1;
  for (int i = 0; i < 4; i++) printf("test %%d: %%s\\n", i, counts[i] ? "failed" : "passed");
}
"""


@pytest.mark.parametrize("wrong", [True, False])
def test_make(tmp_path: Path, wrong: bool) -> None:
    (tmp_path / "Makefile").write_text(BUILD)
    (tmp_path / "main.c").write_text(MAIN % ("malloc(16)" if wrong else "calloc(4, 4)"))
    status, found = hunt(tmp_path, "make", "test")
    assert status == (1 if wrong else 0)
    for finding in found["findings"]:
        assert "main.c:6 " in finding["culprits"][0]["stack"][0]
    assert len(found["findings"]) == wrong


CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(totals C)
enable_testing()
set(CMAKE_C_FLAGS "-g -O1 -fno-builtin")
add_executable(main main.c)
add_test(NAME counts COMMAND main)
set_tests_properties(counts PROPERTIES FAIL_REGULAR_EXPRESSION failed)
"""


@pytest.mark.parametrize("wrong", [True, False])
def test_ctest(tmp_path: Path, wrong: bool) -> None:
    cmake, ctest = (Path(sys.executable).parent / name for name in ("cmake", "ctest"))
    (tmp_path / "CMakeLists.txt").write_text(CMAKE)
    (tmp_path / "main.c").write_text(MAIN % ("malloc(16)" if wrong else "calloc(4, 4)"))
    for arguments in ([f"-B{tmp_path}", f"-S{tmp_path}"], ["--build", tmp_path]):
        subprocess.run([cmake, *arguments], check=True, capture_output=True)
    status, found = hunt(tmp_path, ctest, "--output-on-failure")
    assert status == (1 if wrong else 0), found
    for finding in found["findings"]:
        assert "main.c:6 " in finding["culprits"][0]["stack"][0]
    assert len(found["findings"]) == wrong
