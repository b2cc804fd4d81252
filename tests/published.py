"""Errors of public reports: what shows each, fetched with the error and without, and run.

`tests/hunt/reports` and `tests/plugin/reports` share it.
"""

import argparse
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MEMCHECK = ["valgrind", "-q", "--tool=memcheck", "--error-limit=no", "--trace-children=yes"]
ENVIRONMENT = {**os.environ, "PYTHONHASHSEED": "0"}
FOR_MEMCHECK = {"PYTHONMALLOC": "malloc"}  # it knows of malloc only
PATIENCE = 1800  # seconds, for one run


@dataclass(frozen=True)
class Version:
    """What a program is run with.

    Attributes:
        requirements: what to fetch, that of the report first.
        python: the interpreter's version, as "3.10"; this one's where there are wheels for it.
        is_source: whether the first has no wheels, and is built here.
    """

    requirements: tuple[str, ...]
    python: str = ""
    is_source: bool = False

    @property
    def name(self) -> str:
        """As in "scipy==1.17.1", or "pyfiberamp bb31d24" where it is from a repository."""
        package, _, address = self.requirements[0].partition(" @ ")
        return f"{package} {address.rpartition('@')[2][:7]}" if address else package


@dataclass(frozen=True)
class Commit:
    """A version in a public git repository, of a program that is built there.

    Attributes:
        repository: as "owner/name", on GitHub. commit: which.
        build: a command of the shell's.
    """

    repository: str
    commit: str
    build: str

    @property
    def name(self) -> str:
        """As in "vhd2vl 3864776"."""
        return f"{self.repository.partition('/')[2]} {self.commit[:7]}"


@dataclass(frozen=True)
class Report:
    """One of an error in the heap, or of memory that was never written.

    Attributes:
        link: where it is. program: what shows it, in JavaScript if it is of a package of npm's;
            of a program that is built, its command.
        affected: the version with the error; fixed: that without.
        remedy: what in the program is mended, where not the package is: from and to.
    """

    link: str
    program: str
    affected: Version | Commit
    fixed: Version | Commit
    remedy: tuple[str, str] = ("", "")
    javascript: bool = False

    @property
    def title(self) -> str:
        """As in "scipy 24209", or "CVE-2020-15904"."""
        parts = self.link.split("/")
        number = parts[-1]
        return f"[{number if number.startswith('CVE') else f'{parts[-3]} {number}'}]({self.link})"

    @property
    def mended(self) -> tuple[str, str]:
        """The program for the version without the error, and what in the table is mended."""
        if not any(self.remedy):
            return self.program, self.fixed.name
        return self.program.replace(*self.remedy), "the program, mended"


PYFIBERAMP = "pyfiberamp @ git+https://github.com/Jomiri/pyfiberamp"
# Newer compilers warn of more, and each warning is an error there.
MAKEGUIDS = "make -C src makeguids CFLAGS='-O2 -g -Wno-address-of-packed-member'"

REPORTS = {
    # A control block that asks for more than the result has room for.
    "bsdiff4": Report(
        "https://nvd.nist.gov/vuln/detail/CVE-2020-15904",
        """\
import bz2
import struct

import bsdiff4


def numbers(*values):
    return struct.pack(f"<{len(values)}q", *values)


control = bz2.compress(numbers(0, 100_000, 0))
difference, extra = bz2.compress(b""), bz2.compress(b"x" * 200_000)
header = b"BSDIFF40" + numbers(len(control), len(difference), 11)
try:
    print(bsdiff4.patch(b"hello world", header + control + difference + extra))
except ValueError as error:
    print(error)
""",
        Version(("bsdiff4==1.1.9",), is_source=True),
        Version(("bsdiff4==1.2.3",)),
    ),
    # A work array that is a number too short.
    "scipy-special": Report(
        "https://github.com/scipy/scipy/issues/23973",
        """\
from scipy.special import obl_cv_seq

print(obl_cv_seq(1, 3, 2.0))
""",
        Version(("scipy==1.16.3", "numpy==2.4.6")),
        Version(("scipy==1.17.1", "numpy==2.4.6")),
    ),
    # Needs flex and bison.
    "vhd2vl": Report(
        "https://github.com/ldoolitt/vhd2vl/issues/18",
        "src/vhd2vl --quiet examples/withselect.vhd",
        Commit("ldoolitt/vhd2vl", "3864776dccfacdcc74440a453d32553e32f38a25", "make -C src"),
        Commit("ldoolitt/vhd2vl", "0b0a036646f57be5feba06c065a87bdb4e686f76", "make -C src"),
    ),
    # What it writes becomes part of a library, which so is not reproducible.
    "efivar": Report(
        "https://github.com/rhboot/efivar/pull/115",
        "sh -c 'src/makeguids src/guids.txt guids names symbols.c guids.h && cat guids names'",
        Commit("rhboot/efivar", "d8d7e54fe01a7a255e649a7734820800edf82633", MAKEGUIDS),
        Commit("rhboot/efivar", "50d7b979d1aa1c4afbb60a702bd16f9ff3066c50", MAKEGUIDS),
    ),
    "numpy": Report(
        "https://github.com/numpy/numpy/issues/25953",
        """\
import numpy as np

a = np.array([0.0, 0.0, 0.0])
b = np.divide(a, a.max(), where=~np.all(np.equal(a, 0.0)))
print(b)
print(b > 0)
""",
        Version(("numpy==1.26.4",)),
        Version(("numpy==1.26.4",)),
        remedy=("where=", "out=np.zeros_like(a), where="),
    ),
    # The first chunk is never written, and has no value to be filled with.
    "h5py": Report(
        "https://github.com/h5py/h5py/pull/2076",
        """\
import h5py

with h5py.File("missing.h5", "w") as file:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((2,))
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT32, space, properties)
    file["x"][2:] = 7
    print(file["x"][:])
""",
        Version(("h5py==3.6.0", "numpy==1.22.4"), "3.10"),
        Version(("h5py==3.7.0", "numpy==1.22.4"), "3.10"),
    ),
    "byte": Report(
        "https://github.com/node-modules/byte/issues/33",
        """\
const ByteBuffer = require('byte');

let s;
for (let k = 0; k < 10; k++) {
  const bb = new ByteBuffer();
  for (let i = 0; i < 180; i++) {
    bb.putString('ok');
  }
  s = bb.getString(1000);
}
console.log(s);
""",
        Version(("byte@1.4.0",)),
        Version(("byte@1.4.1",)),
        javascript=True,
    ),
    # Of `tnc`: the offsets of variables that have a scale.
    "scipy": Report(
        "https://github.com/scipy/scipy/pull/24209",
        """\
import numpy as np
from scipy.optimize import fmin_tnc


def function(x):
    return (x[0] - 3) ** 2 + (x[1] + 1) ** 2, np.array([2 * (x[0] - 3), 2 * (x[1] + 1)])


print(fmin_tnc(function, [0.0, 0.0], scale=np.ones(2), disp=0))
""",
        Version(("scipy==1.17.1", "numpy==2.4.6")),
        Version(("scipy==1.18.1", "numpy==2.4.6"), "3.12"),
    ),
    "scikit-rf": Report(
        "https://github.com/scikit-rf/scikit-rf/pull/1208",
        '''\
import io

import skrf

text = io.StringIO("""[Version] 2.0
# GHz S MA R 50
[Number of Ports] 3
[Number of Frequencies] 1
[Matrix Format] Lower
[Network Data]
1.0 0.9 -10 0.1 80 0.8 -20 0.2 70 0.3 60 0.7 -30
[End]
""")
text.name = "lower.ts"
print(skrf.Network(text).s)
''',
        Version(("scikit-rf==1.4.1", "numpy==2.4.6", "scipy==1.17.1", "pandas==3.1.1")),
        Version(("scikit-rf==1.5.0", "numpy==2.4.6", "scipy==1.17.1", "pandas==3.1.1")),
    ),
    # The report's is a test of the package's, of which this is the part with the error.
    "pyfiberamp": Report(
        "https://github.com/Jomiri/pyfiberamp/issues/5",
        """\
from pyfiberamp.dynamic import DynamicSimulation
from pyfiberamp.fibers import YbDopedFiber

simulation = DynamicSimulation(50000)
simulation.fiber = YbDopedFiber(
    length=0.1, core_radius=3e-6, core_na=0.12, ion_number_density=1e25
)
simulation.add_forward_signal(wl=1040e-9, input_power=0.1)
simulation.add_backward_pump(wl=980e-9, input_power=0.25)
simulation.add_forward_pump(wl=980e-9, input_power=0.25)
simulation.add_ase(wl_start=1020e-9, wl_end=1040e-9, n_bins=3)
simulation.use_python_backend()
result = simulation.run(z_nodes=150, dt=1e-5, stop_at_steady_state=True)
print(result.powers_at_fiber_end())
""",
        Version(
            (
                f"{PYFIBERAMP}@bb31d249db1d2ccec40808b79d27238ac78c7530",
                *("numpy==1.26.4", "scipy==1.17.1", "matplotlib==3.10.0"),
            )
        ),
        Version(
            (
                f"{PYFIBERAMP}@06f40076ad4862f013aff95f3a7c58f4ea8472b2",
                *("numpy==1.26.4", "scipy==1.17.1", "matplotlib==3.10.0"),
            )
        ),
    ),
    # Of leaves the last field, and all nodes' padding: printed here, pickled in the report.
    "scikit-learn": Report(
        "https://github.com/scikit-learn/scikit-learn/pull/27580",
        """\
from sklearn import datasets
from sklearn.tree import DecisionTreeClassifier

X, y = datasets.load_iris(return_X_y=True)
tree = DecisionTreeClassifier(random_state=0).fit(X, y)
print(tree.tree_.__getstate__()["nodes"])
""",
        Version(("scikit-learn==1.3.1", "numpy==1.26.4", "scipy==1.17.1")),
        Version(("scikit-learn==1.3.2", "numpy==1.26.4", "scipy==1.17.1")),
    ),
    # A state that this model never writes.
    "hark": Report(
        "https://github.com/econ-ark/HARK/issues/1809",
        """\
from HARK.ConsumptionSaving.ConsGenIncProcessModel import IndShockExplicitPermIncConsumerType

agent = IndShockExplicitPermIncConsumerType(AgentCount=4, T_sim=3)
agent.solve()
agent.track_vars = ["mLvl", "aNrm"]
agent.initialize_sim()
agent.simulate()
print(agent.history)
""",
        Version(("econ-ark==0.17.2",)),
        Version(
            (
                "econ-ark @ git+https://github.com/econ-ark/HARK"
                "@6e4741e8512ed20ade878d6b939321dd7d754020",
            ),
            "3.12",
        ),
    ),
}


class LeftOutError(Exception):
    """A report that can't be tried here."""


def interpreter(version: str) -> str:
    """The path of that Python, which may be one of pyenv's."""
    if not version or version == "{}.{}".format(*sys.version_info):
        return sys.executable
    command = [f"python{version}", "-c", "import sys; print(sys.executable)"]
    pyenv = ENVIRONMENT | {"PYENV_VERSION": version}
    try:
        found = subprocess.run(command, env=pyenv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LeftOutError(f"there is no Python {version}") from error
    return found.stdout.strip()


def steps(version: Version | Commit, target: Path, *, javascript: bool) -> list[list[str]]:
    """The commands that fetch a version into the folder that they are run in."""
    if isinstance(version, Commit):
        repository = f"https://github.com/{version.repository}"
        checkout = ["git", "-c", "advice.detachedHead=false", "checkout", "--quiet", version.commit]
        clone = ["git", "clone", "--quiet", "--no-checkout", repository, "."]
        return [clone, checkout, ["sh", "-c", version.build]]
    if javascript:
        return [["npm", "install", "--silent", "--prefix", str(target), *version.requirements]]
    pip = [interpreter(version.python), "-m", "pip", "--disable-pip-version-check", "install"]
    options = ["--only-binary", ":all:", "--target", str(target)]
    if version.is_source:
        options += ["--no-binary", version.requirements[0].partition("==")[0]]
    return [[*pip, *options, *version.requirements]]


def fetch(version: Version | Commit, cache: Path, *, javascript: bool) -> Path:
    """The folder with that version and what it needs, fetched, and built, only once."""
    target = cache / re.sub(r"[^\w.-]+", "-", version.name)
    if target.exists():
        return target
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for command in steps(version, new, javascript=javascript):
        done = subprocess.run(command, cwd=new, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip() or "failed").splitlines()[-1]
            raise LeftOutError(f"{Path(command[0]).name}: {said}")
    return new.rename(target)


@dataclass(frozen=True)
class Prepared:
    """A program with one of the versions: how it runs, where, and with what in the environment."""

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]


def prepare(report: Report, version: Version | Commit, cache: Path, program: str) -> Prepared:
    """Fetches the version, and writes the program beside it, where it is none that was built."""
    fetched = fetch(version, cache, javascript=report.javascript)
    if isinstance(version, Commit):
        return Prepared(shlex.split(program), fetched, ENVIRONMENT)
    folder = cache / f"in-{fetched.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if report.javascript:
        source, command = folder / "repro.js", "node"
        ours = {"NODE_PATH": str(fetched / "node_modules")}
    else:
        source, command = folder / "repro.py", interpreter(version.python)
        ours = {"PYTHONPATH": str(fetched)}
    source.write_text(program)
    return Prepared([command, source.name], folder, ENVIRONMENT | ours)


def run(
    prepared: Prepared, command: Sequence[str], extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command in the program's place."""
    return subprocess.run(
        command,
        cwd=prepared.folder,
        env={**prepared.environment, **(extra or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE,
    )


def memcheck(
    prepared: Prepared, told: str, clock: Callable[[], float] = time.monotonic
) -> tuple[str, float]:
    """How many contexts it tells of in these words (a regular expression), and the seconds."""
    started = clock()
    try:
        done = run(prepared, [*MEMCHECK, *prepared.command], FOR_MEMCHECK)
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__, clock() - started
    contexts = len(re.findall(told, done.stderr))
    died = "" if done.returncode == 0 else " (the program fails)"
    return f"{contexts}{died}", clock() - started


def table(
    description: str,
    names: Sequence[str],
    quick: Sequence[str],
    columns: tuple[Sequence[str], Sequence[str]],
    compare: Callable[[str, Path, bool], tuple[Sequence[str], bool]],
) -> int:
    """Prints one of what was made of the reports that the command line names.

    Args:
        description: of the script.
        names: of all reports that it knows; quick: of the quickest, which are easily had.
        columns: titles, and those of what is besides with memcheck.
        compare: what a report's row holds, and whether all is as it should be.

    Returns:
        The exit status: 0 if all is so everywhere.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--directory", type=Path, help="where what is fetched stays for next time")
    parser.add_argument("--memcheck", action="store_true", help="valgrind's memcheck beside it")
    parser.add_argument("--quick", action="store_true", help=f"the first two of {', '.join(quick)}")
    given = parser.parse_args()
    chosen = given.names or (quick if given.quick else names)
    if unknown := {*chosen} - {*names}:
        parser.error(f"no such report: {', '.join(sorted(unknown))}")
    titles = [*columns[0], *(columns[1] if given.memcheck else ())]
    print(f"| {' | '.join(titles)} |")
    print("".join("|---:" if each in ("runs", "s") else "|---" for each in titles) + "|")
    enough = len(chosen) if given.names or not given.quick else 2
    right, tried, left_out = True, 0, []
    with tempfile.TemporaryDirectory(prefix="patalloc-reports-") as temporary:
        cache = (given.directory or Path(temporary)).resolve()
        cache.mkdir(parents=True, exist_ok=True)
        for name in chosen:
            if tried == enough:
                break
            try:
                cells, is_right = compare(name, cache, given.memcheck)
                print(f"| {' | '.join(cells)} |", flush=True)
                right &= is_right
                tried += 1
            except (LeftOutError, OSError, subprocess.TimeoutExpired) as error:
                left_out.append(f"{name} is left out: {error}")
    print(f"\n{platform.platform()}, {platform.libc_ver()[1]}, Python {platform.python_version()}")
    for line in left_out:
        print(line, file=sys.stderr)
    return 0 if right and (tried == enough or given.quick) else 1
