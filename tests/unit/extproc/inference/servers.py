"""Fake KServe v2 servers on real sockets, and configs that lead to them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from extproc.inference.backend_client import BackendClient
from extproc.inference.connections import ServerConnection
from extproc.inference.fallback import RoleClient
from extproc.inference.kserve import TensorMetadata
from extproc.inference.model_signature import SIGNATURES
from extproc.inference.role_clients import RoleClients
from extproc.shared.filter_config import Backend, Inference, Place, RoleBackends, Server
from extproc.shared.roles import COMPUTE_NS, Role

# Milliseconds. A shorter one runs out on a busy machine.
TIMEOUT_MS = 1_000

Infer = Callable[[Any, Any], Awaitable[Any]]


def element(text: str) -> bytes:
    """A BYTES tensor of one text."""
    return struct.pack("<I", len(text.encode())) + text.encode()


def floats(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def role_of(model: str) -> Role:
    """Returns the role of a model. The fake servers call the model of a role `my-ROLE`."""
    return Role(model.removeprefix("my-"))


def usual(model: str, texts: int) -> bytes:
    """Returns the output of a healthy model."""
    match role_of(model):
        case Role.FUNCTION:
            return element('{"tool_calls": []}')
        case Role.EMBED:
            return floats(*([0.6, 0.8] * texts))
        case _:
            return floats(*([0.25] * texts))


@dataclass
class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers like a healthy model, or with `raw`, or with `infer`. `requests` and `upstreams` record the calls."""

    raw: list[bytes] | None = None
    infer: Infer | None = None
    compute_ns: tuple[int, ...] = ()
    ready: bool = True
    # Tensors of models that do not fit their role.
    inputs: list[TensorMetadata] | None = None
    outputs: list[TensorMetadata] | None = None
    # None: the server is not Triton and does not have the method.
    max_batch_size: int | None = 8
    statistics: list[Any] | None = None
    requests: list[Any] = field(default_factory=list)
    upstreams: list[str | None] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    address: str = ""

    def _note(self, context: Any) -> None:
        self.upstreams.append(dict(context.invocation_metadata()).get("x-arch-upstream"))

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - the names in the proto
        self._note(context)
        self.requests.append(request)
        if self.infer is not None:
            return await self.infer(request, context)
        if not self.ready:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.model_name}' ...")
        raws = self.raw if self.raw is not None else [usual(request.model_name, request.inputs[0].shape[0])]
        return self.answer(request, raws)

    def answer(self, request: Any, raws: list[bytes]) -> Any:
        """Returns a response with the requested outputs."""
        names = [output.name for output in request.outputs]
        if COMPUTE_NS in names:
            raws = [*raws, struct.pack(f"<{len(self.compute_ns)}q", *self.compute_ns)]
        return service_pb2.ModelInferResponse(
            model_name=request.model_name,
            outputs=[service_pb2.ModelInferResponse.InferOutputTensor(name=name) for name in names][: len(raws)],
            raw_output_contents=raws,
        )

    async def ModelStreamInfer(self, requests: Any, context: Any) -> Any:  # noqa: N802
        self._note(context)
        async for request in requests:
            unknown = f"Request for unknown model: '{request.model_name}' is not found"
            yield service_pb2.ModelStreamInferResponse(error_message="" if self.ready else unknown)

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        del request
        self._note(context)
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        del request
        self._note(context)
        return service_pb2.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        del request
        self._note(context)
        return service_pb2.ModelReadyResponse(ready=self.ready)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note(context)
        signature = SIGNATURES[role_of(request.name)]
        outputs = [signature.output, *([TensorMetadata(COMPUTE_NS, "INT64", (-1, 1))] if self.compute_ns else [])]
        return service_pb2.ModelMetadataResponse(
            name=request.name,
            inputs=_metadata(signature.inputs if self.inputs is None else self.inputs),
            outputs=_metadata(outputs if self.outputs is None else self.outputs),
        )

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        del request
        self._note(context)
        if self.max_batch_size is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        return service_pb2.ModelConfigResponse(config={"max_batch_size": self.max_batch_size})

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        del request
        self._note(context)
        if self.statistics is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        return service_pb2.ModelStatisticsResponse(model_stats=self.statistics)

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        self.loads.append(f"unload {request.model_name}")
        self.ready = False
        return service_pb2.RepositoryModelUnloadResponse()

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        self.loads.append(f"load {request.model_name}{dict(request.parameters) or ''}")
        self.ready = True
        return service_pb2.RepositoryModelLoadResponse()


def _metadata(tensors: Sequence[TensorMetadata]) -> list[Any]:
    form = service_pb2.ModelMetadataResponse.TensorMetadata
    return [form(name=each.name, datatype=each.datatype, shape=each.shape) for each in tensors]


def failing(code: grpc.StatusCode, details: str = "") -> Infer:
    """Returns a model that fails every call."""

    async def fail(_: Any, context: Any) -> Any:
        await context.abort(code, details)

    return fail


async def never(_: Any, context: Any) -> Any:
    """A model that does not answer."""
    del context
    await asyncio.Event().wait()


@asynccontextmanager
async def serving(servicer: FakeTriton, address: str = "127.0.0.1:0") -> AsyncIterator[FakeTriton]:
    """Starts the server on a free port, or at `address`."""
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    servicer.address = address if address.startswith("unix:") else f"127.0.0.1:{port}"
    await server.start()
    try:
        yield servicer
    finally:
        await server.stop(None)


def inference(
    servers: dict[Place, Server | str],
    *roles: Role,
    timeout_ms: int = TIMEOUT_MS,
    max_batch: int = 2,
    calls: int = 8,
    bulk_bytes: int = 16_384,
) -> Inference:
    """Returns a config with every role at every place, in the order of `servers`."""
    return Inference(
        servers={
            place: server if isinstance(server, Server) else Server(address=server) for place, server in servers.items()
        },
        roles={
            role: RoleBackends(
                backends=tuple(
                    Backend(place=place, model=f"my-{role}", max_batch=max_batch, calls=calls, bulk_bytes=bulk_bytes)
                    for place in servers
                ),
                timeout_ms=timeout_ms,
            )
            for role in (roles or tuple(Role))
        },
        models_timeout_ms=10_000,
    )


@dataclass
class UnwatchedModels:
    """Models whose backends count as probed, without a watch: every call comes from the test."""

    models: RoleClients
    roles: dict[Role, RoleClient]

    def at(self, role: Role, place: Place = Place.LOCAL) -> BackendClient:
        return next(each for each in self.roles[role].backends if each.place is place)


@asynccontextmanager
async def unwatched(config: Inference) -> AsyncIterator[UnwatchedModels]:
    async with AsyncExitStack() as cleanup:
        connections = {}
        for place, server in config.servers.items():
            connections[place] = ServerConnection(place, server)
            cleanup.push_async_callback(connections[place].client.close)
        roles = {role: RoleClient(role, served, connections) for role, served in config.roles.items()}
        for role in roles.values():
            for at in role.backends:
                at.record_probe(None)
                cleanup.push_async_callback(at.close)
        yield UnwatchedModels(RoleClients(roles), roles)
