"""Debian's kernels under QEMU: packages that are fetched and not installed, and a guest that runs
what it is given.

Only the standard library is used, so that the scripts beside this run without setting anything up.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "qemu"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# QEMU before 8.0 keeps no more than two memory tags a page ("target/arm: Fix physical address
# resolution for MTE"), and its user mode takes minutes to reserve terabytes.
EMULATORS_FROM = "trixie"


class UnavailableError(Exception):
    """Something can't be had on this machine."""


def run(*command: str | Path, **options: object) -> str:
    """Run a command; its output. What it says goes to standard error where it fails."""
    done = subprocess.run(  # type: ignore[call-overload]
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True, **options
    )
    return str(done.stdout)


def install(*packages: str, programs: Sequence[str] = ()) -> None:
    """Have Debian packages installed, where that can be done, and so these programs at hand."""
    subprocess.run([ROOT / "tools" / "debian-packages", *packages], check=False)
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise UnavailableError(f"{missing[0]} is not installed")


class Archive:
    """A Debian suite for an architecture, as apt sees it without touching the machine's own state.

    `suite` is None for those that the machine itself has.
    """

    def __init__(self, architecture: str, suite: str | None = None) -> None:
        """Read the package lists; raises UnavailableError where they can't be had."""
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise UnavailableError("apt-get and dpkg-deb are needed to fetch packages")
        self.directory = WORK / f"{architecture}-{suite or 'own'}"
        for part in ("lists/partial", "archives/partial"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").touch()
        self.options = [
            f"-oAPT::Architecture={architecture}",
            f"-oAPT::Architectures={architecture}",
            f"-oDir::State::Lists={self.directory}/lists",
            f"-oDir::State::Status={self.directory}/status",
            f"-oDir::Cache={self.directory}",
            "-oAPT::Sandbox::User=root",
            "-oDebug::NoLocking=1",
        ]
        if suite:
            self.options += self._sources(suite)
        updated, day = self.directory / "updated", 86400
        if not updated.exists() or time.time() - updated.stat().st_mtime > day:
            self._apt("apt-get", "update")
            updated.touch()

    def _sources(self, suite: str) -> list[str]:
        """The same server as the machine's own packages come from."""
        listed = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
        servers = [line for line in listed.splitlines() if line.rstrip("/").endswith("/debian")]
        if not servers:
            raise UnavailableError("this machine has no Debian server among its package sources")
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        suites = dict.fromkeys([suite.removesuffix("-backports"), suite])
        lines = [f"deb {signed}{servers[0]} {each} main\n" for each in suites]
        (self.directory / "sources").write_text("".join(lines))
        return [f"-oDir::Etc::SourceList={self.directory}/sources", "-oDir::Etc::SourceParts=-"]

    def _apt(self, *command: str, cwd: Path | None = None) -> str:
        try:
            quiet = [command[0], "-qq", *self.options, *command[1:]]
            return run(*quiet, cwd=cwd, stderr=subprocess.PIPE)
        except subprocess.CalledProcessError as error:
            message = (error.stderr.strip().splitlines() or ["no message"])[-1]
            raise UnavailableError(f"{' '.join(command)}: {message}") from error

    def dependency(self, package: str, pattern: str) -> str:
        """What a package depends on that matches the pattern."""
        found = re.search(rf"Depends: ({pattern})", self._apt("apt-cache", "depends", package))
        if not found:
            raise UnavailableError(f"{package} is not in this suite")
        return found[1]

    def names(self, prefix: str) -> list[str]:
        """The packages whose names begin so."""
        return self._apt("apt-cache", "pkgnames", prefix).split()

    def unpack_to(self, root: Path, unpacked: set[str], *packages: str) -> None:
        """Fetch packages with all that they depend on; unpack there those that are not yet."""
        install = ["apt-get", "install", "-y", "--no-install-recommends"]
        said = self._apt(*install, "--simulate", *packages)
        self._apt(*install, "--download-only", *packages)
        for name, version in re.findall(r"^Inst (\S+) \((\S+) ", said, re.MULTILINE):
            if name in unpacked:
                continue
            encoded = version.replace(":", "%3a")
            (file,) = (self.directory / "archives").glob(f"{name}_{encoded}_*.deb")
            run("dpkg-deb", "-x", file, root)
            unpacked.add(name)

    def unpack(self, *packages: str, closure: bool = False) -> Path:
        """Fetch packages, with all that they depend on if asked to, and unpack them; their root."""
        root = self.directory / "-".join(packages)
        if root.exists():
            return root
        downloads = self.directory / "downloads"
        downloads.mkdir(exist_ok=True)
        if closure:
            self._apt("apt-get", "install", "-y", "-d", "--no-install-recommends", *packages)
            files = sorted((self.directory / "archives").glob("*.deb"))
        else:
            self._apt("apt-get", "download", *packages, cwd=downloads)
            files = [next(downloads.glob(f"{package}_*.deb")) for package in packages]
        unfinished = root.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for file in files:
            run("dpkg-deb", "-x", file, unfinished)
        unfinished.rename(root)
        return root


def newest_emulator(package: str, program: str) -> list[str]:
    """The command of an emulator that is fetched and not installed."""
    architecture = run("dpkg", "--print-architecture").strip()
    root = Archive(architecture, EMULATORS_FROM).unpack(package, closure=True)
    loader = next(root.glob("usr/lib*/ld-linux-*.so*"), None)
    binary = root / "usr" / "bin" / program
    if loader is None or not binary.exists():
        raise UnavailableError(f"{program} is not in {package}")
    libraries = ":".join(str(path) for path in sorted(root.glob("usr/lib/*-linux-gnu")))
    return [str(loader), "--library-path", libraries, str(binary)]


# The guest


def _entry(name: str, mode: int, content: bytes, inode: int) -> bytes:
    """One file of a cpio archive, as the kernel reads it (initramfs-buffer-format.rst)."""
    encoded = name.encode() + b"\0"
    numbers = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)


def initramfs(files: Mapping[str, Path | bytes], links: Mapping[str, str]) -> bytes:
    """A compressed archive of these files, all executable, and symbolic links."""
    directories = {"proc", "sys", "dev", "tmp"}
    for name in [*files, *links]:
        directories |= {str(parent) for parent in Path(name).parents} - {"."}
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in sorted(directories)]
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        entries.append((name, stat.S_IFREG | 0o755, data))
    entries += [(name, stat.S_IFLNK | 0o777, to.encode()) for name, to in links.items()]
    entries.append(("TRAILER!!!", 0, b""))
    packed = b"".join(_entry(*entry, number) for number, entry in enumerate(entries, 1))
    compressor = zlib.compressobj(1, wbits=31)
    return compressor.compress(packed) + compressor.flush()


INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp; ln -s /proc/self/fd /dev/fd; ip link set lo up 2>/dev/null
export PATH=/bin LC_ALL=C
check() { # NAME COMMAND...: it must succeed, and say nothing
  name=$1; shift
  if output=$("$@" 2>&1) && [ -z "$output" ]; then echo "PASS $name"
  else echo "FAIL $name"; echo "$output" | head -n 20; fi
}
preload() { # OPTIONS COMMAND...
  options=$1; shift
  timeout 600 env LD_PRELOAD=/lib/libpatalloc.so PATALLOC_OPTIONS="$options" "$@"
}
echo; echo "guest: $(uname -rm)" # on a line of its own, behind what the firmware has said
%s
echo DONE; reboot -f
"""
APPLETS = "sh mount ln env timeout head uname reboot grep dmesg insmod rmmod ip true seq cmp rm "
APPLETS += "cat mkswap swapon sed test"


def boot(
    emulator: Sequence[str],
    kernel: Path,
    files: Mapping[str, Path | bytes],
    script: str,
    busybox: Path,
    *,
    console: str,
    seconds: int = 1800,
) -> Iterator[str]:
    """Boot a kernel on these files, run the script, and yield what it prints, a line at a time."""
    links = {f"bin/{applet}": "busybox" for applet in APPLETS.split()}
    everything = {**files, "init": (INIT % script).encode(), "bin/busybox": busybox}
    image = WORK / f"initramfs-{os.getpid()}"
    image.write_bytes(initramfs(everything, links))
    command = [
        *("timeout", str(seconds), *emulator, "-nographic", "-no-reboot", "-nodefaults"),
        *("-serial", "stdio", "-kernel", str(kernel), "-initrd", str(image)),
        *("-append", f"console={console} panic=-1 oops=panic loglevel=5"),
    ]
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
        ) as guest:
            assert guest.stdout
            started = False
            for line in guest.stdout:
                started |= line.startswith("guest: ")
                if started:
                    yield line.rstrip()
    finally:
        image.unlink()


def libraries(compiler: str, *names: str) -> dict[str, Path]:
    """The C library's files that a program built by this compiler needs, by their place."""
    found = {name: Path(run(compiler, f"-print-file-name={name}").strip()) for name in names}
    missing = [name for name, path in found.items() if not path.is_absolute()]
    if missing:
        raise UnavailableError(f"{compiler} has no {missing[0]}")
    return {f"lib/{name}": path for name, path in found.items()}


# What is built for guests

FLAGS = [
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-fno-builtin",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pthread",
    f"-I{ROOT}/csrc",
    f"-I{ROOT}/csrc/include",
]


LINKED = ROOT / "csrc" / "preload" / "libc.c"  # in the place of the rest of that floor

BENCH_SIZE, BENCH_CYCLES = 4_096_000, 30
BENCH_TOUCHES = (4096, 2_048_000, 4_096_000)  # one page, half, all


def build_library(compiler: str, output: Path) -> Path:
    """The preloaded library, with warnings as errors."""
    sources = [source for source in (ROOT / "csrc").glob("*/*.c") if source != LINKED]
    flags = [
        "-std=c11",
        "-O2",
        "-Wconversion",
        "-Wno-sign-conversion",
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        "-Wl,-z,nodelete",
        "-Wl,-Bsymbolic-functions",
        "-static-libgcc",
        "-Wl,--exclude-libs,libgcc.a:libgcc_eh.a",
    ]
    output.parent.mkdir(parents=True, exist_ok=True)
    run(compiler, *FLAGS, *flags, *sources, "-o", output)
    return output


def build_program(
    compiler: str, source: Path, output: Path, *, core: bool = False, flags: Sequence[str] = ()
) -> Path:
    """A test program, with the core if asked to."""
    above = [each for each in (ROOT / "csrc").glob("preload/*.c") if each != LINKED]
    sources = [source, *(set((ROOT / "csrc").glob("*/*.c")) - set(above) if core else [])]
    output.parent.mkdir(parents=True, exist_ok=True)
    heap = ["-DHEAP"] if core else []
    run(compiler, *FLAGS, "-g", "-O1", *heap, *flags, *sources, "-o", output, "-ldl")
    return output


def bench_script(variants: Mapping[str, str], rounds: int) -> str:
    """Runs bench/backends.c for each variant, which is a mode or the options of the heap.

    Prints lines of a name, the touched bytes, the order, and the result.
    """
    lines = []
    for _ in range(rounds):
        for touch in BENCH_TOUCHES:
            for order in ("write", "read"):
                for name, variant in variants.items():
                    bare = variant in ("anon", "memset")
                    mode, preload = (variant, "") if bare else ("malloc", f"preload '{variant}'")
                    arguments = f"{mode} {BENCH_SIZE} {touch} {order} {BENCH_CYCLES}"
                    result = f"$({preload} /bin/backends {arguments})"
                    lines.append(f"echo BENCH '{name}' {touch} {order} {result}")
    return "\n".join(lines)


def judge(lines: Iterator[str], started: float) -> int:
    """Print lines of checks as they come; the exit status: 0 where all passed."""
    passed = failed = 0
    done = False
    for line in lines:
        passed += line.startswith("PASS ")
        failed += line.startswith("FAIL ")
        done |= line == "DONE"
        if line not in ("", "DONE"):
            print(line, flush=True)
    if not done:
        print("FAIL the guest did not come to its end")
        failed += 1
    print(f"{passed} passed, {failed} failed, {time.monotonic() - started:.0f} s")
    return 1 if failed or not done else 0


def main(checks: "Callable[[], int]") -> None:  # noqa: F821
    """Run a script's checks; a machine that can't run them is no failure, but is told."""
    try:
        sys.exit(checks())
    except UnavailableError as reason:
        print(f"not run: {reason}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))} failed: {error.stdout or ''}")
