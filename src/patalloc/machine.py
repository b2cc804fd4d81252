"""What the core says of itself and of this machine: options, kernel features, limits."""

import os
import platform
from pathlib import Path
from typing import Any

import attrs

from patalloc._core import ffi, lib


@attrs.frozen
class Option:
    """One option: its name, preset value, allowed values and meaning."""

    name: str
    preset: str
    allowed: str
    meaning: str


@attrs.frozen
class Feature:
    """A kernel feature, whether it works here, and what is done where it does not."""

    name: str
    available: bool
    since: str
    purpose: str
    fallback: str


@attrs.frozen
class Machine:
    """This machine's limits.

    Attributes:
        kernel: its release, as uname(2) gives it.
        architecture: as uname(2) gives it.
        page_size: bytes.
        max_map_count: the mappings that a process may have (vm.max_map_count).
        map_count_allowed: how many of them all heaps of a process use at most.
        address_space: the lesser of RLIMIT_AS and RLIMIT_DATA, in bytes; None where unlimited.
        available_memory: bytes that can be written now, control groups included.
        huge_pages: the setting of /sys/kernel/mm/transparent_hugepage/enabled; None where absent.
    """

    kernel: str
    architecture: str
    page_size: int
    max_map_count: int
    map_count_allowed: int
    address_space: int | None
    available_memory: int
    huge_pages: str | None


def _text(pointer: Any) -> str:  # noqa: ANN401 (cffi has no types)
    return str(ffi.string(pointer).decode())


def options() -> list[Option]:
    """All options, from the core's one table."""
    found: list[Option] = []
    option = ffi.new("struct patalloc_option *")
    while lib.patalloc_option(len(found), option) == 0:
        found.append(
            Option(
                name=_text(option.name),
                preset=_text(option.preset),
                allowed=_text(option.allowed),
                meaning=_text(option.meaning),
            )
        )
    return found


def features() -> list[Feature]:
    """All kernel features that the core uses, each as tried on this kernel."""
    found: list[Feature] = []
    feature = ffi.new("struct patalloc_feature *")
    while lib.patalloc_feature(len(found), feature) == 0:
        found.append(
            Feature(
                name=_text(feature.name),
                available=bool(feature.available),
                since=_text(feature.since),
                purpose=_text(feature.purpose),
                fallback=_text(feature.fallback),
            )
        )
    return found


def _huge_pages() -> str | None:
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled") as setting:
            return setting.read().partition("[")[2].partition("]")[0]
    except OSError:
        return None


def machine() -> Machine:
    """This machine's kernel and limits."""
    limits = ffi.new("struct patalloc_limits *")
    lib.patalloc_limits(limits)
    unlimited = int(ffi.cast("size_t", -1))
    return Machine(
        kernel=platform.release(),
        architecture=platform.machine(),
        page_size=limits.page_size,
        max_map_count=limits.max_map_count,
        map_count_allowed=limits.map_count_allowed,
        address_space=None if limits.address_space == unlimited else limits.address_space,
        available_memory=limits.available_memory,
        huge_pages=_huge_pages(),
    )


def describe() -> str:
    """The processor, the kernel and the C library, in a line, for what was measured here."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2].strip() for line in lines if "model name" in line]
    model = models[0] if models else platform.machine()
    library = " ".join(platform.libc_ver())
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, {library}"
