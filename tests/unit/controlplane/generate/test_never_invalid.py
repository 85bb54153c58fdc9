"""Whatever a source says: a valid configuration that holds it, or an error that says why not."""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.errors import SourceError
from controlplane.generate import config_yaml
from controlplane.generate.naming import config_name
from controlplane.generate.operations import Argument, Default, Location, Operation, Shape
from controlplane.generate.prompt_targets import targets
from extproc.shared.filter_config import ParameterType
from tests.unit.controlplane.generate.sources import FOLDER, Project

BRIEF = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
TEXT = st.one_of(
    st.text(max_size=12), st.sampled_from(["yes", "1e5", "0x1", "~", "a: b", "- x", "#", "1_0", "$X", "id", "messages"])
)
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SHAPE = st.builds(
    Shape,
    type=st.sampled_from(ParameterType),
    enum=st.lists(st.one_of(TEXT, st.integers(), st.floats()), max_size=3, unique=True).map(tuple),
    format=st.one_of(st.none(), st.sampled_from(["date", "uri", "odd"])),
)
ARGUMENT = st.builds(
    Argument,
    name=TEXT,
    location=st.sampled_from(Location),
    shape=st.builds(lambda shape, items: Shape(shape.type, False, shape.enum, shape.format, items), SHAPE, SHAPE),
    description=st.one_of(st.none(), TEXT),
    required=st.booleans(),
    default=st.one_of(st.none(), st.builds(Default, VALUE)),
)
OPERATION = st.builds(
    Operation,
    name=TEXT,
    method=st.sampled_from(["GET", "POST"]),
    path=TEXT.map(lambda text: f"/{text}/{{id}}"),
    position=st.just("here"),
    description=st.one_of(st.none(), TEXT),
    arguments=st.lists(ARGUMENT, max_size=4).map(
        lambda arguments: (
            Argument("id", Location.PATH, required=True),
            *(a for a in arguments if (a.name, a.location) != ("id", Location.PATH)),
        )
    ),
    remarks=st.lists(TEXT, max_size=1).map(tuple),
)


@BRIEF
@given(st.lists(OPERATION, max_size=3), TEXT)
def test_each_operation_becomes_a_valid_target_or_a_note(operations: list[Operation], title: str) -> None:
    endpoint = config_yaml.Endpoint(config_name(title), None)
    made, notes = targets(operations, endpoint.name)
    assert len(made) + len([note for note in notes if note.message.startswith("skipped")]) == len(operations)
    if made:
        with tempfile.TemporaryDirectory() as folder:
            config = Project(Path(folder)).validate_text(config_yaml.render(made, endpoint, title))
        assert config["prompt_targets"] == [target.value for target in made]


KEYWORD = st.sampled_from(
    [
        "type",
        "enum",
        "items",
        "properties",
        "required",
        "allOf",
        "anyOf",
        "$ref",
        "default",
        "format",
        "nullable",
        "const",
        "description",
    ]
)
SCHEMA = st.recursive(
    st.one_of(
        VALUE,
        st.sampled_from(["string", "integer", "object", "#/components/schemas/A", "#/components/schemas/B", "#/paths"]),
    ),
    lambda inner: st.dictionaries(KEYWORD | TEXT, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=12,
)


@BRIEF
@given(SCHEMA, SCHEMA, SCHEMA)
def test_each_document_is_read_or_refused(first: Any, second: Any, body: Any) -> None:
    call = {
        "parameters": [{"name": "v", "in": "query", "schema": first}, second, {"$ref": "#/components/schemas/A"}],
        "requestBody": {"content": {"application/json": {"schema": body}}},
    }
    source = {
        "openapi": "3.1.0",
        "paths": {"/x": {"get": {"parameters": [second]}, "post": call}, "/y": {"post": second}, "/z": first},
        "components": {"schemas": {"A": first, "B": body}},
    }
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        try:
            project.generate(json.dumps(source), name="api.json")
        except SourceError as error:
            assert "generated an invalid file" not in str(error)


@pytest.mark.parametrize("source", ["travel_fastapi.txt", "shop_flask.txt"])
@BRIEF
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(["", "x", "None", "...", "Field()", "[int]", "lambda: 0"])),
        max_size=6,
    )
)
def test_each_source_is_read_or_refused(source: str, changes: list[tuple[float, str]]) -> None:
    words = copy.copy((FOLDER / source).read_text(encoding="utf-8").split(" "))
    for place, word in changes:
        words[int(place * (len(words) - 1))] = word
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        try:
            project.generate(" ".join(words))
        except SourceError as error:
            assert str(error)
