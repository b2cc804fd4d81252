"""Reports: each program in tests/watch makes one error, which must be told right."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import FLAGS, Build, assert_passes, preloaded
from patalloc import Config, Stats, events, symbols
from patalloc.preload import environment
from patalloc.watch.rendering import render
from patalloc.watch.symbols import Location, locate

PROGRAMS = Path(__file__).parent
NAMES = sorted(path.stem for path in PROGRAMS.glob("*.c"))
SCRIPTS = sorted(path.stem for path in PROGRAMS.glob("*.py") if not path.stem.startswith("test_"))
EVERYTHING = "stacks=16:slack_check=all:on_free=quarantine:small_fill=both"
WAYS = [
    "",
    "without=guard_regions",
    "without=mremap_dontunmap,guard_regions,pagemap_scan",
    "without=memfd",
    "fill=memset",
    "guard_pages=4:pattern=0xdeadbeef",
]
GUARDED_BY_ABORT = {"double_free", "interior_free", "wild_free", "realloc_of_freed"}


def source(name: str) -> Path:
    return next(PROGRAMS.glob(f"{name}.[cp]*"))


def marked(name: str, mark: str) -> int | None:
    """The number of the line that is marked so."""
    lines = source(name).read_text().splitlines()
    return next((n for n, line in enumerate(lines, 1) if re.search(rf"\b{mark}\b", line)), None)


def expected(name: str) -> list[str]:
    """Kind, access, place, distance, as the first line has them."""
    return source(name).read_text().splitlines()[0].strip("/*# ").split()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("reports")
    programs = {name: directory / name for name in NAMES}
    for name, program in programs.items():
        subprocess.run(["cc", *FLAGS, source(name), "-o", program, "-lpthread"], check=True)
    return programs


def run_and_read(command: list[str | Path], options: str, report: Path) -> tuple[int, events.Event]:
    result = preloaded(command, f"report={report}" + (options and f":{options}"))
    (event,) = events.read(report.read_text())
    assert f"patalloc: {event.summary}\n" in result.stderr
    return result.returncode, event


def check(name: str, event: events.Event) -> None:
    distance = None if event.distance is None else str(event.distance)
    told = [event.kind, event.access, event.place, distance]
    assert ["-" if each is None else each for each in told] == expected(name)


def places(event: events.Event, address: int) -> list[Location]:
    module = next((each for each in event.modules if each.start <= address < each.end), None)
    return locate(module, address)


def lines(event: events.Event, stack: tuple[int, ...], name: str) -> list[int | None]:
    """The lines of the program's source on a stack."""
    found = [location for address in stack for location in places(event, address)]
    return [each.line for each in found if each.file and Path(each.file).name == source(name).name]


def check_lines(name: str, event: events.Event) -> None:
    assert lines(event, event.stack, name)[0] == marked(name, "ACCESS")
    for mark, moment in (
        ("ALLOCATED", event.block and event.block.allocated),
        ("FREED", event.block and event.block.freed),
    ):
        line = marked(name, mark)
        assert (line is None) == (moment is None), mark
        if moment:
            assert lines(event, moment.stack, name)[0] == line, mark


def test_stacks_through_a_library_that_took_anothers_place(build: Build, tmp_path: Path) -> None:
    libraries = [
        build("unloaded", f"-DLIBRARY={room}", "-shared", "-fPIC") for room in (1000, 3000)
    ]
    _, event = run_and_read(
        [build("unloaded"), *libraries], "stacks=16:on_free=quarantine", tmp_path / "report"
    )
    assert event.block
    assert event.block.allocated
    stack = event.block.allocated.stack
    functions = [place.function for address in stack for place in places(event, address)]
    assert functions[:2] == ["get", "main"]


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_each_error_is_told(
    compiled: dict[str, Path], tmp_path: Path, name: str, options: str
) -> None:
    status, event = run_and_read(
        [compiled[name]], ":".join(filter(None, [EVERYTHING, options])), tmp_path / "report"
    )
    check(name, event)
    check_lines(name, event)
    if event.block and not name.startswith("small"):  # of those the free is not recorded
        assert (event.block.state == "live") == (event.block.freed is None)
    if event.call is None:
        alone = dict(os.environ) | {"FAULT_ALONE": "1"}
        assert status == subprocess.run([compiled[name]], env=alone).returncode
        assert event.signal == 11
    else:
        assert status == -6


REPORT = (
    '{"version":1,"kind":"heap-buffer-overflow","summary":"heap-buffer-overflow: write at ADDRESS, '
    '1 byte past the end of a NUMBER-byte block at ADDRESS","access":"write","signal":11,'
    '"address":"ADDRESS","place":"after","distance":1,"process":NUMBER,"thread":NUMBER,'
    '"thread_name":"NAME","stack":[ADDRESSES],"block":{"address":"ADDRESS","size":NUMBER,'
    '"state":"live","allocated":{"thread":NUMBER,"age_ms":NUMBER,"stack":[ADDRESSES]}},'
    '"modules":[MODULES]}'
)
MODULE = (
    '{"path":"PATH","base":"ADDRESS","start":"ADDRESS","end":"ADDRESS","build_id":"[0-9a-f]{40}"}'
)


def test_a_report_is_this_text(compiled: dict[str, Path], tmp_path: Path) -> None:
    """What reads reports elsewhere depends on every byte of it."""
    report = tmp_path / "report"
    run_and_read([compiled["overflow_write"]], "stacks=4", report)
    meant = re.escape(REPORT).replace("MODULES", f"{MODULE}(,{MODULE})*")
    for word, pattern in {
        "ADDRESSES": '"ADDRESS"(,"ADDRESS")*',
        "ADDRESS": "0x[0-9a-f]+",
        "NUMBER": r"\d+",
        "NAME": "overflow_write",
        "PATH": '/[^"]+',
    }.items():
        meant = meant.replace(word, pattern)
    assert re.fullmatch(meant + "\n?", report.read_text()), report.read_text()


# Between two small blocks is more than a page; one that is to begin at a page is smaller than none.
NOT_SMALL = {"overflow_between_blocks", "underflow_between_blocks", "slack_underflow"}
UNDERFLOWS = {"underflow_read", "underflow_write"}


@pytest.mark.parametrize("way", ["", ":without=uffd_move", ":without=guard_regions,uffd_move"])
@pytest.mark.parametrize("size", [24, 10_008])
@pytest.mark.parametrize("name", sorted({*NAMES} - NOT_SMALL))
def test_each_error_in_a_small_block_is_told(
    tmp_path: Path, name: str, size: int, way: str
) -> None:
    """At once, where the block ends at a guard, or begins at one."""
    program, report = tmp_path / name, tmp_path / "report"
    command = ["cc", *FLAGS, f"-DSIZE={size}", source(name), "-o", program, "-lpthread"]
    subprocess.run(command, check=True)
    place = "side=left" if name in UNDERFLOWS else "align=8"
    options = f"guard_small=all:delay=0:stacks=8:slack_check=all:{place}{way}"
    _, event = run_and_read([program], options, report)
    assert event.kind == expected(name)[0]
    assert event.access == (expected(name)[1] if expected(name)[1] != "-" else None)
    if name not in {"wild_free", "wild_write"}:
        assert event.block
        assert event.block.allocated.stack
        assert bool(event.block.freed) == (event.block.state != "live")


@pytest.mark.parametrize("options", ["guard_small=all", "slack_check=all"])
def test_freed_blocks_are_looked_at_when_the_program_ends(
    build: Build, tmp_path: Path, options: str
) -> None:
    report = tmp_path / "report"
    command = [build("afterwards"), "freed"]
    result = preloaded(command, f"report={report}:slack_check=large:{options}")
    (event,) = events.read(report.read_text())
    assert (event.kind, event.access, event.distance) == ("use-after-free", "write", 3)
    assert (result.returncode, result.stdout) == (-6, "done")


@pytest.mark.parametrize(
    ("how", "kind"), [("twice", "double-free"), ("past", "heap-buffer-overflow")]
)
def test_freed_blocks_are_looked_at_with_the_last_report(
    build: Build, tmp_path: Path, how: str, kind: str
) -> None:
    report = tmp_path / "report"
    options = f"report={report}:slack_check=large:guard_small=all"
    preloaded([build("afterwards"), how], options)
    last, before = events.read(report.read_text())
    assert last.kind == kind
    assert (before.kind, before.access, before.distance) == ("use-after-free", "write", 3)
    assert (before.call, before.stack) == ("report", ())


def test_live_small_blocks_are_looked_at_when_the_program_ends(
    build: Build, tmp_path: Path
) -> None:
    options = "guard_small=all:slack_check=large"
    _, event = run_and_read([build("afterwards"), "before"], options, tmp_path / "report")
    assert (event.kind, event.access, event.distance) == ("heap-buffer-underflow", "write", 3)


@pytest.mark.parametrize("way", ["", ":without=uffd_move", ":without=guard_regions,uffd_move"])
def test_the_delay_of_small_blocks_ends(tmp_path: Path, way: str) -> None:
    """By default a freed one is out of reach after as many frees as its chunk has blocks, or so."""
    program = tmp_path / "program"
    command = ["cc", *FLAGS, "-DSIZE=24", source("use_after_many_frees"), "-o", program]
    subprocess.run([*command, "-lpthread"], check=True)
    _, event = run_and_read([program], f"guard_small=all:stacks=8{way}", tmp_path / "report")
    assert event.kind == "use-after-free"
    assert event.block
    assert event.block.freed


@pytest.mark.parametrize("name", SCRIPTS)
def test_python_programs_show_their_own_stack_too(tmp_path: Path, name: str) -> None:
    report = tmp_path / "report"
    result = preloaded([sys.executable, source(name)], f"{EVERYTHING}:report={report}")
    (event,) = events.read(report.read_text())
    check(name, event)
    assert result.returncode == -11
    assert event.block
    assert event.block.allocated
    assert event.block.allocated.stack
    assert f'{source(name)}", line {marked(name, "ACCESS")} in' in result.stderr
    assert event.thread_name


@pytest.mark.parametrize("order", ["early", "late"])
def test_the_programs_own_signals_are_untouched(build: Build, order: str) -> None:
    command = [build("signals"), order]
    alone = subprocess.run(command, capture_output=True, text=True, check=True)
    under = preloaded(command, "report=yes:stacks=4")
    assert (under.returncode, under.stdout) == (0, alone.stdout)
    told = [line for line in under.stderr.splitlines() if line.startswith("patalloc: ")]
    kinds = {line.split(": ")[1] for line in told}
    assert kinds <= {"null-pointer", "wild-access", "fatal-signal"}  # of children that are to die


@pytest.mark.parametrize("what", ["signals", "report", "stack"])
def test_forks_and_faults_among_signals_and_reports(build: Build, what: str) -> None:
    result = preloaded([build("meanwhile"), what], "report=yes", timeout=60)
    assert (result.returncode, result.stdout) == (0, "fine\n")


@pytest.mark.parametrize("name", ["overflow_write", "use_after_free_read", "slack_small"])
def test_without_proc_the_rest_is_told(
    compiled: dict[str, Path], tmp_path: Path, name: str
) -> None:
    report = tmp_path / "report"
    _, event = run_and_read([compiled[name]], f"{EVERYTHING}:without=proc", report)
    check(name, event)
    assert event.stack
    assert event.modules == ()


def test_nothing_is_kept_unless_asked_for(compiled: dict[str, Path], tmp_path: Path) -> None:
    _, event = run_and_read([compiled["overflow_write"]], "", tmp_path / "report")
    check("overflow_write", event)
    assert event.block
    assert event.block.allocated
    assert event.block.allocated.stack == ()


def test_stacks_of_one_block_in_some(compiled: dict[str, Path], tmp_path: Path) -> None:
    name = "overflow_between_blocks"
    for every, taken in (("1", True), ("2", True), ("3", False), ("100", False)):
        report = tmp_path / every  # of blocks 0, 2, 4 ... or 0, 3, 6 ...: it is about block 4
        _, event = run_and_read([compiled[name]], f"stacks=8/{every}", report)
        assert event.block
        assert event.block.allocated
        assert bool(event.block.allocated.stack) == taken


def test_released_blocks_are_remembered(compiled: dict[str, Path], tmp_path: Path) -> None:
    """Even without a quarantine, where the address space has been given back."""
    options = "stacks=16:cache_size=0:retain_size=0"
    _, event = run_and_read([compiled["use_after_free_write"]], options, tmp_path / "report")
    check("use_after_free_write", event)
    check_lines("use_after_free_write", event)
    assert event.block
    assert event.block.state == "released"


@pytest.mark.parametrize("what", ["broken stack", "lost stack", "many threads"])
def test_what_the_report_itself_stumbles_over(build: Build, tmp_path: Path, what: str) -> None:
    report = tmp_path / "report"
    result = preloaded([build("reporting"), what], f"report={report}:stacks=8")
    found = events.read(report.read_text())
    assert result.returncode == -11
    assert found
    for event in found:
        assert (event.kind, event.access, event.distance) == ("heap-buffer-overflow", "write", 1)
        assert event.stack


def test_a_program_that_goes_on_faulting(build: Build, tmp_path: Path) -> None:
    report = tmp_path / "report"
    result = preloaded([build("reporting"), "many times"], f"report={report}")
    assert (result.returncode, result.stdout) == (0, "went on\n")
    assert len(events.read(report.read_text())) == 100
    assert result.stderr.splitlines()[-1] == "patalloc: that was the last report of this process"


def test_corruption_ends_the_program_unless_told_otherwise(build: Build, tmp_path: Path) -> None:
    command = [build("reporting"), "slack twice"]
    assert preloaded(command, "slack_check=all").returncode == -6
    stats = tmp_path / "stats"
    result = preloaded(command, f"slack_check=all:on_error=continue:stats={stats}")
    assert result.stdout == "went on\n"
    assert (
        result.stderr.count("patalloc: heap-buffer-overflow: found by free: write 1 byte past") == 4
    )
    assert Stats.from_json(stats.read_text()).errors == 4
    large = preloaded(command, "slack_check=large:on_error=continue")
    assert large.stderr.count("\n") == 2
    assert preloaded(command).stderr == ""


def test_freed_small_blocks_are_filled(build: Build) -> None:
    command = [build("reporting"), "freed small"]
    for options in ("small_fill=both", "small_fill=both:slack_check=all"):
        assert_passes(preloaded(command, options))
    assert preloaded(command).returncode == 1


@pytest.mark.parametrize("what", ["null", "overflow"])
def test_report_is_off_unless_asked_for(build: Build, what: str) -> None:
    result = preloaded([build("reporting"), what])
    assert (result.returncode, result.stderr) == (-11, "")


def reports_to_descriptor_9(command: list[str | Path], path: Path) -> str:
    """What the program says on standard error, with the file as its descriptor 9."""
    env = environment(Config.parse("report=fd:9"))
    shell = ["bash", "-c", 'exec 9>>"$1"; shift; exec "$@"', "bash", path, *command]
    return subprocess.run(shell, env=env, capture_output=True, text=True).stderr


def test_a_descriptor_is_used_as_long_as_it_is_the_same_file(build: Build, tmp_path: Path) -> None:
    program, own, other = build("reporting"), tmp_path / "own", tmp_path / "other"
    said = reports_to_descriptor_9([program, "overflow"], own)
    (event,) = events.read(own.read_text())
    assert said == f"patalloc: {event.summary}\n"
    own.unlink()
    said = reports_to_descriptor_9([program, "reused descriptor", other], own)
    assert "1 byte past the end" in said
    assert "  in thread" in said
    assert (own.read_text(), other.read_text()) == ("", "")


def test_a_report_that_cannot_be_written_goes_to_standard_error(build: Build) -> None:
    result = preloaded([build("reporting"), "overflow"], "report=/nowhere/report")
    assert "1 byte past the end" in result.stderr
    assert "  in thread" in result.stderr


def test_colour_is_for_terminals(build: Build) -> None:
    command = [str(build("reporting")), "overflow"]
    env = environment(Config.parse("report=yes"))
    ours, theirs = pty.openpty()
    subprocess.run(command, env=env, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 10000).decode()
    os.close(ours)
    assert shown.startswith("\x1b[1;31mpatalloc: heap-buffer-overflow")
    assert "\x1b" not in preloaded(command, "report=yes").stderr


def test_names_are_written_as_json_has_them(compiled: dict[str, Path], tmp_path: Path) -> None:
    odd = tmp_path / 'a "quoted" \\ päth\n'
    odd.mkdir()
    program = odd / "program"
    program.write_bytes(compiled["overflow_write"].read_bytes())
    program.chmod(0o755)
    report = tmp_path / "report"
    _, event = run_and_read([program], "", report)
    assert event.modules[0].path == str(program).replace("\n", "\\012")  # as the kernel writes it


def test_a_changed_program_is_not_believed(compiled: dict[str, Path], tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(compiled["overflow_write"].read_bytes())
    program.chmod(0o755)
    _, event = run_and_read([program], "", tmp_path / "report")
    assert lines(event, event.stack, "overflow_write")[0]
    other = tmp_path / "other"
    other.write_bytes(compiled["overflow_read"].read_bytes())
    other.rename(program)
    symbols._opened.cache_clear()
    assert places(event, event.stack[0])[0].function is None


def test_stripped_programs_are_told_by_offset(compiled: dict[str, Path], tmp_path: Path) -> None:
    program = tmp_path / "program"
    command = ["strip", "-o", program, compiled["overflow_write"]]
    subprocess.run(command, check=True)
    _, event = run_and_read([program], "stacks=4", tmp_path / "report")
    (place,) = places(event, event.stack[0])
    assert (place.function, place.module) == (None, str(program))
    listed = subprocess.run(
        ["nm", compiled["overflow_write"]], capture_output=True, text=True, check=True
    ).stdout
    (main,) = (int(line.split()[0], 16) for line in listed.splitlines() if line.endswith(" main"))
    assert 0 < place.offset - main < 200


CPP = """
#include <cstdlib>
namespace space {
template <typename T> struct Table {
  __attribute__((noinline)) void set(T *at, T value) { *(volatile T *)at = value; }
};
}
int main() {
  int *block = (int *)malloc(1 << 20);
  space::Table<int>().set(block + (1 << 18), 1);
}
"""


@pytest.mark.parametrize("kind", ["-pie", "-no-pie"])
def test_functions_have_their_cpp_names(tmp_path: Path, kind: str) -> None:
    (tmp_path / "table.cc").write_text(CPP)
    command = ["g++", "-g", "-O1", kind, "table.cc", "-o", "table"]
    subprocess.run(command, cwd=tmp_path, check=True)
    _, event = run_and_read([tmp_path / "table"], "stacks=4", tmp_path / "report")
    text = "\n".join(render(event))
    assert re.search(r"#0 space::Table<int>::set\(int\*, int\) at \S*table.cc:5 ", text)
    assert re.search(r"#1 main at \S*table.cc:10 ", text)
    assert re.search(r"allocated by thread \d+, \d+ ms before:\n    #0 main at \S*table.cc:9", text)


def test_a_heap_of_a_python_programs_own(tmp_path: Path) -> None:
    code = f"""
import ctypes, patalloc
heap = patalloc.Heap(report="{tmp_path}/report", stacks=16)
block = heap.malloc(1 << 20)
ctypes.memset(block.address + (1 << 20), 1, 1)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    (event,) = events.read((tmp_path / "report").read_text())
    assert result.returncode == -11
    assert (event.kind, event.distance) == ("heap-buffer-overflow", 1)
    assert event.block
    assert event.block.allocated
    assert event.block.allocated.stack


@pytest.mark.parametrize("value", ["0x41", "0xff", "0", "1", "0x7f"])
@pytest.mark.parametrize("count", ["1", "8", "12", "16", "24"])
def test_nothing_that_is_overwritten_is_believed(build: Build, value: str, count: str) -> None:
    options = "report=yes:slack_check=all:stacks=8:on_error=continue"
    said = preloaded([build("overwrite"), value, count], options).stderr
    assert said.startswith("patalloc: heap-buffer-overflow: found by free: write ")


UNFREED = [
    (24, "slack_check=all"),
    (1001, "slack_check=all:stacks=8"),
    (24, "slack_check=large:guard_small=all"),
    (200001, "slack_check=large:stacks=8"),
]


@pytest.mark.parametrize("how", ["exit", str(int(signal.SIGTERM)), str(int(signal.SIGINT)), "1"])
@pytest.mark.parametrize(("size", "options"), UNFREED)
def test_what_nobody_frees_is_looked_at(
    build: Build, tmp_path: Path, size: int, options: str, how: str
) -> None:
    program, report = build("unfreed"), tmp_path / "report"
    ended = -signal.SIGABRT if how == "exit" else -int(how)
    what = f"found by exit: write 1 byte past the end of a {size}-byte block at 0x"
    result = preloaded([program, str(size), "3", how], f"{options}:report={report}")
    (event,) = events.read(report.read_text())
    assert (event.kind, result.returncode) == ("heap-buffer-overflow", ended)
    assert event.summary.startswith(f"heap-buffer-overflow: {what}")
    assert event.overwritten == b"\2\2\2"
    rightly = preloaded([program, str(size), "0", how], f"{options}:report=yes")
    assert (rightly.returncode, rightly.stderr) == (0 if how == "exit" else ended, "")


@pytest.mark.parametrize(("size", "options"), UNFREED[:3])
def test_what_was_freed_and_waits_is_looked_at(
    build: Build, tmp_path: Path, size: int, options: str
) -> None:
    program, report = build("unfreed"), tmp_path / "report"
    result = preloaded([program, str(size), "freed", "15"], f"{options}:report={report}")
    (event,) = events.read(report.read_text())
    assert (event.kind, result.returncode) == ("use-after-free", -signal.SIGTERM)
    assert event.summary.startswith(f"use-after-free: found by exit: write {size // 2} bytes ins")


@pytest.mark.parametrize(("size", "options"), UNFREED)
def test_a_program_can_have_all_looked_at(build: Build, size: int, options: str) -> None:
    command: list[str | Path] = [build("unfreed"), str(size), "3", "patalloc_check"]
    stopped = preloaded(command, f"{options}:report=yes")
    assert (stopped.returncode, stopped.stdout) == (-signal.SIGABRT, "")
    goes_on = preloaded(command, f"{options}:report=yes:on_error=continue")
    assert goes_on.returncode == 0
    assert goes_on.stdout.splitlines()[0] == "1"
    assert "heap-buffer-overflow: found by patalloc_check: write 1 byte past" in goes_on.stderr
    right: list[str | Path] = [build("unfreed"), str(size), "0", "patalloc_check"]
    assert preloaded(right, f"{options}:report=yes").stdout == "0\n0\n"


MANGLED = """
_ZNSt6vectorIiSaIiEE9push_backERKi
_ZZ4mainENKUlvE_clEv
_ZN4absl7functorIZNS_3runEvEUliE0_EclEi
_Z3fooIJidcEEvDpT_
_ZN3FooC1ERKS_
_ZNK3Foo3barEv.cold
_ZN3Foo3barEv.part.0
_Z4workPi.constprop.0.isra.1
_ZGVZ4mainE1x
_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE9_M_appendEPKcm
_ZNSt8functionIFviEEclEi
_ZZN1A1fEvENKUlT_E_clIiEEDaS0_
_Z1fIXadL_Z1gvEEEvv
_RNvCs1234_7mycrate3foo
_RNvMs_NtCs5Z_4core3fmtNtB4_9Formatter3pad
_RINvNtC3std3mem8align_ofdE
_RNCNvCs6GmmlP4bgsG_1r4main0B3_
_RNvXs_NtC7mycrate5innerNtB4_3BoxNtB6_5Shape4area
_ZN4core3fmt9Formatter3pad17h0123456789abcdefE
plain_c_name
"""


def test_names_are_as_binutils_has_them() -> None:
    """But for the numbers of crates, which say nothing to people."""
    names = MANGLED.split()
    said = subprocess.run(["c++filt"], input=MANGLED, capture_output=True, text=True, check=True)
    meant = re.sub(r"(?<=\w)\[[0-9a-f]+\]", "", said.stdout).split("\n")[1:-1]
    assert [symbols.demangle(name) for name in names] == meant


def test_what_can_not_be_demangled_stays_as_it_is() -> None:
    for name in ("_ZW6modulefoov", "_RNCNvC7mycrate4main0", "_Z", "_R", ""):
        assert symbols.demangle(name) == name


LEAKY = ["", "guard_small=all", "slack_check=all:guard_small=1000"]


def leaks(build: Build, what: str, options: str, report: Path) -> list[events.Event]:
    result = preloaded([build("leaks"), what], f"report={report}:stacks=8:{options}")
    assert result.returncode == 0
    return events.read(report.read_text()) if report.exists() else []


@pytest.mark.parametrize("options", LEAKY)
def test_blocks_that_nothing_points_to(build: Build, tmp_path: Path, options: str) -> None:
    """What calls have left on the stack may point to some yet."""
    found = leaks(build, "lost", f"leaks=yes:{options}", tmp_path / "report")
    assert {event.kind for event in found} == {"leak"}
    for size, function in ((40, "small"), (200000, "large")):
        lost = [event for event in found if event.block and event.block.size == size]
        assert sum(event.blocks or 0 for event in lost) >= 2
        for event in lost:
            assert event.block
            assert event.block.allocated
            assert event.total_size == size * (event.blocks or 0)
            functions = [p.function for a in event.block.allocated.stack for p in places(event, a)]
            assert functions[:3] == [function, "lose", "main"]


@pytest.mark.parametrize("options", LEAKY)
@pytest.mark.parametrize("what", ["kept", "inside", "freed"])
def test_what_is_pointed_to_is_no_leak(
    build: Build, tmp_path: Path, what: str, options: str
) -> None:
    assert leaks(build, what, f"leaks=yes:{options}", tmp_path / "report") == []
    kept = leaks(build, what, f"leaks=all:{options}", tmp_path / "report")
    assert {event.kind for event in kept} == ({"still-reachable"} if what != "freed" else set())
    sizes = {event.block.size for event in kept if event.block}
    assert {"kept": {40, 200000, 1 << 18}, "inside": {40, 21, 120, 200000}, "freed": set()}[
        what
    ] <= sizes


def test_leaks_are_those_that_valgrind_finds() -> None:
    """Of Perl, which frees nothing when it ends: what it counts as lost, directly or by others."""
    perl = ["perl", "-e", "1"]
    command = ["valgrind", "--leak-check=full", *perl]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    lost = re.findall(r"(?:definitely|indirectly) lost: ([\d,]+) bytes in ([\d,]+) blocks", said)
    total = [sum(int(each[i].replace(",", "")) for each in lost) for i in (0, 1)]
    ours = preloaded(perl, "report=yes:leaks=yes:stacks=8").stderr
    (found,) = re.findall(r"leaks: (\d+) blocks, (\d+) bytes", ours)
    blocks, size = map(int, found)
    assert abs(size - total[0]) <= total[0] // 5
    assert abs(blocks - total[1]) <= total[1] // 5


def test_leaks_are_not_guessed(build: Build) -> None:
    """Where it is not known what memory was written, all that is mapped would have to be read."""
    options = "report=yes:leaks=all:without=pagemap_scan"
    result = preloaded([build("leaks"), "lost"], options)
    assert (result.returncode, result.stderr) == (
        0,
        "patalloc: leaks: what points to blocks can't be told: that takes /proc and pagemap_scan\n",
    )


@pytest.mark.parametrize("options", ["slack_check=all", "guard_small=all:slack_check=all"])
def test_a_block_that_is_protected_is_no_error(build: Build, options: str) -> None:
    for how in ("exit", "15", "patalloc_check"):
        result = preloaded([build("unfreed"), "8176", "protected", how], f"{options}:report=yes")
        assert result.returncode == (-signal.SIGTERM if how == "15" else 0)
        assert result.stderr == ""
