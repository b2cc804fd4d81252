"""What `patalloc run` makes of errors for continuous integration."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml
from sarif_pydantic import Sarif

from conftest import Build
from patalloc import PRESETS
from patalloc.watch.suppressions import Suppression, read

PYTHON = sys.executable
SLACK = ["--slack-check=all", "--on-error=continue"]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "patalloc", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


@pytest.fixture(scope="module")
def wrong(build: Build) -> list[str | Path]:
    """Writes past the end of a block, and exits with 0."""
    return [build("unfreed"), "24", "3", "exit"]


def test_the_exit_status_can_tell_of_errors(wrong: list[str | Path]) -> None:
    right = [wrong[0], "24", "0", "exit"]
    assert run(*SLACK, "--", *wrong).returncode == 0
    assert run(*SLACK, "--error-exitcode=9", "--", *wrong).returncode == 9
    assert run(*SLACK, "--error-exitcode=9", "--", *right).returncode == 0
    in_a_child = ["sh", "-c", '"$@"; exit 3', "sh", *wrong]
    assert run(*SLACK, "--error-exitcode=9", "--", *in_a_child).returncode == 9
    assert run(*SLACK, "--", *in_a_child).returncode == 3
    died = [wrong[0], "24", "0", str(int(signal.SIGSEGV))]
    assert run("--error-exitcode=9", "--", *died).returncode == 9
    assert run("--error-exitcode=9", "--", "sh", "-c", "exit 4").returncode == 4


def test_each_sentence_is_said_once(wrong: list[str | Path]) -> None:
    noisy = ["sh", "-c", 'echo "before"; "$@"; echo "behind" >&2', "sh", *wrong]
    said = run(*SLACK, "--", *noisy).stderr.splitlines()
    assert said[0] == "behind"
    assert sum("heap-buffer-overflow" in line for line in said) == 1
    assert said[1].startswith("patalloc: heap-buffer-overflow: found by exit: write 1 byte past")


def test_one_file_of_json_has_it_all(wrong: list[str | Path], tmp_path: Path) -> None:
    result = run(*SLACK, "-o", f"{tmp_path}/out.%p.json", "--", *wrong)
    (path,) = tmp_path.iterdir()
    data = json.loads(path.read_text())
    assert path.name == f"out.{data['processes'][0]['pid']}.json"
    assert (data["version"], data["status"], result.returncode) == (1, 0, 0)
    assert data["command"] == [*map(str, wrong)]
    (event,) = data["events"]
    frame = event["block"]["allocated"]["stack"][0]
    assert frame["function"] == "main"
    assert frame["file"].endswith("unfreed.c")
    assert (event["kind"], event["overwritten"]) == ("heap-buffer-overflow", "020202")


def test_github_annotates_the_line(build: Build) -> None:
    died = [build("unfreed"), "24", "0", str(int(signal.SIGSEGV))]
    source = Path(__file__).parent.parent / "c"
    said = run("--format=github", "--", *died, cwd=source).stderr
    lines = [line for line in said.splitlines() if line.startswith("::error ")]
    assert len(lines) == 1
    assert re.match(
        r"::error file=unfreed\.c,line=\d+,title=patalloc fatal-signal::patalloc: fatal-signal: "
        r"SIGSEGV, which the process sent itself%0A  in thread",
        lines[0],
    )


def test_junit_and_sarif_are_what_others_read(wrong: list[str | Path], tmp_path: Path) -> None:
    for arguments, errors in ((wrong, 1), ([wrong[0], "24", "0", "exit"], 0)):
        junit, sarif = tmp_path / "junit.xml", tmp_path / "sarif.json"
        run(*SLACK, "-o", junit, "--format=junit", "--", *arguments)
        run(*SLACK, "-o", sarif, "--format=sarif", "--", *arguments)
        (suite,) = JUnitXml.fromfile(str(junit))
        assert (suite.tests, suite.failures, suite.errors) == (1, errors, 0)
        (case,) = suite
        assert [each.type for each in case.result] == ["heap-buffer-overflow"] * errors
        log = Sarif.model_validate(json.loads(sarif.read_text()))
        assert str(log.version) == "2.1.0"
        results = log.runs[0].results or []
        assert [each.rule_id for each in results] == ["heap-buffer-overflow"] * errors


def test_what_is_known_is_suppressed(wrong: list[str | Path], tmp_path: Path) -> None:
    said = run(*SLACK, "--gen-suppressions", "--", *wrong).stderr
    line = said.splitlines()[-1]
    assert line == "heap-buffer-overflow:main"
    known = tmp_path / "known"
    for text, left in (
        (f"# of our own\n\n{line}\n", 0),
        ("heap-*:unfreed*\n", 0),
        ("use-after-free:*\n", 1),
        ("*:other\n", 1),
    ):
        known.write_text(text)
        result = run(*SLACK, "--error-exitcode=9", "--suppressions", known, "--", *wrong)
        assert result.returncode == (9 if left else 0)
        assert ("heap-buffer-overflow" in result.stderr) == bool(left)
        assert ("patalloc: 1 reports are suppressed" in result.stderr) == (not left)
    known.write_text("what is this\n")
    result = run(*SLACK, "--suppressions", known, "--", *wrong)
    assert result.returncode == 2
    assert "'what is this': no suppression; allowed: KIND:NAME" in result.stderr
    assert read(["a:b:c"]) == [Suppression("a", "b:c")]


def test_what_does_not_go_together_is_refused(wrong: list[str | Path]) -> None:
    for arguments, message in (
        (["--format=junit"], "--format junit: needs --output"),
        (["--report=no", "--error-exitcode=3"], "report=no: only --report yes gathers errors"),
        (["--error-exitcode=256"], "256"),
        (["-o", "/nowhere/at/all"], "--output /nowhere/at/all: No such file or directory"),
        (["--preset=other"], "'other' is not one of 'light', 'find', 'harden'"),
    ):
        result = run(*arguments, "--", *wrong)
        assert result.returncode == 2
        assert message in result.stderr


def test_presets(build: Build) -> None:
    program = build("unfreed")
    shown = [
        subprocess.check_output([PYTHON, "-m", "patalloc", "options", "--preset", name], text=True)
        for name in PRESETS
    ]
    assert shown == [f"{options}\n" for options in PRESETS.values()]
    over = [program, "24", "1", "exit"]
    assert run("--", *over).returncode == 0
    assert -run("--preset=find", "--", *over).returncode in (signal.SIGSEGV, signal.SIGBUS)
    freed = [program, "24", "freed", "exit"]
    hardened = run("--preset=harden", "--guard-small=all", "--", *freed)
    (line,) = hardened.stderr.splitlines()
    assert hardened.returncode == -signal.SIGABRT
    assert line.startswith("patalloc: use-after-free: found by exit: ")
    assert run("--preset=find", "--guard-small=0", "--slack-check=no", "--", *over).returncode == 0


def test_who_is_not_reached_is_told(tmp_path: Path) -> None:
    source = tmp_path / "static.c"
    source.write_text("int main(void) { return 5; }\n")
    static = tmp_path / "static"
    subprocess.run(["cc", "-static", source, "-o", static], check=True)
    script = tmp_path / "script"
    script.write_text(f"#!{static}\n")
    script.chmod(0o755)
    for command in (static, script):
        result = run("--", command)
        assert result.returncode == 5
        assert result.stderr == (
            f"patalloc: {static} is static: no library can be preloaded: it runs without patalloc\n"
        )
    own = tmp_path / "own.c"
    own.write_text("int main(void) { return 0; }\n")
    subprocess.run(["cc", own, "-o", tmp_path / "own"], check=True)
    said = run("--summary", "--", tmp_path / "own").stderr
    assert "no call of malloc was seen" in said
