"""KServe v2 over HTTP, with tensors as JSON.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
import numpy as np

from extproc.codecs.json_values import encode_json
from extproc.inference.call_failures import MAX_DETAIL, CallFailed, FailureReason
from extproc.inference.kserve import (
    DEAD_PROCESS,
    FULL_QUEUE,
    MAX_RESPONSE_BYTES,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelStatistics,
    TensorMetadata,
    bytes_tensor,
    not_loaded,
    unauthenticated,
)
from extproc.shared.filter_config import JsonValue, Server
from extproc.shared.roles import COMPUTE_NS

_UNIX: Final = "unix:"
_RELOAD_TIMEOUT_S: Final = 60

_REASONS: Final[Mapping[int, FailureReason]] = {
    HTTPStatus.REQUEST_TIMEOUT: FailureReason.TIMEOUT,
    HTTPStatus.GATEWAY_TIMEOUT: FailureReason.TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS: FailureReason.OVERLOADED,
    HTTPStatus.BAD_GATEWAY: FailureReason.UNREACHABLE,
    HTTPStatus.SERVICE_UNAVAILABLE: FailureReason.UNREACHABLE,
}
# The server does not have the path, or does not permit it.
_UNSUPPORTED: Final = frozenset(
    {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.FORBIDDEN}
)
# The server refuses the request itself. Its own state is not the reason.
_CAUSED_BY_REQUEST: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)

# A tensor's values: one list, or a list of rows.
_Values = list[float | str | list[float | str]]
# A larger Python integer would overflow a float.
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Output(msgspec.Struct):
    name: str
    # Decoded only for requested tensors.
    data: msgspec.Raw


class _InferBody(msgspec.Struct):
    outputs: list[_Output]


class _TensorBody(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]


class _MetadataBody(msgspec.Struct):
    inputs: tuple[_TensorBody, ...] = ()
    outputs: tuple[_TensorBody, ...] = ()


class _ConfigBody(msgspec.Struct):
    max_batch_size: int = 0


class _Duration(msgspec.Struct):
    count: _Count = 0
    ns: _Count = 0


class _InferStatistics(msgspec.Struct):
    success: _Duration
    queue: _Duration
    compute_input: _Duration
    compute_infer: _Duration
    compute_output: _Duration


class _ModelStatistics(msgspec.Struct):
    inference_stats: _InferStatistics


class _StatisticsBody(msgspec.Struct):
    model_stats: tuple[_ModelStatistics, ...] = ()


class _ErrorStatus(Exception):
    """A response with a status outside 2xx."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.detail = body[:MAX_DETAIL].decode(errors="replace").strip() or f"HTTP status {status}"


T = TypeVar("T")


class KServeHttpClient:
    """Implements `KServeClient` over one pool of connections."""

    def __init__(self, server: Server) -> None:
        is_unix = server.address.startswith(_UNIX)
        self._base = "http://kserve/v2" if is_unix else f"http://{server.address}/v2"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=server.address.removeprefix(_UNIX), limit=0)
            if is_unix
            else aiohttp.TCPConnector(limit=0),
            # Responses are not decompressed, and cookies are not kept.
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "archgw", "accept-encoding": "identity"}
            | ({"x-arch-upstream": server.upstream} if server.upstream else {}),
        )

    async def close(self) -> None:
        await self._session.close()

    async def infer(self, request: InferRequest, timeout_s: float) -> InferResponse:
        body = await self._post(f"{_path(request.model)}/infer", _infer_body(request), timeout_s)
        outputs = {output.name: output.data for output in _decode(body, _InferBody).outputs}
        if request.output not in outputs:
            raise CallFailed(FailureReason.MALFORMED, f"expected the tensor {request.output}, found {list(outputs)}")
        compute_ms = _compute_ms(outputs[COMPUTE_NS]) if COMPUTE_NS in outputs else None
        return InferResponse(_raw(outputs[request.output]), compute_ms)

    async def probe_decoupled(self, model: str, request: str, timeout_s: float) -> None:
        try:
            await self._exchange("POST", f"{_path(model)}/generate_stream", {"REQUEST": request}, timeout_s)
        except _ErrorStatus as error:
            failure = _failure(error)
            if not failure.caused_by_request:
                raise failure from error

    async def server_live(self, timeout_s: float) -> None:
        await self._get("/health/live", timeout_s)

    async def model_metadata(self, model: str, timeout_s: float) -> ModelMetadata:
        try:
            await self._exchange("GET", f"{_path(model)}/ready", None, timeout_s)
        except _ErrorStatus as error:
            if error.status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
                raise _failure(error) from error
            await self._get("/health/ready", timeout_s)
            raise not_loaded(model) from error
        metadata = _decode(await self._get(_path(model), timeout_s), _MetadataBody)
        config = await self._get_supported(f"{_path(model)}/config", timeout_s)
        max_batch_size = 0 if config is None else _decode(config, _ConfigBody).max_batch_size
        return ModelMetadata(_tensors(metadata.inputs), _tensors(metadata.outputs), max_batch_size)

    async def model_statistics(self, model: str, timeout_s: float) -> ModelStatistics | None:
        body = await self._get_supported(f"{_path(model)}/stats", timeout_s)
        return None if body is None else ModelStatistics.of(map(_counts, _decode(body, _StatisticsBody).model_stats))

    async def unload_model(self, model: str) -> None:
        await self._post(f"/repository{_path(model)}/unload", {}, _RELOAD_TIMEOUT_S)

    async def load_model(self, model: str) -> None:
        await self._post(f"/repository{_path(model)}/load", {}, _RELOAD_TIMEOUT_S)

    async def _get(self, path: str, timeout_s: float) -> bytes:
        try:
            return await self._exchange("GET", path, None, timeout_s)
        except _ErrorStatus as error:
            raise _failure(error) from error

    async def _get_supported(self, path: str, timeout_s: float) -> bytes | None:
        """Returns the body; None if the server does not have this extension of Triton's."""
        try:
            return await self._exchange("GET", path, None, timeout_s)
        except _ErrorStatus as error:
            if error.status in _UNSUPPORTED:
                return None
            raise _failure(error) from error

    async def _post(self, path: str, body: JsonValue, timeout_s: float) -> bytes:
        try:
            return await self._exchange("POST", path, body, timeout_s)
        except _ErrorStatus as error:
            raise _failure(error) from error

    async def _exchange(self, method: str, path: str, body: JsonValue, timeout_s: float) -> bytes:
        """Returns the body of a 2xx response. Raises `_ErrorStatus` for other responses, `CallFailed` without one."""
        try:
            async with self._session.request(
                method,
                self._base + path,
                data=None if body is None else encode_json(body),
                headers=None if body is None else {"content-type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                content = await _read_body(response)
                if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                    raise _ErrorStatus(response.status, content)
                return content
        except TimeoutError as error:
            raise CallFailed(FailureReason.TIMEOUT, f"no answer within {timeout_s * 1000:.0f} ms") from error
        except aiohttp.ClientError as error:
            raise CallFailed(FailureReason.UNREACHABLE, str(error) or type(error).__name__) from error


def _path(model: str) -> str:
    return f"/models/{quote(model, safe='')}"


def _failure(error: _ErrorStatus) -> CallFailed:
    if DEAD_PROCESS in error.detail:
        return CallFailed(FailureReason.DEAD, error.detail)
    if FULL_QUEUE in error.detail:
        return CallFailed(FailureReason.OVERLOADED, error.detail)
    if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return unauthenticated()
    reason = _REASONS.get(error.status, FailureReason.REFUSED)
    return CallFailed(reason, error.detail, caused_by_request=error.status in _CAUSED_BY_REQUEST)


def _infer_body(request: InferRequest) -> JsonValue:
    outputs = (request.output, COMPUTE_NS) if request.with_compute_time else (request.output,)
    return {
        "inputs": [
            {
                "name": name,
                "shape": [len(column), 1],
                "datatype": "BYTES",
                "data": [element.decode() for element in column],
            }
            for name, column in request.inputs.items()
        ],
        "outputs": [{"name": name, "parameters": {"binary_data": False}} for name in outputs],
    }


def _decode(body: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallFailed(FailureReason.MALFORMED, str(error)) from error


def _values(data: bytes) -> list[float | str]:
    """Returns a tensor's values in row-major order. Raises `CallFailed`."""
    rows = _decode(data, _Values)
    return [value for row in rows for value in (row if isinstance(row, list) else (row,))]


def _raw(data: bytes) -> bytes:
    """Returns a tensor in binary form: each text after its length, numbers as FP32."""
    values = _values(data)
    texts = [value.encode() for value in values if isinstance(value, str)]
    if not texts:
        # A number beyond FP32 becomes infinite, which no role accepts.
        with np.errstate(over="ignore"):
            return np.array(values, dtype="<f4").tobytes()
    if len(texts) < len(values):
        raise CallFailed(FailureReason.MALFORMED, "a tensor has both texts and numbers")
    return bytes_tensor(texts)


def _compute_ms(data: bytes) -> float | None:
    """Returns the largest value: the texts of one call are computed together."""
    numbers = [value for value in _values(data) if isinstance(value, float)]
    return max(0.0, *numbers) / 1e6 if numbers else None


def _tensors(tensors: tuple[_TensorBody, ...]) -> tuple[TensorMetadata, ...]:
    return tuple(TensorMetadata(each.name, each.datatype, each.shape) for each in tensors)


def _counts(version: _ModelStatistics) -> tuple[int, int, int]:
    """Returns the successful requests of a model version, and their nanoseconds in the queue and of computing."""
    stats = version.inference_stats
    compute = stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns
    return stats.success.count, stats.queue.ns, compute


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_RESPONSE_BYTES:
            raise CallFailed(FailureReason.MALFORMED, f"the response has more than {MAX_RESPONSE_BYTES} bytes")
    return bytes(body)
