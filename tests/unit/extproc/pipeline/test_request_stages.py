"""The list of request stages: each one allows, blocks or transforms."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import pytest

from extproc.conversation.messages import texts
from extproc.decision import HttpRequest, Reply
from extproc.endpoints.chat_completions import ChatCompletions
from extproc.pipeline.request_context import RequestContext
from extproc.pipeline.request_stages import Allow, Block, Outcome, RequestStages, Transform

BODY = b'{"messages":[{"role":"user","content":"my number is 555"}]}'
REQUEST = HttpRequest("egress", "POST", "/v1/chat/completions", {}, BODY, "id")
REPLY = Reply(403, b"no", "blocked")


@dataclass
class FakeStage:
    """Gives `outcome`, and records the texts that it read."""

    outcome: Outcome = field(default_factory=Allow)
    read: list[str] = field(default_factory=list)

    async def check(self, context: RequestContext) -> Outcome:
        self.read += texts(context.chat.messages[0])
        return self.outcome


class Redact(FakeStage):
    """A stage that changes the request."""

    async def check(self, context: RequestContext) -> Outcome:
        await super().check(context)
        if "555" not in self.read[-1]:
            return Allow({"redacted": str(context.is_transformed).lower()})
        return Transform(context.chat.with_messages([{"role": "user", "content": "my number is [number]"}]))


def context() -> RequestContext:
    return RequestStages(()).parse(REQUEST, ChatCompletions())


async def test_every_stage_reads_the_request_and_adds_to_the_access_log() -> None:
    first, second = FakeStage(Allow({"a": "1"})), FakeStage(Allow({"b": "2"}))
    result = await RequestStages((first, second)).run(context())
    assert (result.reply, result.dynamic_metadata) == (None, {"a": "1", "b": "2"})
    assert first.read == second.read == ["my number is 555"]


async def test_no_stage_runs_behind_one_that_blocks() -> None:
    later = FakeStage()
    result = await RequestStages((FakeStage(Allow({"a": "1"})), FakeStage(Block(REPLY, {"b": "2"})), later)).run(
        context()
    )
    assert (result.reply, result.dynamic_metadata) == (REPLY, {"a": "1", "b": "2"})
    assert later.read == []


async def test_a_stage_checks_the_request_that_it_changed_and_later_ones_read_only_that() -> None:
    redact, later, changed = Redact(), FakeStage(), list[RequestContext]()
    result = await RequestStages((redact, later)).run(context(), changed.append)
    assert redact.read == ["my number is 555", "my number is [number]"]
    assert later.read == ["my number is [number]"]
    assert texts(result.context.chat.messages[0]) == ["my number is [number]"]
    assert result.dynamic_metadata == {"redacted": "true"}
    assert [each.chat for each in changed] == [result.context.chat]
    assert not result.context.is_transformed


async def test_a_stage_may_block_the_request_that_it_changed() -> None:
    @dataclass
    class Refuse:
        async def check(self, context: RequestContext) -> Outcome:
            return Block(REPLY) if context.is_transformed else Transform(context.chat)

    assert (await RequestStages((Refuse(),)).run(context())).reply == REPLY


async def test_a_stage_that_transforms_its_own_result_is_a_bug() -> None:
    with pytest.raises(TypeError, match="FakeStage transforms its own result"):
        await RequestStages((FakeStage(Transform(context().chat)),)).run(context())


@pytest.mark.parametrize("reencodes", [False, True])
def test_fields_that_the_gateway_does_not_know_keep_their_bytes_unless_guards_read_them(reencodes: bool) -> None:
    request = dataclasses.replace(REQUEST, body=BODY[:-1] + b',"tools":[{"a":1,"a":2}]}')
    chat = RequestStages((), reencodes=reencodes).parse(request, ChatCompletions()).chat
    assert bytes(chat.fields["tools"]) == (b'[{"a":2}]' if reencodes else b'[{"a":1,"a":2}]')
