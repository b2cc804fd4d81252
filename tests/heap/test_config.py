"""Config, and the option parser behind it."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patalloc import Config, OptionError
from patalloc.machine import features
from patalloc.machine import options as all_options

NAMES = [option.name for option in all_options()]


def test_fields_are_the_cores_options_with_their_presets() -> None:
    assert [field.name for field in attrs.fields(Config)] == NAMES
    for option in all_options():
        assert Config.parse(f"{option.name}={option.preset}") == Config()


@pytest.mark.parametrize(
    ("given_as", "canonical"),
    [
        (0, "0x00"),
        (0xAB, "0xab"),
        ("171", "0xab"),
        (0x1234, "0x1234"),
        ("0x123", "0x0123"),
        (0xDEADBEEF, "0xdeadbeef"),
        ("0x0000beef", "0x0000beef"),
        (1 << 63, "0x8000000000000000"),
        ("zero", "0x00"),
        ("none", "none"),
    ],
)
def test_patterns(given_as: int | str, canonical: str) -> None:
    assert Config(pattern=given_as).pattern == canonical


@pytest.mark.parametrize(
    "bad",
    [
        *(
            {"pattern": value}
            for value in (None, -1, 1 << 64, "", "0x", "256", "ab", "0x1g", "0x" + 17 * "1")
        ),
        *({"threshold": value} for value in (0, 4095, "2T", "1KK", "K", "99999999999999999999")),
        {"guard_pages": 65},
        {"guard_pages": "1.5"},
        {"fill": "memcpy"},
        {"small_fill": "maybe"},
        {"cache_size": "-1"},
        {"release_interval": -2},
        {"release_interval": 86400001},
        *({"backend": value} for value in ("memfd2", "syscall", "syscall:", "syscall:x", "zero")),
        {"without": "memfd,"},
        {"without": "everything"},
        {"on_error": "ignore"},
        {"stats": "fd:x"},
        {"stats": "x" * 256},
        {"stats": "a:count=yes"},
    ],
    ids=str,
)
def test_bad_values_are_named_with_what_is_allowed(bad: dict[str, object]) -> None:
    ((name, _),) = bad.items()
    with pytest.raises(OptionError, match=rf"^{name}=.*allowed"):
        Config(**bad)  # type: ignore[arg-type]


def test_unknown_options() -> None:
    with pytest.raises(OptionError, match="colour=red: no such option; allowed: pattern"):
        Config.parse("colour=red")
    with pytest.raises(OptionError, match="red: not key=value"):
        Config.parse("red")


def test_every_bad_option_is_named() -> None:
    with pytest.raises(OptionError) as caught:
        Config.parse("fill=x:threshold=y:count=yes")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "fill=x",
        "threshold=y",
    ]


def test_sizes_with_suffixes() -> None:
    assert Config(threshold="1m").threshold == 1 << 20
    assert Config(cache_size="64T").cache_size == 64 << 40


def test_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Config().pattern = "0x00"  # type: ignore[misc]


@given(
    pattern=st.integers(0, 2**64 - 1) | st.sampled_from(["none", "zero"]),
    threshold=st.integers(4096, 1 << 40),
    guard_pages=st.integers(0, 64),
    fill=st.sampled_from(["auto", "refpage", "memset"]),
    small_fill=st.booleans(),
    cache_size=st.integers(0, 1 << 46),
    retain_size=st.integers(0, 1 << 46),
    release_interval=st.integers(-1, 86400000),
    backend=st.sampled_from(["auto", "memfd", "device", "wrap", "uffd", "none"])
    | st.integers(0, 10**6).map(lambda number: f"syscall:{number}"),
    without=st.lists(st.sampled_from([each.name for each in features()])).map(
        lambda names: ",".join(names) or "none"
    ),
    reserve=st.integers(1 << 26, 1 << 46),
    on_error=st.sampled_from(["abort", "continue"]),
    count=st.booleans(),
    stats=st.sampled_from(["", "fd:2", "stats/%p", "a:b"]),
)
def test_round_trip(**values: object) -> None:
    config = Config(**values)  # type: ignore[arg-type]
    assert Config.parse(str(config)) == config
    assert attrs.evolve(config) == config
