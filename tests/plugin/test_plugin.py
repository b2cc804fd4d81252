"""Sessions of pytest under the heap (`pytest --patalloc`)."""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import ROOT
from patalloc.pytest.files import Reports
from patalloc.pytest.options import DEFAULTS

PYTEST = [sys.executable, "-m", "pytest"]
Session = Callable[..., "subprocess.CompletedProcess[str]"]
LARGE, SMALL = "1_000_000", "1000"


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the module `careless`."""
    directory = tmp_path_factory.mktemp("extension")
    include = f"-I{sysconfig.get_path('include')}"
    source = ROOT / "tests" / "plugin" / "careless.c"
    command = ["cc", "-shared", "-fPIC", "-g", "-O1", include, source, "-o"]
    subprocess.run([*command, directory / "careless.so"], check=True)
    return directory


def environment(extension: Path, **variables: str) -> dict[str, str]:
    """Without what the session has that this is a test of."""
    env = {each: os.environ[each] for each in os.environ if not each.startswith("PYTEST_")}
    return env | {"PYTHONPATH": str(extension), "COLUMNS": "200"} | variables


@pytest.fixture
def session(tmp_path: Path, extension: Path) -> Session:
    """Run a session of these tests, in a directory of its own."""

    def run(tests: str, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "test_it.py").write_text(f"import careless\n{tests}")
        return subprocess.run(
            [*PYTEST, *(arguments or ("--patalloc",))],
            cwd=tmp_path,
            env=environment(extension, **variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def outcomes(xml: Path) -> dict[str, str]:
    """Of each test what JUnit's file says: passed, or the message of its failure or error."""
    found = {}
    for case in ElementTree.parse(xml).getroot().iter("testcase"):  # noqa: S314 (our own file)
        wrong = next((each for each in case if each.tag in ("failure", "error")), None)
        found[case.attrib["name"]] = "passed" if wrong is None else wrong.attrib["message"]
    return found


def totals(done: "subprocess.CompletedProcess[str]") -> str:
    """The last line of a session, without times."""
    return re.sub(r"^=* | in .*", "", done.stdout.splitlines()[-1])


MANY = f"""
def test_fine(): pass
def test_overflow(): careless.put(bytearray({LARGE}), {LARGE} + 4096)
def test_underflow(): careless.put(bytearray({LARGE}), -4097)
def test_use_after_free(): careless.use_after_free({LARGE})
def test_free_twice(): careless.free_twice({LARGE})
def test_free_a_small_one_twice(): careless.free_twice(100)
def test_slack(): careless.put(bytearray(100_003), 100_005)
def test_fine_as_well(): assert bytes({LARGE}) == bytes({LARGE})
"""


def test_each_error_fails_its_test_and_the_session_goes_on(
    session: Session, tmp_path: Path
) -> None:
    done = session(MANY, "--patalloc", "--junit-xml=junit.xml")
    assert (done.returncode, totals(done)) == (1, "6 failed, 2 passed")
    assert "died" not in done.stderr
    found = outcomes(tmp_path / "junit.xml")
    kinds = {name.removeprefix("test_"): text.partition(":")[0] for name, text in found.items()}
    assert kinds == {
        "fine": "passed",
        "overflow": "heap-buffer-overflow",
        "underflow": "heap-buffer-underflow",
        "use_after_free": "use-after-free",
        "free_twice": "double-free",
        "free_a_small_one_twice": "double-free",
        "slack": "heap-buffer-overflow",
        "fine_as_well": "passed",
    }
    source = ROOT / "tests" / "plugin" / "careless.c"
    section = (
        r"-+ patalloc -+\npatalloc: use-after-free: write .*\n"
        r"  in thread .*, during test_it.py::test_use_after_free:\n"
        r"(  File .*\n)*"
        rf"    #0 use_after_free at {source}:"
    )
    assert re.search(section, done.stdout)
    assert re.search(section, (tmp_path / "junit.xml").read_text())
    assert "FAILED test_it.py::test_free_twice - double-free: free of " in done.stdout
    assert re.search(r"=+ patalloc =+\n6 errors in the heap, in 6 tests\nmalloc's", done.stdout)


def test_a_phase_fails_in_which_something_was_found(session: Session) -> None:
    tests = f"""
import pytest, threading
@pytest.fixture
def early(): careless.put(bytearray({LARGE}), {LARGE} + 4096)
@pytest.fixture
def late():
    yield
    careless.put(bytearray({LARGE}), {LARGE} + 4096)
def test_setup(early): pass
def test_teardown(late): pass
def test_thread():
    thread = threading.Thread(target=careless.free_twice, args=({LARGE},))
    thread.start()
    thread.join()
def test_of_its_own():
    careless.free_twice({LARGE})
    assert "its own" == ""
@pytest.mark.xfail
def test_expected():
    careless.free_twice({LARGE})
    assert False
def test_skipped():
    careless.free_twice({LARGE})
    pytest.skip()
def test_kept(): careless.overrun_and_keep({SMALL})
def test_behind(): pass
"""
    done = session(tests, "--patalloc", "-v")
    assert totals(done) == "4 failed, 3 passed, 3 errors"
    lines = re.findall(r"::test_(\w+) (PASSED|FAILED|ERROR)", done.stdout)
    assert lines[:8] == [
        ("setup", "ERROR"),
        *(("teardown", "PASSED"), ("teardown", "ERROR"), ("thread", "FAILED")),
        *(("of_its_own", "FAILED"), ("expected", "FAILED"), ("skipped", "FAILED")),
        ("kept", "PASSED"),
    ]
    # Behind that test, or where looking takes long, behind the next one.
    assert re.search(
        r"heap-buffer-overflow: found by patalloc_check: write 1 byte past the end .*\n(.*\n)+"
        r"  allocated.*, during test_it.py::test_kept",
        done.stdout,
    )
    assert re.search(r"assert 'its own' == ''(.*\n)+-+ patalloc -+\n.*double-free", done.stdout)


def test_imports_are_watched(session: Session) -> None:
    done = session(f"careless.free_twice({LARGE})\ndef test_fine(): pass")
    assert (done.returncode, totals(done)) == (2, "1 error")
    assert "ERROR test_it.py - double-free" in done.stdout


DYING = f"""
import os, warnings
def test_before(record_property):
    record_property("number", 1)
    warnings.warn("said before")
def test_fails(): assert False
def test_dies(): careless.die()
def test_between(): os.getpid()
def test_use_after_free(): careless.use_after_free({LARGE})
def test_aborts(): os.abort()
def test_behind(): pass
"""


def test_a_death_names_its_test_and_the_session_goes_on(session: Session, tmp_path: Path) -> None:
    arguments = ["--patalloc=on_fault=die", "-p", "no:faulthandler"]
    arguments += ["--junit-xml=junit.xml", "-o", "junit_family=xunit1"]
    done = session(DYING, *arguments)
    assert (done.returncode, totals(done)) == (1, "4 failed, 3 passed, 1 warning")
    found = outcomes(tmp_path / "junit.xml")
    assert [name for name, text in found.items() if text == "passed"] == [
        *("test_before", "test_between", "test_behind")
    ]
    assert found["test_fails"] == "assert False"
    assert found["test_dies"].startswith("null-pointer: SIGSEGV, write at 0x8")
    assert found["test_use_after_free"].startswith("use-after-free: write")
    assert found["test_aborts"].startswith("abort: SIGABRT")
    assert "the process died of SIGSEGV\n-" in done.stdout
    assert "3 errors in the heap, in 3 tests" in done.stdout
    assert "test_it.py:6: UserWarning: said before" in done.stdout
    assert '<property name="number" value="1"' in (tmp_path / "junit.xml").read_text()
    assert done.stderr.count(": another one goes on behind it") == 3


def test_a_process_is_replaced_before_it_makes_no_more_reports(
    session: Session, tmp_path: Path
) -> None:
    tests = f"""
import pytest
@pytest.fixture(scope="module", autouse=True)
def kept():
    yield
    print("torn down", file=open("kept", "a"))
@pytest.mark.parametrize("number", range(120))
def test_it(number): careless.use_after_free({LARGE})
def test_behind(): pass
"""
    done = session(tests, "--patalloc", "--junit-xml=junit.xml")
    assert (done.returncode, totals(done)) == (1, "120 failed, 1 passed")
    found = outcomes(tmp_path / "junit.xml")
    assert found.pop("test_behind") == "passed"
    assert all(each.startswith("use-after-free: write") for each in found.values())
    assert done.stderr.count(": another one goes on behind it") == 2
    assert (tmp_path / "kept").read_text() == "torn down\n" * 3
    assert "120 errors in the heap, in 120 tests\nmalloc's" in done.stdout


def test_a_death_outside_of_tests_is_told(session: Session) -> None:
    done = session("careless.die()\n", "--patalloc", "-p", "no:faulthandler")
    assert done.returncode == 1
    assert "patalloc: the process died of SIGSEGV outside of tests" in done.stderr
    assert "null-pointer" in done.stderr
    done = session(
        f"import atexit\natexit.register(careless.free_twice, {LARGE})\ndef test(): pass"
    )
    assert (done.returncode, totals(done)) == (1, "1 passed")
    assert "found outside of tests, or at the end" in done.stderr
    assert "double-free" in done.stderr


PROCESSES = f"""
import multiprocessing, subprocess, sys, pytest
def test_before(): pass
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_processes(way):
    process = multiprocessing.get_context(way).Process(target=careless.free_twice, args=({LARGE},))
    process.start()
    process.join()
def test_subprocess():
    subprocess.run([sys.executable, "-c", "import careless; careless.free_twice({LARGE})"])
def test_behind(): pass
"""


def failed_ones(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """Of each failed test what the summary says of it."""
    return dict(re.findall(r"^FAILED test_it.py::test_(\S+) - (.*)", done.stdout, re.MULTILINE))


def test_errors_of_a_tests_children_are_its_own(session: Session) -> None:
    done = session(PROCESSES)
    assert (done.returncode, totals(done)) == (1, "3 failed, 2 passed")
    failed = failed_ones(done)
    assert sorted(failed) == ["processes[fork]", "processes[spawn]", "subprocess"]
    assert all(each.startswith("double-free") for each in failed.values())


def test_workers_of_xdist(session: Session, tmp_path: Path) -> None:
    (tmp_path / "test_many.py").write_text(f"import careless\n{MANY}")
    (tmp_path / "test_dying.py").write_text(f"import careless\n{DYING}")
    arguments = ["--patalloc", "-n", "2", "-p", "no:faulthandler", "--junit-xml=junit.xml"]
    done = session(PROCESSES, *arguments)
    assert (done.returncode, totals(done)) == (1, "13 failed, 7 passed, 1 warning")
    assert sorted(failed_ones(done)) == ["processes[fork]", "processes[spawn]", "subprocess"]
    assert "12 errors in the heap, in 12 tests\nmalloc's blocks had " in done.stdout
    assert outcomes(tmp_path / "junit.xml")["test_free_twice"].startswith("double-free: free of ")
    for name, kind in (("dies", "null-pointer"), ("aborts", "abort")):
        assert re.search(
            rf"worker 'gw\d' crashed while running 'test_dying.py::test_{name}'\n.*\n"
            rf"-+ patalloc -+\npatalloc: {kind}: ",
            done.stdout,
        )


def test_other_options_keep_their_meaning(session: Session, tmp_path: Path) -> None:
    (tmp_path / "other.ini").write_text(
        "[pytest]\naddopts = -q --patalloc\npython_functions = try_*"
    )
    tests = """
import os, sys
def try_this():
    print("said by a test", input())
    assert os.environ["PATALLOC_OPTIONS"].startswith("pattern=0x2222:")
    assert "PYTHONMALLOC" not in os.environ and not sys.flags.safe_path
    assert os.environ["ARROW_DEFAULT_MEMORY_POOL"] == "system"
"""
    (tmp_path / "test_it.py").write_text(tests)
    arguments = ["-s", "-c", "other.ini", "--rootdir=.", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(
        [Path(sys.executable).with_name("pytest"), *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, PATALLOC_OPTIONS="pattern=0x2222"),
        capture_output=True,
        text=True,
        input="a line",
        timeout=60,
        check=False,
    )
    assert (done.returncode, totals(done)) == (0, "1 passed"), done.stdout
    assert "said by a test a line" in done.stdout
    assert "no errors in the heap" in done.stdout
    assert not (tmp_path / ".pytest_cache").exists()


def test_what_follows_the_bare_option_is_a_path(session: Session, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--colour')")
    (inner / "test_inner.py").write_text("def test_inner(): pass")
    done = session("def test_outer(): assert False", "--patalloc", "inner", "--colour=red")
    assert (done.returncode, totals(done)) == (0, "1 passed")


def test_bad_options_are_refused(session: Session) -> None:
    done = session("", "--patalloc=pattern=red")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --patalloc: pattern=red: bad value" in done.stderr


def test_programs_that_call_pytest(session: Session, tmp_path: Path) -> None:
    program = """
import contextlib, io, pytest, sys
sys.path.insert(0, "near")
said = io.StringIO()
with contextlib.redirect_stdout(said):
    status = pytest.main(["--patalloc", "-q", "test_it.py"])
print("status", int(status), "1 passed" in said.getvalue(), said.getvalue()[:0])
"""
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "near.py").touch()
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "test_it.py").write_text("import near\ndef test_it(): pass")
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "status 0 True \n", done.stderr


def test_sessions_within_sessions(session: Session) -> None:
    tests = f"""
pytest_plugins = ["pytester"]
INNER = "import careless\\ndef test_inner(): careless.free_twice({LARGE})"
def test_inline(pytester):
    pytester.makepyfile(INNER)
    pytester.inline_run().assertoutcome(passed=1)
def test_process(pytester):
    pytester.makepyfile(INNER)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
def test_inline_with_one_of_its_own(pytester):
    pytester.makepyfile(INNER)
    pytester.runpytest_inprocess("--patalloc").assert_outcomes(failed=1)
def test_process_with_one_of_its_own(pytester):
    pytester.makepyfile(INNER)
    pytester.runpytest_subprocess("--patalloc").assert_outcomes(failed=1)
"""
    done = session(tests)
    assert (done.returncode, totals(done)) == (1, "2 failed, 2 passed")
    assert re.findall(r"^FAILED .*::test_(\w+)", done.stdout, re.MULTILINE) == ["inline", "process"]


SEEN = """
import json, os, signal, sys
def test_seen():
    descriptors = {}
    for each in os.listdir("/proc/self/fd"):
        if int(each) < 100 and os.path.lexists(path := f"/proc/self/fd/{each}"):
            descriptors[each] = os.readlink(path).partition("#")[0].partition(":")[0]
    seen = {
        "descriptors": descriptors,
        "handlers": [str(signal.getsignal(each)) for each in sorted(signal.valid_signals())],
        "modules": sorted({"attrs", "cffi", "drgn", "elftools"} & sys.modules.keys()),
        "path": [each for each in sys.path if "patalloc" in each],
        "variables": sorted(os.environ),
        "directory": os.getcwd(),
    }
    with open("seen", "a") as file:
        print(json.dumps(seen), file=file)
"""


def test_tests_see_little_of_it(session: Session, tmp_path: Path) -> None:
    for arguments in (("-q",), ("-q", "--patalloc")):
        session(SEEN, *arguments)
    bare, watched = map(json.loads, (tmp_path / "seen").read_text().splitlines())
    variables = set(watched.pop("variables")) - set(bare.pop("variables"))
    assert bare == watched
    assert variables == {
        *("LD_PRELOAD", "PATALLOC_OPTIONS"),
        *("ARROW_DEFAULT_MEMORY_POOL", "GLIBCXX_FORCE_NEW", "G_SLICE", "USE_ZEND_ALLOC"),
    }


def test_numpys_old_names_are_left_alone(session: Session) -> None:
    old = "import pickle\ndef test_old(): pickle.loads(b'cnumpy.core._multiarray_umath\\nadd\\n.')"
    assert totals(session(old)) == "1 passed"


def test_without_the_option_nothing_is_imported(session: Session) -> None:
    tests = """
import sys
def test_modules():
    ours = {each for each in sys.modules if each.partition(".")[0] == "patalloc"}
    assert ours == {"patalloc", "patalloc.pytest", "patalloc.standard_error"}
    assert not {"attr", "cffi", "ctypes"} & sys.modules.keys()
"""
    done = session(tests.replace("import sys", "import sys", 1), "-q", "-p", "no:faulthandler")
    assert done.returncode == 0, done.stdout


REPORTING = """
import ctypes
from patalloc import Heap
def write_past(distance):
    with Heap(report="yes", on_error="continue", slack_check="large") as heap:
        block = heap.malloc(200_003)
        ctypes.memset(block.address + block.size + distance, 1, 1)
def test_as_it_is(): write_past(0)
def test_captured(capfd):
    write_past(0)
    assert capfd.readouterr().err == ""
"""


@pytest.mark.parametrize("arguments", [("-q",), ("-s",), ("--patalloc",)])
def test_reports_of_a_tests_own_heap_are_not_captured(
    session: Session, arguments: tuple[str, ...]
) -> None:
    done = session(REPORTING, *arguments)
    assert done.returncode == 0, done.stdout
    assert done.stderr.count("patalloc: heap-buffer-overflow: found by free: write 1 byte") == 2


def test_nor_is_what_a_process_dies_of(session: Session) -> None:
    done = session(f"{REPORTING}def test_dies(): write_past(8192)", "-p", "no:faulthandler")
    assert done.returncode == -signal.SIGSEGV
    assert "patalloc: heap-buffer-overflow: write at " in done.stderr


MARKED = """
import numpy, pytest
def test_before(): assert careless.unwritten(1000) == b"\\xff\\x7f" * 500
@pytest.fixture
def early(): return careless.unwritten(300_000)
@pytest.mark.patalloc(pattern=0x55)
def test_pattern(early):
    for size in (1000, 300_000):
        assert careless.unwritten(size) == b"\\x55" * size
    assert early == b"\\x55" * 300_000
@pytest.mark.patalloc(written="1 MiB")
class TestWritten:
    @pytest.mark.patalloc(pattern="0xdeadbeef")
    def test_both(self):
        table = numpy.empty(50_000_000, "u1")
        table[::5_000_000] = 1
        assert table[:4].tobytes() == b"\\x01\\xbe\\xad\\xde"
    @pytest.mark.patalloc(written=100)
    def test_the_closest_counts(self): numpy.empty(1_000_000, "u1")[0] = 1
    def test_freed(self):
        for _ in range(10): numpy.empty(1_000_000, "u1").fill(1)
    def test_kept(self, kept=[]): kept.append(numpy.ones(2_000_000, "u1"))
    def test_read(self): assert numpy.empty(50_000_000, "u1").max() == 255
    def test_failed_by_itself(self):
        numpy.ones(2_000_000, "u1")
        assert "its own" == ""
    def test_freed_before(self, kept=[numpy.ones(3_000_000, "u1")]): kept.clear()
def test_behind(): assert careless.unwritten(1000) == b"\\xff\\x7f" * 500
@pytest.mark.patalloc(pattern="red")
def test_bad_pattern(): pass
@pytest.mark.patalloc(pattern="none")
def test_no_pattern(): pass
@pytest.mark.patalloc(written="1 MiB/s")
def test_bad_unit(): pass
@pytest.mark.patalloc(written=-1)
def test_bad_number(): pass
@pytest.mark.patalloc("1 MiB", color=1)
def test_bad_arguments(): pass
def test_last(): assert careless.unwritten(1000) == b"\\xff\\x7f" * 500
"""
WRONG = {
    "test_the_closest_counts": r"0\.0 MiB of blocks were written, and 0\.0 MiB are allowed",
    "test_freed": r"9\.[56] MiB of blocks were written, and 1\.0 MiB are allowed",
    "test_kept": r"1\.9 MiB of blocks were written",
    "test_failed_by_itself": "AssertionError: assert 'its own' == ''",
    "test_bad_pattern": ".*patalloc: pattern=red: bad value; allowed: a byte .*",
    "test_no_pattern": ".*patalloc: pattern=none: can't be changed to, or from",
    "test_bad_unit": ".*patalloc: written='1 MiB/s': bad value; allowed: a number of bytes, or one",
    "test_bad_number": ".*patalloc: written=-1: bad value",
    "test_bad_arguments": ".*patalloc: '1 MiB', color: no such argument; allowed: pattern, written",
}


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_markers(session: Session, tmp_path: Path, workers: tuple[str, ...]) -> None:
    arguments = ("--strict-markers", "-W", "error", "--junit-xml=junit.xml")
    done = session(MARKED, "--patalloc", *arguments, *workers)
    found = outcomes(tmp_path / "junit.xml")
    assert found.keys() > WRONG.keys()
    for name, text in found.items():
        assert re.match(WRONG.get(name, "passed"), text), (name, text)
    assert re.search(
        r"-+ patalloc -+\nanonymous memory \(RssAnon\): [\d.]+ MiB before, [\d.]+ MiB behind\n"
        r"resident memory \(VmHWM\): [\d.]+ MiB before, [\d.]+ MiB at its peak\n",
        done.stdout,
    )
    assert "no errors in the heap" in done.stdout


def test_markers_do_nothing_without_the_option(session: Session) -> None:
    tests = """
import pytest
@pytest.mark.patalloc(pattern=0x55, written=0)
def test_it(): assert bytearray(b"1" * 1_000_000)
@pytest.mark.patalloc(pattern="red")
def test_bad(): pass
"""
    done = session(tests, "-q", "--strict-markers", "-W", "error")
    assert (done.returncode, done.stdout.splitlines()[-1].partition(" in ")[0]) == (0, "2 passed")
    assert "@pytest.mark.patalloc(pattern=..., written=...): " in session("", "--markers").stdout


OWN_HEAP = """
import ctypes, pytest
def put(block, index): ctypes.memset(block.address + index, 1, 1)
def test_fine(patalloc_heap):
    with patalloc_heap.malloc(1_000_000) as block:
        assert memoryview(block)[:2].hex() == "ff7f"
        put(block, 0)
def test_fresh(patalloc_heap): assert patalloc_heap.stats().blocks == 0
@pytest.mark.patalloc(pattern=0x55)
def test_pattern(patalloc_heap): assert memoryview(patalloc_heap.malloc(1000))[0] == 0x55
def test_past(patalloc_heap, kept=[]):
    kept.append(patalloc_heap.malloc(1000))
    put(kept[0], 1000)
def test_past_a_large_one(patalloc_heap):
    with patalloc_heap.malloc(200_003) as block: put(block, 200_003)
def test_views(patalloc_heap):
    view = memoryview(patalloc_heap.malloc(1000))
    assert "its own" == ""
def test_behind(patalloc_heap): pass
"""


def test_a_heap_of_a_tests_own(session: Session, tmp_path: Path) -> None:
    done = session(OWN_HEAP, "--junit-xml=junit.xml", "-vv")
    assert totals(done) == "1 failed, 6 passed, 2 errors"
    assert done.stderr.count("patalloc: heap-buffer-overflow: found by ") == 2
    found = re.findall(r"^ERROR \S+::test_(\w+) - Failed: (.*)", done.stdout, re.MULTILINE)
    told = "1 error in patalloc_heap, told on standard error"
    assert found == [("past", told), ("past_a_large_one", told)]

    faults = "def test_at_once(patalloc_heap): put(patalloc_heap.malloc(200_000), 202_000)\n"
    done = session(OWN_HEAP + faults, "--patalloc", "-vv")
    assert totals(done) == "3 failed, 5 passed, 1 error"
    failed = failed_ones(done)
    assert failed.pop("views") == "AssertionError: assert 'its own' == ''"
    assert failed.keys() == {"past_a_large_one", "at_once"}
    assert failed["past_a_large_one"].startswith(
        "heap-buffer-overflow: found by free: write 1 byte"
    )
    assert "ERROR test_it.py::test_past - heap-buffer-overflow: found by free: " in done.stdout
    assert "3 errors in the heap, in 3 tests" in done.stdout


def test_a_heap_of_its_own_where_another_one_reports_elsewhere(session: Session) -> None:
    first = "from patalloc import Heap\nheap = Heap(report='yes')\n"
    done = session(first + OWN_HEAP, "--patalloc", "-k", "past", "-vv")
    assert totals(done) == "2 passed, 5 deselected, 2 errors"
    assert done.stderr.count("patalloc: heap-buffer-overflow: found by ") == 2


def test_what_is_not_watched_is_told(session: Session, extension: Path) -> None:
    library = extension / "other_pool.so"
    code = 'const char *name = "mimalloc: "; int PyInit_other_pool;'
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=code, text=True, check=True)
    tests = f"import ctypes\nctypes.CDLL({str(library)!r})\ndef test_it(): pass"
    done = session(tests)
    assert "mimalloc in other_pool.so: takes memory of its own, which is not watched" in done.stdout


DIFFERENT = """
import os, tempfile, time, warnings, pytest
try: from hypothesis import given, strategies
except ImportError: pass
def test_same(tmp_path): print(tmp_path, tempfile.mkdtemp(), hash("a"), id(object()), "1.5s")
def test_output(): print(careless.unwritten(16))
def test_outcome(): assert not any(careless.unwritten(1000))
def test_warning():
    if careless.unwritten(1000)[0]: warnings.warn("it is not zero")
def test_by_itself(): print(time.time_ns())
@given(strategies.integers())
def test_examples(number): print(number)
"""


def test_tests_that_differ_with_another_pattern(session: Session, tmp_path: Path) -> None:
    done = session(DIFFERENT, "--patalloc-diff", "-n", "2", "--junit-xml=junit.xml")
    assert (done.returncode, totals(done)) == (1, "3 failed, 3 passed, 1 warning")
    found = {name: text.splitlines()[0] for name, text in outcomes(tmp_path / "junit.xml").items()}
    assert found == {
        "test_same": "passed",
        "test_output": "with pattern 0x00: " + repr(bytes(16)),
        "test_outcome": "AssertionError: assert not True",
        "test_warning": "with pattern 0x7fff: UserWarning: it is not zero",
        "test_by_itself": "passed",
        "test_examples": "passed",
    }
    assert "--- pattern 0x7fff\n+++ pattern 0x00\n" in done.stdout
    assert f"\n-{bytes.fromhex('ff7f') * 8!r}\n+{bytes(16)!r}\n" in done.stdout
    assert "3 tests did something else with 0x00 than with 0x7fff in fresh memory" in done.stdout
    assert "test_it.py::test_by_itself is not the same twice with the same pattern" in done.stdout


def test_numbers_that_neither_pattern_changes_have_another_one(session: Session) -> None:
    tests = """
import numpy as np
def test_largest(): print(np.nanmax([np.empty(100), np.ones(100)], axis=0))
"""
    done = session(tests, "--patalloc-diff")
    assert (done.returncode, totals(done)) == (0, "1 passed")
    done = session(tests, "--patalloc=pattern=0x5a", "--patalloc-diff")
    assert (done.returncode, totals(done)) == (1, "1 failed")
    assert "0x5a and 0x00 there make a difference" in done.stdout


@pytest.mark.full
def test_a_test_that_differs_is_hunted(session: Session) -> None:
    tests = "def test_fine(): pass\ndef test_output(): print(careless.unwritten(1000))"
    done = session(tests, "--patalloc-hunt")
    assert (done.returncode, totals(done)) == (1, "1 failed, 1 passed")
    assert "finding 1: uninitialised memory changes the behaviour" in done.stdout
    assert re.search(r"#0 unwritten at \S+careless.c", done.stdout)


def test_a_session_that_fails_is_shown_once(session: Session) -> None:
    done = session("syntax error", "--patalloc-diff")
    assert (done.returncode, totals(done)) == (2, "1 error")
    assert done.stderr.count("a session with pattern") == 1


def test_the_documentations_example(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    (tmp_path / "test_rows.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    command = re.findall(r"^    \$ (.*)", text, re.MULTILINE)[0].split()
    env = environment(tmp_path, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    run = partial(subprocess.run, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert totals(run(command[:1])) == "2 passed"
    done = run(command)
    assert (done.returncode, totals(done)) == (1, "1 failed, 1 passed")
    assert re.search(
        r"-+ patalloc -+\npatalloc: heap-buffer-overflow: write at 0x\w+, 1 byte past the end of a "
        r"200000-byte block at 0x\w+\n.* during test_rows.py::test_clear_too_much:\n"
        r'  File ".*/test_rows.py", line 5 in clear\n',
        done.stdout,
    )


def test_the_documentations_other_examples(session: Session, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    marked, own_heap = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[1:]
    done = session(marked)
    assert (done.returncode, totals(done)) == (1, "1 failed, 1 passed")
    documented = re.search(r"[\d.]+ (MiB of blocks were written, and .*)", text)
    assert documented
    assert documented[1] in done.stdout
    for arguments in (("--patalloc",), ("-q",)):
        done = session(own_heap, *arguments)
        assert done.returncode == 1
        assert re.search(r"1 byte past the end of a 1000-byte block", done.stdout + done.stderr)


def test_the_defaults_are_documented() -> None:
    assert f"    {DEFAULTS}\n" in (ROOT / "docs" / "python.md").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pathlib, time\n"
        "def test_it():\n    pathlib.Path('begun').touch()\n    time.sleep(60)"
    )
    with subprocess.Popen(
        [*PYTEST, "--patalloc"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        process.send_signal(number)
        said = process.communicate(timeout=30)[0]
    if number == signal.SIGINT:
        assert process.returncode == pytest.ExitCode.INTERRUPTED
        assert "KeyboardInterrupt" in said
    else:
        assert process.returncode == 128 + number


def test_nothing_is_left_behind(session: Session, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    session(MANY, "--patalloc", "-k", "fine or twice", "-p", "no:cacheprovider", TMPDIR=str(files))
    assert [each.name for each in files.iterdir()] == []


def test_reports_are_taken_once_however_soon_they_come(tmp_path: Path) -> None:
    reports = Reports(tmp_path)
    assert reports.take() == []
    for number in range(100):
        (tmp_path / f"report.{number}").write_text("first\n")
        assert (reports.take(), reports.take()) == (["first"], [])
    os.utime(tmp_path, ns=(1, 1))  # long ago: files in it are known from here on
    assert reports.take() == []
    with (tmp_path / "report.0").open("a") as file:
        file.write("second\nunfinished")
    assert reports.take() == ["second"]
    (tmp_path / "report.another").write_text("third\n")
    assert (reports.take(), Reports(tmp_path).take()) == (["third"], [])
