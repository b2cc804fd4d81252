"""`patalloc hunt`."""

import difflib
import json
import os
import re
import shlex
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import attrs
import click

from patalloc.heap import Config
from patalloc.hunt import (
    Behaviour,
    Culprit,
    Finding,
    Hunt,
    Output,
    Part,
    Program,
    Runner,
    Verdict,
)
from patalloc.hunt.runs import can_fix_addresses
from patalloc.hunt.selection import END, pack
from patalloc.preload import environment
from patalloc.watch.rendering import render, render_stack

_SAME, _DIFFERENT, _REFUSED = 0, 1, 2
_SHOWN = 20  # lines of a difference
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def _parse_part(text: str) -> Part:
    """SITE:NUMBER or SITE:NUMBER:START-END, as findings are shown."""
    match = re.fullmatch(r"([0-9a-f]{16}):(\d+)(?::(\d+)-(\d*))?", text)
    if not match:
        raise click.BadParameter(f"{text}: must be SITE:NUMBER or SITE:NUMBER:START-END")
    site, number, start, end = match.groups()
    last = int(number)
    return Part(int(site, 16), last, last, int(start or 0), int(end) if end else END)


def _format_part(part: Part) -> str:
    end = "" if part.end == END else str(part.end)
    return f"{part.site:016x}:{part.first}:{part.start}-{end}"


def _refuse(message: str) -> None:
    click.echo(f"patalloc: {message}", err=True)
    sys.exit(_REFUSED)


def _find(name: str) -> str:
    """The program's path; ends with a message where it can't be hunted in."""
    path = shutil.which(name)
    if path is None:
        if Path(name).is_file():
            _refuse(f"{name}: not executable")
        _refuse(f"{name}: not found")
    mode = os.stat(str(path)).st_mode
    if mode & (stat.S_ISUID | stat.S_ISGID):
        _refuse(f"{path}: set-user-ID or set-group-ID: LD_PRELOAD is ignored there")
    return str(path)


def _status(behaviour: Behaviour) -> str:
    status = behaviour.status
    if status is None:
        return "took too long"
    return f"signal {-status}" if status < 0 else f"status {status}"


def _text(excerpt: bytes) -> list[str] | None:
    """Its lines, which can be shown in a terminal; None where they can't."""
    lines = excerpt.decode(errors="replace").splitlines()
    shown = (line.replace("\t", " ") for line in lines)
    return lines if all(line.isprintable() and "\ufffd" not in line for line in shown) else None


def _difference(before: Output, after: Output) -> Iterator[str]:
    """A few lines of a diff; of what is no text, where it begins to differ."""
    if before.excerpt == after.excerpt:
        yield "the same in its first 64 KiB"
        return
    old, new = _text(before.excerpt), _text(after.excerpt)
    if old is None or new is None:
        pairs = enumerate(zip(before.excerpt, after.excerpt, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), len(before.excerpt))
        a, b = before.excerpt[at : at + 8].hex(" "), after.excerpt[at : at + 8].hex(" ")
        yield f"byte {at}: {a or 'the end'} -> {b or 'the end'}"
        return
    lines = list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"... {len(lines) - _SHOWN} more lines"


def _changes(before: Behaviour, after: Behaviour) -> Iterator[str]:
    if before.status != after.status:
        yield f"{_status(before)} -> {_status(after)}"
    for old, new in zip(before.outputs, after.outputs, strict=True):
        if old != new:
            yield f"{old.name}:"
            yield from (f"  {line}" for line in _difference(old, new))


def _bytes_of(part: Part) -> str:
    if part.end == END:
        return "bytes past its end"
    return (
        f"bytes {part.start} to {part.end - 1}"
        if part.end - part.start > 1
        else f"byte {part.start}"
    )


def _render(verdict: Verdict, finding: Finding, command: tuple[str, ...]) -> Iterator[str]:
    for culprit in finding.culprits:
        part = culprit.part
        most = "" if culprit.site.allocations == 1 else "up to "
        size = f", of {most}{culprit.site.largest} bytes"
        yield (
            f"  {_bytes_of(part)} of allocation {part.first} of {culprit.site.allocations} "
            f"from here{size}, read before written:"
        )
        yield from render_stack(culprit.site.stack, culprit.modules)
        if culprit.python:
            yield "  in Python, the innermost first:"
            yield from (f"    {line.strip()}" for line in culprit.python.splitlines())
    yield f"  with {finding.pattern} there instead of 0x00:"
    yield from (f"    {line}" for line in _changes(verdict.baseline, finding.behaviour))
    for event in finding.events:
        yield from (f"    {line}" for line in render(event))
    once = " ".join(f"--once {_format_part(culprit.part)}" for culprit in finding.culprits)
    yield f"  again: patalloc hunt --pattern {finding.pattern} {once} -- {shlex.join(command)}"


def _print(verdict: Verdict, command: tuple[str, ...]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    covered = (
        f"{verdict.allocations:,} allocations ({verdict.bytes:,} bytes) from "
        f"{verdict.sites:,} call stacks; {verdict.runs} runs in {verdict.seconds:.1f} s"
    )
    if not verdict.differs:
        console.print(f"patalloc: the same with every pattern: {covered}")
        return
    together = {True: " together", False: ""}
    for number, finding in enumerate(verdict.findings, 1):
        title = f"patalloc: finding {number}: uninitialised memory changes the behaviour"
        console.print(title + together[len(finding.culprits) > 1], style="bold red")
        for line in _render(verdict, finding, command):
            console.print(line)
    if not verdict.findings:
        names = [name for name, each in verdict.behaviours.items() if each != verdict.baseline]
        console.print(
            f"patalloc: the behaviour differs with {', '.join(names)}, but no allocation was found",
            style="bold red",
        )
    for name, behaviour in verdict.behaviours.items():
        if behaviour != verdict.baseline:
            where = "" if " in " in name else " in all fresh memory"
            console.print(f"patalloc: with {name}{where}:")
            for line in _changes(verdict.baseline, behaviour):
                console.print(f"    {line}")
    if verdict.interrupted:
        console.print("patalloc: interrupted: this is what was found so far")
    console.print(f"patalloc: {covered}")


def _culprit_data(culprit: Culprit) -> dict[str, Any]:
    part = culprit.part
    return {
        "site": f"{part.site:016x}",
        "number": part.first,
        "allocations": culprit.site.allocations,
        "largest": culprit.site.largest,
        "start": part.start,
        "end": None if part.end == END else part.end,
        "stack": [line.strip() for line in render_stack(culprit.site.stack, culprit.modules)],
        "python": culprit.python.splitlines(),
    }


def _data(verdict: Verdict, command: tuple[str, ...]) -> dict[str, Any]:
    return {
        "version": 1,
        "command": list(command),
        "differs": verdict.differs,
        "patterns": {
            name: list(_changes(verdict.baseline, each))
            for name, each in verdict.behaviours.items()
        },
        "findings": [
            {
                "pattern": finding.pattern,
                "culprits": [_culprit_data(culprit) for culprit in finding.culprits],
                "changes": list(_changes(verdict.baseline, finding.behaviour)),
                "reports": [event.summary for event in finding.events],
            }
            for finding in verdict.findings
        ],
        "allocations": verdict.allocations,
        "bytes": verdict.bytes,
        "sites": verdict.sites,
        "runs": verdict.runs,
        "seconds": round(verdict.seconds, 3),
        "interrupted": verdict.interrupted,
    }


def _complain_of(verdict: Verdict) -> None:
    """That two runs differ in which nothing did."""
    again = verdict.unstable or verdict.baseline
    lines = [f"  {line}" for line in _changes(verdict.baseline, again)]
    text = "\n".join(lines)
    aslr = "" if can_fix_addresses() else " (address space randomisation could not be switched off)"
    _refuse(
        f"two runs with the same memory differ{aslr}:\n{text}\n"
        "patalloc: take out what differs with --mask REGEX or --filter COMMAND, or compare "
        "something else with --check COMMAND"
    )


def _hunt(runners: list[Runner], patterns: tuple[str, ...], most: int, *, quiet: bool) -> Verdict:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=None)

        def tell(what: str, left: int) -> None:
            among = f", {left:,} candidates" if left else ""
            progress.update(task, description=f"{what}: {chase.runs} runs{among}")

        chase = Hunt(runners, patterns, most, tell)
        return chase.run()


def _run_once(runner: Runner, pattern: str, parts: list[Part], show: bool) -> None:
    """In this process's place, or what to set to do so by hand."""
    digits = Config(pattern=pattern).pattern
    selection = Path(tempfile.mkdtemp(prefix="patalloc-")) / "select"
    selection.write_bytes(pack(int(digits, 16), (len(digits) - 2) // 2, parts))
    config = attrs.evolve(runner.options(selection), trace="", select=str(selection))
    env = environment(config)
    if show:
        for name in ("LD_PRELOAD", "PATALLOC_OPTIONS"):
            click.echo(f"export {name}={shlex.quote(env[name])}")
        return
    command = runner.program.command
    fixed = ["setarch", "-R"] if can_fix_addresses() else []
    os.execvpe([*fixed, *command][0], [*fixed, *command], env)  # noqa: S606


def _leave(number: int, frame: object) -> NoReturn:
    """What was started is stopped, and what was made is removed, on the way out."""
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="A pattern to try besides 0x00; may be given again. [0xff, 0x5a, 0x01]",
)
@click.option(
    "--stdin",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that is the program's standard input; none for an empty one.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file that the program writes, to be compared too; may be given again.",
)
@click.option("--check", help="A shell command whose exit status is compared instead.")
@click.option("--filter", "filter_", help="A shell command that outputs go through first.")
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="REGEX",
    help="What to take out of each line of the outputs first; may be given again.",
)
@click.option("--timeout", type=float, default=60, show_default=True, help="Seconds for a run.")
@click.option("--randomised", is_flag=True, help="Leave address space randomisation on.")
@click.option(
    "--follow",
    type=click.Choice(["all", "parent"]),
    default="all",
    show_default=True,
    help="Whether to hunt in child processes, too.",
)
@click.option(
    "--frames",
    type=click.IntRange(1, 64),
    default=16,
    show_default=True,
    help="Of a call stack, by which allocations are told apart.",
)
@click.option(
    "--max-culprits",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Findings after which to stop.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at a time."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--once",
    multiple=True,
    metavar="SITE:NUMBER:START-END",
    help="Run once, with the pattern in these bytes of this allocation; may be given again.",
)
@click.option("--env", "show_env", is_flag=True, help="With --once: print what to set instead.")
@click.argument("command", nargs=-1, required=True)
def hunt(
    patterns: tuple[str, ...],
    stdin: Path | None,
    outputs: tuple[Path, ...],
    check: str | None,
    filter_: str | None,
    masks: tuple[str, ...],
    timeout: float,
    randomised: bool,
    follow: str,
    frames: int,
    max_culprits: int,
    jobs: int,
    as_json: bool,
    once: tuple[str, ...],
    show_env: bool,
    command: tuple[str, ...],
) -> None:
    """Find the allocation whose uninitialised bytes change what a program does.

    The program is run again and again with other patterns in its fresh memory; what it prints, its
    exit status, and files named with --output must be the same. Exit status: 0 where they are, 1
    where something was found, 2 where it could not be hunted.
    """
    path = _find(command[0])
    try:
        compiled = tuple(re.compile(mask.encode()) for mask in masks)
    except re.error as error:
        raise click.BadParameter(f"--mask {error.pattern!r}: {error}") from None
    patterns = patterns or ("0xff", "0x5a", "0x01")
    for pattern in patterns:
        if Config(pattern=pattern).pattern == "none":
            raise click.BadParameter("--pattern none: must be a value")
    program = Program(
        command=(path, *command[1:]),
        stdin=stdin,
        outputs=outputs,
        check=check,
        filter=filter_,
        masks=compiled,
        timeout=timeout,
        randomised=randomised,
        follow=follow,
    )
    for number in _ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _leave)
    with tempfile.TemporaryDirectory(prefix="patalloc-hunt-") as directory:
        places = [Path(directory) / f"{number:03}" for number in range(jobs)]
        for place in places:
            place.mkdir()
        runners = [Runner(program, place, frames=frames) for place in places]
        if once or show_env:
            parts = [_parse_part(each) for each in once]
            return _run_once(runners[0], patterns[0], parts, show_env)
        quiet = as_json or not sys.stderr.isatty()
        verdict = _hunt(runners, patterns, max_culprits, quiet=quiet)
        if verdict.unstable is not None:
            _complain_of(verdict)
        if not verdict.baseline.traces:
            _refuse(f"{path}: not reached by LD_PRELOAD: statically linked?")
        if as_json:
            click.echo(json.dumps(_data(verdict, program.command), indent=2))
        else:
            _print(verdict, program.command)
    sys.exit(_DIFFERENT if verdict.differs else _SAME)
