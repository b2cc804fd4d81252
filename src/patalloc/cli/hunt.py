"""`patalloc hunt`."""

import json
import math
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import attrs
import click

from patalloc.cli.outcome import ERROR_FORMATS, end_as, formatted
from patalloc.cli.verdict import changes, data, print_verdict, told_of
from patalloc.hunt import Behaviour, Hunt, Part, Program, Runner, Verdict
from patalloc.hunt.hunt import PATTERNS
from patalloc.hunt.runs import can_fix_addresses, surroundings
from patalloc.hunt.selection import END, STALE, Fill, pack
from patalloc.preload import environment, signals_for

_SAME, _DIFFERENT, _REFUSED, _CUT_SHORT = 0, 1, 2, 3
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


def _refuse(message: str) -> None:
    click.echo(f"patalloc: {message}", err=True)
    sys.exit(_REFUSED)


def _processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


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


def _complain_of(verdict: Verdict, unstable: Behaviour) -> None:
    """That two runs differ in which nothing did."""
    lines = [f"  {line}" for line in changes(verdict.comparison, verdict.baseline, unstable)]
    text = "\n".join(lines)
    aslr = "" if can_fix_addresses() else " (address space randomisation could not be switched off)"
    click.echo(
        f"patalloc: two runs with the same memory differ{aslr}:\n{text}\n"
        "patalloc: take out what differs with --mask REGEX or --filter COMMAND, compare "
        "something else with --check COMMAND, or count how often with --budget RUNS",
        err=True,
    )


def _hunt(chase: Hunt, *, quiet: bool) -> Verdict:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=None)
        doing, ended = "", Event()

        def tell(what: str, left: int) -> None:
            nonlocal doing
            among = f", {left:,} candidates" if left else ""
            doing = f"{what}: {chase.runs} runs{among}"
            progress.update(task, description=doing)

        def tell_again() -> None:
            while not ended.wait(_EVERY):
                click.echo(f"patalloc: {doing}", err=True)

        chase.progress = tell
        if quiet:
            Thread(target=tell_again, daemon=True).start()
        try:
            return chase.run()
        finally:
            ended.set()


def _run_once(runner: Runner, pattern: str, parts: list[Part], show: bool) -> None:
    """And end as it did; or what to set to do so by hand, for which the selection stays."""
    fill = Fill.parse(pattern)
    directory = Path(tempfile.mkdtemp(prefix="patalloc-"))
    selection = directory / "select"
    filled = (attrs.evolve(part, fill=fill) for part in parts)
    selection.write_bytes(pack(filled, leaves_freed=runner.leaves_freed))
    config = attrs.evolve(runner.options(selection), trace="", select=str(selection))
    env = environment(config, surroundings(pymalloc=True))
    if show:
        for name, value in env.items():
            if os.environ.get(name) != value:
                click.echo(f"export {name}={shlex.quote(value)}")
        return
    fixed = ["setarch", "-R"] if can_fix_addresses() else []
    try:
        process = subprocess.Popen([*fixed, *runner.program.command], env=env)
        with signals_for(process):
            status = process.wait()
    finally:
        shutil.rmtree(directory)
    end_as(status)


def _leave(number: int, frame: object) -> NoReturn:
    """What was started is stopped, what is known is told, and what was made is removed."""
    for each in (*_ENDING, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _exit_status(verdict: Verdict) -> int:
    if verdict.findings or verdict.is_sure or (verdict.differs and not verdict.interrupted):
        return _DIFFERENT
    if verdict.interrupted:
        return _CUT_SHORT
    return _REFUSED if verdict.chances or verdict.unstable else _SAME


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="A pattern to try besides 0x00: a value, or nan, negative, positive, minus-one, text, "
    "random, random-negative, or stale for what a small block's last owner has left; may be given "
    "again. [random, random-negative, 0xff, 0x01]",
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
@click.option("--durations", is_flag=True, help="Compare times, too (0.25s, 12:34:56).")
@click.option("--timeout", type=float, default=60, show_default=True, help="Seconds for a run.")
@click.option(
    "--end-early",
    "ends_early",
    is_flag=True,
    help="End runs behind the line that tells; not if the program cleans up behind it.",
)
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
@click.option("--exact", is_flag=True, help="Find out which bytes of an allocation matter.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Runs at a time. [the processors there are; 1 for a program that writes files, or that "
    "does not do the same beside itself]",
)
@click.option(
    "--budget",
    type=click.IntRange(0),
    default=0,
    metavar="RUNS",
    help="As many may be made to tell how often the program behaves otherwise, with a pattern and "
    "without, where that is a matter of chance.",
)
@click.option(
    "--time-limit", type=float, default=math.inf, help="Seconds after which to tell what is known."
)
@click.option(
    "--verbose", is_flag=True, help="Print whole call stacks, and what each pattern has changed."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--format",
    "form",
    type=click.Choice(ERROR_FORMATS),
    help="Print findings for other programs; for GitHub behind the text.",
)
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
    ends_early: bool,
    randomised: bool,
    follow: str,
    frames: int,
    max_culprits: int,
    exact: bool,
    jobs: int | None,
    budget: int,
    time_limit: float,
    verbose: bool,
    as_json: bool,
    form: str | None,
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
    if form and as_json:
        raise click.UsageError("--json and --format exclude each other")
    path = _find(command[0])
    try:
        compiled = tuple(re.compile(mask.encode()) for mask in masks)
    except re.error as error:
        raise click.BadParameter(f"--mask {error.pattern!r}: {error}") from None
    patterns = patterns or PATTERNS
    for pattern in patterns:
        if not Fill.parse(pattern).word:
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
        ends_early=ends_early,
        follow=follow,
    )
    stale = any(Fill.parse(pattern) == STALE for pattern in patterns)
    runner = Runner(program, Path(), frames=frames, leaves_freed=stale)
    if once or show_env:
        _run_once(runner, patterns[0], [_parse_part(each) for each in once], show_env)
        return
    for number in _ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _leave)
    with tempfile.TemporaryDirectory(prefix="patalloc-hunt-") as directory:
        places = [Path(directory) / f"{number:03}" for number in range(jobs or _processors())]
        for place in places:
            place.mkdir()
        runners = [attrs.evolve(runner, directory=place) for place in places]
        quiet = bool(as_json or form) or not sys.stderr.isatty()
        try:
            chase = Hunt(
                runners,
                patterns,
                max_culprits,
                exact,
                durations=durations,
                falls_back=jobs is None,
                time_limit=time_limit,
                budget=budget,
            )
            verdict = _hunt(chase, quiet=quiet)
        except KeyboardInterrupt:
            click.echo("patalloc: cut short before anything was known", err=True)
            sys.exit(_CUT_SHORT)
        if verdict.unstable is not None:
            _complain_of(verdict, verdict.unstable)
        elif not verdict.baseline.traces:
            _refuse(f"{path}: not reached by LD_PRELOAD: statically linked?")
        if as_json:
            click.echo(json.dumps(data(verdict, program.command), indent=2))
        elif form in (None, "github") and (verdict.chances or verdict.unstable is None):
            print_verdict(verdict, program.command, verbose=verbose)
        if form:
            errors = told_of(verdict, program.command)
            click.echo(formatted(errors, program.command, form), nl=False)
    sys.exit(_exit_status(verdict))
