"""Tool execution: calls the targets' APIs concurrently. Used by the ingress pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from extproc.codecs.json_values import encode_json
from extproc.conversation import state
from extproc.decision import Headers, ToolCall
from extproc.errors import BadApiAnswer
from extproc.pipeline.functions.tool_selection import TargetCall
from extproc.pipeline.request_context import RequestContext
from extproc.targets.api_client import MAX_ANSWER_BYTES, ApiClient, endpoint_label

TARGET: Final = "x-arch-prompt-target"
DRIFT: Final = "x-arch-intent-drift"


async def execute(
    api_client: ApiClient, context: RequestContext, calls: Sequence[TargetCall], previous_targets: Collection[str]
) -> tuple[ToolCall, ...]:
    """Returns the calls with their answers, in the order of `calls`. `previous_targets`: those of the last turn.

    All answers together must fit into the size limit of one answer. A failed call does not cancel the other calls: they
    may have had their effect already. Raises the error of the first failed call in order: `ApiError`, `ApiTimeout`.
    """
    answers = await asyncio.gather(
        *(
            api_client.call(
                call.target.call,
                call.arguments,
                context.chat.messages,
                context.origin,
                target_headers([call.target.name], drift=has_drifted([call.target.name], previous_targets)),
            )
            for call in calls
        ),
        return_exceptions=True,
    )
    executed: list[ToolCall] = []
    size = 0
    for call, answer in zip(calls, answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        size += len(answer.body)
        if size > MAX_ANSWER_BYTES:
            raise BadApiAnswer(
                f"{endpoint_label(call.target.call)} and others answered with more than {MAX_ANSWER_BYTES} bytes."
            )
        executed.append(
            ToolCall(
                call_id=state.new_call_id(),
                name=call.target.name,
                arguments=encode_json(call.arguments).decode(),
                answer=answer.body.decode(errors="replace"),
            )
        )
    return tuple(executed)


def has_drifted(targets: Sequence[str], previous_targets: Collection[str]) -> bool:
    """Returns True if a target is new since the last turn with targets; False if there was no such turn."""
    return bool(previous_targets) and not set(targets) <= set(previous_targets)


def target_headers(targets: Sequence[str], *, drift: bool) -> Headers:
    """Returns the headers that tell APIs and clients the selected targets."""
    headers = ((TARGET, ", ".join(dict.fromkeys(targets))),)
    return (*headers, (DRIFT, "true")) if drift else headers
