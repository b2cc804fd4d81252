"""`patalloc hunt`."""

import json
import math
import os
import re
import shlex
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import attrs
import click

from patalloc.heap import Config
from patalloc.hunt import (
    Behaviour,
    Chance,
    Comparison,
    Culprit,
    Finding,
    Hunt,
    Output,
    Part,
    Program,
    Runner,
    Verdict,
)
from patalloc.hunt.hunt import PATTERNS, VALUES
from patalloc.hunt.runs import can_fix_addresses
from patalloc.hunt.selection import END, pack
from patalloc.preload import environment
from patalloc.watch.rendering import render, render_stack

_SAME, _DIFFERENT, _REFUSED, _CUT_SHORT = 0, 1, 2, 3
_SHOWN = 20  # lines of a difference
_FRAMES = 4  # lines of a call stack, unless all are asked for
_EXCERPT = 1 << 16  # bytes of an output by which it is known for text
_WIDEST = 400  # characters of a line that are shown
_EVERY = 10  # seconds, after which a line tells how far it is, where there is no terminal
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


def _is_text(content: bytes) -> bool:
    """Whether it can be shown in a terminal, by its beginning."""
    text = content[:_EXCERPT].decode(errors="replace")
    if len(content) > _EXCERPT:
        text = text.rstrip("\ufffd")  # a character that was cut
    return "\ufffd" not in text and all(
        line.replace("\t", " ").isprintable() for line in text.splitlines()
    )


def _difference(comparison: Comparison, before: Output, after: Output) -> Iterator[str]:
    """A few of the lines that differ; of what is no text, where it begins to."""
    if before.content == after.content:
        yield f"the same in its first {len(before.content) >> 20} MiB"
        return
    old, new = before.content, after.content
    if not (_is_text(old) and _is_text(new)):
        at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
        a, b = old[at : at + 8].hex(" "), new[at : at + 8].hex(" ")
        yield f"byte {at}: {a or 'the end'} -> {b or 'the end'}"
        return
    changed = comparison.changes(before, after)
    for sign, line in changed[:_SHOWN]:
        text = line.decode(errors="replace").rstrip("\r\n")
        yield sign + (text if len(text) <= _WIDEST else f"{text[:_WIDEST]}...")
    if len(changed) > _SHOWN:
        yield f"... {len(changed) - _SHOWN} more lines"


def _changes(comparison: Comparison, before: Behaviour, after: Behaviour) -> Iterator[str]:
    if before.status != after.status:
        yield f"{_status(before)} -> {_status(after)}"
    for old, new in comparison.differing(before, after):
        yield f"{old.name}:"
        yield from (f"  {line}" for line in _difference(comparison, old, new))


def _bytes_of(part: Part) -> str:
    if part.end == END:
        return "bytes past its end"
    return (
        f"bytes {part.start} to {part.end - 1}"
        if part.end - part.start > 1
        else f"byte {part.start}"
    )


def _where(culprit: Culprit, *, verbose: bool) -> Iterator[str]:
    """The line that allocates: Python's stack first, as that is the program's own there."""
    python = [f"    {line.strip()}" for line in culprit.python.splitlines()]
    stack = [*render_stack(culprit.site.stack, culprit.modules)]
    most = len(stack) + len(python) if verbose else _FRAMES
    if python:
        yield from python[:most]
        yield "   in C:"
    yield from stack[:most]
    left = len(stack[most:]) + len(python[most:])
    if left:
        yield f"    ... {left} more lines: --verbose"


def _render(
    verdict: Verdict, finding: Finding, command: tuple[str, ...], *, verbose: bool
) -> Iterator[str]:
    for culprit in finding.culprits:
        part = culprit.part
        most = "" if culprit.site.allocations == 1 else "up to "
        size = f", of {most}{culprit.site.largest} bytes"
        yield (
            f"  {_bytes_of(part)} of allocation {part.first} of {culprit.site.allocations} "
            f"from here{size}, read before written:"
        )
        yield from _where(culprit, verbose=verbose)
    yield f"  with {finding.pattern} there instead of 0x00:"
    yield from (
        f"    {line}" for line in _changes(verdict.comparison, verdict.baseline, finding.behaviour)
    )
    for event in finding.events:
        yield from (f"    {line}" for line in render(event))
    once = " ".join(f"--once {_format_part(culprit.part)}" for culprit in finding.culprits)
    yield f"  again: patalloc hunt --pattern {finding.pattern} {once} -- {shlex.join(command)}"


def _notes(verdict: Verdict) -> Iterator[str]:
    """What the baseline was, where that may be a surprise, and what of it was not compared."""
    if verdict.baseline.status != 0:
        said = next(each.content for each in verdict.baseline.outputs if each.name == "stderr")
        last = said.decode(errors="replace").rstrip().rpartition("\n")[2]
        yield f"each run ends with {_status(verdict.baseline)}{f': {last}' if last else ''}"
    for each in verdict.comparison.described():
        yield f"not compared, as it varies by itself: {each}"
    for path in verdict.written:
        yield f"{path} was written, and not compared: --output {shlex.quote(str(path))} does"


def _by_change(verdict: Verdict) -> dict[tuple[str, ...], list[str]]:
    """The patterns that make a difference, by what that is; not those of which a finding tells."""
    told = {
        tuple(_changes(verdict.comparison, verdict.baseline, each.behaviour))
        for each in verdict.findings
    }
    found: dict[tuple[str, ...], list[str]] = {}
    for name in verdict.differing:
        lines = tuple(_changes(verdict.comparison, verdict.baseline, verdict.behaviours[name]))
        if lines and lines not in told:
            found.setdefault(lines, []).append(name)
    return found


def _render_chance(verdict: Verdict, chance: Chance) -> Iterator[str]:
    shares = chance.shares
    yield (
        f"patalloc: chance: with {chance.pattern} {shares.different} of {shares.runs} runs behaved "
        f"otherwise, and without it {shares.different_without}: this program is not deterministic"
    )
    yield from (
        f"    {line}" for line in _changes(verdict.comparison, verdict.baseline, chance.behaviour)
    )


def _print(verdict: Verdict, command: tuple[str, ...], *, verbose: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    covered = (
        f"{verdict.allocations:,} allocations ({verdict.bytes:,} bytes) from "
        f"{verdict.sites:,} call stacks; {verdict.runs} runs in {verdict.seconds:.1f} s"
    )
    for line in _notes(verdict):
        console.print(f"patalloc: {line}")
    if verdict.is_clean:
        console.print(f"patalloc: the same with every pattern: {covered}")
        return
    together = {True: " together", False: ""}
    for number, finding in enumerate(verdict.findings, 1):
        title = f"patalloc: finding {number}: uninitialised memory changes the behaviour"
        console.print(title + together[len(finding.culprits) > 1], style="bold red")
        for line in _render(verdict, finding, command, verbose=verbose):
            console.print(line)
    if verdict.differs and not verdict.findings and not verdict.interrupted:
        console.print(
            f"patalloc: the behaviour differs with {', '.join(verdict.differing)}, "
            "but no allocation was found",
            style="bold red",
        )
    shown = _by_change(verdict) if verbose or not verdict.findings else {}
    for lines, names in shown.items():
        where = "" if all(" in " in name for name in names) else " in all fresh memory"
        console.print(f"patalloc: with {', '.join(names)}{where}:")
        for line in lines:
            console.print(f"    {line}")
    for chance in verdict.chances:
        for line in _render_chance(verdict, chance):
            console.print(line)
    if verdict.interrupted:
        done = [name for name in verdict.behaviours if name not in verdict.differing]
        same = f"; the same with {', '.join(done)}" if done else ""
        console.print(f"patalloc: cut short: this is what was found so far{same}")
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
            name: list(_changes(verdict.comparison, verdict.baseline, each))
            for name, each in verdict.behaviours.items()
        },
        "findings": [
            {
                "pattern": finding.pattern,
                "culprits": [_culprit_data(culprit) for culprit in finding.culprits],
                "changes": list(_changes(verdict.comparison, verdict.baseline, finding.behaviour)),
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
        "status": verdict.baseline.status,
        "masked": verdict.comparison.described(),
        "written": [str(path) for path in verdict.written],
        "chances": [
            {
                "pattern": chance.pattern,
                **attrs.asdict(chance.shares),
                "changes": list(_changes(verdict.comparison, verdict.baseline, chance.behaviour)),
            }
            for chance in verdict.chances
        ],
    }


def _complain_of(verdict: Verdict) -> None:
    """That two runs differ in which nothing did."""
    again = verdict.unstable or verdict.baseline
    lines = [f"  {line}" for line in _changes(verdict.comparison, verdict.baseline, again)]
    text = "\n".join(lines)
    aslr = "" if can_fix_addresses() else " (address space randomisation could not be switched off)"
    _refuse(
        f"two runs with the same memory differ{aslr}:\n{text}\n"
        "patalloc: take out what differs with --mask REGEX or --filter COMMAND, or compare "
        "something else with --check COMMAND"
    )


def _hunt(chase: Hunt, *, quiet: bool) -> Verdict:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=None)
        said = time.monotonic()

        def tell(what: str, left: int) -> None:
            nonlocal said
            among = f", {left:,} candidates" if left else ""
            text = f"{what}: {chase.runs} runs{among}"
            progress.update(task, description=text)
            if quiet and time.monotonic() - said >= _EVERY:
                said = time.monotonic()
                click.echo(f"patalloc: {text}", err=True)

        chase.progress = tell
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
    """What was started is stopped, what is known is told, and what was made is removed."""
    for each in (*_ENDING, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _exit_status(verdict: Verdict) -> int:
    if verdict.findings or (verdict.differs and not verdict.interrupted):
        return _DIFFERENT
    if verdict.interrupted:
        return _CUT_SHORT
    return _REFUSED if verdict.chances else _SAME


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="A pattern to try besides 0x00: a value, or nan, negative, positive, minus-one or text; "
    "may be given again. [0xff, 0x5a, 0xc5, 0x01]",
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
@click.option("--durations", is_flag=True, help="Compare how long things took, too (0.25s).")
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
@click.option(
    "--time-limit", type=float, default=math.inf, help="Seconds after which to tell what is known."
)
@click.option(
    "--verbose", is_flag=True, help="Print whole call stacks, and what each pattern has changed."
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
    durations: bool,
    timeout: float,
    randomised: bool,
    follow: str,
    frames: int,
    max_culprits: int,
    jobs: int,
    time_limit: float,
    verbose: bool,
    as_json: bool,
    once: tuple[str, ...],
    show_env: bool,
    command: tuple[str, ...],
) -> None:
    """Find the allocation whose uninitialised bytes change what a program does.

    The program is run again and again with other patterns in its fresh memory; what it prints, its
    exit status, and files named with --output must be the same, but for what varies by itself. Exit
    status: 0 where they are, 1 where something was found, 2 where it could not be hunted or differs
    by chance, 3 where it was cut short and nothing was found.
    """
    path = _find(command[0])
    try:
        compiled = tuple(re.compile(mask.encode()) for mask in masks)
    except re.error as error:
        raise click.BadParameter(f"--mask {error.pattern!r}: {error}") from None
    patterns = tuple(VALUES.get(each, each) for each in patterns) or PATTERNS
    for pattern in patterns:
        if not int(Config(pattern=pattern).pattern.replace("none", "0"), 0):
            raise click.BadParameter(f"--pattern {pattern}: must be a value, and not 0")
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
        try:
            chase = Hunt(
                runners,
                patterns,
                max_culprits,
                time_limit=time_limit,
                comparison=Comparison(durations=durations),
            )
            verdict = _hunt(chase, quiet=quiet)
        except KeyboardInterrupt:
            click.echo("patalloc: cut short before anything was known", err=True)
            sys.exit(_CUT_SHORT)
        if verdict.unstable is not None:
            _complain_of(verdict)
        if not verdict.baseline.traces:
            _refuse(f"{path}: not reached by LD_PRELOAD: statically linked?")
        if as_json:
            click.echo(json.dumps(_data(verdict, program.command), indent=2))
        else:
            _print(verdict, program.command, verbose=verbose)
    sys.exit(_exit_status(verdict))
