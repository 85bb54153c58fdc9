"""Values in URL paths, tried on real FastAPI and Flask servers: no accepted value changes the route."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import fastapi
import flask
import msgspec
import pytest
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.serving import make_server

from extproc.errors import ApiError
from extproc.shared.filter_config import EndpointCall, HttpMethod
from extproc.targets import path_values
from extproc.targets.api_client import ApiClient, Origin

CALL = EndpointCall(endpoint="api", upstream="endpoint_api", method=HttpMethod.GET, path="/orders/{id}")

REFUSED = (
    "42/invoice",
    "42\\invoice",
    "42%2Finvoice",
    "42%252Finvoice",
    "42%25252finvoice",
    "42%5cinvoice",
    "..%2F..%2Fadmin",
    "../admin",
    "..",
    ".",
    "%2e%2e",
    ". .".replace(" ", "%2e") + "/x",
    "..;",
    "..;x=1",
    " .. ",
    "42\uff0finvoice",  # fullwidth slash
    "42\uff3cinvoice",  # fullwidth backslash
    "42\uff052Finvoice",  # fullwidth percent sign
    "\u2025",  # two dot leader
    "\uff0e\uff0e",  # fullwidth full stops
    "\u2100",  # a/c
    "42\u2215invoice",  # division slash
    "42%u002finvoice",
    "42%c0%afinvoice",  # an overlong slash
    "%00",
    "42\x00",
    "42\r\nx: y",
    "42%0d%0ax",
    "42\u202e",
    "",
    "   ",
    "%20",
    "%" + "25" * 9 + "41",
)
ALLOWED = (
    "42",
    "New York",
    "50%",
    "C#",
    "a+b",
    "what?",
    "a;b",
    "naïve",
    "日本",
    ".hidden",
    "v1..v2",
    "O'Hare",
    "a&b=c",
    "%%",
)


@pytest.mark.parametrize("value", REFUSED)
def test_refuses_a_value_that_may_change_the_route(value: str) -> None:
    assert path_values.unsafe_reason(value) is not None


@pytest.mark.parametrize("value", ALLOWED)
def test_accepts_harmless_value(value: str) -> None:
    assert path_values.unsafe_reason(value) is None


def _fastapi(socket: str) -> Iterator[None]:
    app = fastapi.FastAPI()

    @app.get("/orders/{order}")
    def order(order: str) -> dict[str, str]:
        return {"route": "order", "id": order}

    @app.api_route("/{path:path}")
    def other(path: str) -> dict[str, str]:
        return {"route": "other", "id": path}

    server = uvicorn.Server(uvicorn.Config(app, uds=socket, log_level="error", ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield
    server.should_exit = True
    thread.join()


def _flask(socket: str) -> Iterator[None]:
    app = flask.Flask("orders")

    @app.get("/orders/<order>")
    def order(order: str) -> dict[str, str]:
        return {"route": "order", "id": order}

    @app.get("/<path:path>")
    def other(path: str) -> dict[str, str]:
        return {"route": "other", "id": path}

    server = make_server(f"unix://{socket}", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    thread.join()


@pytest.fixture(scope="module", params=[_fastapi, _flask])
def socket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = str(tmp_path_factory.mktemp("api") / "api.sock")
    yield from (path for _ in request.param(path))


async def dispatched(socket: str, value: str) -> dict[str, str]:
    endpoints = ApiClient(socket, 5000)
    try:
        answer = await endpoints.call(CALL, {"id": value}, [], Origin("id", None))
        return msgspec.json.decode(answer.body, type=dict[str, str])
    finally:
        await endpoints.close()


@pytest.mark.parametrize("value", ALLOWED)
async def test_an_accepted_value_reaches_its_route_unchanged(socket: str, value: str) -> None:
    assert await dispatched(socket, value) == {"route": "order", "id": value}


@pytest.mark.parametrize("value", REFUSED)
async def test_a_refused_value_is_never_sent(socket: str, value: str) -> None:
    with pytest.raises(ApiError, match="would change the path"):
        await dispatched(socket, value)


async def test_servers_decode_a_slash_before_they_choose_a_route(socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_values, "unsafe_reason", lambda _: None)
    assert (await dispatched(socket, "42/invoice"))["route"] == "other"


@settings(max_examples=60, deadline=None)
@example("%2f").via("the bug of the issue")
@given(st.text(alphabet="a4./\\%2fFeE5c\uff0f\uff0e\u2025 ;?#&+é", min_size=1, max_size=8))
async def test_no_accepted_value_changes_the_route(socket: str, value: str) -> None:
    if path_values.unsafe_reason(value) is None:
        assert await dispatched(socket, value) == {"route": "order", "id": value}
