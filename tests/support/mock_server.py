"""A mock HTTP server on real sockets, in its own thread, with methods that tests control it by."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import ssl
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Self

import msgspec
from aiohttp import web

from tests.support.behaviour import NORMAL, Answer, Behaviour, deliver
from tests.support.received import Outcome, Received, ReceivedLog

_CONTROL: Final = "/_control"
_MAX_BODY: Final = 64 * 1024 * 1024
_START_SECONDS: Final = 10.0
# All interfaces: a gateway in containers comes from the engine's network, not over this machine's loopback.
_INTERFACES: Final = "0.0.0.0"  # noqa: S104


class MockServer(ABC):
    """Answers requests as the test decides, and records them. A context manager; port 0 takes a free one.

    The behaviour of a request is, first match wins: a rule of `on` whose marker is in the body, the next one
    of `next`, else the default. A server in another process is controlled over HTTP:
    `POST /_control/next`, `PUT /_control/default` (a `Behaviour` as JSON), `GET` and `DELETE /_control/requests`.
    """

    def __init__(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.received = ReceivedLog()
        self._tls = tls
        self._default = NORMAL
        self._queue: deque[Behaviour] = deque()
        self._rules: dict[bytes, Behaviour] = {}
        self._released = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    # Called by tests.

    @property
    def url(self) -> str:
        """The URL for clients on this machine and for configurations; a gateway in containers rewrites it."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def next(self, *behaviours: Behaviour) -> None:
        """Sets the behaviours of the next requests, in the order of their arrival."""
        self._queue.extend(behaviours)

    def on(self, marker: str, behaviour: Behaviour) -> None:
        """Sets the behaviour of each request whose body contains `marker`, for concurrent requests."""
        self._rules[marker.encode()] = behaviour

    @contextlib.contextmanager
    def answering(self, behaviour: Behaviour) -> Iterator[None]:
        """Makes `behaviour` the default inside the block."""
        before, self._default = self._default, behaviour
        try:
            yield
        finally:
            self._default = before

    def release(self) -> None:
        """Lets waiting answers end, and later ones not wait."""
        self._in_loop(self._released.set)

    def reset(self) -> None:
        """Forget every request and every behaviour."""
        self._default = NORMAL
        self._in_loop(self._released.clear)
        self._queue.clear()
        self._rules.clear()
        self.received.clear()

    # Implemented by subclasses.

    @abstractmethod
    def answer(self, received: Received, behaviour: Behaviour) -> Answer:
        """Returns the body of one answer, before delays and cuts."""

    @abstractmethod
    def refusal(self, received: Received) -> tuple[int, str] | None:
        """Returns status and message for a request that this server cannot answer, else None."""

    @abstractmethod
    def refuse(self, status: int, message: str) -> Answer:
        """Returns the error body for `refusal`."""

    # Start and stop.

    def start(self) -> Self:
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise TimeoutError(f"{type(self).__name__} did not start")
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        if self._stop is not None:
            self._in_loop(self._stop.set)
        if self._thread is not None:
            self._thread.join(_START_SECONDS)

    def _in_loop(self, call: Callable[[], None]) -> None:
        """Runs `call` in the thread of the server, if that runs."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self.serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that called start()
            self._failure = error
            self._started.set()

    async def serve(self) -> None:
        """Listen until `stop`."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_post(f"{_CONTROL}/next", self._control_next)
        app.router.add_put(f"{_CONTROL}/default", self._control_default)
        app.router.add_get(f"{_CONTROL}/requests", self._control_requests)
        app.router.add_delete(f"{_CONTROL}/requests", self._control_clear)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # Without handler_cancellation, a handler that never answers would not notice that its client has gone.
        # No access log. A compressed body is recorded as it was sent.
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1, auto_decompress=False
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, _INTERFACES, self.port, ssl_context=self._tls, backlog=1024)
            await site.start()
            self.port = int(runner.addresses[0][1])
            self._started.set()
            await self._stop.wait()
        finally:
            connections = runner.server.connections if runner.server is not None else []
            transports = [connection.transport for connection in connections]
            await runner.cleanup()
            # Over TLS, a close waits for the peer's close. The loop ends before that, so the socket would stay open.
            for transport in transports:
                if transport is not None:
                    transport.abort()

    def _behaviour_for(self, body: bytes) -> Behaviour:
        for marker, behaviour in self._rules.items():
            if marker in body:
                return behaviour
        return self._queue.popleft() if self._queue else self._default

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers=tuple((name.lower(), value) for name, value in request.headers.items()),
            body=await request.read(),
        )
        self.received.add(received)
        outcome = Outcome.ABANDONED
        answer, behaviour = self._planned(received)
        # The client may disconnect between two writes: ConnectionError, or CancelledError, which is raised again.
        response: web.StreamResponse = web.Response()
        try:
            with contextlib.suppress(ConnectionError):
                response, outcome = await deliver(request, answer, behaviour, self._released)
        finally:
            self.received.finish(received, outcome)
        return response

    def _planned(self, received: Received) -> tuple[Answer, Behaviour]:
        refusal = self.refusal(received)
        if refusal is not None:
            status, message = refusal
            return self.refuse(status, message), Behaviour(status=status)
        behaviour = self._behaviour_for(received.body)
        if behaviour.raw is not None:
            return Answer(behaviour.content_type or "application/json", (behaviour.raw.encode(),)), behaviour
        return self.answer(received, behaviour), behaviour

    # Control from another process.

    async def _control_next(self, request: web.Request) -> web.Response:
        self.next(msgspec.json.decode(await request.read(), type=Behaviour))
        return web.Response(status=204)

    async def _control_default(self, request: web.Request) -> web.Response:
        self._default = msgspec.json.decode(await request.read(), type=Behaviour)
        return web.Response(status=204)

    async def _control_requests(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "method": received.method,
                    "path": received.path,
                    "query": received.query,
                    "headers": received.headers,
                    "body_base64": base64.b64encode(received.body).decode(),
                    "outcome": received.outcome,
                }
                for received in self.received.all()
            ]
        )

    async def _control_clear(self, _: web.Request) -> web.Response:
        self.reset()
        return web.Response(status=204)


def run_from_command_line(server_type: type[MockServer]) -> None:
    """`python -m tests.support.<server> --port N`: serves until interrupted."""
    parser = argparse.ArgumentParser(description=server_type.__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server_type(arguments.port).serve())
