"""Calls to endpoints, through a real unix socket to a real server in the place of Envoy's internal listener."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from extproc import request_stats
from extproc.errors import ApiError, ApiTimeout, BadApiAnswer, UpstreamTimeout
from extproc.shared.filter_config import EndpointCall, HttpMethod
from extproc.targets.api_client import MAX_ANSWER_BYTES, ApiClient, Origin

ORIGIN = Origin("id-1", "00-a-b-01")


def call(path: str, method: HttpMethod = HttpMethod.POST) -> EndpointCall:
    return EndpointCall(endpoint="api", upstream="endpoint_api", method=method, path=path)


async def echo(request: web.Request) -> web.Response:
    seen = {"method": request.method, "path": request.raw_path, "headers": dict(request.headers)}
    return web.json_response({**seen, "body": (await request.read()).decode()})


async def endless(_: web.Request) -> web.Response:
    return web.Response(body=b"x" * (MAX_ANSWER_BYTES + 1))


async def status(request: web.Request) -> web.Response:
    headers = {"x-archgw-local-reply": request.query["by"]} if "by" in request.query else {}
    return web.Response(status=int(request.match_info["code"]), headers=headers)


async def setting(request: web.Request) -> web.Response:
    answer = web.json_response({"cookie": request.headers.get("cookie")})
    answer.set_cookie("session", "somebody's")
    return answer


async def teapot(_: web.Request) -> web.Response:
    return web.Response(status=418)


async def broken(request: web.Request) -> web.Response:
    assert request.transport
    request.transport.close()
    return web.Response()


@pytest.fixture
async def endpoints(tmp_path: Path) -> AsyncIterator[ApiClient]:
    app = web.Application()
    app.router.add_get("/endless", endless)
    app.router.add_get("/status/{code}", status)
    app.router.add_get("/broken", broken)
    app.router.add_post("/teapot", teapot)
    app.router.add_post("/setting", setting)
    app.router.add_route("*", "/{tail:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    client = ApiClient(str(tmp_path / "s"), timeout_ms=5000)
    yield client
    await client.close()
    await runner.cleanup()


async def echoed(endpoints: ApiClient, what: EndpointCall, **arguments: object) -> dict[str, object]:
    answer = await endpoints.call(what, arguments, [{"role": "user", "content": "hi"}], ORIGIN)  # type: ignore[arg-type]
    assert answer.content_type.startswith("application/json")
    return msgspec.json.decode(answer.body, type=dict[str, object])


async def test_post_sends_typed_arguments_and_messages_as_json(endpoints: ApiClient) -> None:
    seen = await echoed(endpoints, call("/weather"), days=3, tags=["a"], flag=True)
    assert seen["body"] == '{"days":3,"tags":["a"],"flag":true,"messages":[{"role":"user","content":"hi"}]}'


async def test_no_call_sends_a_cookie_of_another_call(endpoints: ApiClient) -> None:
    for _ in range(2):
        assert await echoed(endpoints, call("/setting")) == {"cookie": None}


async def test_an_endpoint_gets_the_request_id_and_the_trace_and_no_credentials(endpoints: ApiClient) -> None:
    headers = (await echoed(endpoints, call("/weather")))["headers"]
    assert isinstance(headers, dict)
    headers = {name.lower(): value for name, value in headers.items()}
    assert headers["x-arch-upstream"] == "endpoint_api"
    assert (headers["x-request-id"], headers["traceparent"]) == ("id-1", "00-a-b-01")
    assert headers.keys().isdisjoint({"authorization", "cookie", "x-api-key"})


async def test_get_fills_placeholders_and_sends_other_arguments_as_query(endpoints: ApiClient) -> None:
    seen = await echoed(endpoints, call("/c/{city}/w?v=1", HttpMethod.GET), city="a b?&é", days=3, unit="°C /x")
    assert seen["path"] == "/c/a%20b%3F%26%C3%A9/w?v=1&days=3&unit=%C2%B0C+%2Fx"
    assert seen["body"] == ""


async def test_post_fills_placeholders_and_omits_these_arguments_from_the_body(endpoints: ApiClient) -> None:
    seen = await echoed(endpoints, call("/c/{city}"), city="x", days=1)
    assert seen["path"] == "/c/x"
    assert "city" not in str(seen["body"])


async def test_a_list_repeats_its_name_in_the_query(endpoints: ApiClient) -> None:
    seen = await echoed(endpoints, call("/c", HttpMethod.GET), tags=["a b", 1, True], where={"x": 1})
    assert seen["path"] == "/c?tags=a+b&tags=1&tags=true&where=%7B%22x%22%3A1%7D"


@pytest.mark.parametrize(("path", "city"), [("/c/{city}/w", ".."), ("/c/{city}", "."), ("/c/.{city}/w", ".")])
async def test_no_value_changes_the_path(endpoints: ApiClient, path: str, city: str) -> None:
    with pytest.raises(ApiError, match="would change the path"):
        await echoed(endpoints, call(path), city=city)


async def test_target_headers_reach_the_endpoint_and_replace_no_other_header(endpoints: ApiClient) -> None:
    target_headers = (("x-arch-prompt-target", "weather"), ("x-arch-upstream", "forged"))
    answer = await endpoints.call(call("/weather"), {}, [], ORIGIN, target_headers)
    headers = msgspec.json.decode(answer.body)["headers"]
    assert headers["x-arch-prompt-target"] == "weather"
    assert headers["x-arch-upstream"] == "endpoint_api"


async def test_send_passes_the_body_unchanged_and_accepts_any_status(endpoints: ApiClient) -> None:
    answer = await endpoints.send(call("/errors"), b'{"a": 1.10}', ORIGIN, (("x-arch-error-message", "a b"),))
    seen = msgspec.json.decode(answer.body)
    assert (answer.status, seen["body"], seen["headers"]["x-arch-error-message"]) == (200, '{"a": 1.10}', "a b")
    assert (await endpoints.send(call("/teapot"), b"", ORIGIN, ())).status == 418


@pytest.mark.parametrize(("path", "expected"), [("/status/418", 418), ("/status/502", 502), ("/status/504", 504)])
async def test_an_error_status_is_passed_to_the_client(endpoints: ApiClient, path: str, expected: int) -> None:
    with pytest.raises(ApiError) as caught:
        await endpoints.call(call(path, HttpMethod.GET), {}, [], ORIGIN)
    assert (caught.value.status, caught.value.code) == (expected, "api_error")
    assert all(word in caught.value.message for word in ("`api`", path, str(expected)))


async def test_local_replies_of_envoy_differ_from_answers_of_the_endpoint(endpoints: ApiClient) -> None:
    with pytest.raises(UpstreamTimeout):
        await endpoints.call(call("/status/504?by=upstream_timeout", HttpMethod.GET), {}, [], ORIGIN)
    with pytest.raises(ApiTimeout) as caught:
        await endpoints.call(call("/status/504?by=upstream_timeout", HttpMethod.GET), {}, [], ORIGIN)
    assert ("x-function-error-code", "504") in caught.value.headers
    with pytest.raises(ApiError, match="cannot be reached"):
        await endpoints.call(call("/status/503?by=upstream_unavailable", HttpMethod.GET), {}, [], ORIGIN)


USELESS = ["/endless", "/broken", "/status/302", "/status/304", "/status/307", "/status/999"]


@pytest.mark.parametrize("path", [*USELESS, "/status/502?by=bad_upstream_answer"])
async def test_an_unusable_answer_is_a_502(endpoints: ApiClient, path: str) -> None:
    with pytest.raises(BadApiAnswer) as caught:
        await endpoints.call(call(path, HttpMethod.GET), {}, [], ORIGIN)
    assert (caught.value.status, caught.value.code) == (502, "bad_upstream_answer")
    assert ("x-function-error-code", "502") in caught.value.headers


@pytest.mark.parametrize("path", USELESS)
async def test_send_follows_no_redirect(endpoints: ApiClient, path: str) -> None:
    get = call(path, HttpMethod.GET)
    with pytest.raises(BadApiAnswer):
        await endpoints.send(get, b"{}", ORIGIN, ())


async def test_request_stats_count_every_call_also_failed_ones(endpoints: ApiClient) -> None:
    with request_stats.collect() as stats:
        await echoed(endpoints, call("/weather"))
        with pytest.raises(ApiError):
            await endpoints.call(call("/teapot"), {}, [], ORIGIN)
        await endpoints.send(call("/teapot"), b"{}", ORIGIN, ())
    first, second, third = stats.apis
    assert stats.began <= first.began < first.ended <= second.began < second.ended <= third.began < third.ended
