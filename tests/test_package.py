"""What is installed, for C programs too."""

import os
import re
import shutil
import subprocess
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

from conftest import ROOT
from patalloc.preload import library, operators

PROGRAM = """
#include <patalloc.h>
#include <stdio.h>
#include <stdlib.h>
int main(void) {
  char complaint[200];
  patalloc_heap *heap = patalloc_heap_create("pattern=0x5a", complaint, sizeof complaint);
  if (!heap) return puts(complaint), 1;
  unsigned char *mine = patalloc_malloc(heap, 1000000), *process = malloc(1000000);
  printf("%02x %02x\\n", mine[0], process[0]);
  patalloc_free(heap, mine);
  patalloc_heap_destroy(heap);
  if (patalloc_heap_create("colour=red", complaint, sizeof complaint)) return 1;
  free(process);
}
"""


@pytest.mark.parametrize("language", ["c", "c++"])
def test_c_programs_build_by_pkg_config(tmp_path: Path, language: str) -> None:
    (tmp_path / "main.c").write_text(
        PROGRAM.replace("= patalloc_m", "= (unsigned char *)patalloc_m").replace(
            "= malloc", "= (unsigned char *)malloc"
        )
    )
    env = dict(os.environ) | {"PKG_CONFIG_PATH": str(library().parent)}
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "patalloc"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    program = tmp_path / "main"
    command = [
        "cc",
        "-x",
        language,
        tmp_path / "main.c",
        "-x",
        "none",
        "-Wall",
        "-Werror",
        "-o",
        program,
    ]
    subprocess.run([*command, *flags], check=True)
    result = subprocess.run([program], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "5a ab\n")


def test_the_interposers_symbols_and_no_others() -> None:
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", library()], capture_output=True, text=True, check=True
    ).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    family = {
        "malloc",
        "calloc",
        "realloc",
        "reallocarray",
        "free",
        "free_sized",
        "free_aligned_sized",
        "memalign",
        "aligned_alloc",
        "posix_memalign",
        "valloc",
        "pvalloc",
        "malloc_usable_size",
        "malloc_trim",
        "mallinfo2",
        "malloc_info",
        "mallopt",
        "pthread_create",
        "thrd_create",
        "mlockall",
        "mprotect",
        "pkey_mprotect",
        "mlock",
        "mlock2",
        "madvise",
        "prctl",
        "dlclose",
        "munlockall",
        "sigaction",
        "__sigaction",
        "signal",
        "bsd_signal",
        "ssignal",
        "sysv_signal",
        "__sysv_signal",
        "sigset",
        "siginterrupt",
        "sigignore",
        "sigaltstack",
        "_exit",
        "_Exit",
    }
    assert family <= names
    assert all(name.startswith("patalloc_") for name in names - family)


def test_the_operators_and_no_other_symbols() -> None:
    """Those of C++ are in a library of their own, which no other program sees."""
    command = ["nm", "-D", "--defined-only", operators()]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    assert len(names) == 20
    assert all(name.startswith(("_Zn", "_Zd")) for name in names)


def test_the_core_needs_only_libc() -> None:
    listed = subprocess.run(
        ["readelf", "-d", library()], capture_output=True, text=True, check=True
    )
    needed = [line for line in listed.stdout.splitlines() if "NEEDED" in line]
    assert all("libc.so" in line or "ld-linux" in line for line in needed)


@pytest.mark.parametrize(
    "install",
    [
        ["pip install --quiet build", "python -m build --outdir . {tree}", "pip install *.whl"],
        [
            "pip install --quiet meson-python meson ninja cffi",
            "pip install --quiet --no-build-isolation -e {tree}",
        ],
    ],
    ids=["sdist and wheel", "editable"],
)
def test_other_ways_to_install(tmp_path: Path, install: list[str]) -> None:
    tree, environment = tmp_path / "tree", tmp_path / "venv"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".venv", "build"))
    venv.create(environment, with_pip=True)
    path = f"{environment}/bin:{os.environ['PATH']}"
    use = "patalloc run -- python -c 'import patalloc; patalloc.Heap().malloc(200000)'"
    for command in [*install, use]:
        subprocess.run(
            ["sh", "-c", command.format(tree=tree)],
            cwd=tmp_path,
            env=dict(os.environ) | {"PATH": path},
            check=True,
        )


def test_make_in_a_copy_without_its_history(tmp_path: Path) -> None:
    """It finds its sources by itself: an archive has no git, nor has the machine perhaps."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "build"))
    make = ["make", "--dry-run", "--no-print-directory", "-C", str(tree)]
    for target in ("run", "test", "check"):
        done = subprocess.run([*make, target], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    question = subprocess.run([*make, "-p"], capture_output=True, text=True).stdout
    (sources,) = re.findall(r"^SOURCES := (.*)|^SOURCES = (.*)", question, re.MULTILINE)
    assert "find csrc src" in "".join(sources)


def test_packages_wait_for_another_apt(tmp_path: Path) -> None:
    """Whose locks are held: of the lists for a while, of the packages as long as apt-get waits."""
    said, tried = tmp_path / "said", tmp_path / "tried"
    programs = {
        "dpkg-query": "exit 1",
        "sleep": "true",
        "id": "echo 0",
        "apt-get": f"""echo "$@" >>{said}
case "$*" in *update*) echo x >>{tried}; [ "$(wc -l <{tried})" -ge 3 ] || exit 100 ;; esac""",
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    env = dict(os.environ) | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([ROOT / "tools" / "debian-packages", "one", "two"], env=env, check=True)
    lines = said.read_text().splitlines()
    assert lines[:3] == ["-qq update"] * 3
    assert lines[3].endswith("-y one two")
    assert "DPkg::Lock::Timeout=" in lines[3]


def test_version() -> None:
    command = ["pkg-config", "--modversion", "patalloc"]
    env = dict(os.environ) | {"PKG_CONFIG_PATH": str(library().parent)}
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == version("patalloc")


def test_what_every_process_runs_lies_in_the_first_64_kib() -> None:
    """One page fault's worth of the library; what is rare lies behind it (csrc/layout.ld)."""
    sections = subprocess.run(
        ["readelf", "-SW", library()], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"\] (\.text|\.rodata) +\w+ +(\w+) \w+ (\w+)", sections)
    assert len(found) == 2
    assert max(int(start, 16) + int(size, 16) for _, start, size in found) <= 64 * 1024


def test_every_module_is_installed() -> None:
    listed = set(re.findall(r"'(src/patalloc/[^']+\.py)'", (ROOT / "meson.build").read_text()))
    made = {str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.py")}
    assert made == listed
