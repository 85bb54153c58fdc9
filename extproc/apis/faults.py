"""The one error body of every failure, in the OpenAI shape."""

from __future__ import annotations

from extproc.apis.chat import error_body
from extproc.decision import Reply
from extproc.errors import GatewayError


def reply(fault: GatewayError) -> Reply:
    """What a client is told of `fault`."""
    return Reply(fault.status, error_body(fault.message, fault.type, fault.code), fault.code, headers=fault.headers)
