"""OpenAPI 3.0 and 3.1 documents."""

import json
from typing import Any

import pytest

from tests.unit.controlplane.generate.sources import Project


def document(paths: dict[str, Any], **rest: Any) -> str:
    return json.dumps({"openapi": "3.1.0", "info": {"title": "An API", "version": "1"}, "paths": paths, **rest})


def body(schema: Any, content_type: str = "application/json", **rest: Any) -> str:
    call = {"summary": "Act.", "operationId": "act", "requestBody": {"content": {content_type: {"schema": schema}}}}
    return document({"/x": {"post": call}}, **rest)


def field(schema: Any, **rest: Any) -> str:
    return body({"type": "object", "properties": {"v": schema}}, **rest)


NAME = "api.json"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, {"type": "str"}),
        (True, {"type": "str"}),
        ({"type": "integer", "format": "int64"}, {"type": "int"}),
        ({"type": "number"}, {"type": "float"}),
        ({"type": "boolean", "default": True}, {"type": "bool", "default": True}),
        ({"type": "object"}, {"type": "dict"}),
        ({"type": "array"}, {"type": "list"}),
        ({"type": "array", "items": {"type": "integer"}}, {"type": "list", "items": "int"}),
        ({"type": "array", "items": {"enum": ["a"]}}, {"type": "list", "items": {"type": "str", "enum": ["a"]}}),
        ({"type": ["string", "null"]}, {"type": "str"}),
        ({"type": ["integer", "string"]}, {"type": "str"}),
        ({"type": "string", "nullable": True, "default": None}, {"type": "str"}),
        ({"type": "string", "format": "date"}, {"type": "str", "format": "date"}),
        ({"type": "string", "format": "password"}, {"type": "str"}),
        ({"type": "string", "enum": ["a", None]}, {"type": "str", "enum": ["a"]}),
        ({"enum": [1, 2], "default": 2}, {"type": "int", "enum": [1, 2], "default": 2}),
        ({"type": "number", "enum": [1, 2.5]}, {"type": "float", "enum": [1, 2.5]}),
        ({"type": "number", "enum": [1, 2]}, {"type": "float", "enum": [1, 2]}),
        ({"const": "x"}, {"type": "str", "enum": ["x"]}),
        ({"type": "string", "enum": ["", "a"], "default": ""}, {"type": "str", "enum": ["a"]}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "int"}),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, {"type": "float"}),
        ({"oneOf": [{"const": "a"}, {"const": "b"}]}, {"type": "str", "enum": ["a", "b"]}),
        ({"allOf": [{"type": "string"}, {"default": "x"}]}, {"type": "str", "default": "x"}),
        (
            {"allOf": [{"$ref": "#/components/schemas/E"}], "default": "b"},
            {"type": "str", "enum": ["a", "b"], "default": "b"},
        ),
        ({"$ref": "#/components/schemas/E", "description": "V"}, {"type": "str", "enum": ["a", "b"]}),
        ({"$ref": "#/components/schemas/nowhere"}, {"type": "str"}),
        ({"$ref": "other.yaml#/x"}, {"type": "str"}),
        ({"$ref": "#/components/schemas/a~1b%20c"}, {"type": "int"}),
        ({"type": "string", "title": "V"}, {"type": "str"}),
        ({"type": "string", "default": 3}, {"type": "str"}),
    ],
)
def test_schema_becomes_a_parameter_type(project: Project, schema: Any, expected: dict[str, Any]) -> None:
    schemas = {"E": {"type": "string", "enum": ["a", "b"]}, "a/b c": {"type": "integer"}}
    found = project.parameters(field(schema, components={"schemas": schemas}), NAME)
    assert found == {"v": {"description": "V", **expected}}


CIRCLES = {
    "Self": {"$ref": "#/components/schemas/Self"},
    "One": {"$ref": "#/components/schemas/Two"},
    "Two": {"$ref": "#/components/schemas/One"},
    "All": {"allOf": [{"$ref": "#/components/schemas/All"}, {"$ref": "#/components/schemas/All"}], "type": "object"},
    "Any": {"anyOf": [{"$ref": "#/components/schemas/Any"}] * 3},
    "List": {"type": "array", "items": {"$ref": "#/components/schemas/List"}},
    "Tree": {"type": "object", "properties": {"v": {"$ref": "#/components/schemas/Tree"}}},
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", sorted(CIRCLES))
def test_circular_references_terminate(project: Project, name: str) -> None:
    source = field({"$ref": f"#/components/schemas/{name}"}, components={"schemas": CIRCLES})
    assert list(project.parameters(source, NAME)) == ["v"]


@pytest.mark.timeout(20)
def test_nested_yaml_aliases_are_parsed_once(project: Project) -> None:
    levels = "".join(f"  a{n}: &a{n} {{allOf: [{', '.join(9 * [f'*a{n - 1}'])}]}}\n" for n in range(1, 20))
    defaults = "".join(f"  d{n}: &d{n} [{', '.join(9 * [f'*d{n - 1}'])}]\n" for n in range(1, 20))
    source = (
        f"openapi: 3.0.0\nx-levels:\n  a0: &a0 {{type: string}}\n{levels}  d0: &d0 []\n{defaults}"
        "paths:\n  /x:\n    get:\n      summary: Act.\n      parameters:\n"
        "        - {name: v, in: query, schema: *a19}\n"
        "        - {name: w, in: query, schema: {type: array, default: *d19}}\n"
    )
    found = project.parameters(source, "api.yaml")
    assert found == {"v": {"type": "str", "description": "V"}, "w": {"type": "list", "description": "W"}}


def test_all_of_is_flattened_without_read_only_keys(project: Project) -> None:
    base = {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "integer"}, "id": {"type": "integer", "readOnly": True}},
    }
    more = {"properties": {"b": {"type": "object", "properties": {"c": {}}}}, "required": ["b"]}
    found = project.parameters(body({"allOf": [base, more]}), NAME)
    assert found == {
        "a": {"type": "int", "description": "A", "required": True},
        "b": {"type": "dict", "description": "B", "required": True},
    }


def test_any_of_objects_requires_their_common_required_keys(project: Project) -> None:
    one = {"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    two = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "c": {"type": "integer"}}}
    found = project.parameters(body({"oneOf": [one, two]}), NAME)
    assert {name: item.get("required", False) for name, item in found.items()} == {"a": True, "b": False, "c": False}


def test_operation_parameter_overrides_path_parameter(project: Project) -> None:
    shared = {"name": "v", "in": "query", "description": "shared", "schema": {"type": "integer"}}
    own = {**shared, "description": "own", "required": True}
    paths = {"/x/{id}": {"parameters": [shared], "get": {"summary": "Act.", "parameters": [own]}}}
    found = project.parameters(document(paths), NAME)
    assert found == {
        "id": {"type": "str", "description": "Id", "required": True},
        "v": {"type": "int", "description": "own", "required": True},
    }


@pytest.mark.parametrize(
    ("servers", "endpoint", "path"),
    [
        ([{"url": "https://api.example.com/v2/"}], {"endpoint": "api.example.com", "protocol": "https"}, "/v2/x"),
        ([{"url": "http://localhost"}], {"endpoint": "localhost:80"}, "/x"),
        ([{"url": "http://[::1]:8080/a"}], {"endpoint": "[::1]:8080"}, "/a/x"),
        ([{"url": "https://{h}:{p}", "variables": {"h": {"default": "h.example"}, "p": {"default": 8443}}}],
         {"endpoint": "h.example:8443", "protocol": "https"}, "/x"),
        ([{"url": "/api/v1"}], {"endpoint": "127.0.0.1:8000"}, "/api/v1/x"),
        ([{"url": "https://{unknown}/v1"}], {"endpoint": "127.0.0.1:8000"}, "/x"),
        ([], {"endpoint": "127.0.0.1:8000"}, "/x"),
    ],
)  # fmt: skip
def test_first_server_is_the_endpoint(project: Project, servers: Any, endpoint: Any, path: str) -> None:
    config = project.config(document({"/x": {"get": {"summary": "Act."}}}, servers=servers), name=NAME)
    assert config["endpoints"] == {"an_api": endpoint}
    assert config["prompt_targets"][0]["endpoint"]["path"] == path


@pytest.mark.parametrize(
    ("operation_id", "path", "name"),
    [
        ("getPetById", "/pets/{id}", "getPetById"),
        ("read_item_items__item_id__get", "/items/{item_id}", "read_item"),
        (None, "/pets/{pet-id}", "get_pets_pet_id"),
        ("pets.list all!", "/x", "pets_list_all"),
    ],
)
def test_name_is_the_operation_id(project: Project, operation_id: str | None, path: str, name: str) -> None:
    call = {"summary": "Act."} | ({"operationId": operation_id} if operation_id else {})
    assert list(project.targets(document({path: {"get": call}}), name=NAME)) == [name]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            body({"type": "object"}, "multipart/form-data"),
            "its body is multipart/form-data, and the gateway sends JSON",
        ),
        (body({"type": "object"}, "text/plain"), "its body is text/plain, and the gateway sends JSON"),
        (body({"type": "array"}), "its body is a bare list, and the gateway sends an object"),
        (field({"type": "string", "format": "binary"}), "it takes an uploaded file"),
        (document({"/x": {"put": {}, "head": {}}}), "a prompt target calls with GET or POST, not PUT"),
        (
            document({"/x": {"get": {"parameters": [{"name": "a[b]", "in": "query", "required": True}]}}}),
            "`a[b]` is not a valid parameter name",
        ),
    ],
)
def test_document_without_callable_routes_is_refused_with_reasons(project: Project, source: str, reason: str) -> None:
    refusal = project.refusal(source, NAME)
    assert refusal.startswith("api.json:1:1: no route of this source can be a prompt target\n")
    assert f"skipped: {reason}" in refusal


def test_json_body_is_preferred_to_a_form(project: Project) -> None:
    form = body({"type": "object", "properties": {"v": {}}}, "application/x-www-form-urlencoded")
    assert any("it reads a form, but the gateway sends JSON" in note for note in project.notes(form, NAME))
    both = form.replace('"application/x-www-form-urlencoded"', '"text/json+json": {"schema": {}}, "x/y"')
    assert not any("form" in note for note in project.notes(both, NAME))


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ('{"swagger": "2.0", "paths": {}}', "a.json", "a.json:1:1: Swagger 2.0 is not supported, OpenAPI 3 is\n"),
        ("swagger: '2.0'\npaths: {}", "a.yaml", "a.yaml:1:1: Swagger 2.0 is not supported"),
        ("swagger: 2.0\npaths: {}", "a.yaml", "a.yaml:1:1: Swagger 2.0 is not supported"),
        ('{"openapi": "4.0.0"}', "a.json", "a.json:1:1: this is not an OpenAPI 3 document: it says openapi: 4.0.0"),
        ("{}", "a.json", "a.json:1:1: this is not an OpenAPI 3 document: it has no key `openapi`"),
        ("[]", "a.json", "a.json:1:1: this is not an OpenAPI document: it is not a mapping of keys"),
        ("", "a.yaml", "a.yaml:1:1: this is not an OpenAPI document"),
        ("openapi: 3.0.3\n", "a.yaml", "a.yaml:1:1: the document has no `paths`"),
        ('{\n"openapi": 3,,}', "a.json", "a.json:2:14: not valid JSON: "),
        ("a: b\n  c: d\n", "a.yaml", "a.yaml:2:4: not valid YAML: mapping values are not allowed"),
        ("a: !!python/object:os.system x", "a.yaml", "a.yaml:1:4: not valid YAML: could not determine a constructor"),
        ("a: &a [*a]", "a.yaml", "a.yaml:1:1: this is not an OpenAPI 3 document"),
        ("[" * 100_000, "a.json", "a.json:1:1: the document is nested too deeply"),
        ("a: " + "[" * 20_000 + "]" * 20_000, "a.yaml", "a.yaml:1:"),
    ],
)
def test_other_documents_than_openapi_3_are_refused_with_position(
    project: Project, text: str, name: str, message: str
) -> None:
    assert project.refusal(text, name).startswith(message)


def test_yaml_is_read_with_json_types(project: Project) -> None:
    source = (
        "openapi: 3.0.0\ninfo: {title: 2024-01-01, version: 1.0}\n"
        "paths:\n  /x:\n    get:\n      summary: Act.\n      parameters:\n"
        "        - {name: day, in: query, schema: {type: string, format: date, default: 2024-01-31}}\n"
    )
    assert project.parameters(source, "api.yaml")["day"]["default"] == "2024-01-31"


def test_too_large_document_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.generate.openapi.document_loader.MAX_BYTES", 10)
    assert (
        project.refusal(document({"/x": {"get": {}}}), NAME)
        == "api.json:1:1: the document is too large: at most 10 bytes"
    )
