"""A sample application API that prompt targets call. Any path, GET or POST, echoes its typed arguments.

In a test: `with ApiServer() as api:`, see `MockServer`. On its own: `python -m tests.support.api_server --port N`.
`POST /default_target` answers with a chat completion, as a default target does.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import parse_qsl

from tests.support.behaviour import Answer, Behaviour
from tests.support.llm_provider import completion
from tests.support.mock_server import MockServer, run_from_command_line
from tests.support.received import Received

DEFAULT_TARGET_PATH: Final = "/default_target"


class ApiServer(MockServer):
    """A sample application API."""

    def answer(self, received: Received, behaviour: Behaviour) -> Answer:
        return Answer("application/json", (json.dumps(self._reply(received, behaviour)).encode(),))

    def _reply(self, received: Received, behaviour: Behaviour) -> dict[str, Any]:
        if behaviour.status >= 400:
            return {"detail": behaviour.text or f"mock API error {behaviour.status}"}
        if received.method == "GET":
            return {"path": received.path, "arguments": dict(parse_qsl(received.query, keep_blank_values=True))}
        body = received.json()
        if received.path == DEFAULT_TARGET_PATH:
            return completion(behaviour.text or f"default target got {len(body['messages'])} messages", model="api")
        arguments = {name: value for name, value in body.items() if name != "messages"}
        reply = {"path": received.path, "arguments": arguments}
        return {**reply, "text": behaviour.text} if behaviour.text is not None else reply

    def refusal(self, received: Received) -> tuple[int, str] | None:
        if received.method == "GET":
            return None
        if received.method != "POST":
            return 405, f"Method {received.method} is not allowed"
        try:
            body = received.json()
        except ValueError:
            return 400, "The body is not JSON"
        if not isinstance(body, dict):
            return 400, "The body is not a JSON object"
        if received.path == DEFAULT_TARGET_PATH and not isinstance(body.get("messages"), list):
            return 422, "'messages' is missing"
        return None

    def refuse(self, status: int, message: str) -> Answer:
        return Answer("application/json", (json.dumps({"detail": message, "status": status}).encode(),))


if __name__ == "__main__":
    run_from_command_line(ApiServer)
