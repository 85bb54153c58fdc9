"""Making the calls that a prompt asks for: all at once, answers in the order of the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from extproc.codecs.json_values import encode_json
from extproc.conversation import state
from extproc.decision import Headers, ToolCall
from extproc.errors import BadApiAnswer
from extproc.pipeline.functions.tool_selection import Call
from extproc.pipeline.request_context import RequestContext
from extproc.targets.api_client import MAX_ANSWER_BYTES, ApiClient, endpoint_label

TARGET: Final = "x-arch-prompt-target"
DRIFT: Final = "x-arch-intent-drift"


async def make(
    endpoints: ApiClient, asked: RequestContext, calls: Sequence[Call], before: Collection[str]
) -> tuple[ToolCall, ...]:
    """The calls with their answers, which are bounded together as one alone is. `before`: the last turn's targets.

    No call is broken off because another failed, since it may have had its effect by then. Raises the failure of the
    first call, in their order, that has one: `ApiError`, `ApiTimeout`.
    """
    answers = await asyncio.gather(
        *(
            endpoints.call(
                call.target.call,
                call.arguments,
                asked.chat.messages,
                asked.origin,
                headers([call.target.name], drift=drifts([call.target.name], before)),
            )
            for call in calls
        ),
        return_exceptions=True,
    )
    made: list[ToolCall] = []
    size = 0
    for call, answer in zip(calls, answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        size += len(answer.body)
        if size > MAX_ANSWER_BYTES:
            raise BadApiAnswer(
                f"{endpoint_label(call.target.call)} and others answered with more than {MAX_ANSWER_BYTES} bytes."
            )
        made.append(
            ToolCall(
                call_id=state.new_call_id(),
                name=call.target.name,
                arguments=encode_json(call.arguments).decode(),
                answer=answer.body.decode(errors="replace"),
            )
        )
    return tuple(made)


def drifts(targets: Sequence[str], before: Collection[str]) -> bool:
    """Whether the conversation has turned to a target that the last turn did not have; never without a last one."""
    return bool(before) and not set(targets) <= set(before)


def headers(targets: Sequence[str], *, drift: bool) -> Headers:
    """What endpoints and clients are told of the targets that were chosen."""
    named = ((TARGET, ", ".join(dict.fromkeys(targets))),)
    return (*named, (DRIFT, "true")) if drift else named
