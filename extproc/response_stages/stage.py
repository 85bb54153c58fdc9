"""The interface of a response stage: one step of a response on its way back to the client.

A gateway holds an ordered tuple of stage factories (see gateway.py). response_stream.py opens the stages of a response
and feeds each chunk through them in that order. A translator comes first and the endpoint last, so that every stage
between them reads and writes the canonical form: the JSON and the events of OpenAI chat completions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from extproc.decision import ResponseEdit


@dataclass(frozen=True, slots=True)
class WholeResponse:
    """A complete response that is not an event stream."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ResponseContext:
    """The context of one response. `edit` is what the request half asked for, with a summary of the request.

    A stage that calls a model does so for the client of that request: see client_context.py.
    """

    edit: ResponseEdit
    status: int


class ResponseStage(Protocol):
    """Changes one response. A response is either whole or an event stream, so either `whole` is called or the others.

    A stage may wait, for a model for example: the chunks behind it wait too, and their order stays.
    """

    async def whole(self, response: WholeResponse) -> WholeResponse:
        """Returns the changed response. Errors pass as they are. Raises `BadUpstreamAnswer`."""

    async def feed(self, chunk: bytes) -> bytes:
        """Returns what can be sent on after `chunk`. A chunk may begin and end anywhere in an event."""

    async def finish(self) -> bytes:
        """Returns what is left after the last chunk."""


# None: this response does not need the stage.
StageFactory = Callable[[ResponseContext], ResponseStage | None]


def open_stages(factories: Sequence[StageFactory], context: ResponseContext) -> list[ResponseStage]:
    """Returns the stages that a response needs, in order."""
    return [stage for factory in factories if (stage := factory(context)) is not None]


async def whole(stages: Sequence[ResponseStage], response: WholeResponse) -> WholeResponse:
    """Returns a whole response after all stages. Raises `BadUpstreamAnswer`."""
    for stage in stages:
        response = await stage.whole(response)
    return response


async def feed(stages: Sequence[ResponseStage], chunk: bytes, *, is_last: bool) -> bytes:
    """Returns one chunk of an event stream after all stages; with the last one, also what the stages still hold."""
    for stage in stages:
        chunk = await stage.feed(chunk)
        if is_last:
            chunk += await stage.finish()
    return chunk
