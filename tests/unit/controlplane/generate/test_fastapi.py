"""Arguments of FastAPI routes: path, query and body."""

import pytest

from controlplane.config.addresses import parse_url
from controlplane.generate.generate import GenerateOptions
from tests.unit.controlplane.generate.sources import Project

HEAD = """\
from __future__ import annotations
import datetime, decimal, uuid
from typing import *
from fastapi import *
from pydantic import *
from enum import *
app = FastAPI()
"""


def route(signature: str, verb: str = "get", path: str = "/x", before: str = "") -> str:
    return f"{HEAD}{before}\n@app.{verb}('{path}')\ndef act({signature}): 'Act.'\n"


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("int", {"type": "int"}),
        ("'int'", {"type": "int"}),
        ("float", {"type": "float"}),
        ("decimal.Decimal", {"type": "float"}),
        ("bool", {"type": "bool"}),
        ("str", {"type": "str"}),
        ("Any", {"type": "str"}),
        ("Optional[int]", {"type": "int"}),
        ("Union[int, None]", {"type": "int"}),
        ("None | int", {"type": "int"}),
        ("int | float", {"type": "float"}),
        ("int | str", {"type": "str"}),
        ("conint(ge=1)", {"type": "int"}),
        ("PositiveInt", {"type": "int"}),
        ("Annotated[int, Query(ge=1)]", {"type": "int"}),
        ("Annotated[Optional[int], Query(ge=1), 'more']", {"type": "int"}),
        ("datetime.date", {"type": "str", "format": "date"}),
        ("datetime.datetime", {"type": "str", "format": "date-time"}),
        ("datetime.time", {"type": "str", "format": "time"}),
        ("uuid.UUID", {"type": "str", "format": "uuid"}),
        ("EmailStr", {"type": "str", "format": "email"}),
        ("HttpUrl", {"type": "str", "format": "uri"}),
        ("Literal['a', 'b']", {"type": "str", "enum": ["a", "b"]}),
        ("Literal['a', None]", {"type": "str", "enum": ["a"]}),
        ("Literal['a'] | Literal['b']", {"type": "str", "enum": ["a", "b"]}),
        ("Literal[1, 2]", {"type": "int", "enum": [1, 2]}),
        ("Colour", {"type": "str", "enum": ["red", "green"]}),
        ("Level", {"type": "int", "enum": [1, 2]}),
        ("Mode", {"type": "str", "enum": ["fast", "slow"]}),
        ("UserId", {"type": "int"}),
        ("Alias", {"type": "int"}),
        ("Code", {"type": "str"}),
    ],
)
def test_annotation_becomes_a_parameter_type(project: Project, annotation: str, expected: dict[str, object]) -> None:
    before = """\
class Colour(str, Enum):
    RED = "red"
    GREEN = "green"
    def shown(self): return self.value
class Level(IntEnum):
    LOW = auto()
    HIGH = auto()
class Mode(StrEnum):
    FAST = auto()
    SLOW = auto()
class Code(str): ...
UserId = NewType("UserId", int)
Alias: TypeAlias = "UserId | None"
"""
    (found,) = project.parameters(route(f"value: {annotation}", before=before)).values()
    assert found == {"description": "Value", "required": True, **expected}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("list[int]", {"type": "list", "items": "int"}),
        ("List", {"type": "list"}),
        ("set[str] | None", {"type": "list", "items": "str"}),
        ("conlist(int)", {"type": "list", "items": "int"}),
        ("Sequence[Literal['a']]", {"type": "list", "items": {"type": "str", "enum": ["a"]}}),
        ("list[datetime.date]", {"type": "list", "items": {"type": "str", "format": "date"}}),
        ("list[Item]", {"type": "list", "items": "dict"}),
        ("list[list[int]]", {"type": "list", "items": "list"}),
        ("Dict[str, int]", {"type": "dict"}),
        ("Item", {"type": "dict"}),
        ("Tags", {"type": "list", "items": "str"}),
    ],
)
def test_body_field_may_be_a_list_or_a_dict(project: Project, annotation: str, expected: dict[str, object]) -> None:
    before = f"""\
class Item(BaseModel):
    name: str
class Tags(RootModel[list[str]]): ...
class Order(BaseModel):
    value: {annotation}
"""
    (found,) = project.parameters(route("order: Order", "post", before=before)).values()
    assert found == {"description": "Value", "required": True, **expected}


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("value: int", {"required": True}),
        ("value: int = ...", {"required": True}),
        ("value: int = 3", {"default": 3}),
        ("value: int = -3", {"default": -3}),
        ("value: int = LIMIT * 2 + 1", {"default": 41}),
        ("value: int = Query(3)", {"default": 3}),
        ("value: int = Query(default=3)", {"default": 3}),
        ("value: int = Query(...)", {"required": True}),
        ("value: int = Query()", {"required": True}),
        ("value: int = Query(default_factory=lambda: 7)", {"default": 7}),
        ("value: Annotated[int, Query()] = 3", {"default": 3}),
        ("value: Optional[int] = None", {}),
        ("value: Optional[int]", {"required": True}),
        ("value: int = settings.limit", {}),
        ("value: int = 'seven'", {}),
        ("*, value: int = 3", {"default": 3}),
    ],
)
def test_constant_default_is_in_the_configuration(
    project: Project, signature: str, expected: dict[str, object]
) -> None:
    (found,) = project.parameters(route(signature, before="LIMIT = 20\n")).values()
    assert found == {"type": "int", "description": "Value", **expected}


def test_enum_member_is_a_default(project: Project) -> None:
    before = "class Colour(Enum):\n    RED = 'red'\n    GREEN = 'green'\n"
    found = project.parameters(route("a: Colour = Colour.GREEN, b: Colour = Query(Colour.RED.value)", before=before))
    assert (found["a"]["default"], found["b"]["default"]) == ("green", "red")


def test_default_that_the_configuration_refuses_is_left_out(project: Project) -> None:
    found = project.parameters(
        route("a: datetime.date = 'soon', b: Literal['x'] = 'y', c: int = 10**40, d: float = 1e300")
    )
    assert ["default" in found[name] for name in "abcd"] == [False, False, False, False]


def test_parameters_that_fastapi_fills_in_are_left_out(project: Project) -> None:
    signature = (
        "request: Request, response: Response, tasks: BackgroundTasks, db=Depends(connect), cookie: str = Cookie('x'), "
        "agent: Annotated[str | None, Header()] = None, q: str = ''"
    )
    assert list(project.parameters(route(signature, before="def connect(): ...\n"))) == ["q"]


def test_required_header_gives_a_note(project: Project) -> None:
    source = route("x_tenant: Annotated[str, Header()], key: str = Header(alias='X-Key')")
    notes = project.notes(source)
    assert "api.py:10: act: it needs the header x-tenant: add it to endpoint.http_headers: {x-tenant: ...}" in notes
    assert "api.py:10: act: it needs the header X-Key: add it to endpoint.http_headers: {X-Key: ...}" in notes
    assert "# Note: it needs the header x-tenant" in project.generate(source).text


def test_arguments_of_dependencies_are_included(project: Project) -> None:
    before = """\
def paging(limit: int = 10, offset: int = Query(0, description="Where to begin")): ...
class Filter:
    def __init__(self, colour: str, size: int = 1): ...
Paging = Annotated[dict, Depends(paging)]
def user(page: Paging, token: str = Depends(HTTPBearer())): ...
"""
    source = route("found=Depends(user), filter: Filter = Depends()", before=before)
    found = project.parameters(source)
    assert list(found) == ["limit", "offset", "colour", "size"]
    assert found["offset"] == {"type": "int", "description": "Where to begin", "default": 0}
    assert any("it needs credentials (HTTPBearer)" in note for note in project.notes(source))


def test_circular_dependencies_terminate(project: Project) -> None:
    before = "def one(a: int, b=Depends(lambda: two)): ...\ndef two(c=Depends(two)): ...\n"
    assert list(project.parameters(route("x=Depends(one), y=Depends(two)", before=before))) == ["a"]


def test_query_model_is_flattened(project: Project) -> None:
    before = "class Filter(BaseModel):\n    limit: int = Field(5, description='How many')\n    tags: list[str] = []\n"
    found = project.parameters(route("filter: Annotated[Filter, Query()]", before=before))
    assert found == {
        "limit": {"type": "int", "description": "How many", "default": 5},
        "tags": {"type": "list", "items": "str", "description": "Tags", "default": []},
    }


MODELS = """\
class Base(BaseModel):
    '''Base.

    Attributes:
        a: The first.
    '''
    a: int
    b: str = "b"

class Middle(Base):
    b: int
    '''The second.'''
    note: ClassVar[str] = "x"
    model_config = ConfigDict(alias_generator=to_camel)

class Item(Middle):
    third_one: Annotated[float, Field(gt=0, description="The third.")] = 1.5
    d: dict[str, int] = Field(default_factory=dict, title="The fourth")
    e: Item | None = None
    f: str = Field(alias="eff", description='''
        The *sixth*,
        on two lines.
    ''')
    @property
    def g(self) -> int: ...
    @field_validator("a")
    def check(cls, a): ...
"""


def test_body_model_is_flattened_with_inherited_fields(project: Project) -> None:
    assert project.parameters(route("item: Item", "post", before=MODELS)) == {
        "a": {"type": "int", "description": "The first.", "required": True},
        "b": {"type": "int", "description": "The second.", "required": True},
        "thirdOne": {"type": "float", "description": "The third.", "default": 1.5},
        "d": {"type": "dict", "description": "The fourth", "default": {}},
        "e": {"type": "dict", "description": "E"},
        "eff": {"type": "str", "description": "The *sixth*, on two lines.", "required": True},
    }


def test_several_body_parameters_have_one_key_each(project: Project) -> None:
    found = project.parameters(route("item: Item, note: str = Body(''), n: int = 1", "post", "/x/{n}", MODELS))
    assert {name: parameter["type"] for name, parameter in found.items()} == {"n": "int", "item": "dict", "note": "str"}
    assert list(project.parameters(route("item: Annotated[Item, Body(embed=True)]", "post", before=MODELS))) == ["item"]


def test_dataclasses_and_typed_dicts_are_models(project: Project) -> None:
    before = """\
import dataclasses
@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = dataclasses.field(default=2)
    z: int = dataclasses.field(default=2, init=False)
class Options(TypedDict, total=False):
    deep: Required[bool]
    wide: bool
"""
    found = project.parameters(route("point: Point", "post", before=before))
    assert found == {
        "x": {"type": "int", "description": "X", "required": True},
        "y": {"type": "int", "description": "Y", "default": 2},
    }
    assert list(project.parameters(route("options: Options", "post", before=before))) == ["deep", "wide"]


def test_reads_models_from_other_files_of_the_project(project: Project) -> None:
    project.write(
        "from .kinds import Kind\nfrom pydantic import BaseModel\nclass Item(BaseModel):\n    kind: Kind\n",
        "shop/schemas/__init__.py",
    )
    project.write("import enum\nclass Kind(enum.Enum):\n    A = 'a'\n", "shop/schemas/kinds.py")
    source = (
        "from fastapi import FastAPI\nfrom {} import {}\napp = FastAPI()\n@app.post('/x')\ndef act(item: {}): 'Act.'\n"
    )
    for imported in [
        ("shop.schemas", "Item", "Item"),
        (".", "schemas", "schemas.Item"),
        (".schemas", "Item as It", "It"),
    ]:
        found = project.parameters(source.format(*imported), name="shop/api.py")
        assert found["kind"]["enum"] == ["a"]


def test_route_with_an_unknown_model_is_skipped_with_a_note(project: Project) -> None:
    source = (
        HEAD + "from elsewhere import Item\n@app.post('/x')\ndef act(item: Item): ...\n@app.get('/y')\ndef see(): ...\n"
    )
    assert (
        "api.py:10: act: skipped: the type Item of `item` is in a file that could not be found; use --openapi instead"
        in (project.notes(source))
    )


@pytest.mark.parametrize(
    ("signature", "verb", "reason"),
    [
        ("file: UploadFile", "post", "it takes an uploaded file"),
        ("files: list[UploadFile] = File(...)", "post", "it takes an uploaded file"),
        ("data: bytes = File()", "post", "it takes an uploaded file"),
        ("names: list[str]", "post", "its body is a bare list, and the gateway sends an object"),
        ("name: str = Body()", "post", "its body is a bare str, and the gateway sends an object"),
        ("options: dict", "get", "it reads a body, which a call with GET does not have"),
        ("form: OAuth2PasswordRequestForm = Depends()", "post", "it takes a form of user name and password"),
        ("tags: list[str] = Query()", "post", "`tags` in the query of a POST is a list"),
        ("x: int", "put", "a prompt target calls with GET or POST, not PUT"),
    ],
)
def test_route_that_a_target_cannot_call_is_skipped_with_a_note(
    project: Project, signature: str, verb: str, reason: str
) -> None:
    if verb == "get":
        signature = signature.replace("dict", "Item")
    source = route(signature, verb, before=MODELS) + "@app.get('/other')\ndef other(): 'Other.'\n"
    # A GET with a model takes a body, as FastAPI has it.
    assert list(project.targets(source)) == ["other"]
    assert any(f"act: skipped: {reason}" in note for note in project.notes(source))


def test_query_of_a_post_is_written_into_the_path(project: Project) -> None:
    source = route("n: int, item: Item, dry: bool = False, tag: str | None = None", "post", "/x/{n}", MODELS)
    (target,) = project.targets(source).values()
    assert target["endpoint"] == {"name": "api", "path": "/x/{n}?dry={dry}", "http_method": "POST"}
    assert any(
        "`tag` in the query of a POST may be missing, so it is left out" in note for note in project.notes(source)
    )


def test_same_name_in_path_and_body_gives_two_arguments(project: Project) -> None:
    (target,) = project.targets(route("a: int, item: Item", "post", "/x/{a}", MODELS)).values()
    assert target["endpoint"]["path"] == "/x/{path_a}"
    assert [parameter["name"] for parameter in target["parameters"]][:2] == ["path_a", "a"]


def test_messages_key_of_the_body_is_not_a_parameter(project: Project) -> None:
    before = "class Chat(BaseModel):\n    messages: list[dict]\n    model: str = 'm'\n"
    source = route("chat: Chat", "post", before=before)
    assert list(project.parameters(source)) == ["model"]
    assert any(
        "`messages` is the conversation, which the gateway sends by itself" in note for note in project.notes(source)
    )


def test_finds_keys_that_the_function_reads_from_an_untyped_body(project: Project) -> None:
    source = HEAD + (
        "@app.post('/x')\nasync def act(request: Request):\n    '''Act.'''\n    data = await request.json()\n"
        "    return data['name'], int(data.get('age', 3))\n"
    )
    assert project.parameters(source) == {
        "name": {"type": "str", "description": "Name", "required": True},
        "age": {"type": "int", "description": "Age", "default": 3},
    }


@pytest.mark.parametrize(
    ("code", "paths"),
    [
        ("r = APIRouter(prefix='/a')\napp.include_router(r)", ["/a/x"]),
        ("r = APIRouter(prefix='/a')\napp.include_router(r, prefix='/b')", ["/b/a/x"]),
        (
            "r = APIRouter()\nq = APIRouter(prefix='/q')\nq.include_router(r, prefix='/r')\napp.include_router(q)",
            ["/q/r/x"],
        ),
        ("r = APIRouter()\napp.include_router(r, prefix='/1')\napp.include_router(r, prefix='/2')", ["/1/x", "/2/x"]),
        ("V = '/v1'\nr = APIRouter(prefix=f'{V}/a')\napp.include_router(router=r, prefix=V)", ["/v1/v1/a/x"]),
        ("r = FastAPI()\napp.mount('/sub', r)", ["/sub/x"]),
        ("r = APIRouter()\napp.include_router(r, prefix=settings.V)", ["/x"]),
        ("r = APIRouter(prefix='/a')", ["/a/x"]),
        ("r = APIRouter()\nr.include_router(r, prefix='/a')\napp.include_router(r)", ["/x"]),
    ],
)
def test_router_prefixes_are_joined(project: Project, code: str, paths: list[str]) -> None:
    found = project.targets(f"{HEAD}{code}\n@r.get('/x')\ndef act(): 'Act.'\n")
    assert [target["endpoint"]["path"] for target in found.values()] == paths


def test_reads_mounted_routers_from_other_files(project: Project) -> None:
    project.write(
        "from fastapi import APIRouter\nrouter = APIRouter(prefix='/u')\n@router.get('/x')\ndef x(): 'X.'\n",
        "shop/users.py",
    )
    source = (
        "from fastapi import FastAPI\nfrom . import users\nfrom shop.users import router as again\napp = FastAPI()\n"
    )
    source += "app.include_router(users.router, prefix='/1')\napp.include_router(again, prefix='/2')\n"
    found = project.targets(source, name="shop/main.py")
    assert [target["endpoint"]["path"] for target in found.values()] == ["/1/u/x", "/2/u/x"]


def test_unknown_prefixes_give_a_note(project: Project) -> None:
    source = (
        HEAD + "from x import users\nr = APIRouter(prefix=PREFIX)\n@r.get('/x')\ndef act(): 'Act.'\n"
        "app.include_router(users.router)\n"
    )
    notes = project.notes(source)
    assert (
        "api.py:9: PREFIX: this prefix is known at run time only, so it is left out; --path-prefix gives one" in notes
    )
    assert any("users.router: its routes are in a file that could not be found" in note for note in notes)
    assert any("no file that was read mounts `r`" in note for note in notes)


def test_options_set_path_prefix_and_endpoint(project: Project) -> None:
    options = GenerateOptions(parse_url("https://api.example.com/base"), "my_api", "/v1")
    config = project.config(route(""), options)
    assert config["endpoints"] == {"my_api": {"endpoint": "api.example.com", "protocol": "https"}}
    assert config["prompt_targets"][0]["endpoint"]["path"] == "/base/v1/x"


def test_names_are_valid_and_unique(project: Project) -> None:
    source = HEAD + (
        "@app.get('/1', operation_id='get it!')\ndef a(): ...\n@app.get('/2')\ndef größe(): ...\n"
        "@app.get('/3', name='x')\ndef b(): ...\n@app.post('/3')\ndef b(): ...\n@app.post('/4')\ndef b(): ...\n"
        "@app.api_route('/5', methods=['GET', 'POST', 'DELETE'])\ndef c(): ...\n"
    )
    assert list(project.targets(source)) == ["get_it", "gr_e", "b", "b_post", "b_post_2", "c", "c_post"]


@pytest.mark.parametrize(
    ("decorator", "docstring", "description"),
    [
        ("", "One.\n\n    Two.", "One."),
        ("", "One\n    and more.\n\n    Args:\n        x: no", "One and more."),
        ("", "Args:\n        x: no", "Get weather now"),
        (", summary='Short'", "", "Short"),
        (", summary='Short'", "One.", "One."),
        (", description='Long **text**.\\n\\nMore.'", "One.", "Long text."),
        (", description=TEXT", "One.", "From a constant"),
    ],
)
def test_description_is_the_first_paragraph(project: Project, decorator: str, docstring: str, description: str) -> None:
    source = f"{HEAD}TEXT = 'From a constant'\n@app.get('/x'{decorator})\ndef get_weather_now(x: int = 1):\n"
    source += f"    '''{docstring}'''\n"
    (target,) = project.targets(source).values()
    assert target["description"] == description


def test_finds_routes_in_app_factories_and_classes(project: Project) -> None:
    source = HEAD.replace("app = FastAPI()\n", "") + (
        "class Api:\n    def __init__(self):\n        self.router = APIRouter(prefix='/a')\n"
        "def create():\n    app: FastAPI = FastAPI()\n    @app.get('/x')\n    def act(q: int): 'Act.'\n"
        "    app.add_api_route('/y', see, methods=['POST'])\n    return app\ndef see(): 'See.'\n"
    )
    assert list(project.targets(source)) == ["act", "see"]


def test_ignores_other_decorators(project: Project) -> None:
    source = HEAD + (
        "cache = dict()\n@app.exception_handler(404)\ndef a(): ...\n@app.middleware('http')\ndef b(): ...\n"
        "@cache.get('/c')\ndef c(): ...\n@app.websocket('/ws')\ndef d(): ...\n@app.get('/x')\ndef x(): ...\n"
    )
    assert list(project.targets(source)) == ["x"]
