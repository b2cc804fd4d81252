"""patalloc hunt: the programs in tests/hunt have an error each, and their fixed twins none."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml
from sarif_pydantic import Sarif

from conftest import FLAGS, Build, preloaded

PROGRAMS = Path(__file__).parent
COMPILED = sorted(path.name for path in PROGRAMS.glob("*.c*"))
SCRIPTS = sorted(path.name for path in PROGRAMS.glob("*.py") if not path.match("test_*"))


def expected(name: str) -> tuple[list[str], bool]:
    """The bytes as START-END, with #NUMBER (or #any) of the allocation if not 1; whether they go
    together.
    """
    words = (PROGRAMS / name).read_text().splitlines()[0].strip("/*# ").split()
    together = words[-1] == "together"
    words = words[:-1] if together else words
    joined = " ".join(words).replace(" #", "#").split()
    return [word if "#" in word else f"{word}#1" for word in joined], together


def culprit_lines(name: str) -> list[int]:
    lines = (PROGRAMS / name).read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if "CULPRIT" in line]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All programs, with an error and, by the suffix .fixed, without."""
    directory = tmp_path_factory.mktemp("hunt")
    for name in COMPILED:
        for suffix, more in (("", []), (".fixed", ["-DFIXED"])):
            compiler = "g++" if name.endswith(".cc") else "cc"
            flags = [flag for flag in FLAGS if compiler == "cc" or flag != "-std=gnu11"] + more
            libraries = ["-lpthread"]
            if name == "stripped_library.c":
                library = directory / f"libnumbers{suffix}.so"
                source = PROGRAMS / "library" / "numbers.c"
                command = ["cc", *flags, "-shared", "-fPIC", source, "-o", library, "-s"]
                subprocess.run(command, check=True)
                libraries += [library, f"-Wl,-rpath,{directory}"]
            program = directory / f"{name}{suffix}"
            command = [compiler, *flags, PROGRAMS / name, "-o", program, *libraries]
            subprocess.run(command, check=True)
    include = sysconfig.get_path("include")
    extension = directory / f"bug_extension{sysconfig.get_config_var('EXT_SUFFIX')}"
    source = PROGRAMS / "library" / "extension.c"
    command = ["cc", "-g", "-O1", "-fPIC", "-shared", f"-I{include}", source, "-o", extension]
    subprocess.run(command, check=True)
    return directory


def hunt(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "patalloc", "hunt", *map(str, arguments)]
    env = dict(os.environ) | variables
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What it says but for how far it is, every ten seconds."""
    progress = re.compile(r"patalloc: [a-zA-Z ]+: \d+ runs(, [\d,]+ candidates)?")
    return [line for line in done.stderr.splitlines() if not progress.fullmatch(line)]


def found_by(*arguments: str | Path, **variables: str) -> dict[str, Any]:
    done = hunt("--json", *arguments, **variables)
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check_bytes(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    ranges, together = expected(name)
    culprits = [culprit for finding in found["findings"] for culprit in finding["culprits"]]
    numbers = {"#any": "any"} if ranges[0].endswith("#any") else {}
    told = (
        f"{each['start']}-{each['end']}#{numbers.get('#any', each['number'])}" for each in culprits
    )
    assert sorted(told) == ranges
    assert len(found["findings"]) == (1 if together else len(ranges))
    return culprits


@pytest.mark.parametrize("name", COMPILED)
def test_it_is_found(built: Path, name: str) -> None:
    found = found_by("--jobs", "1", "--", built / name)
    culprits = check_bytes(found, name)
    stacks = [" ".join(culprit["stack"]) for culprit in culprits]
    for line in culprit_lines(name):
        assert any(re.search(rf"{re.escape(name)}:{line} ", stack) for stack in stacks)
    if name == "stripped_library.c":
        assert re.search(r"#0 library_numbers \(\S*/libnumbers.so\+0x", culprits[0]["stack"][0])
    assert found["runs"] <= (30 if expected(name)[1] or name == "one_bit.c" else 25)


@pytest.mark.parametrize("name", COMPILED)
def test_the_fixed_twin_is_not_accused(built: Path, name: str) -> None:
    done = hunt("--", built / f"{name}.fixed")
    assert (done.returncode, complaints(done)) == (0, [])
    assert "the same with every pattern" in done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_found_in_python(built: Path, name: str) -> None:
    found = found_by("--", sys.executable, PROGRAMS / name, PYTHONPATH=str(built))
    culprits = check_bytes(found, name)
    told = [culprit["python"][0] for culprit in culprits]
    for line in culprit_lines(name):
        assert any(f'{PROGRAMS / name}", line {line} in' in each for each in told)
    culprit = culprits[0]
    if name == "extension.py":
        assert "extension.c:" in " ".join(culprit["stack"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_fixed_twin_is_not_accused_in_python(built: Path, name: str) -> None:
    done = hunt("--", sys.executable, PROGRAMS / name, "fixed", PYTHONPATH=str(built))
    assert (done.returncode, complaints(done)) == (0, [])


@pytest.fixture
def hunted(build: Build) -> str:
    return str(build("hunted"))


def test_what_is_not_deterministic_can_be_masked(hunted: str) -> None:
    for ways in (["--mask", "process .*"], ["--filter", "cut -d' ' -f1"], []):
        found = found_by(*ways, "--", hunted, "pid")
        (finding,) = found["findings"]
        assert [finding["culprits"][0][key] for key in ("start", "end")] == [7, 8]
        assert [re.sub(r"[1-9]\d+", "N", line) for line in finding["changes"]] in (
            ["stdout:", "  -0", "  +N"] if ways[:1] == ["--filter"] else
            ["stdout:", "  -0 of ", "  +N of "] if ways else
            ["stdout:", "  -0 of process N", "  +N of process N"],
        )  # fmt: skip
        assert bool(found["masked"]) == (not ways)
    assert hunt("--check", "true", "--", hunted, "pid").returncode == 0
    checked = found_by("--check", 'grep -q "^0 of" "$STDOUT"', "--", hunted, "pid")
    assert checked["findings"][0]["changes"] == ["status 0 -> status 1"]


@pytest.mark.parametrize("what", ["all", "threads"])
def test_what_varies_by_itself_is_masked_by_itself(build: Build, what: str) -> None:
    for _ in range(3):
        done = hunt("--", build("flickers"), "1000000", what)
        assert (done.returncode, complaints(done)) == (0, []), done.stdout
        assert "the same with every pattern" in done.stdout
    masks = re.findall(
        r"varies by itself: stdout: (?:--mask '(.*)'|the order of lines)", done.stdout
    )
    assert masks
    if what == "all":
        kept = [word for mask in masks for word in ("--mask", mask)]
        done = hunt(*kept, "--", build("flickers"), "1000000", what)
        assert "varies by itself" not in done.stdout


@pytest.mark.parametrize("what", ["duration", "word", "line", "status"])
@pytest.mark.parametrize("one_in", [4, 8])
def test_chance_accuses_nobody(build: Build, what: str, one_in: int) -> None:
    for _ in range(2):
        done = hunt("--", build("flickers"), str(one_in), what)
        assert done.returncode in (0, 2), done.stdout
        assert "finding" not in done.stdout
        if done.returncode == 2:
            said = done.stdout + done.stderr
            assert "not deterministic" in said or "with the same memory differ" in said


def test_an_error_is_found_beside_what_varies(built: Path) -> None:
    script = 'echo "at $(date +%N)"; echo "job $$ took 0.$(date +%N) s"; "$0"; echo "end $$"'
    found = found_by("--", "sh", "-c", script, built / "missing_last.c")
    check_bytes(found, "missing_last.c")


def test_the_baselines_status_is_told() -> None:
    done = hunt("--", sys.executable, "-c", "import json; json.loads(1)")
    assert done.returncode == 0
    assert "each run ends with status 1: TypeError: the JSON object must be" in done.stdout


def test_files_that_are_not_compared_are_told(hunted: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    os.utime(tmp_path / "old", (1, 1))
    command = [sys.executable, "-m", "patalloc", "hunt", "--", hunted, "file", "new.out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    told = "patalloc: new.out was written, and not compared: --output new.out does"
    assert told in done.stdout.splitlines()
    assert "old" not in done.stdout
    command[4:4] = ["--output", "new.out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "not compared" in done.stdout) == (1, False)


def test_children_that_outlive_the_program_are_ended(build: Build) -> None:
    done = hunt("--", build("flickers"), "1000000", "leaves")
    assert (done.returncode, complaints(done)) == (0, [])
    assert done.stdout.startswith("patalloc: the same")
    left = subprocess.run(["pgrep", "-f", "flickers.* leaves"], capture_output=True, text=True)
    assert not left.stdout


def test_a_hunt_ends_when_its_time_is_over(hunted: str) -> None:
    begun = time.monotonic()
    done = hunt("--jobs", "1", "--time-limit", "2", "--", hunted, "slow")
    assert done.returncode == 3
    assert "patalloc: cut short" in done.stdout
    assert time.monotonic() - begun < 30


def test_files_and_input_count(hunted: str, tmp_path: Path) -> None:
    written, typed = tmp_path / "written", tmp_path / "typed"
    assert hunt("--", hunted, "file", written).returncode == 0
    (finding,) = found_by("--exact", "--output", written, "--", hunted, "file", written)["findings"]
    assert [finding["culprits"][0][key] for key in ("start", "end")] == [0, 9]
    assert finding["changes"][0] == f"{written}:"
    assert hunt("--", hunted, "input").returncode == 0
    typed.write_text("yes")
    (finding,) = found_by("--exact", "--stdin", typed, "--", hunted, "input")["findings"]
    assert finding["culprits"][0]["start"] == 3


def test_a_hang_is_a_difference(hunted: str) -> None:
    (finding,) = found_by("--exact", "--timeout", "1", "--jobs", "8", "--", hunted, "hang")[
        "findings"
    ]
    assert finding["changes"][0] == "status 0 -> took too long"
    assert [finding["culprits"][0][key] for key in ("start", "end")] == [50, 51]


def test_a_status_is_a_difference(hunted: str) -> None:
    found = found_by("--pattern", "0x01", "--pattern", "0xff", "--", hunted, "status")
    assert found["patterns"] == {"0x01": [], "0xff": ["status 0 -> status 7"]}
    assert found["findings"][0]["changes"] == ["status 0 -> status 7"]


def test_a_pattern_may_be_a_value(hunted: str) -> None:
    found = found_by("--pattern", "0x7ff00000000000ff", "--", hunted, "status")
    assert found["findings"][0]["pattern"] == "0x7ff00000000000ff"


def test_a_crash_in_the_heap_is_reported(hunted: str) -> None:
    (finding,) = found_by("--exact", "--", hunted, "overflow")["findings"]
    assert finding["changes"][0] == "status 0 -> signal 11"
    assert re.match("heap-buffer-overflow: write at .*, 1 byte past", finding["reports"][0])
    assert finding["culprits"][0]["start"] == 5


def test_large_outputs_are_compared(hunted: str) -> None:
    (finding,) = found_by("--", hunted, "much")["findings"]
    assert finding["changes"] == ["stdout:", "  the same in its first 4 MiB"]


def test_children_are_followed_unless_told_otherwise(built: Path) -> None:
    assert hunt("--follow", "parent", "--", built / "child_process.c").returncode == 0
    assert hunt("--follow", "parent", "--", built / "struct_padding.c").returncode == 1
    assert hunt("--", "sh", "-c", f"true; {built}/struct_padding.c").returncode == 1


@pytest.mark.parametrize("name", ["both_needed.c", "a_million.c", "large_sparse.c"])
def test_runs_side_by_side_find_the_same(built: Path, name: str) -> None:
    check_bytes(found_by("--jobs", "3", "--", built / name), name)


def test_no_more_culprits_than_asked_for(built: Path) -> None:
    found = found_by("--max-culprits", "1", "--", built / "cancelling_out.c")
    assert len(found["findings"]) == 1


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [("large_sparse.c", 700000000, 700000004), ("float_accumulation.c", 7, 8)],
)
def test_the_bytes_that_matter_are_found_if_asked_for(
    built: Path, name: str, start: int, end: int
) -> None:
    (finding,) = found_by("--exact", "--pattern", "0xff", "--", built / name)["findings"]
    assert [finding["culprits"][0][key] for key in ("start", "end")] == [start, end]


def test_a_finding_can_be_run_again(built: Path) -> None:
    program = str(built / "partial_read.c")
    shown = hunt("--pattern", "0xff", "--", program)
    (line,) = (line for line in shown.stdout.splitlines() if "again: patalloc" in line)
    again = shlex.split(line.partition("again: patalloc hunt ")[2])
    done = subprocess.run(
        [sys.executable, "-m", "patalloc", "hunt", *again], capture_output=True, timeout=60
    )
    assert done.stdout == b"0123456789" + b"\xff" * 54
    exports = hunt(*again[: again.index("--")], "--env", "--", program).stdout
    by_hand = subprocess.run(["sh", "-c", f"{exports}setarch -R {program}"], capture_output=True)
    assert by_hand.stdout == done.stdout


def test_interrupted_hunts_tell_what_they_have(hunted: str) -> None:
    command = [sys.executable, "-m", "patalloc", "hunt", "--", hunted, "slow"]
    ours, theirs = pty.openpty()  # where progress is shown
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        shown = b""
        while b"bisecting allocations" not in shown:
            shown += os.read(ours, 1000)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 3
    assert "patalloc: cut short" in said
    assert re.search("with random.* in all fresh memory", said)


def test_what_cannot_be_hunted_in(build: Build, tmp_path: Path) -> None:
    static = tmp_path / "static"
    (tmp_path / "main.c").write_text("int main(void) { return 0; }")
    subprocess.run(["cc", "-static", tmp_path / "main.c", "-o", static], check=True)
    privileged = tmp_path / "privileged"
    privileged.write_bytes(build("hunted").read_bytes())
    privileged.chmod(0o4755)
    for program, complaint in (
        ("no-such-program", "no-such-program: not found"),
        ("/etc/passwd", "/etc/passwd: not executable"),
        (str(static), "not reached by LD_PRELOAD: statically linked?"),
        (str(privileged), "set-user-ID or set-group-ID: LD_PRELOAD is ignored there"),
    ):
        refused = hunt("--", program)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert complaint in refused.stderr
    for wrong in (["--once", "5"], ["--mask", "("], ["--pattern", "none"], ["--pattern", "red"]):
        refused = hunt(*wrong, "--", "true")
        assert refused.returncode == 2
        assert wrong[1] in refused.stderr


def test_programs_without_allocations(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text("int main(void) { return 3; }")
    subprocess.run(["cc", "main.c", "-o", "main"], cwd=tmp_path, check=True)
    done = hunt("--", tmp_path / "main")
    assert done.returncode == 0
    assert "0 allocations (0 bytes) from 0 call stacks" in done.stdout


@pytest.mark.parametrize("content", [None, b"", b"junk", b"patsel2\n" + b"\xff" * 96])
def test_a_wrong_selection_is_one_line_and_a_run_without(
    hunted: str, tmp_path: Path, content: bytes | None
) -> None:
    selection = tmp_path / "selection"
    if content is not None:
        selection.write_bytes(content)
    result = preloaded([hunted, "status"], f"pattern=0:select={selection}")
    assert result.returncode == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("patalloc: select: the file can't be read, or is none")
    result = preloaded([hunted, "status"], "pattern=0:trace=/nowhere/trace")
    assert result.stderr == "patalloc: trace: the file can't be made; allocations are not counted\n"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_hunt_that_is_ended_leaves_nothing_behind(tmp_path: Path, jobs: str) -> None:
    command = [sys.executable, "-m", "patalloc", "hunt", "--jobs", jobs, "--", "sleep", "1234.5"]
    env = dict(os.environ) | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=env) as process:
        while not list(tmp_path.glob("*/*/stdout")):
            time.sleep(0.05)
        time.sleep(0.3)
        process.terminate()
    assert process.returncode == 3
    assert not list(tmp_path.iterdir())
    left = subprocess.run(["pgrep", "-f", "sleep 1234[.]5"], capture_output=True, text=True)
    assert not left.stdout


def test_what_varies_with_the_pattern_alone_is_an_error(hunted: str) -> None:
    (finding,) = found_by("--exact", "--", hunted, "random")["findings"]
    assert (finding["culprits"][0]["start"], finding["pattern"]) == (9, "0x01")


def test_a_file_that_is_not_written_is_told_from_an_old_one(hunted: str, tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    (tmp_path / "out.masked").write_text("precious")
    (tmp_path / "out.filtered").write_text("precious")
    options = ["--output", file, "--mask", "zzz", "--filter", "cat"]
    (finding,) = found_by("--exact", *options, "--", hunted, "stale", file)["findings"]
    assert finding["culprits"][0]["start"] == 8
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "out.txt": "hello\n",
        "out.masked": "precious",
        "out.filtered": "precious",
    }


def test_durations_are_left_out_unless_asked_for(hunted: str) -> None:
    done = hunt("--", hunted, "milliseconds")
    assert done.returncode == 0
    assert "not compared, as it varies by itself: times (0.25s, 12:34:56)" in done.stdout
    (finding,) = found_by("--durations", "--", hunted, "milliseconds")["findings"]
    assert finding["culprits"][0]["start"] == 10


def test_lines_that_come_and_go_hide_no_others(hunted: str) -> None:
    for _ in range(3):
        assert hunt("--", hunted, "rows").returncode in (1, 2)


def test_many_lines_and_long_ones_are_compared(hunted: str) -> None:
    (finding,) = found_by("--exact", "--", hunted, "lines")["findings"]
    assert finding["culprits"][0]["start"] == 12
    assert finding["changes"] == ["stdout:", "  -0", "  +1"]


def test_a_pattern_of_zeros_is_refused(hunted: str) -> None:
    done = hunt("--pattern", "0x0000", "--", hunted, "quiet")
    assert (done.returncode, "must be a value, and not 0" in done.stderr) == (2, True)


def test_a_run_ends_when_the_time_is_over() -> None:
    for seconds in ("1", "5"):
        done = hunt("--time-limit", seconds, "--", "sleep", "4")
        assert done.returncode == 3


def test_patterns_have_names(built: Path) -> None:
    program = built / "sentinel.c"
    for name in ("minus-one", "positive", "text", "nan"):
        assert hunt("--pattern", name, "--", program).returncode == 0
    (finding,) = found_by("--pattern", "negative", "--", program)["findings"]
    assert finding["pattern"] == "negative"


def test_all_is_shown_if_asked_for(built: Path) -> None:
    program = built / "cpp_member.cc"
    short, long = hunt("--", program).stdout, hunt("--verbose", "--", program).stdout
    assert "more lines: --verbose" in short
    assert "more lines" not in long
    assert len(short.splitlines()) <= 14
    assert long.count("    #") > short.count("    #")


def test_a_program_that_is_mapped_in_parts_has_names(tmp_path: Path) -> None:
    """The loader knows each of them apart (_dl_find_object)."""
    source, program = PROGRAMS / "missing_last.c", tmp_path / "parted"
    parted = ["-no-pie", "-Wl,--section-start=.text=0xb00000"]
    subprocess.run(["cc", *FLAGS, *parted, source, "-o", program, "-lpthread"], check=True)
    (culprit,) = found_by("--", program)["findings"][0]["culprits"]
    (line,) = culprit_lines(source.name)
    assert f"{source.name}:{line} " in culprit["stack"][0]


def test_findings_are_told_to_other_programs(built: Path, tmp_path: Path) -> None:
    program, fixed = built / "struct_padding.c", built / "struct_padding.c.fixed"
    source, (line,) = PROGRAMS / "struct_padding.c", culprit_lines("struct_padding.c")
    github = hunt("--format", "github", "--", program).stdout
    assert f"struct_padding.c,line={line},title=patalloc uninitialised-memory::" in github
    assert "::error" not in hunt("--format", "github", "--", fixed).stdout
    for tried, failures in ((program, 1), (fixed, 0)):
        (tmp_path / "junit.xml").write_text(hunt("--format", "junit", "--", tried).stdout)
        suites = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
        assert (suites.tests, suites.failures) == (1, failures)
        sarif = Sarif.model_validate_json(hunt("--format", "sarif", "--", tried).stdout)
        assert len(sarif.runs[0].results or ()) == failures
    found = json.loads(hunt("--format", "sarif", "--", program).stdout)["runs"][0]["results"][0]
    place = found["locations"][0]["physicalLocation"]
    assert place["region"]["startLine"] == line
    assert (Path.cwd() / place["artifactLocation"]["uri"]).samefile(source)
    refused = hunt("--json", "--format", "sarif", "--", program)
    assert (refused.returncode, refused.stdout) == (2, "")


def other(name: str, directory: Path, *flags: str) -> Path:
    """A program that no pattern of the default's finds anything in."""
    program = directory / f"{name}{''.join(flags)}"
    source = PROGRAMS / "other" / f"{name}.c"
    subprocess.run(["cc", *FLAGS, *flags, source, "-o", program], check=True)
    return program


def test_what_the_last_owner_left_is_found(tmp_path: Path) -> None:
    program, fixed = other("stale", tmp_path), other("stale", tmp_path, "-DFIXED")
    assert hunt("--", program).returncode == 0
    assert hunt("--pattern", "stale", "--", fixed).returncode == 0
    (finding,) = found_by("--pattern", "stale", "--", program)["findings"]
    assert finding["changes"] == ["stdout:", "  +7 values"]
    (culprit,) = finding["culprits"]
    assert any("main at" in line and "stale.c:19" in line for line in culprit["stack"])
    once = f"{culprit['site']}:{culprit['number']}:{culprit['start']}-{culprit['end']}"
    kept = tmp_path / "kept"
    kept.mkdir()
    again = hunt("--pattern", "stale", "--once", once, "--", program, TMPDIR=str(kept))
    assert (again.returncode, again.stdout) == (0, "7 values\n")
    assert not [*kept.iterdir()]


def test_a_clean_program_is_told_how_much_of_it_was_seen(tmp_path: Path) -> None:
    program = other("unseen", tmp_path)
    said = hunt("--", program).stdout
    assert "malloc's blocks had 4.0 of 12.0 MiB of its anonymous memory" in said
    assert "jemalloc in unseen: not seen" in said
    found = json.loads(hunt("--json", "--", program).stdout)["coverage"]
    assert found["unseen"] == ["jemalloc in unseen"]
    assert (found["heap"] >> 20, found["anonymous"] >> 20) == (4, 12)


CHANCES = """
import ctypes, os, random
block = ctypes.CDLL(None).malloc
block.restype = ctypes.c_void_p
value = ctypes.c_ubyte.from_address(block(100)).value
seldom = int.from_bytes(os.urandom(1), "little") < 26
often = int.from_bytes(os.urandom(1), "little") < {with_it}
raise SystemExit(3 if seldom or value and often else 0)
"""


@pytest.mark.parametrize(("with_it", "status"), [(250, 1), (0, 2)])
def test_shares_tell_what_a_pattern_makes_more_frequent(with_it: int, status: int) -> None:
    """One run in ten fails by itself."""
    script = CHANCES.format(with_it=with_it)
    options = ("--json", "--pattern", "0xff", "--budget", "80")
    done = hunt(*options, "--", sys.executable, "-c", script)
    assert done.returncode in {status, status % 2}, done.stdout + done.stderr
    found = json.loads(done.stdout)
    for chance in found["chances"]:
        assert chance["sure"] is (status == 1 and not found["findings"])  # its share is gone then
        assert -1 <= chance["interval"][0] <= chance["interval"][1] <= 1
        assert chance["different"] <= chance["runs"] <= 40


NUMPY = """
import numpy as np
a = np.empty(500)
a[:400] = 1
print(a.sum())
"""


def test_what_was_found_in_numpy_happens_again(tmp_path: Path) -> None:
    """Its pool is done without there, too."""
    program = tmp_path / "program.py"
    program.write_text(NUMPY)
    told = hunt("--", sys.executable, str(program)).stdout
    again = told.partition("again: patalloc hunt ")[2].partition("\n")[0]
    assert hunt(*shlex.split(again)).stdout != "400.0\n"
    options, _, command = again.partition(" -- ")
    exports = hunt(*shlex.split(options), "--env", "--", *shlex.split(command)).stdout
    run = subprocess.run(
        ["bash", "-c", f"{exports}\nsetarch -R {command}"], capture_output=True, text=True
    )
    assert run.stdout != "400.0\n"
