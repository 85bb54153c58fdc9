"""String formats: the configuration's check and the filter's normalization agree."""

import pytest

from extproc.shared.string_formats import FORMATS, has_format, normalize


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("date", "2026-01-31"),
        ("time", "14:30:00"),
        ("date-time", "2026-01-31T14:30:00"),
        ("email", "a@example.com"),
        ("uri", "https://example.com/x"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
        ("ipv4", "127.0.0.1"),
        ("ipv6", "::1"),
    ],
)
def test_normalize_keeps_text_that_is_in_the_format(name: str, value: str) -> None:
    assert has_format(value, name)
    assert normalize(value, name) == value


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_refuses_text_that_is_in_no_format(name: str) -> None:
    assert not has_format("no such thing", name)
    with pytest.raises(ValueError):
        normalize("no such thing", name)


def test_only_normalize_reads_other_spellings() -> None:
    assert not has_format("January 31, 2026", "date")
    assert normalize("January 31, 2026", "date") == "2026-01-31"


@pytest.mark.parametrize("name", [None, "hostname"])
def test_normalize_leaves_text_of_unknown_formats_alone(name: str | None) -> None:
    assert normalize("anything", name) == "anything"
