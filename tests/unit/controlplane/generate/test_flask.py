"""Arguments of Flask routes: path converters and keys of `request`."""

import pytest

from tests.unit.controlplane.generate.sources import Project

HEAD = (
    "import datetime, json, uuid\nimport flask\nfrom flask import Flask, Blueprint, abort, request\napp = Flask('x')\n"
)


def view(body: str, rule: str = "'/x'", signature: str = "", before: str = "") -> str:
    lines = "\n    ".join(body.splitlines())
    return f"{HEAD}{before}\n@app.route({rule})\ndef act({signature}):\n    'Act.'\n    {lines}\n"


POST = "'/x', methods=['POST']"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("<value>", {"type": "str"}),
        ("<string:value>", {"type": "str"}),
        ("<string(length=2):value>", {"type": "str"}),
        ("<path:value>", {"type": "str"}),
        ("<int:value>", {"type": "int"}),
        ("<int(min=1):value>", {"type": "int"}),
        ("<float:value>", {"type": "float"}),
        ("<uuid:value>", {"type": "str", "format": "uuid"}),
        ("<any(a, 'b'):value>", {"type": "str", "enum": ["a", "b"]}),
    ],
)
def test_converter_becomes_a_parameter_type(project: Project, rule: str, expected: dict[str, object]) -> None:
    source = view("return ''", f'"/x/{rule}/y"', "value")
    assert project.parameters(source) == {"value": {"description": "Value", "required": True, **expected}}
    (target,) = project.targets(source).values()
    assert target["endpoint"]["path"] == "/x/{value}/y"


def test_annotation_gives_the_type_without_a_converter(project: Project) -> None:
    assert project.parameters(view("return ''", "'/<day>'", "day: datetime.date"))["day"]["format"] == "date"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("request.args['v']", {"type": "str", "required": True}),
        ("flask.request.args['v']", {"type": "str", "required": True}),
        ("request.args.get('v')", {"type": "str"}),
        ("request.args.get('v', None)", {"type": "str"}),
        ("request.args.get('v', 'x')", {"type": "str", "default": "x"}),
        ("request.args.get('v', default='x')", {"type": "str", "default": "x"}),
        ("request.args.get('v') or 'x'", {"type": "str", "default": "x"}),
        ("request.args.get('v', 7, int)", {"type": "int", "default": 7}),
        ("request.args.get('v', type=float)", {"type": "float"}),
        ("request.args.get('v', 2.5)", {"type": "float", "default": 2.5}),
        ("int(request.args['v'])", {"type": "int", "required": True}),
        ("bool(request.args.get('v', False))", {"type": "bool", "default": False}),
        ("datetime.date.fromisoformat(request.args['v'])", {"type": "str", "format": "date", "required": True}),
        ("uuid.UUID(request.args['v'])", {"type": "str", "format": "uuid", "required": True}),
        ("request.args.getlist('v', type=int)", {"type": "list", "items": "int"}),
        ("v: int = request.args['v']", {"type": "int", "required": True}),
        ("request.values.get('v')", {"type": "str"}),
        ("a = request.args\na.get('v', KEY)", {"type": "str", "default": "k"}),
        ("q = request.args.to_dict()\nq.get('v')", {"type": "str"}),
        ("v = request.args.get('v')\nif not v:\n    abort(400)", {"type": "str", "required": True}),
        ("v = request.args.get('v')\nif v is None:\n    return 'no', 400", {"type": "str", "required": True}),
        ("v = request.args.get('v')\nif not v:\n    v = 'x'", {"type": "str"}),
        ("w = 1\nv = request.args.get('v')\nif not w or not v:\n    raise KeyError", {"type": "str", "required": True}),
        ("if 'v' not in request.args:\n    abort(400)\nrequest.args.get('v')", {"type": "str", "required": True}),
        ("if (v := request.args.get('v', 3)) > 2: pass", {"type": "int", "default": 3}),
        ("request.args.get('v')\nint(request.args['v'])", {"type": "int", "required": True}),
    ],
)
def test_query_key_is_an_argument(project: Project, body: str, expected: dict[str, object]) -> None:
    found = project.parameters(view(body, before="KEY = 'k'"))
    assert found == {"v": {"description": "V", **expected}}


@pytest.mark.parametrize(
    "body",
    [
        "request.json['v']",
        "request.get_json()['v']",
        "data = request.get_json(force=True)\ndata['v']",
        "data = request.json or {}\ndata['v']",
        "data: dict = request.get_json(silent=True) or {}\nif 'v' not in data:\n    return 'no', 400\ndata.get('v')",
        "data = request.get_json() if request.is_json else {}\ndata['v']",
        "data = json.loads(request.data)\ndata['v']",
        "data = json.loads(request.get_data())\ndata['v']",
        "data = await request.get_json()\ndata['v']",
        "other = {}\nother['no'] = request.json['v']\nother['no']",
    ],
)
def test_json_key_is_an_argument(project: Project, body: str) -> None:
    source = view(body, POST).replace("def act", "async def act")
    assert project.parameters(source) == {"v": {"type": "str", "description": "V", "required": True}}


def test_type_is_inferred_from_use(project: Project) -> None:
    body = "d = request.json\nd['user']['name']\nfor x in d['rows']: pass\n[y for y in d.get('ids')]\nd['more'].items()"
    found = project.parameters(view(body, POST))
    types = {"user": "dict", "rows": "list", "ids": "list", "more": "dict"}
    assert {name: parameter["type"] for name, parameter in found.items()} == types


@pytest.mark.parametrize(
    "body",
    ["data = request.get_json()\nItem(**data)", "Item.model_validate(request.json)", "Item(**request.get_json())"],
)
def test_model_built_from_the_body_is_flattened(project: Project, body: str) -> None:
    before = "from pydantic import BaseModel\nclass Item(BaseModel):\n    name: str\n    size: int = 3\n"
    found = project.parameters(view(body, POST, before=before))
    assert {name: parameter["type"] for name, parameter in found.items()} == {"name": "str", "size": "int"}


def test_form_keys_are_arguments_with_a_note_about_json(project: Project) -> None:
    source = view("request.form['v']\ndata = request.get_json() or request.form\ndata['w']", POST)
    assert list(project.parameters(source)) == ["v", "w"]
    assert any("it reads a form, but the gateway sends JSON" in note for note in project.notes(source))


def test_each_method_has_the_arguments_of_its_branch(project: Project) -> None:
    body = "if request.method == 'POST':\n    request.json['a']\nelse:\n    request.args['b']\nrequest.args.get('c', 1)"
    found = project.targets(view(body, "'/x', methods=['GET', 'POST']"))
    names = {name: [item["name"] for item in target["parameters"]] for name, target in found.items()}
    assert names == {"act": ["b", "c"], "act_post": ["a", "c"]}
    assert found["act_post"]["endpoint"]["path"] == "/x?c={c}"


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("b = Blueprint('b', 'b')\napp.register_blueprint(b)", "/x"),
        ("b = Blueprint('b', 'b', url_prefix='/b')\napp.register_blueprint(b)", "/b/x"),
        ("b = Blueprint('b', 'b', url_prefix='/b/')\napp.register_blueprint(b, url_prefix='/c')", "/c/x"),
        ("p = Blueprint('p', 'p', url_prefix='/p')\nb = Blueprint('b', 'b', url_prefix='/b')\n"
         "p.register_blueprint(b)\napp.register_blueprint(p)", "/p/b/x"),
        ("b = Blueprint('b', 'b', url_prefix='/b')", "/b/x"),
    ],
)  # fmt: skip
def test_blueprint_prefixes_are_joined(project: Project, code: str, path: str) -> None:
    (target,) = project.targets(f"{HEAD}{code}\n@b.get('/x')\ndef act(): 'Act.'\n").values()
    assert target["endpoint"]["path"] == path


def test_reads_registered_blueprints_from_other_files(project: Project) -> None:
    project.write(
        "from flask import Blueprint\nbp = Blueprint('u', __name__)\n@bp.route('/x')\ndef x(): 'X.'\n", "shop/users.py"
    )
    source = "from flask import Flask\ndef create():\n    app = Flask(__name__)\n    from .users import bp\n"
    source += "    app.register_blueprint(bp, url_prefix='/u')\n    return app\n"
    (target,) = project.targets(source, name="shop/__init__.py").values()
    assert target["endpoint"]["path"] == "/u/x"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (view("request.files['v']", POST), "it takes an uploaded file"),
        (view("request.json['v']"), "it reads a body, which a call with GET does not have"),
        (view("''", "'/x', methods=['PATCH']"), "a prompt target calls with GET or POST, not PATCH"),
        (view("''", "PATH"), "its path is known at run time only"),
    ],
)
def test_route_that_a_target_cannot_call_is_skipped_with_a_note(project: Project, source: str, reason: str) -> None:
    source += "@app.get('/other')\ndef other(): 'Other.'\n"
    assert list(project.targets(source)) == ["other"]
    assert any(f"act: skipped: {reason}" in note for note in project.notes(source))


def test_docstring_describes_target_and_arguments_without_flasgger_yaml(project: Project) -> None:
    source = HEAD + (
        "@app.route('/<city>')\ndef weather(city):\n    '''The weather.\n\n    :param city: Where,\n      in words.\n"
        "    ---\n    parameters:\n      - name: city\n    '''\n    return request.args.get('days', 1)\n"
    )
    (target,) = project.targets(source).values()
    assert target["description"] == "The weather."
    assert [item["description"] for item in target["parameters"]] == ["Where, in words.", "Days"]
