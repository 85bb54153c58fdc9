"""Durations and sizes: their forms and bounds."""

import pytest
from pydantic_core import PydanticCustomError

from controlplane.config.quantities import (
    KIB,
    MIB,
    MINUTE,
    duration_between,
    format_duration,
    format_size,
    size_between,
)

duration = duration_between(1, 60 * MINUTE)
size = size_between(1, 64 * MIB)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("500ms", 500), ("30s", 30_000), ("0.005s", 5), ("1.5s", 1500), ("2m", 120_000), ("1h", 3_600_000)],
)
def test_durations_carry_their_unit(text: str, milliseconds: int) -> None:
    assert duration(text) == milliseconds


@pytest.mark.parametrize("value", [30, "30", "", "s", "-1s", "1 s", "1e3s", "30S", "\u0661s", True, None, ["1s"], "1d"])
def test_refuses_other_durations(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="expected a duration"):
        duration(value)


@pytest.mark.parametrize("text", ["0s", "0.5ms", "61m", "999999999h"])
def test_durations_have_bounds(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="out of bounds: 1ms to 1h"):
        duration(text)


def test_a_duration_is_whole_milliseconds() -> None:
    with pytest.raises(PydanticCustomError, match="no whole number of milliseconds"):
        duration("1.5ms")


@pytest.mark.parametrize(
    ("value", "size_in_bytes"),
    [(1024, KIB), ("1024", KIB), ("10MiB", 10 * MIB), ("2KiB", 2048), ("1MB", 10**6), ("7B", 7)],
)
def test_sizes_are_bytes_with_or_without_a_unit(value: object, size_in_bytes: int) -> None:
    assert size(value) == size_in_bytes


@pytest.mark.parametrize("value", [True, 1.5, "", "10 MiB", "-1", "1GiB", "MiB", None])
def test_refuses_other_sizes(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="expected a size"):
        size(value)


@pytest.mark.parametrize("value", [0, -1, "65MiB"])
def test_sizes_have_bounds(value: object) -> None:
    with pytest.raises(PydanticCustomError, match=r"out of bounds|expected a size"):
        size(value)


def test_formats_quantities_in_the_shortest_form() -> None:
    assert [format_duration(value) for value in (1, 500, 30_000, 90_000, 300_000, 3_600_000)] == [
        "1ms", "500ms", "30s", "90s", "5m", "1h",
    ]  # fmt: skip
    assert [format_size(value) for value in (7, KIB, 1500, 10 * MIB)] == ["7", "1KiB", "1500", "10MiB"]
