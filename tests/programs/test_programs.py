"""Real programs give the same output under the library as without it.

The short pass runs each once, with the patterns and fallbacks spread over them; `-m full` runs
every program with every pattern and every fallback.
"""

import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from conftest import CORE, FALLBACKS, ROOT, preloaded

GOES_WITHOUT = (
    "patalloc: guard_small: some small blocks have no guard: there is no address space left, "
    "or are no mappings (vm.max_map_count)\n"
)
PATTERNS = ["0x00", "0x5a", "0xab", "0xff"]

PYTHON_WORK = """
import hashlib, json, random, sqlite3, zlib
random.seed(1)
data = random.randbytes(25_000_000) + b"text " * 5_000_000
packed = zlib.compress(data, 1)
assert zlib.decompress(packed) == data
print(hashlib.sha256(packed).hexdigest())
rows = [[i, "name %d" % i, i / 7] for i in range(200_000)]
text = json.dumps(rows)
assert json.loads(text) == rows
base = sqlite3.connect(":memory:")
base.execute("create table t (i integer, n text, f real)")
base.executemany("insert into t values (?, ?, ?)", rows)
print(base.execute("select count(*), sum(i), max(n), round(sum(f)) from t").fetchall())
"""

NUMPY_WORK = """
import threading
import numpy as np
def work(i, results):
    a = np.random.default_rng(i).random((600, 600))
    b = np.linalg.inv(a) @ a
    c = np.concatenate([np.sort(a, axis=None) for _ in range(8)])
    results[i] = round(float(b.trace()), 6), float(c.sum()), float(np.fft.fft(c[:2**20]).real.max())
results = {}
threads = [threading.Thread(target=work, args=(i, results)) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(results.items()))
"""

SQL = """
pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -50000;
create table t (i integer primary key, x text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 420000)
insert into t select i, printf('%0240d', i * 7919 % 1000003) from n;
create index u on t (x);
select count(*), max(x), min(x) from t where x > printf('%0240d', 500000);
pragma integrity_check;
"""

PERL = r"""
my %count; my $text = "";
for my $i (1 .. 400000) { my $w = ($i * 7919) % 50021; $count{$w} .= "x$i"; $text .= "word$w " }
my $n = () = $text =~ /word\d+3 /g;
print "$n ", scalar(keys %count), " ", length(join ",", map { $count{$_} } sort keys %count), "\n";
"""


CPP = """
#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <string>
int main() {
  std::map<std::string, int> words;
  std::regex word("[a-z]+");
  std::string text("the quick brown fox jumps over the lazy dog");
  for (std::sregex_iterator at(text.begin(), text.end(), word), end; at != end; ++at)
    words[at->str()]++;
  for (auto &each : words) std::cout << each.first << each.second;
}
"""


def files(directory: Path) -> dict[str, list[str]]:
    """What the programs work on."""
    lines = directory / "lines"
    if not lines.exists():
        lines.write_text("".join(f"{i * 7919 % 2000003}\tline {i}\n" for i in range(2_000_000)))
    (directory / "words.cc").write_text(CPP)
    includes = [f"-I{ROOT}/csrc", f"-I{ROOT}/csrc/include", "-D_GNU_SOURCE"]
    clone = f"git clone -q --no-local {ROOT} c && cd c && git gc -q && git fsck && git log --stat"
    compiled = " && ".join(
        f"gcc -O2 {' '.join(includes)} -c {source} -o o && cksum < o" for source in CORE
    )
    return {
        "python": [sys.executable, "-c", PYTHON_WORK],
        "numpy": [sys.executable, "-c", NUMPY_WORK],
        "git": ["sh", "-c", f"rm -rf c; {clone}"],
        "gcc": ["sh", "-c", compiled],
        "sqlite3": ["sh", "-c", f'rm -f b; sqlite3 b "{SQL}" && cksum < b'],
        "sort": ["sh", "-c", f"sort -n {lines} | cksum"],
        "xz": [
            "sh",
            "-c",
            f"head -c 20000000 {lines} | xz -T2 -1 | tee x | xz -d | cksum; cksum < x",
        ],
        "perl": ["perl", "-e", PERL],
        "g++": ["sh", "-c", "g++ -O2 words.cc -o words && ./words"],
        "tar": ["sh", "-c", f"tar -C {ROOT} -cf - csrc tests | gzip -9n | gzip -d | tar -tf -"],
    }


PROGRAMS = ["python", "numpy", "git", "gcc", "sqlite3", "sort", "xz", "perl", "g++", "tar"]
EVERYTHING = "report=yes:stacks=16:slack_check=all:small_fill=both:on_free=quarantine:count=yes"
SPREAD = [
    (program, PATTERNS[i % 4], ["", *FALLBACKS][i % (1 + len(FALLBACKS))])
    for i, program in enumerate(PROGRAMS)
]
Outputs = Callable[[str], tuple[list[str], str]]


@pytest.fixture(scope="session")
def without(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """A program's command, and its output without the library; run once."""
    directory = tmp_path_factory.mktemp("programs")
    commands, outputs = files(directory), {}

    def without(program: str) -> tuple[list[str], str]:
        command = ["sh", "-c", f'cd {directory} && exec "$@"', "sh", *commands[program]]
        if program not in outputs:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            outputs[program] = done.stdout
        return command, outputs[program]

    return without


def check(without: Outputs, program: str, pattern: str, fallback: str) -> None:
    command, expected = without(program)
    options = f"pattern={pattern}" + (f":{fallback}" if fallback else "")
    result = preloaded(command, options)
    assert (result.returncode, result.stdout) == (0, expected), result.stderr
    said = result.stderr
    if "guard_small=all:without=guard_regions,uffd_move" in options:  # two mappings a block
        said = said.replace(GOES_WITHOUT, "")
    assert "patalloc" not in said


@pytest.mark.parametrize(("program", "pattern", "fallback"), SPREAD)
def test_short(without: Outputs, program: str, pattern: str, fallback: str) -> None:
    check(without, program, pattern, fallback)


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_reported_of_sound_programs(without: Outputs, program: str) -> None:
    check(without, program, "0xab", EVERYTHING)


@pytest.mark.full
@pytest.mark.parametrize(
    ("program", "pattern", "fallback"), list(product(PROGRAMS, PATTERNS, ["", *FALLBACKS]))
)
def test_full(without: Outputs, program: str, pattern: str, fallback: str) -> None:
    check(without, program, pattern, fallback)
