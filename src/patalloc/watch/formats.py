"""Events for other programs: as GitHub's workflow commands, as JUnit's XML, as SARIF."""

import json
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


def place(event: Event) -> Location | None:
    """Where the program's own part of the event's call stack ends: the source that is there.

    That is the innermost frame whose source file can be read here; else the innermost one that has
    a source, as the event itself may be in a library.
    """
    found = [each for each in locate_in(event.stack, event.modules) if each.file]
    return next((each for each in found if Path(str(each.file)).is_file()), next(iter(found), None))


def _relative(path: str) -> str:
    """As from the working directory, where it is in there."""
    near = relpath(path)
    return path if near.startswith("..") else near


def _escaped(text: str, more: str = "") -> str:
    for each in "%\r\n" + more:
        text = text.replace(each, f"%{ord(each):02X}")
    return text


def github(events: Iterable[Event]) -> str:
    """A workflow command for each, which annotates the source line.

    (GitHub's documentation, "Workflow commands for GitHub Actions".)
    """
    lines = []
    for event in events:
        where = place(event)
        at = (
            f"file={_escaped(_relative(str(where.file)), ':,')},line={where.line}," if where else ""
        )
        told = _escaped("\n".join(render(event)))
        lines.append(f"::error {at}title=patalloc {event.kind}::{told}\n")
    return "".join(lines)


def junit(events: Sequence[Event], command: Sequence[str]) -> str:
    """A suite of test cases in JUnit's XML, as continuous integration reads it.

    There is one for each event, which failed; or, without any, one for the command, which passed.
    """
    name = " ".join(command)
    count = {"tests": str(max(len(events), 1)), "failures": str(len(events)), "errors": "0"}
    root = ElementTree.Element("testsuites", count)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "patalloc", **count, "skipped": "0"})
    if not events:
        ElementTree.SubElement(suite, "testcase", {"classname": "patalloc", "name": name})
    for number, event in enumerate(events, 1):
        attributes = {"classname": f"patalloc.{event.kind}", "name": f"{name} #{number}"}
        case = ElementTree.SubElement(suite, "testcase", attributes)
        told = {"message": event.summary, "type": event.kind}
        ElementTree.SubElement(case, "failure", told).text = _printable("\n".join(render(event)))
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


def _sarif_stack(event: Event, stack: tuple[int, ...], message: str) -> dict[str, Any]:
    frames = [
        {"module": str(each.module or "?"), "location": _sarif_location(each)}
        for each in locate_in(stack, event.modules)
    ]
    return {"message": {"text": message}, "frames": frames}


def _sarif_result(event: Event) -> dict[str, Any]:
    where = place(event)
    stacks = [_sarif_stack(event, event.stack, event.access or event.call or "death")]
    for name in ("allocated", "freed"):
        moment = getattr(event.block, name, None)
        if moment and moment.stack:
            stacks.append(_sarif_stack(event, moment.stack, name))
    return {
        "ruleId": event.kind,
        "level": "error",
        "message": {"text": event.summary},
        "locations": [_sarif_location(where)] if where else [],
        "stacks": stacks,
    }


def sarif(events: Sequence[Event], version: str) -> str:
    """A log in the Static Analysis Results Interchange Format 2.1.0 (OASIS), of one run."""
    rules = [{"id": kind} for kind in sorted({event.kind for event in events})]
    tool = {"name": "patalloc", "version": version, "rules": rules}
    run = {"tool": {"driver": tool}, "results": [_sarif_result(event) for event in events]}
    return json.dumps({"$schema": _SARIF, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"
