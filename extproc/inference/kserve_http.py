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
from extproc.inference.call_failures import MOST_DETAIL, CallFailed, Reason
from extproc.inference.kserve import (
    DEAD_STUB,
    FULL_QUEUE,
    MOST_BYTES,
    Answer,
    Description,
    Question,
    Statistics,
    Tensor,
    bytes_tensor,
    keyless,
    unready,
)
from extproc.inference.model_signature import COMPUTE_NS
from extproc.shared.filter_config import JsonValue, Server

_UNIX: Final = "unix:"
_RELOAD_S: Final = 60

_REASONS: Final[Mapping[int, Reason]] = {
    HTTPStatus.REQUEST_TIMEOUT: Reason.TIMEOUT,
    HTTPStatus.GATEWAY_TIMEOUT: Reason.TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS: Reason.OVERLOADED,
    HTTPStatus.BAD_GATEWAY: Reason.UNREACHABLE,
    HTTPStatus.SERVICE_UNAVAILABLE: Reason.UNREACHABLE,
}
# What a server says that has no such path, or keeps it from us.
_UNSERVED: Final = frozenset(
    {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.FORBIDDEN}
)
# What is asked is refused, whoever would ask it.
_OF_QUESTION: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)

# The values of a tensor: in one list, or row by row.
_Values = list[float | str | list[float | str]]
# Python's own integers have no end, and its floats do.
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Output(msgspec.Struct):
    name: str
    # Read only where the tensor was asked for.
    data: msgspec.Raw


class _Inferred(msgspec.Struct):
    outputs: list[_Output]


class _TensorMetadata(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]


class _Metadata(msgspec.Struct):
    inputs: tuple[_TensorMetadata, ...] = ()
    outputs: tuple[_TensorMetadata, ...] = ()


class _Config(msgspec.Struct):
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


class _AllStatistics(msgspec.Struct):
    model_stats: tuple[_ModelStatistics, ...] = ()


class _Status(Exception):
    """An answer that is none of 2xx."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.detail = body[:MOST_DETAIL].decode(errors="replace").strip() or f"HTTP status {status}"


T = TypeVar("T")


class HttpTransport:
    """`Transport` over one pool of connections."""

    def __init__(self, server: Server) -> None:
        is_unix = server.address.startswith(_UNIX)
        self._base = "http://kserve/v2" if is_unix else f"http://{server.address}/v2"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=server.address.removeprefix(_UNIX), limit=0)
            if is_unix
            else aiohttp.TCPConnector(limit=0),
            # What a server sends is read as it is, and nothing of it is kept for the next call.
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "archgw", "accept-encoding": "identity"}
            | ({"x-arch-upstream": server.upstream} if server.upstream else {}),
        )

    async def close(self) -> None:
        await self._session.close()

    async def infer(self, question: Question, timeout_s: float) -> Answer:
        body = await self._post(f"{_path(question.model)}/infer", _request(question), timeout_s)
        outputs = {output.name: output.data for output in _decoded(body, _Inferred).outputs}
        if question.output not in outputs:
            raise CallFailed(Reason.MALFORMED, f"expected the tensor {question.output}, found {list(outputs)}")
        compute_ms = _compute_ms(outputs[COMPUTE_NS]) if COMPUTE_NS in outputs else None
        return Answer(_raw(outputs[question.output]), compute_ms)

    async def reach_decoupled(self, model: str, timeout_s: float) -> None:
        try:
            await self._exchange("POST", f"{_path(model)}/generate_stream", {"REQUEST": "{}"}, timeout_s)
        except _Status as answer:
            failure = _failure(answer)
            if not failure.of_question:
                raise failure from answer

    async def live(self, timeout_s: float) -> None:
        await self._get("/health/live", timeout_s)

    async def describe(self, model: str, timeout_s: float) -> Description:
        try:
            await self._exchange("GET", f"{_path(model)}/ready", None, timeout_s)
        except _Status as answer:
            if answer.status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
                raise _failure(answer) from answer
            await self._get("/health/ready", timeout_s)
            raise unready(model) from answer
        found = _decoded(await self._get(_path(model), timeout_s), _Metadata)
        config = await self._get_served(f"{_path(model)}/config", timeout_s)
        most = 0 if config is None else _decoded(config, _Config).max_batch_size
        return Description(_tensors(found.inputs), _tensors(found.outputs), most)

    async def statistics(self, model: str, timeout_s: float) -> Statistics | None:
        body = await self._get_served(f"{_path(model)}/stats", timeout_s)
        return None if body is None else Statistics.of(map(_spent, _decoded(body, _AllStatistics).model_stats))

    async def unload(self, model: str) -> None:
        await self._post(f"/repository{_path(model)}/unload", {}, _RELOAD_S)

    async def load(self, model: str) -> None:
        await self._post(f"/repository{_path(model)}/load", {}, _RELOAD_S)

    async def _get(self, path: str, timeout_s: float) -> bytes:
        try:
            return await self._exchange("GET", path, None, timeout_s)
        except _Status as answer:
            raise _failure(answer) from answer

    async def _get_served(self, path: str, timeout_s: float) -> bytes | None:
        """Triton's own extensions: another server does not serve them."""
        try:
            return await self._exchange("GET", path, None, timeout_s)
        except _Status as answer:
            if answer.status in _UNSERVED:
                return None
            raise _failure(answer) from answer

    async def _post(self, path: str, body: JsonValue, timeout_s: float) -> bytes:
        try:
            return await self._exchange("POST", path, body, timeout_s)
        except _Status as answer:
            raise _failure(answer) from answer

    async def _exchange(self, method: str, path: str, body: JsonValue, timeout_s: float) -> bytes:
        """The body of a 2xx. Raises `_Status` for any other, `CallFailed` where there is none."""
        try:
            async with self._session.request(
                method,
                self._base + path,
                data=None if body is None else encode_json(body),
                headers=None if body is None else {"content-type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                content = await _bounded(response)
                if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                    raise _Status(response.status, content)
                return content
        except TimeoutError as error:
            raise CallFailed(Reason.TIMEOUT, f"no answer within {timeout_s * 1000:.0f} ms") from error
        except aiohttp.ClientError as error:
            raise CallFailed(Reason.UNREACHABLE, str(error) or type(error).__name__) from error


def _path(model: str) -> str:
    return f"/models/{quote(model, safe='')}"


def _failure(answer: _Status) -> CallFailed:
    if DEAD_STUB in answer.detail:
        return CallFailed(Reason.DEAD, answer.detail)
    if FULL_QUEUE in answer.detail:
        return CallFailed(Reason.OVERLOADED, answer.detail)
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return keyless()
    reason = _REASONS.get(answer.status, Reason.REFUSED)
    return CallFailed(reason, answer.detail, of_question=answer.status in _OF_QUESTION)


def _request(question: Question) -> JsonValue:
    outputs = (question.output, COMPUTE_NS) if question.timed else (question.output,)
    return {
        "inputs": [
            {
                "name": name,
                "shape": [len(column), 1],
                "datatype": "BYTES",
                "data": [element.decode() for element in column],
            }
            for name, column in question.columns.items()
        ],
        "outputs": [{"name": name, "parameters": {"binary_data": False}} for name in outputs],
    }


def _decoded(body: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallFailed(Reason.MALFORMED, str(error)) from error


def _values(data: bytes) -> list[float | str]:
    """In row-major order. Raises `CallFailed`."""
    rows = _decoded(data, _Values)
    return [value for row in rows for value in (row if isinstance(row, list) else (row,))]


def _raw(data: bytes) -> bytes:
    """A tensor's values as the binary form has them: texts each behind its length, numbers as FP32."""
    values = _values(data)
    texts = [value.encode() for value in values if isinstance(value, str)]
    if not texts:
        # What is beyond FP32 becomes infinite there, which no role's answer may be.
        with np.errstate(over="ignore"):
            return np.array(values, dtype="<f4").tobytes()
    if len(texts) < len(values):
        raise CallFailed(Reason.MALFORMED, "a tensor of both texts and numbers")
    return bytes_tensor(texts)


def _compute_ms(data: bytes) -> float | None:
    """The longest, in milliseconds: texts of one call are computed together."""
    numbers = [value for value in _values(data) if isinstance(value, float)]
    return max(0.0, *numbers) / 1e6 if numbers else None


def _tensors(found: tuple[_TensorMetadata, ...]) -> tuple[Tensor, ...]:
    return tuple(Tensor(each.name, each.datatype, each.shape) for each in found)


def _spent(version: _ModelStatistics) -> tuple[int, int, int]:
    """Requests that were answered, and the nanoseconds that they waited and were computed."""
    found = version.inference_stats
    compute = found.compute_input.ns + found.compute_infer.ns + found.compute_output.ns
    return found.success.count, found.queue.ns, compute


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MOST_BYTES:
            raise CallFailed(Reason.MALFORMED, f"an answer of more than {MOST_BYTES} bytes")
    return bytes(body)
