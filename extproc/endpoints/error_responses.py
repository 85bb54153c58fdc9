"""Error replies. Applications read the whole message; end users read a summary without internal names."""

from __future__ import annotations

import logging

from extproc.decision import HttpRequest, Reply
from extproc.endpoints.endpoint import Endpoint
from extproc.errors import GatewayError
from extproc.shared.filter_config import Listener

log = logging.getLogger(__name__)


def full_error(endpoint: Endpoint, error: GatewayError) -> Reply:
    """Returns the error with its whole message: for egress, and for errors that name nothing internal."""
    return _reply(endpoint, error, error.message)


def client_error(endpoint: Endpoint, request: HttpRequest, error: GatewayError) -> Reply:
    """Returns the error as the client of `request` may read it.

    End users read no names of endpoints, models or providers: they get a general sentence and the request id, under
    which the log holds the whole message.
    """
    if error.public_message is None or request.listener == Listener.EGRESS:
        return full_error(endpoint, error)
    fields = {"request_id": request.request_id, "code": error.code, "status": error.status, "reason": error.message}
    log.warning("request failed", extra={"fields": fields})
    return _reply(endpoint, error, f"{error.public_message} Request id: {request.request_id}.")


def _reply(endpoint: Endpoint, error: GatewayError, message: str) -> Reply:
    body = endpoint.error(message, error.type, error.code)
    return Reply(error.status, body, error.code, headers=error.headers)
