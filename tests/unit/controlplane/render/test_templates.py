"""Quoting of values in templates."""

from __future__ import annotations

import pytest
import yaml
from jinja2 import UndefinedError

from controlplane.render import templates
from controlplane.render.templates import (
    render_template,
    secret_file,
    to_bare,
    to_compose,
    to_duration,
    to_json,
    to_list,
    to_mapping,
)


@pytest.mark.parametrize(
    "value", ['"', "'", "\\", "a: b # c", "\n\r\t\0", "é", "😀", "\u2028\x85\x7f\ufeff", "{{ x }}", "", "null", "~"]
)
def test_quoted_text_survives_yaml(value: str) -> None:
    assert yaml.safe_load(f"key: {to_json(value)}") == {"key": value}


@pytest.mark.parametrize("value", [None, True, 3, 2.5])
def test_scalars_keep_their_type(value: float | None) -> None:
    assert yaml.safe_load(to_json(value)) == value


def test_duration_keeps_milliseconds() -> None:
    assert to_duration(61_007) == '"61.007s"'


def test_secret_file_name_has_no_separators() -> None:
    assert secret_file("../a b/é") == "..%2Fa%20b%2F%C3%A9.yaml"


def test_rejects_an_unquoted_value_in_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = templates._environment()
    monkeypatch.setattr(environment, "get_template", environment.from_string)
    with pytest.raises(TypeError, match="without a filter"):
        render_template("key: {{ value }}", {"value": "x"})
    with pytest.raises(UndefinedError):
        render_template("key: {{ valeu | json }}", {"value": "x"})


def test_escapes_dollars_in_compose_files() -> None:
    assert to_compose("$HOME ${X:-y} $$") == '"$$HOME $${X:-y} $$$$"'
    assert to_mapping({"a$": "b"}) == '{"a$$": "b"}'
    assert to_list(["$a", "b"]) == '["$$a", "b"]'


@pytest.mark.parametrize("text", ["", "a b", "a: b", "a\nb", "$a", "#a", '"a"', "é"])
def test_bare_filter_rejects_values_that_need_quotes(text: str) -> None:
    with pytest.raises(ValueError, match="without quotes"):
        to_bare(text)
