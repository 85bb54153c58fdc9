"""A mock HTTP server: real sockets, its own thread, and a control surface for the test that uses it."""

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
    """Answers requests as the test says, and remembers them. A context manager; port 0 takes a free one.

    The behaviour of a request is, first match wins: a rule of `on` whose marker stands in the body, the next one
    of `next`, else the default. The same can be said over HTTP, to a server in another process:
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

    # What a test says.

    @property
    def url(self) -> str:
        """For a caller on this machine, and for a configuration: a gateway in containers knows what it means."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def next(self, *behaviours: Behaviour) -> None:
        """One behaviour for each of the coming requests, in the order in which they arrive."""
        self._queue.extend(behaviours)

    def on(self, marker: str, behaviour: Behaviour) -> None:
        """The behaviour of every request whose body holds `marker`: the way to steer concurrent requests apart."""
        self._rules[marker.encode()] = behaviour

    @contextlib.contextmanager
    def answering(self, behaviour: Behaviour) -> Iterator[None]:
        """`behaviour` is the default inside the block."""
        before, self._default = self._default, behaviour
        try:
            yield
        finally:
            self._default = before

    def release(self) -> None:
        """Let held answers end, those to come included."""
        self._in_loop(self._released.set)

    def reset(self) -> None:
        """Forget every request and every behaviour."""
        self._default = NORMAL
        self._in_loop(self._released.clear)
        self._queue.clear()
        self._rules.clear()
        self.received.clear()

    # What a subclass says.

    @abstractmethod
    def answer(self, received: Received, behaviour: Behaviour) -> Answer:
        """The body for one request, before delays and cuts."""

    @abstractmethod
    def refusal(self, received: Received) -> tuple[int, str] | None:
        """Status and message for a request that this server cannot answer, whatever the test says; else None."""

    @abstractmethod
    def refuse(self, status: int, message: str) -> Answer:
        """The error body for `refusal`."""

    # Running it.

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
        """Call it in the thread of the server, if that runs."""
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
        # Without handler_cancellation a handler that never answers would never learn that its caller is gone.
        # (No access log; and a body that a client compressed is recorded as it was sent.)
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
            # Over TLS a close waits for the peer's own, and the loop ends before it: the socket would stay open.
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
        # The caller may go away between two writes: ConnectionError, or CancelledError, which goes on.
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

    # The same from another process.

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
