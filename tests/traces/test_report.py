"""Reports of traces: text, and a page in a browser without network, by its own controls."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Build, chromium

PATALLOC = (sys.executable, "-m", "patalloc")


@pytest.fixture(scope="module")
def traces(build: Build, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of two runs that do not do the same."""
    where = tmp_path_factory.mktemp("traces")
    paths = []
    for number, arguments in enumerate((["pages"], ["requests", "2", "3000", "exit"])):
        program, *rest = arguments
        paths.append(where / f"{number}.trace")
        command = [*PATALLOC, "record", "-o", str(paths[-1]), "--", str(build(program)), *rest]
        subprocess.run(command, check=True, capture_output=True)
    return paths


def report(*arguments: str | Path) -> str:
    command = [*PATALLOC, "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def played(page: Path, script: str) -> list[str]:
    """What a script notes that uses the page's controls."""
    text = page.read_text()
    inner = """<script>
    const noted = [];
    const told = () => document.getElementById("told").textContent;
    const change = (name, value) => {
      const at = document.getElementById(name);
      if (typeof value === "boolean") at.checked = value; else at.value = value;
      at.dispatchEvent(new Event(at.type === "range" || at.type === "search" ? "input" : "change"));
    };
    const press = (key) => document.getElementById("flame").dispatchEvent(
      new KeyboardEvent("keydown", { key, cancelable: true }));
    const pixel = (x, y) => {
      const at = document.getElementById("flame");
      return [...at.getContext("2d").getImageData(x * at.width, y, 1, 1).data].join();
    };
    try { SCRIPT } catch (error) { noted.push(String(error)); }
    const out = document.createElement("pre");
    out.id = "noted";
    out.textContent = JSON.stringify(noted);
    document.body.append(out);
    </script>""".replace("SCRIPT", script)
    path = page.with_name("played.html")
    path.write_text(text.replace("</html>", f"{inner}</html>"))
    shown = chromium("--dump-dom", "--window-size=1200,1000", path.as_uri())
    found = re.search(r'<pre id="noted">(.*?)</pre>', shown, re.DOTALL)
    assert found, shown[-2000:]
    result: list[str] = json.loads(found[1].replace("&amp;", "&").replace("&gt;", ">"))
    return result


@pytest.fixture(scope="module")
def page(traces: list[Path]) -> Path:
    path = traces[0].with_name("page.html")
    report(traces[0], "-o", path)
    return path


def test_text(traces: list[Path]) -> None:
    lines = report(traces[0], "--by", "unwritten", "--stacks", "2").splitlines()
    assert re.search(r"pages-\w+: \d+\.\d\d s, exit status 0$", lines[0])
    assert "written: 143,360 of 20,971,520 bytes in blocks of 1 MiB and more; 99.3 % never" in lines
    assert any(re.search(r"#0 make at \S*/pages.c:\d+ ", line) for line in lines)
    assert any(": 4,194,304 bytes in 1 request, the largest of" in line for line in lines)
    assert len([line for line in lines if not line]) == 2


def test_nothing_is_loaded(page: Path) -> None:
    outside = re.findall(r"(?:src|href)=[\"']?(?!#|data:)([^\"' >]+)", page.read_text())
    assert not outside


def test_controls(page: Path) -> None:
    noted = played(
        page,
        """
        noted.push(told());
        change("measure", "unwritten"); noted.push(told());
        press("ArrowDown"); noted.push(told());
        for (let i = 0; i < 20; i++) press("ArrowDown");
        noted.push(told());
        press("Enter"); noted.push(told()); noted.push(flame.top === flame.focus ? "alone" : "");
        press("Escape"); noted.push(told());
        change("inverted", true); press("ArrowDown"); noted.push(told());
        change("moment", "25"); noted.push(document.getElementById("when").textContent);
        change("search", "make"); noted.push(document.getElementById("found").textContent);
        """,
    )
    page_bytes, total = 4096, 20_971_520
    never = total - 35 * page_bytes
    requested = noted[0]
    assert re.fullmatch(r"all: [\d,]+ \(100\.0 %\)", requested)
    assert noted[1] == f"all: {never:,} (100.0 %)"
    assert noted[2].startswith(("_start: ", "__libc_start"))
    assert noted[3].startswith("make: ")
    assert re.search(r"pages\.c:\d+$", noted[3])
    assert noted[4:6] == [noted[3], "alone"]
    assert noted[6] == noted[1]
    assert noted[7].startswith("make: ")
    assert re.fullmatch(r"\d+\.\d\d s", noted[8])
    assert re.fullmatch(r"\d+ frames", noted[9])


def test_pixels(page: Path) -> None:
    noted = played(
        page,
        """
        noted.push(pixel(0.5, 30));
        change("search", "libc_start_main"); noted.push(pixel(0.5, 30), pixel(0.5, 50));
        noted.push(String(document.getElementById("flame").clientHeight));
        """,
    )
    frame, rest = noted[0], noted[1:3]
    assert frame not in ("255,255,255,255", "0,0,0,0")
    assert "204,121,167,255" in rest  # what was found
    assert int(noted[3]) >= 60


def test_two_traces_side_by_side(traces: list[Path]) -> None:
    path = traces[0].with_name("both.html")
    report(*traces, "-o", path)
    noted = played(
        path,
        """
        noted.push(told());
        const named = [...flame.root.callees.values()].map((each) => each.values.length);
        noted.push(String(Math.min(...named)));
        const boxes = flame.boxes.map((each) => [nameOf(each.node), flame.colour(each.node)]);
        noted.push(boxes.find((each) => each[0] === "make")[1]);
        noted.push(boxes.find((each) => each[0] === "work")[1]);
        """,
    )
    assert re.fullmatch(r"all: [\d,]+ \(100\.0 %\) → [\d,]+ \(100\.0 %\)", noted[0])
    assert noted[1] == "2"
    assert noted[2].startswith("hsl(202 ")  # only in the first one
    assert noted[3].startswith("hsl(26 ")  # only in the second


def test_data_behind_the_pictures(traces: list[Path], page: Path) -> None:
    found = json.loads(report(traces[0], "--json"))
    assert found["version"] == 1
    requested = sum(found["runs"][0]["values"]["requested"][1])
    assert requested == found["runs"][0]["facts"]["requested"]
    rows = report(traces[0], "--csv").splitlines()
    assert rows[0].startswith("file,requested,requests,live,left,temporary,written,unwritten,stack")
    assert sum(int(row.split(",")[1]) for row in rows[1:]) == requested
    lines = json.loads(played(page, "noted.push(JSON.stringify(asCsv().split('\\n')))")[0])
    assert len([line for line in lines if line]) == len(rows)


def test_wrong_files(traces: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("{}")
    for files in ([*traces, traces[0]], [traces[0], other]):
        command = [*PATALLOC, "report", *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        assert "wanted: one file, or two traces" in done.stderr
