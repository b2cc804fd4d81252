"""Pictures and pages of an experiment, and what other programs read."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pyperf
import pytest
from matplotlib import image

from conftest import chromium
from patalloc.lab import Entry
from patalloc.lab.journal import Journal

PLAN = {
    "command": ["prog", "<&>"],
    "points": ["glibc", "fill=auto", "fill=memset", "broken"],
    "margin": 0.01,
    "machine": "a machine",
}


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lab") / "journal"
    chance = random.Random(1)
    with Journal(path, PLAN) as made:
        made.add(Entry(0, "broken", {}, "", "exit status 1: <no>"))
        for number in range(1, 21):
            for factor, name in ((1.0, "glibc"), (1.01, "fill=auto"), (1.5, "fill=memset")):
                time = factor * chance.uniform(0.99, 1.01)
                metrics = {
                    "cpu": time,
                    "wall": 2 * time,
                    "peak_rss": factor * (50 << 20),
                    "vmas": 0,
                }
                made.add(Entry(number, name, metrics))
    return path


def patalloc(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "patalloc", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_page_is_all_that_a_browser_needs(journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert patalloc("report", "-o", path, journal).returncode == 0
    text = path.read_text()
    outside = re.findall(r"(?:src|href)=[\"']?(?!#|data:)([^\"' >]+)", text)
    assert not [each for each in outside if not each.startswith("#")], outside
    shown = chromium("--dump-dom", path.as_uri())
    for each in (
        "CPU time",
        "wall time",
        "peak RSS",
        "CPU time over peak RSS",
        "prog '&lt;&amp;&gt;'",
    ):
        assert each in shown
    assert shown.count('role="img"') == 4
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", shown)
    told = [row.split("</td><td>") for row in rows]
    assert ["fill=memset", "worse"] in [[row[0], row[-1]] for row in told]
    assert ["broken", "exit status 1: &lt;no&gt;"] in told
    picture = tmp_path / "page.png"
    chromium(f"--screenshot={picture}", "--window-size=1000,1000", path.as_uri())
    pixels = image.imread(picture)
    orange = (abs(pixels[..., :3] - [0xD5 / 255, 0x5E / 255, 0]) < 0.1).all(axis=-1)
    assert orange.sum() > 20  # the point that is worse, and its interval


def test_data_can_be_had_from_the_page(journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert patalloc("report", "-o", path, journal).returncode == 0
    found = dict(re.findall(r'download="([^"]+)" href="data:[^,]+,([^"]+)"', path.read_text()))
    assert {*found} == {"results.json", "runs.csv"}
    told = json.loads(patalloc("report", "--json", journal).stdout)
    assert told["points"]["fill=memset"]["cpu"]["ratio"]["verdict"] == "worse"
    assert told["left_out"] == {"broken": "exit status 1: <no>"}
    assert len(patalloc("report", "--csv", journal).stdout.splitlines()) == 1 + 61
    assert "fill=memset" in patalloc("report", journal).stdout


@pytest.mark.parametrize("name", ["a.svg", "a.png"])
@pytest.mark.parametrize("more", [[], ["--cost"], ["--metric", "wall"]])
def test_pictures(journal: Path, tmp_path: Path, name: str, more: list[str]) -> None:
    path = tmp_path / name
    assert patalloc("plot", *more, "-o", path, journal).returncode == 0
    data = path.read_bytes()
    assert data.startswith(b"<?xml" if name.endswith("svg") else b"\x89PNG")
    again = tmp_path / f"again-{name}"
    assert patalloc("plot", *more, "-o", again, journal).returncode == 0
    assert again.read_bytes() == data


def test_pyperf_reads_a_file_a_metric(journal: Path, tmp_path: Path) -> None:
    done = patalloc("report", "--pyperf", tmp_path / "found", journal)
    names = {Path(line).name for line in done.stdout.splitlines()}
    assert names == {"found-cpu.json", "found-wall.json", "found-peak_rss.json"}
    suite = pyperf.BenchmarkSuite.load(str(tmp_path / "found-peak_rss.json"))
    benchmark = suite.get_benchmark("fill=memset")
    assert benchmark.get_nvalue() == 20
    assert benchmark.get_unit() == "byte"
    assert benchmark.median() == 1.5 * (50 << 20)


@pytest.mark.parametrize("command", [["report"], ["plot", "-o", "a.png"]])
@pytest.mark.parametrize("text", ["", "{}\n", '{"patalloc": 1, "plan": {}}\n'])
def test_what_is_no_journal_is_told(tmp_path: Path, command: list[str], text: str) -> None:
    path = tmp_path / "other"
    path.write_text(text)
    done = patalloc(*command, path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(path) in line


def test_pictures_of_no_kind_or_of_what_was_not_measured(journal: Path, tmp_path: Path) -> None:
    for arguments, told in (
        (["-o", tmp_path / "a.gif"], "must be NAME.svg or NAME.png"),
        (["-o", tmp_path / "a.png", "--metric", "cycles"], "no run that counts has cycles"),
    ):
        done = patalloc("plot", *arguments, journal)
        assert done.returncode == 2
        assert told in done.stderr
