"""Errors for other programs: as GitHub's workflow commands, as JUnit's XML, as SARIF."""

import json
import re
from collections.abc import Iterable, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs

from patalloc.watch.events import Event, Moment
from patalloc.watch.rendering import render
from patalloc.watch.symbols import Location, locate_in

_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


@attrs.frozen
class Told:
    """An error, as other programs are told of it.

    Attributes:
        kind: what each one of its kind is called. summary: one line; text: all that is known.
        place: where in the source it is, if that is known.
        stacks: call stacks, each with what it is of.
    """

    kind: str
    summary: str
    text: str
    place: Location | None
    stacks: tuple[tuple[str, tuple[Location, ...]], ...]


def source_of(stack: Iterable[Location]) -> Location | None:
    """Where the program's own part of a call stack ends: the source that is there.

    That is the innermost frame whose source file can be read here; else the innermost one that has
    a source, as the error itself may be in a library.
    """
    found = [each for each in stack if each.file]
    return next((each for each in found if Path(str(each.file)).is_file()), next(iter(found), None))


def python_frames(lines: str) -> tuple[Location, ...]:
    """Those that faulthandler prints."""
    found = re.findall(r'File "(.*)", line (\d+) in (.*)', lines)
    return tuple(Location(name, file, int(line), file, 0) for file, line, name in found)


def place(event: Event) -> Location | None:
    """Where in the source the event is, as source_of has it: of the program's Python, if any."""
    in_python = source_of(python_frames(event.python))
    return in_python or source_of(locate_in(event.stack, event.modules))


def told_of(event: Event) -> Told:
    """The event, with the call stacks of its block."""
    stacks = [(event.access or event.call or "death", event.stack)]
    for name in ("allocated", "freed"):
        moment = getattr(event.block, name, None)
        if moment and moment.stack:
            stacks.append((name, moment.stack))
    located = [(what, tuple(locate_in(stack, event.modules))) for what, stack in stacks]
    if event.python:
        located.insert(0, ("in Python", python_frames(event.python)))
    text = "\n".join(render(event))
    return Told(event.kind, event.summary, text, place(event), tuple(located))


def _relative(path: str) -> str:
    """As from the working directory, where it is in there."""
    near = relpath(path)
    return path if near.startswith("..") else near


def _escaped(text: str, more: str = "") -> str:
    for each in "%\r\n" + more:
        text = text.replace(each, f"%{ord(each):02X}")
    return text


def github(errors: Iterable[Told]) -> str:
    """A workflow command for each, which annotates the source line.

    (GitHub's documentation, "Workflow commands for GitHub Actions".)
    """
    lines = []
    for error in errors:
        where = error.place
        at = (
            f"file={_escaped(_relative(str(where.file)), ':,')},line={where.line}," if where else ""
        )
        lines.append(f"::error {at}title=patalloc {error.kind}::{_escaped(error.text)}\n")
    return "".join(lines)


def junit(errors: Sequence[Told], command: Sequence[str]) -> str:
    """A suite of test cases in JUnit's XML, as continuous integration reads it.

    There is one for each error, which failed; or, without any, one for the command, which passed.
    """
    name = " ".join(command)
    count = {"tests": str(max(len(errors), 1)), "failures": str(len(errors)), "errors": "0"}
    root = ElementTree.Element("testsuites", count)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "patalloc", **count, "skipped": "0"})
    if not errors:
        ElementTree.SubElement(suite, "testcase", {"classname": "patalloc", "name": name})
    for number, error in enumerate(errors, 1):
        attributes = {"classname": f"patalloc.{error.kind}", "name": f"{name} #{number}"}
        case = ElementTree.SubElement(suite, "testcase", attributes)
        told = {"message": error.summary, "type": error.kind}
        ElementTree.SubElement(case, "failure", told).text = _printable(error.text)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Without what XML 1.0 can't hold."""
    allowed = (each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)
    return "".join(allowed)


def _frames(stack: tuple[int, ...], event: Event) -> list[dict[str, Any]]:
    return [attrs.asdict(each) for each in locate_in(stack, event.modules)]


def _moment(moment: Moment | None, event: Event) -> dict[str, Any] | None:
    if moment is None:
        return None
    return {**attrs.asdict(moment), "stack": _frames(moment.stack, event)}


def as_data(event: Event) -> dict[str, Any]:
    """The event's attributes, for JSON.

    What is known of each frame is in place of stacks and modules. Addresses are numbers;
    overwritten bytes are in hex.
    """
    others = ("modules", "overwritten")
    found = attrs.asdict(event, filter=lambda field, _: field.name not in others)
    found["overwritten"] = event.overwritten.hex()
    found["stack"] = _frames(event.stack, event)
    if event.block:
        found["block"]["allocated"] = _moment(event.block.allocated, event)
        found["block"]["freed"] = _moment(event.block.freed, event)
    return found


def _sarif_location(location: Location) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if location.file:
        found["physicalLocation"] = {
            "artifactLocation": {"uri": _relative(location.file).replace("\\", "/")},
            **({"region": {"startLine": location.line}} if location.line else {}),
        }
    if location.function:
        found["logicalLocations"] = [{"fullyQualifiedName": location.function, "kind": "function"}]
    return found


def _sarif_stack(message: str, stack: Iterable[Location]) -> dict[str, Any]:
    frames = [
        {"module": str(each.module or "?"), "location": _sarif_location(each)} for each in stack
    ]
    return {"message": {"text": message}, "frames": frames}


def _sarif_result(error: Told) -> dict[str, Any]:
    return {
        "ruleId": error.kind,
        "level": "error",
        "message": {"text": error.summary},
        "locations": [_sarif_location(error.place)] if error.place else [],
        "stacks": [_sarif_stack(what, stack) for what, stack in error.stacks],
    }


def sarif(errors: Sequence[Told], version: str) -> str:
    """A log in the Static Analysis Results Interchange Format 2.1.0 (OASIS), of one run."""
    rules = [{"id": kind} for kind in sorted({error.kind for error in errors})]
    tool = {"name": "patalloc", "version": version, "rules": rules}
    run = {"tool": {"driver": tool}, "results": [_sarif_result(error) for error in errors]}
    return json.dumps({"$schema": _SARIF, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"
