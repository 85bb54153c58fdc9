"""Every client API that the gateway serves, found by path. Used by the gateway and by both stream drivers."""

from __future__ import annotations

from typing import Final

from extproc.endpoints.chat_completions import ChatCompletions
from extproc.endpoints.endpoint import Endpoint
from extproc.errors import MethodNotAllowed, NotFound
from extproc.response_stages.stage import ResponseContext, ResponseStage

_DEFAULT: Final[Endpoint] = ChatCompletions()
_ENDPOINTS: Final[tuple[Endpoint, ...]] = (_DEFAULT,)

_BY_PATH: Final = {endpoint.path: endpoint for endpoint in _ENDPOINTS}


def find(method: str, path: str) -> Endpoint:
    """Returns the endpoint that serves a request. Raises `NotFound` and `MethodNotAllowed`."""
    endpoint = _BY_PATH.get(path)
    if endpoint is None:
        raise NotFound("Nothing is served at this path.")
    if method != "POST":
        raise MethodNotAllowed(f"{method} is not served at {path}.")
    return endpoint


def of_path(path: str) -> Endpoint:
    """Returns the endpoint at `path`. Errors at a path that is not served have the form of chat completions."""
    return _BY_PATH.get(path, _DEFAULT)


def endpoint_stage(context: ResponseContext) -> ResponseStage | None:
    """Returns the stage that turns a canonical response into the client's API."""
    return of_path(context.edit.request.path).response_stage()
