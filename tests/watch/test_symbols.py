"""Names and lines of code, wherever the compiler, linker and distribution have put them."""

import os
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROGRAM = """\
static int die(void) {
  return *(volatile int *)8;
}
int main(void) {
  return die();
}
"""
COMMON = """\
FILE *one; struct addrinfo *two; struct hostent *three; struct protoent *four; struct netent *five;
"""


def do(*command: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=cwd, timeout=120
    ).stdout


def died(program: Path, **environment: str) -> str:
    """The report of a program that dies, with names."""
    command = [sys.executable, "-m", "patalloc", "run", "--", program]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )
    return done.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "src" / "died.c"
    path.parent.mkdir()
    path.write_text(PROGRAM)
    return path


def build(source: Path, program: Path, *flags: str) -> Path:
    """Compiled from above the source's directory, by a relative path."""
    do("cc", "-g", "-O0", *flags, f"{source.parent.name}/died.c", "-o", program,
       cwd=source.parents[1])  # fmt: skip
    return program


@pytest.mark.parametrize("flags", [(), ("-gdwarf-4",), ("-gno-aranges",), ("-no-pie",)])
def test_sources_are_told_by_whole_paths(
    source: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    try:
        program = build(source, tmp_path / "died", *flags)
    except subprocess.CalledProcessError:  # gcc has no such flag
        program = build(source, tmp_path / "died")
        do("objcopy", "-R", ".debug_aranges", program)
    said = died(program)
    assert f"#0 die at {source}:2 ({program})" in said
    assert f"#1 main at {source}:5 ({program})" in said


def test_stripped_programs_are_told_by_offset(source: Path, tmp_path: Path) -> None:
    program = build(source, tmp_path / "died")
    do("strip", program)
    assert f"#0 {program}+0x" in died(program)


@pytest.mark.parametrize("place", ["", ".debug/"])
def test_names_come_from_a_linked_debug_file(source: Path, tmp_path: Path, place: str) -> None:
    program = build(source, tmp_path / "died", "-Wl,--build-id=none")
    debug = tmp_path / f"{place}died.debug"
    debug.parent.mkdir(exist_ok=True)
    do("objcopy", "--only-keep-debug", program, debug)
    do("strip", program)
    do("objcopy", f"--add-gnu-debuglink={debug}", program)
    assert f"#0 die at {source}:2 ({program})" in died(program)
    debug.write_bytes(debug.read_bytes() + b"\0")  # another file than was linked
    assert f"#0 {program}+0x" in died(program)


def test_names_come_from_split_files(source: Path, tmp_path: Path) -> None:
    program = tmp_path / "died"
    do("cc", "-g", "-gsplit-dwarf", "-O0", "-c", source, "-o", tmp_path / "died.o")
    do("cc", tmp_path / "died.o", "-o", program)
    (split,) = tmp_path.glob("*.dwo")
    said = died(program)
    assert re.search(r"#0 die at .*died\.c:2 ", said)
    split.unlink()
    said = died(program)
    assert f"#0 die ({program}+0x" in said or "#0 die at " in said


def test_names_come_from_files_that_dwz_has_shared(source: Path, tmp_path: Path) -> None:
    """What several debug files have in common lies in another one, which they name."""
    source.write_text(f"{PROGRAM}#include <netdb.h>\n#include <stdio.h>\n{COMMON}")
    programs = [build(source, tmp_path / name, "-Wl,--build-id") for name in ("one", "two")]
    debugs = []
    for program in programs:
        debugs.append(program.with_suffix(".debug"))
        do("objcopy", "--only-keep-debug", program, debugs[-1])
        do("strip", program)
        do("objcopy", f"--add-gnu-debuglink={debugs[-1]}", program)
    do("dwz", "-m", "shared", "-M", str(tmp_path / "shared"), *debugs, cwd=tmp_path)
    assert ".gnu_debugaltlink" in do("readelf", "-SW", debugs[0])
    assert ".debug_info" in do("readelf", "-SW", tmp_path / "shared")
    # The link has a checksum of the file, which dwz has changed.
    for program, debug in zip(programs, debugs, strict=True):
        do("objcopy", "--remove-section=.gnu_debuglink", program)
        do("objcopy", f"--add-gnu-debuglink={debug}", program)
        assert f"#0 die at {source}:2 ({program})" in died(program)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_names_come_from_debuginfod(source: Path, tmp_path: Path) -> None:
    program = build(source, tmp_path / "died", "-Wl,--build-id")
    notes = do("readelf", "-n", program)
    found = re.search(r"Build ID: ([0-9a-f]+)", notes)
    assert found
    place = tmp_path / "server" / "buildid" / found[1] / "debuginfo"
    place.parent.mkdir(parents=True)
    do("objcopy", "--only-keep-debug", program, place)
    do("strip", program)
    with served(tmp_path / "server") as url:
        cache = {"DEBUGINFOD_CACHE_PATH": str(tmp_path / "cache")}
        assert f"#0 {program}+0x" in died(program, **cache)
        said = died(program, **cache, DEBUGINFOD_URLS=url)
    assert f"#0 die at {source}:2 ({program})" in said


def test_a_part_of_a_function_has_its_name(tmp_path: Path) -> None:
    """Not that of what lies at the same address: symbols of parts that are empty."""
    source, program = tmp_path / "parts.c", tmp_path / "parts"
    source.write_text(
        "#include <stdlib.h>\n"
        "__attribute__((noinline)) void f(int n) {\n"
        "  if (__builtin_expect(n == 1, 0)) {\n"
        '    if (getenv("PARTS")) *(volatile int *)8 = n;\n'
        "    abort();\n"
        "  }\n"
        '  __asm__ volatile("");\n'
        "}\n"
        "int main(int count, char **unused) { (void)unused; f(count); return 0; }\n"
    )
    do("cc", "-g", "-O2", source, "-o", program)
    symbols = do("nm", "-f", "posix", program).splitlines()
    (part,) = (line.split() for line in symbols if line.startswith("f.cold"))
    for debug in (True, False):
        other = tmp_path / f"other{debug}"
        headers = do("readelf", "-SW", program)
        text = re.search(r" \.text +PROGBITS +([0-9a-f]+)", headers)
        assert text
        at = int(part[2], 16) - int(text[1], 16)
        add = f"--add-symbol=another.cold=.text:{at:#x},local,function"
        do("objcopy", add, *([] if debug else ["--strip-debug"]), program, other)
        said = died(other, PARTS="1")
        assert "another" not in said
        assert (f"#0 f at {source}:4 " in said) == debug


READ = {"x86_64": "movq 8(%rdi), %rax", "aarch64": "ldr x0, [x0, #8]"}  # by machine


def test_frames_in_assembly_have_names(tmp_path: Path) -> None:
    source, main, program = tmp_path / "read.S", tmp_path / "main.c", tmp_path / "read"
    source.write_text(
        ".globl read_it\n.type read_it, %function\nread_it:\n.cfi_startproc\n"
        f"{READ[platform.machine()]}\nret\n.cfi_endproc\n.size read_it, .-read_it\n"
        '.section .note.GNU-stack,"",%progbits\n'
    )
    main.write_text("long read_it(void *);\nint main(void) { return read_it(0) == 3; }\n")
    do("cc", "-g", "-O0", source, main, "-o", program)
    said = died(program)
    assert f"#0 read_it at {source}:5 ({program})" in said
    assert f"#1 main at {main}:2 ({program})" in said
