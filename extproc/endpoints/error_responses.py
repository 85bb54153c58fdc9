"""The one error body of every failure, in the OpenAI shape. Applications are told all of it, end users a summary."""

from __future__ import annotations

import logging

from extproc.decision import HttpRequest, Reply
from extproc.endpoints.chat_completions import error_body
from extproc.errors import GatewayError
from extproc.shared.filter_config import Listener

log = logging.getLogger(__name__)


def reply(fault: GatewayError) -> Reply:
    """The whole of `fault`: for egress, and for faults that name nothing internal."""
    return _reply(fault, fault.message)


def told(request: HttpRequest, fault: GatewayError) -> Reply:
    """What the client of `request` is told of `fault`.

    End users read no names of endpoints, models or providers: a generic sentence and the request id, under which the
    log holds the whole message.
    """
    if fault.public is None or request.listener == Listener.EGRESS:
        return reply(fault)
    fields = {"request_id": request.request_id, "code": fault.code, "status": fault.status, "reason": fault.message}
    log.warning("request failed", extra={"fields": fields})
    return _reply(fault, f"{fault.public} Request id: {request.request_id}.")


def _reply(fault: GatewayError, message: str) -> Reply:
    return Reply(fault.status, error_body(message, fault.type, fault.code), fault.code, headers=fault.headers)
