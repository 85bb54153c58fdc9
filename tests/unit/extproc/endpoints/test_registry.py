"""One more client API is one endpoint and one row: here a small one that differs from chat completions everywhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from extproc.codecs import sse
from extproc.conversation.chat_completion_json import decode_completion
from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.completion import Completion
from extproc.decision import Forward, HttpRequest, Reply, ToolCall
from extproc.endpoints import error_responses, registry
from extproc.endpoints.chat_completions import ChatCompletions
from extproc.errors import InvalidRequest, MethodNotAllowed, NotFound
from extproc.gateway import open_gateway
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard.evaluator import GuardEvaluator
from extproc.response_stages import stage
from extproc.response_stages.stage import ResponseContext, ResponseStage, WholeResponse
from extproc.shared.filter_config import Schema
from tests.unit.extproc.fakes import FakeEndpoints, FakeModels
from tests.unit.extproc.pipeline.ingress_fixture import GUARD, guarded
from tests.unit.extproc.test_gateway import BOTH, OPENAI


class ToQuestionApi:
    """Turns canonical responses into those of the question API."""

    async def whole(self, response: WholeResponse) -> WholeResponse:
        completion = decode_completion(response.body)
        assert completion
        return dataclasses.replace(response, body=json.dumps({"answer": completion.content}).encode())

    async def feed(self, chunk: bytes) -> bytes:
        return chunk

    async def finish(self) -> bytes:
        return b""


class QuestionApi:
    """`{"question": ...}` -> `{"answer": ...}`."""

    path = "/v1/questions"

    def parse(self, body: bytes, *, is_large: bool) -> ChatRequest:
        question = json.loads(body).get("question")
        if not isinstance(question, str):
            raise InvalidRequest("`question` must be a string.")
        messages = [{"role": "user", "content": question}]
        return ChatCompletions().parse(json.dumps({"messages": messages}).encode(), is_large=is_large)

    def completion(self, completion: Completion) -> bytes:
        return json.dumps({"answer": completion.content}).encode()

    def stream(self, completion: Completion, tool_calls: Sequence[ToolCall] = (), *, include_usage: bool) -> bytes:
        return sse.event(self.completion(completion))

    def error(self, message: str, error_type: str, code: str) -> bytes:
        return json.dumps({"problem": message}).encode()

    def stream_error(self, message: str, error_type: str, code: str) -> bytes:
        return sse.event(self.error(message, error_type, code))

    def response_stage(self) -> ResponseStage | None:
        return ToQuestionApi()


@pytest.fixture(autouse=True)
def question_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._BY_PATH, QuestionApi.path, QuestionApi())


def request(body: bytes, listener: str = "egress") -> HttpRequest:
    return HttpRequest(listener, "POST", QuestionApi.path, {}, body, "id")


@pytest.mark.parametrize("schema", Schema)
async def test_a_request_reaches_any_provider_and_its_response_comes_back_in_the_client_s_api(schema: Schema) -> None:
    provider = replace(OPENAI, schema=schema)
    async with open_gateway(replace(BOTH, providers=(provider,))) as gateway:
        decision = await gateway.decide(request(b'{"question": "why?"}'))
        assert isinstance(decision, Forward)
        assert (
            decision.path
            == {
                Schema.OPENAI: "/v1/chat/completions",
                Schema.TRITON: "/v2/models/gpt/generate",
            }[schema]
        )
        assert b"why?" in decision.body
        assert decision.edit
        stages = gateway.response_stages(ResponseContext(decision.edit, 200))
        body = ChatCompletions().completion(Completion("m", "because"))
        if schema is Schema.TRITON:
            body = json.dumps({"RESPONSE": body.decode()}).encode()
        response = await stage.whole(stages, WholeResponse(200, "application/json", body))
    assert json.loads(response.body) == {"answer": "because"}


@pytest.mark.parametrize(
    ("stream", "body"), [(False, b'{"answer": "Not this."}'), (True, b'data: {"answer": "Not this."}\n\n')]
)
async def test_answers_of_the_gateway_have_the_form_of_the_client_s_api(stream: bool, body: bytes) -> None:
    models = FakeModels(attack=1.0)
    stages = guarded(GuardEvaluator(models, (GUARD,)), ErrorHandler(FakeEndpoints(), None))  # type: ignore[arg-type]
    context = stages.parse(request(b'{"question": "attack"}'), QuestionApi())
    context = dataclasses.replace(context, chat=dataclasses.replace(context.chat, stream=stream))
    reply = (await stages.run(context)).reply
    assert isinstance(reply, Reply)
    assert reply.body == body


async def test_errors_have_the_form_of_the_client_s_api() -> None:
    async with open_gateway(BOTH) as gateway:
        with pytest.raises(InvalidRequest) as caught:
            await gateway.decide(request(b"{}"))
    reply = error_responses.client_error(registry.of_path(QuestionApi.path), request(b"{}"), caught.value)
    assert json.loads(reply.body) == {"problem": "`question` must be a string."}


def test_finds_endpoints_by_path_and_refuses_the_rest() -> None:
    assert registry.find("POST", "/v1/chat/completions").path == "/v1/chat/completions"
    with pytest.raises(MethodNotAllowed):
        registry.find("GET", "/v1/chat/completions")
    with pytest.raises(NotFound):
        registry.find("POST", "/v1/models")
    assert registry.of_path("/v1/models").path == "/v1/chat/completions"
