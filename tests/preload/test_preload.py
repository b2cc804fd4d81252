"""The preloaded library, under C programs that check what it promises."""

import errno
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from conftest import FALLBACKS, Build, assert_passes, preloaded
from patalloc import Config, Stats
from patalloc.machine import features
from patalloc.preload import environment, library

MOVES = any(feature.name == "uffd_move" and feature.available for feature in features())


@pytest.mark.parametrize("options", ["", "guard_pages=3:cache_size=8M", *FALLBACKS])
@pytest.mark.parametrize("program", ["workload", "fork", "family", "early", "cancel"])
def test_program(build: Build, program: str, options: str) -> None:
    arguments = ["4", "400", "5"] if program == "workload" else []
    assert_passes(preloaded([build(program), *arguments], options))


@pytest.mark.parametrize("options", ["", "without=process_madvise", "release_interval=0"])
@pytest.mark.parametrize("threads", ["2", "12"])
def test_threads_that_free_at_the_same_time(build: Build, threads: str, options: str) -> None:
    assert_passes(preloaded([build("sparse"), threads, "5000"], options))


@pytest.mark.parametrize("options", ["", *FALLBACKS])
def test_a_forked_child_reads_the_pattern_but_with_uffd(build: Build, options: str) -> None:
    untouched = "0" if options == "backend=uffd" else "0xab"
    assert_passes(preloaded([build("inherit"), untouched], options))


@pytest.mark.parametrize(
    "options",
    [
        "",
        "fill=memset",
        "without=memfd",
        "backend=none",
        "report=yes:stacks=8:slack_check=all",
        "guard_small=all:report=yes",
    ],
)
@pytest.mark.parametrize("when", ["before", "after", "threads"])
def test_what_suffices_for_malloc_suffices(build: Build, when: str, options: str) -> None:
    assert_passes(preloaded([build("sandbox"), when], options))


@pytest.mark.skipif(os.geteuid() != 0, reason="a filter takes privileges")
def test_a_sandbox_that_is_not_seen_is_told_of(build: Build) -> None:
    assert_passes(preloaded([build("sandbox"), "raw"], "sandbox=yes"))


@pytest.mark.parametrize("options", ["", "report=yes:stacks=8:count=yes", "fill=memset"])
def test_descriptors_are_the_programs(build: Build, options: str) -> None:
    assert_passes(preloaded([build("stolen")], options))


@pytest.mark.parametrize(
    "options",
    [
        "",
        "report=yes:slack_check=large",
        "fill=memset",
        "without=guard_regions",
        "on_free=quarantine:quarantine_blocks=3",
        "without=mremap_dontunmap",
    ],
)
def test_what_is_done_to_a_block_ends_with_it(build: Build, options: str) -> None:
    keeps = {"KEEPS": "yes"} if not options else {}
    assert_passes(preloaded([build("altered")], options, **keeps))


@pytest.mark.parametrize(
    "options",
    [
        *("", "report=yes", "fill=memset", "without=guard_regions"),
        *(each for each in FALLBACKS if "uffd" in each),
    ],
)
def test_promises_are_kept(build: Build, options: str) -> None:
    assert_passes(preloaded([build("promises")], options))


@pytest.mark.parametrize("options", ["", "threshold=4K", "report=yes:stacks=8"])
def test_fork_waits_for_streams_first(build: Build, tmp_path: Path, options: str) -> None:
    assert_passes(preloaded([build("streams"), tmp_path / "lines"], options))


CAREFUL = [
    "",
    "small_fill=both",
    "slack_check=all",
    "report=yes:stacks=8:slack_check=all:small_fill=both",
]


@pytest.mark.parametrize("options", CAREFUL)
@pytest.mark.parametrize("way", ["give", "take", "pieces"])
def test_blocks_of_another_malloc_are_left_to_it(build: Build, way: str, options: str) -> None:
    library = build("deepbind", "-DLIBRARY", "-shared", "-fPIC")
    assert_passes(preloaded([build("deepbind"), library, way], options))


@pytest.mark.parametrize("kind", ["stack", "variable"])
def test_what_is_the_programs_own_is_no_block(build: Build, kind: str) -> None:
    """Even where what lies before it looks to the malloc underneath as if it were one."""
    for options in [*CAREFUL[1:], "guard_small=all", "guard_small=all:report=yes"]:
        if kind == "stack" and "report=yes" not in options:
            continue  # stacks are walked where the walk may fault
        result = preloaded([build("astray"), kind], options)
        assert result.returncode == -signal.SIGABRT
        assert result.stderr.startswith("patalloc: invalid-free: free of 0x"), options


def test_a_program_that_ends_while_threads_allocate(build: Build) -> None:
    options = "guard_small=all:slack_check=large:report=yes:stacks=16"
    for _ in range(20):
        assert_passes(preloaded([build("leaving")], options))


@pytest.mark.parametrize("kind", ["unaligned", "wild", "overwritten", "zeroed"])
def test_what_the_malloc_underneath_says_is_kept(build: Build, kind: str) -> None:
    command = [build("astray"), kind]
    bare = subprocess.run(command, capture_output=True, text=True)
    assert bare.returncode < 0
    for options in CAREFUL:
        result = preloaded(command, options)
        assert result.returncode == bare.returncode, options
        assert result.stderr.startswith(bare.stderr), options
        behind = result.stderr.removeprefix(bare.stderr)
        assert behind.startswith("patalloc: ") == ("report=yes" in options), options
        assert behind.count("patalloc: ") <= 1


def test_a_lookup_that_allocates(build: Build) -> None:
    between = build("lookup", "-DLIBRARY", "-shared", "-fPIC")
    env = dict(os.environ) | {"LD_PRELOAD": f"{library()}:{between}"}
    result = subprocess.run([build("lookup")], env=env, capture_output=True, text=True)
    assert_passes(result)


@pytest.mark.parametrize("option", ["stats", "report", "trace"])
def test_a_fifo_that_nobody_reads_holds_no_program_up(
    build: Build, tmp_path: Path, option: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    options = f"on_error=continue:slack_check=all:{option}={tmp_path / 'fifo'}"
    result = preloaded([build("reporting"), "slack twice"], options, timeout=60)
    assert (result.returncode, result.stdout) == (0, "went on\n")
    assert result.stderr.count("found by free") == 4


@pytest.mark.parametrize("kind", ["aligned", "wrapped"])
def test_a_malloc_underneath_with_some_of_the_family(build: Build, kind: str) -> None:
    """The rest is asked of whom the program would ask without the library."""
    other = build("partial", "-DLIBRARY", f"-D{kind.upper()}", "-shared", "-fPIC")
    program = build("partial")
    env = dict(os.environ) | {"LD_PRELOAD": str(other)}
    bare = subprocess.run([program], env=env, capture_output=True, text=True)
    env["LD_PRELOAD"] = f"{library()}:{other}"
    under = subprocess.run([program], env=env, capture_output=True, text=True)
    assert (bare.returncode, under.returncode, under.stdout) == (0, 0, bare.stdout)
    assert ("does not tell" in under.stderr) == (kind == "wrapped")


def test_a_refused_disposition_is_an_error(build: Build) -> None:
    command = [build("dispositions"), "refused"]
    bare = subprocess.run(command, capture_output=True, text=True, check=True)
    assert preloaded(command, "report=yes").stdout == bare.stdout


def test_dispositions_while_a_library_is_loaded(build: Build) -> None:
    """Its constructor sets one, while another thread waits for the loader: with no lock of ours."""
    loaded = build("dispositions", "-DLIBRARY", "-shared", "-fPIC")
    assert_passes(preloaded([build("dispositions"), loaded], "report=yes", timeout=60))


def test_what_is_held_serves_where_memory_ends(build: Build) -> None:
    assert_passes(preloaded([build("held")], "slack_check=all"))


KEPT = {
    "no children": ["", "count=yes"],
    "signal": [""],
    "mapping": ["on_free=quarantine:quarantine_blocks=5"],
    "guard": ["", "without=guard_regions"],
    "address space": ["slack_check=all", "small_fill=both"],
    "memory": ["slack_check=all:threshold=64M"],
    "restarts": ["report=yes"],
    "afterwards": ["report=yes"],
    "child's locks": [""],
    "child's handler": ["report=yes"],
    "older functions": ["", "report=yes"],
}


@pytest.mark.parametrize(
    ("case", "options"), [(case, options) for case, each in KEPT.items() for options in each]
)
def test_what_is_the_programs_is_as_it_left_it(build: Build, case: str, options: str) -> None:
    result = preloaded([build("kept"), case], options)
    assert result.returncode == 0, result.stderr


def test_a_memfd_is_tried_again_when_files_may_grow() -> None:
    code = (
        "import patalloc, resource, time\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))\n"
        "print(patalloc.Heap().malloc(1_000_000).info.fill)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)); time.sleep(1.1)\n"
        "print(patalloc.Heap().malloc(1_000_000).info.fill)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["memset", "refpage"], "")


@pytest.mark.parametrize("options", ["", "without=mremap_dontunmap"])
def test_no_descriptor_crosses_exec(options: str) -> None:
    code = (
        "import os; b = [bytearray(n * 10**6) for n in (1, 50)]; "
        "os.execvp('ls', ['ls', '/proc/self/fd'])"
    )
    command = [sys.executable, "-c", code]
    bare = subprocess.run(command, capture_output=True, text=True).stdout
    assert preloaded(command, options).stdout == bare


@pytest.mark.parametrize("option", ["stats", "report", "trace"])
def test_no_file_is_written_through_anothers_link(
    build: Build, tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to("file")
    options = f"{option}={tmp_path}/link:on_error=continue:slack_check=all"
    preloaded([build("reporting"), "slack twice"], options)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_history_reaches_behind_a_huge_block() -> None:
    code = (
        "import ctypes; m = ctypes.CDLL(None).malloc; m.restype = ctypes.c_void_p\n"
        "m.argtypes = [ctypes.c_size_t]; m(10**6); m(1 << 36); m(10**6); m(10**6); print('fine')"
    )
    done = preloaded([sys.executable, "-c", code], "report=yes:stacks=4")
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_an_orphan_of_uffd_goes_on(build: Build) -> None:
    assert_passes(preloaded([build("orphan")], "backend=uffd"))


def test_uffd_without_the_privilege(build: Build) -> None:
    result = preloaded([build("workload"), "1", "300", "5"], "backend=uffd:without=userfaultfd")
    assert result.returncode == 0
    assert result.stderr.splitlines() == [
        "patalloc: backend=uffd: this process may not use userfaultfd(2); blocks are memset"
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [("pattern=0", "0"), ("pattern=zero", "0"), ("pattern=0x5a", "0x5a"), ("pattern=none", "-1")],
)
@pytest.mark.parametrize("fill", ["refpage", "memset"])
def test_pattern(build: Build, options: str, expected: str, fill: str) -> None:
    result = preloaded(
        [build("workload"), "2", "500", "6"], f"{options}:fill={fill}", PATTERN=expected
    )
    assert_passes(result)


def test_no_guards(build: Build) -> None:
    assert_passes(preloaded([build("workload"), "2", "500", "7"], "guard_pages=0", UNGUARDED="1"))


@pytest.mark.parametrize("options", ["", "without=mremap_dontunmap", "backend=none"])
def test_closed_descriptors(build: Build, tmp_path: Path, options: str) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(bytes(4 << 20))
    assert_passes(preloaded([build("descriptors"), foreign], options))


@pytest.mark.parametrize("options", ["", "without=dontneed_locked", "without=guard_regions"])
@pytest.mark.parametrize("when", ["current", "future"])
def test_locked_memory(build: Build, options: str, when: str) -> None:
    assert_passes(preloaded([build("locked"), when], options))


@pytest.mark.parametrize("options", ["", "without=guard_regions"])
def test_a_tebibyte(build: Build, options: str) -> None:
    assert_passes(preloaded([build("huge")], options))


@pytest.mark.parametrize("options", ["backend=none", "without=memfd"])
def test_no_memset_is_started_that_does_not_fit(tmp_path: Path, options: str) -> None:
    stats = tmp_path / "stats"
    code = "import ctypes; m = ctypes.CDLL(None).malloc; m.restype = ctypes.c_void_p\n"
    code += "m.argtypes = [ctypes.c_size_t]; print(ctypes.string_at(m(1 << 40), 4).hex())"
    result = preloaded([sys.executable, "-c", code], f"{options}:stats={stats}")
    assert (result.returncode, result.stdout) == (0, "00000000\n")
    assert "not fit in memory" in result.stderr
    assert Stats.from_json(stats.read_text()).fallback_no_memory == 1


MISUSES = {
    "double-free": "double-free: free of {}, which was freed already: a 1000000-byte block",
    "interior-free": "invalid-free: free of {}, which lies 160 bytes inside a 1000000-byte block",
    "late-interior-free": "which lies 500000 bytes inside a 1000000-byte block",
    "wild-free": "which was never returned, or its memory has been released since",
    "realloc-freed": "use-after-free: realloc of {}, which was freed already",
    "realloc-interior": "invalid-free: realloc of {}, which lies 16 bytes inside a 1000000-byte",
    "usable-freed": "use-after-free: malloc_usable_size of {}, which was freed already",
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_is_reported_and_aborts(build: Build, misuse: str) -> None:
    result = preloaded([build("misuse"), misuse])
    assert result.returncode == -signal.SIGABRT
    assert result.stderr.count("\n") == 1
    address = result.stderr.partition("of ")[2].partition(",")[0]
    assert MISUSES[misuse].format(address) in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_is_reported_only(build: Build, misuse: str) -> None:
    result = preloaded([build("misuse"), misuse], "on_error=continue")
    assert (result.returncode, result.stdout) == (0, "went on\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("options", ["", "without=guard_regions"])
@pytest.mark.parametrize("misuse", ["overflow", "underflow"])
def test_guards_fault(build: Build, misuse: str, options: str) -> None:
    assert preloaded([build("misuse"), misuse], options).returncode == -signal.SIGSEGV


def test_bad_options_leave_the_defaults(build: Build) -> None:
    options = "guard_pages:pattern=0x5a:threshold=1:colour=red:fill=all"
    env = dict(os.environ) | {
        "LD_PRELOAD": str(library()),
        "PATALLOC_OPTIONS": options,
        "PATTERN": "0x5a",
    }
    result = subprocess.run([build("family")], env=env, capture_output=True, text=True)
    lines = result.stderr.splitlines()
    assert result.returncode == 0
    assert [line.split(": ")[1:3] for line in lines] == [
        ["PATALLOC_OPTIONS", "guard_pages"],
        ["PATALLOC_OPTIONS", "threshold=1"],
        ["PATALLOC_OPTIONS", "colour=red"],
        ["PATALLOC_OPTIONS", "fill=all"],
    ]
    assert all("allowed" in line and line.endswith("; the default holds") for line in lines)


@pytest.mark.parametrize(
    ("option", "held"),
    [
        ("stacks=16/2junk", "stacks=0"),
        ("stacks=16/", "stacks=0"),
        ("stacks=16/0", "stacks=0"),
        ("stacks=4:stacks=16/2junk", "stacks=4"),
        ("without=memfd:without=proc,junk", "without=memfd"),
        ("backend=none:backend=syscall:4x", "backend=none"),
        ("backend=memfd:backend=zero", "backend=memfd"),
        ("pattern=0x5a:pattern=0x1g", "pattern=0x5a"),
        ("cache_size=1M:cache_size=2X", "cache_size=1048576"),
        ("release_interval=5:release_interval=-2", "release_interval=5"),
        ("tag=3:tag=16", "tag=3"),
        ("report=yes:report=fd:1x", "report=yes"),
    ],
)
def test_of_a_bad_value_no_part_is_applied(option: str, held: str, tmp_path: Path) -> None:
    stats = tmp_path / "stats"
    env = dict(os.environ) | {
        "LD_PRELOAD": str(library()),
        "PATALLOC_OPTIONS": f"{option}:stats={stats}",
    }
    result = subprocess.run(["true"], env=env, capture_output=True, text=True)
    assert result.stderr.count("; the default holds") == 1
    assert f":{held}:" in f":{json.loads(stats.read_text())['options']}:"


def test_stats_go_to_a_path_with_the_process_number(tmp_path: Path) -> None:
    preloaded(["sh", "-c", "sort /etc/passwd | wc -l"], f"stats={tmp_path}/%p.json")
    found = [json.loads(path.read_text()) for path in tmp_path.iterdir()]
    assert len(found) == 2  # the shell ends by _exit
    assert {stats["pid"] for stats in found} == {int(path.stem) for path in tmp_path.iterdir()}


def test_stats_go_to_a_descriptor() -> None:
    result = preloaded([sys.executable, "-c", "bytearray(10**6)"], "stats=fd:2")
    assert Stats.from_json(result.stderr).blocks > 0


def test_small_processes_prepare_nothing(tmp_path: Path) -> None:
    stats = tmp_path / "stats"
    preloaded(["true"], f"stats={stats}")
    stats = Stats.from_json(stats.read_text())
    assert (stats.backend, stats.vmas) == ("none yet", 0)


def test_child_counts_from_its_fork_on() -> None:
    code = "import os; b = bytearray(10**6); p = os.fork(); os.waitpid(p, 0) if p else None"
    result = preloaded([sys.executable, "-c", code], "stats=fd:2")
    child, parent, _ = result.stderr.split("}\n")
    assert Stats.from_json(child + "}").blocks_live >= 1
    assert Stats.from_json(child + "}").blocks == 0
    assert Stats.from_json(parent + "}").blocks >= 1


@pytest.mark.parametrize("peer", ["libjemalloc.so.2", "libmimalloc.so.2"])
def test_stacks_on_another_allocator(build: Build, tmp_path: Path, peer: str) -> None:
    env = {"LD_PRELOAD": peer}
    assert_passes(preloaded([build("workload"), "3", "400", "8"], **env))
    maps = preloaded(["cat", "/proc/self/maps"], **env).stdout
    assert peer in maps
    assert "libpatalloc.so" in maps


def test_limited_address_space(build: Build) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    env = dict(os.environ) | {"LD_PRELOAD": str(library())}
    command = [build("workload"), "2", "300", "9"]
    result = subprocess.run(command, env=env, preexec_fn=limit, capture_output=True, text=True)
    assert_passes(result)


def test_little_address_space(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (24 << 20, 24 << 20))

    stats = tmp_path / "stats"
    options = f"threshold=4K:stats={stats}"
    env = dict(os.environ) | {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": options}
    command = ["sort", "/etc/passwd"]
    result = subprocess.run(command, env=env, preexec_fn=limit, capture_output=True, text=True)
    assert_passes(result)
    found = Stats.from_json(stats.read_text())
    assert found.blocks_refpage > 0
    assert found.fallback_no_refpage == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a program set-user-ID root")
def test_environment_is_ignored_where_it_is_not_trusted(build: Build) -> None:
    directory = library().parent
    program = build("family", f"-L{directory}", f"-Wl,-rpath,{directory}", "-lpatalloc")
    trusted = subprocess.run([program], env={"PATALLOC_OPTIONS": "pattern=0x11"})
    assert trusted.returncode != 0  # it expects the default pattern
    shared = Path("/tmp/patalloc-test-secure")  # noqa: S108 (where any user can run it)
    shutil.copy(program, shared)
    try:
        shared.chmod(0o4755)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        env = {"PATALLOC_OPTIONS": "pattern=0x11:stats=fd:2"}
        secure = subprocess.run([shared], env=env, capture_output=True, text=True, **nobody)
        assert_passes(secure)
    finally:
        shared.unlink()


def test_many_live_blocks(build: Build, tmp_path: Path) -> None:
    stats = tmp_path / "stats"
    assert_passes(preloaded([build("live"), "300000", "100000"], f"stats={stats}"))
    found = Stats.from_json(stats.read_text())
    assert (found.blocks_peak, found.fallback_no_span, found.guards_missing) == (
        100001,
        0,
        0,
    )  # with the list of them


def test_peak_memory_is_that_of_the_bare_program(build: Build) -> None:
    """The library's own pages and the refpage included, at most 256 KiB more."""
    touch = [build("touch"), "4096000", "4096", "200"]
    bare = dict(os.environ) | {"MALLOC_MMAP_THRESHOLD_": "131072"}

    def peak(*, under_the_library: bool) -> int:
        if under_the_library:
            output = preloaded(touch).stdout
        else:
            output = subprocess.run(touch, env=bare, capture_output=True, text=True).stdout
        return int(json.loads(output)["rss_kib"])

    without = median(peak(under_the_library=False) for _ in range(31))
    assert median(peak(under_the_library=True) for _ in range(31)) <= without + 256


@pytest.mark.parametrize("way", ["", ":without=uffd_move", ":without=guard_regions"])
@pytest.mark.parametrize("case", ["closed", "forked", "shared"])
def test_pages_that_move_as_they_are_freed(build: Build, case: str, way: str) -> None:
    """And what takes away the descriptor that they move by."""
    result = preloaded([build("moved"), case], f"guard_small=all:delay=0{way}")
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    lost = case == "closed" and "uffd_move" not in way and MOVES
    assert [line for line in lines if "the descriptor by which" in line] == lines
    assert len(lines) == (1 if lost else 0)


def test_an_ordinary_program_reads_the_librarys_first_pages_only() -> None:
    """One fault brings in 64 KiB around it (fault_around_bytes, in debugfs)."""
    mappings = preloaded(["cat", "/proc/self/smaps"]).stdout  # cat has a large block
    of_code = mappings[: mappings.index("VmFlags", mappings.index("libpatalloc"))]
    resident = re.findall(r"^Rss: +(\d+) kB", of_code, re.MULTILINE)[-1]
    assert 0 < int(resident) <= 64


TUNED = {"MALLOC_TRIM_THRESHOLD_": "131072"}
TUNABLES = {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}


@pytest.mark.parametrize(
    ("arguments", "variables", "trims"),
    [([], {}, False), (["set"], {}, True), ([], TUNED, True), ([], TUNABLES, True)],
    ids=["by default", "by mallopt", "by a variable", "by a tunable"],
)
def test_glibc_trims_when_it_does_alone(
    build: Build, arguments: list[str], variables: dict[str, str], *, trims: bool
) -> None:
    command, environ = [build("trim"), *arguments], dict(os.environ) | variables
    told = []
    while len(told) < 5:  # where it does not alone what it should, this tells of something else
        alone = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        under = preloaded(command, **variables)
        assert_passes(under)
        told.append((int(alone.stdout), int(under.stdout)))
        if (told[-1][0] > 10_000) == trims:
            break
    assert [faults > 10_000 for faults in told[-1]] == [trims, trims], told


KERNEL = ["read", "pread", "write", "writev", "send", "sendto", "sendmsg", "recv", "recvfrom"]
KERNEL += [
    "recvmsg",
    "getrandom",
    "readlink",
    "stat",
    "fstat",
    "lstat",
    "fstatat",
    "readv",
    "preadv",
]
SHORT = {"read", "pread", "recv", "recvfrom", "recvmsg"}  # of what is not that long
WHOLE = {
    "stat",
    "fstat",
    "lstat",
    "fstatat",
    "readlink",
    "readv",
    "preadv",
}  # not refused, or begun


@pytest.mark.parametrize("size", [144, 8192 + 144, 200000])
@pytest.mark.parametrize("call", KERNEL)
def test_calls_that_are_refused_are_told(build: Build, call: str, size: int) -> None:
    program = build("buffers")
    options = "report=yes:stacks=8:guard_small=all:delay=0:on_free=quarantine:align=8"
    env = environment(Config.parse(options))
    for how in ("over", "freed", "rightly"):
        command = [program, call, str(size), how]
        bare = subprocess.run(command, capture_output=True, text=True)
        result = subprocess.run(command, env=env, capture_output=True, text=True)
        assert result.returncode == 0
        told = re.findall(r"^patalloc: (.*)", result.stderr, re.MULTILINE)
        if how == "rightly":
            assert (result.stdout, told) == (bare.stdout, [])
        elif how == "over" and call not in WHOLE and (size < 200000 or call not in SHORT):
            (one,) = told
            assert re.match(
                rf"heap-buffer-overflow: {call} (stops|fails with EFAULT): it would (read|write) "
                rf"at 0x\w+, 1 byte past the end of an? {size}-byte block",
                one,
            )
        elif how == "freed" and call not in {"readv", "preadv"}:
            (one,) = told
            assert one.startswith(f"use-after-free: {call} fails with EFAULT: it would ")
            assert result.stdout == f"refused {errno.EFAULT}\n"


def test_calls_that_fail_otherwise_are_left_alone(build: Build) -> None:
    options = "report=yes:stacks=8:guard_small=all:delay=0:on_free=quarantine:align=8"
    env = environment(Config.parse(options))
    for call, how, said in (
        ("nowhere", "rightly", f"refused {errno.EFAULT}\n"),
        ("short", "over", "done 0\n"),
    ):
        command = [build("buffers"), call, "2000", how]
        result = subprocess.run(command, env=env, capture_output=True, text=True)
        assert (result.returncode, result.stdout, result.stderr) == (0, said, "")


def test_a_terminal_ends_a_program() -> None:
    """By signals that are the kernel's: the first one does."""
    env = environment(Config.parse("report=yes"))
    for byte, number in ((b"\x03", signal.SIGINT), (None, signal.SIGHUP)):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe("sleep", ["sleep", "60"], env)  # noqa: S606
        time.sleep(1)
        if byte:
            os.write(terminal, byte)
        else:
            os.close(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -number


def test_signals_that_interrupt_do_so(build: Build) -> None:
    for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
        result = preloaded([build("interrupting"), str(int(number))], "report=yes", timeout=60)
        assert_passes(result)


def test_the_first_process_of_a_namespace_ignores_what_it_ignored() -> None:
    """A request to end it, which it has no handler for."""
    script = 'kill -TERM $$; kill -SEGV $$; echo "here"'
    command = ["unshare", "-Urpf", "sh", "-c", script]
    under, bare = (
        subprocess.run(command, env=env, capture_output=True, text=True)
        for env in (environment(Config.parse("report=yes")), dict(os.environ))
    )
    assert (under.returncode, under.stdout, under.stderr) == (
        bare.returncode,
        bare.stdout,
        bare.stderr,
    )
    assert "here\n" in bare.stdout or bare.returncode  # where there may be no namespaces


def test_memory_of_a_pool_can_be_marked(tmp_path: Path) -> None:
    code = (
        "import patalloc\n"
        "memory = bytearray(b'x' * 100)\n"
        "patalloc.fresh(memoryview(memory)[10:20])\n"
        "print(memory[9:21])\n"
        "try:\n    patalloc.fresh(b'abc')\n"
        "except ValueError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", code]
    bare = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert bare.splitlines()[0] == repr(bytearray(b"x" * 12))
    marked = preloaded(command, "pattern=0x5a").stdout
    assert marked.splitlines() == [
        repr(bytearray(b"x" + b"\x5a" * 10 + b"x")),
        "memory that is read-only can't be fresh",
    ]


def test_programs_can_be_told_to_have_no_pools() -> None:
    code = "import os; print(os.environ['PYTHONMALLOC'], os.environ['USE_ZEND_ALLOC'])"
    command = [sys.executable, "-m", "patalloc", "run", "--without-pools", sys.executable, "-c"]
    for given, shown in ((None, "malloc 0\n"), ("debug", "debug 0\n")):
        env = {key: value for key, value in os.environ.items() if key != "PYTHONMALLOC"}
        env |= {"PYTHONMALLOC": given} if given else {}
        done = subprocess.run([*command, code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout == shown
