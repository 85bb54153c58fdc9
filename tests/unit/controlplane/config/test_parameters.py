"""Parameters: enum, format, items and default must fit the type."""

import json

import pytest

from controlplane.config.parameters import format_of
from tests.unit.controlplane.config.files import PROVIDER, Folder


def file(parameter: str) -> str:
    return f"""\
version: v1
endpoints: {{api: {{endpoint: h}}}}
prompt_targets:
  - name: t
    description: d
    endpoint: {{name: api}}
    parameters:
      - {{name: p, description: d, {parameter}}}
{PROVIDER}"""


@pytest.mark.parametrize(
    "parameter",
    [
        "enum: [a, b], default: b",
        "enum: ['1', '2'], default: '1'",
        "type: int, enum: [1, 2], default: 2",
        "type: float, enum: [0.5, 1], default: 1",
        "type: float, enum: [0.5, 1], default: 1.0",
        "type: date, default: 2026-01-31",
        "type: time, default: '14:30'",
        "type: datetime, default: '2026-01-31T14:30:00Z'",
        "type: date, format: date",
        "type: date, enum: [2026-01-31, 2026-02-01]",
        "format: ipv4, default: 127.0.0.1",
        "type: list, items: int, default: [1, 2]",
        "type: list, items: {type: str, enum: [a, b]}, default: [a, a]",
        "type: list, items: date, default: [2026-01-31]",
        "type: list, items: dict, default: [{a: 1}]",
        "type: list, items: str, default: []",
        "type: list, items: str, default: null",
        "type: list, default: [1, a]",
    ],
)
def test_accepts_consistent_parameter(folder: Folder, parameter: str) -> None:
    (target,) = folder.load(file(parameter)).config.prompt_targets
    assert [each.name for each in target.parameters] == ["p"]


@pytest.mark.parametrize(
    ("parameter", "problem", "hint"),
    [
        # enum
        ("enum: [a, a]", '8:45: enum names "a" twice', "keep one"),
        ("type: float, enum: [1, 1.0]", "8:58: enum names 1.0 twice", "keep one"),
        ("enum: [a, 1]", "8:45: 1 of enum is not of the parameter's type, str", "put it in quotes"),
        ("type: int, enum: [1, a]", '8:56: "a" of enum is not of the parameter\'s type, int', None),
        ("type: int, enum: [1, 1.5]", "8:56: 1.5 of enum is not of the parameter's type, int", None),
        ("enum: [true]", "8:42: enum: expected text or a number, got true", "put it in quotes if it is meant as text"),
        ("enum: ['']", "8:42: enum: expected a text of 1 to 256 characters", None),
        (
            "type: bool, enum: [a]",
            "8:53: enum has no meaning for a parameter of type bool",
            "it works for str, int and float",
        ),
        ("type: list, enum: [a]", "8:53: enum has no meaning for a parameter of type list", "write it in items"),
        ("type: date, enum: [today]", '8:54: "today" of enum is not in the format date', "such as 2026-01-31"),
        # format
        ("type: int, format: date", "8:54: format has no meaning for a parameter of type int", "it works for str"),
        ("type: date, format: time", "8:55: the type says the format date already", "remove one of them"),
        # items
        ("items: int", "8:42: items has no meaning for a parameter of type str", "for list"),
        ("type: list, items: {}", '8:47: "type" is missing', None),
        ("type: list, items: ints", '8:54: type: "ints" is not known', None),
        (
            "type: list, items: {type: int, format: date}",
            "8:74: format has no meaning for a parameter of type int",
            None,
        ),
        ("type: list, items: {type: list, enum: [a]}", "8:73: enum has no meaning for a parameter of type list", None),
        ("type: list, items: {type: int, enum: [a]}", '8:73: "a" of enum is not of the items\' type, int', None),
        ("type: list, items: {type: str, enm: [a]}", '8:66: unknown key "enm"', "did you mean enum?"),
        # default
        ("type: date, default: tomorrow", "8:56: the default is not in the format date", "such as 2026-01-31"),
        ("format: email, default: me", "8:59: the default is not in the format email", None),
        ("default: 7", "8:44: the default is not of the parameter's type, str", "put it in quotes"),
        ("enum: [a], default: b", "8:55: the default is not one of enum", "enum has: a"),
        ("type: int, enum: [1], default: 2", "8:66: the default is not one of enum", "enum has: 1"),
        ("type: list, items: int, default: [1, x]", '8:72: "x" of the default is not of the items\' type, int', None),
        (
            "type: list, items: {type: str, enum: [a]}, default: [a, b]",
            '8:91: "b" of the default is not one of enum',
            "enum has: a",
        ),
        (
            "type: list, items: date, default: [2026-02-30]",
            '8:70: "2026-02-30" of the default is not in the format date',
            "such as 2026-01-31",
        ),
    ],
)
def test_refuses_contradictions_at_their_position(
    folder: Folder, parameter: str, problem: str, hint: str | None
) -> None:
    assert folder.problems(file(parameter)) == [problem]
    if hint is not None:
        assert folder.hints(file(parameter)) == [hint]


@pytest.mark.parametrize(("written", "form"), [("date", "date"), ("time", "time"), ("datetime", "date-time")])
def test_dates_and_times_are_text_in_a_format(folder: Folder, written: str, form: str) -> None:
    (parameter,) = folder.load(file(f"type: {written}")).config.prompt_targets[0].parameters
    assert (parameter.type.type.value, format_of(parameter)) == ("str", form)


def test_items_shorthand_equals_its_full_form(folder: Folder) -> None:
    short, long = (
        folder.load(file(f"type: list, items: {items}")).config.prompt_targets for items in ("int", "{type: int}")
    )
    assert short == long


def test_numbers_keep_their_json_type(folder: Folder) -> None:
    (parameter,) = folder.load(file("type: float, enum: [1, 0.5]")).config.prompt_targets[0].parameters
    assert json.dumps(parameter.enum) == "[1, 0.5]"
