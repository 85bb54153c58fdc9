"""Encodes and decodes completions, chunks and errors in the canonical form of responses, OpenAI chat completions.

A translator converts a provider's response to this form, and an endpoint converts it to its client's. The response
stages between them know this form only.
https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.codecs import sse
from extproc.codecs.json_values import DECODE_ERRORS, decode_field, decode_fields, encode_json
from extproc.conversation.completion import Completion
from extproc.shared.filter_config import JsonValue

_FIRST_DELTA: Final[Mapping[str, JsonValue]] = {"role": "assistant", "content": ""}
# Fields that all chunks of one stream share.
_SHARED: Final = ("id", "object", "created", "model", "service_tier", "system_fingerprint")


def new_id(prefix: str = "chatcmpl-") -> str:
    return f"{prefix}{uuid.uuid4().hex}"


def encode_completion(completion: Completion) -> bytes:
    """Returns a `chat.completion` object."""
    body: dict[str, Any] = {
        "id": new_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": completion.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, **_text_field(completion)},
                "logprobs": None,
                "finish_reason": completion.finish_reason,
            }
        ],
        "usage": completion.usage,
    }
    if completion.metadata:
        body["metadata"] = completion.metadata
    return encode_json(body)


def encode_stream(completion: Completion, *, include_usage: bool = False) -> bytes:
    """Returns the whole event stream of a completion. The metadata is in the first chunk.

    `include_usage`: the usage is in a last chunk without choices, and null in the others.
    """
    head = {**_chunk_head(completion.model), **({"usage": None} if include_usage else {})}
    metadata = {"metadata": completion.metadata} if completion.metadata else {}
    chunks: list[dict[str, object]] = [
        {**head, "choices": [_choice(_FIRST_DELTA)], **metadata},
        {**head, "choices": [_choice(_text_field(completion))]},
        {**head, "choices": [_choice({}, completion.finish_reason)]},
    ]
    if include_usage:
        chunks.append({**head, "choices": [], "usage": completion.usage})
    return b"".join(sse.event(encode_json(chunk)) for chunk in chunks) + sse.DONE


def encode_chunk(
    model: str, delta: Mapping[str, JsonValue], *, metadata: Mapping[str, JsonValue] | None = None
) -> bytes:
    """Returns one `chat.completion.chunk` object, with an id of its own."""
    head = {**_chunk_head(model), "choices": [_choice(delta)]}
    return encode_json({**head, **({"metadata": metadata} if metadata else {})})


def _text_field(completion: Completion) -> dict[str, JsonValue]:
    """Returns the field of a message or delta that holds the text."""
    return {"refusal" if completion.is_refusal else "content": completion.content}


def _chunk_head(model: str) -> dict[str, object]:
    return {"id": new_id(), "object": "chat.completion.chunk", "created": int(time.time()), "model": model}


def _choice(
    delta: Mapping[str, JsonValue], finish_reason: str | None = None, index: JsonValue = 0
) -> dict[str, object]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def encode_error(message: str, error_type: str, code: str) -> bytes:
    """Returns an error body."""
    return encode_json({"error": {"message": message, "type": error_type, "code": code, "param": None}})


class _CompletionChoice(msgspec.Struct, frozen=True):
    message: dict[str, Any]
    finish_reason: str | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: tuple[_CompletionChoice, ...]
    model: str = ""
    usage: Any = None


class _ChunkChoice(msgspec.Struct, frozen=True):
    delta: dict[str, Any]
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, frozen=True):
    choices: tuple[_ChunkChoice, ...]
    model: str = ""
    usage: Any = None


_COMPLETION: Final = msgspec.json.Decoder(_Completion)
_CHUNK: Final = msgspec.json.Decoder(_Chunk)


def decode_completion(body: bytes) -> Completion | None:
    """Decodes a `chat.completion` object from outside. Returns None if the body is anything else."""
    try:
        answer = _COMPLETION.decode(body)
    except DECODE_ERRORS:
        return None
    if not answer.choices:
        return None
    content = answer.choices[0].message.get("content")
    return Completion(
        answer.model,
        content if isinstance(content, str) else "",
        answer.choices[0].finish_reason or "stop",
        usage=_object(answer.usage),
    )


def decode_stream(body: bytes) -> Completion | None:
    """Decodes a whole event stream from outside into a completion. Returns None if the body is anything else."""
    decoder = sse.EventDecoder()
    payloads = [payload for payload in (*decoder.feed(body), *decoder.flush()) if payload != b"[DONE]"]
    try:
        chunks = [_CHUNK.decode(payload) for payload in payloads]
    except DECODE_ERRORS:
        return None
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    if not choices:
        return None
    deltas = (choice.delta.get("content") for choice in choices)
    content = "".join(text for text in deltas if isinstance(text, str))
    finish_reason = next((choice.finish_reason for choice in reversed(choices) if choice.finish_reason), "stop")
    usage = next((chunk.usage for chunk in reversed(chunks) if chunk.usage), None)
    model = next((chunk.model for chunk in chunks if chunk.model), "")
    return Completion(model, content, finish_reason, usage=_object(usage))


def _object(value: Any) -> dict[str, JsonValue] | None:
    return value if isinstance(value, dict) else None


def split_first_chunk(payload: bytes, metadata: Mapping[str, JsonValue]) -> tuple[bytes, bytes] | None:
    """Splits a provider's first chunk in two: the first has `metadata` and the role, the second everything else.

    The role moves, since clients join deltas: the openai SDK reads a repeated role as `assistantassistant`. Returns
    None if `payload` has no choice: such a chunk may have another id than the answer, or is no chunk.
    """
    fields = decode_fields(payload)
    choices = decode_field(fields, "choices")
    if fields is None or not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    delta = choices[0].get("delta")
    rest_delta = {name: value for name, value in delta.items() if name != "role"} if isinstance(delta, dict) else {}
    provider_metadata = decode_field(fields, "metadata")
    first: dict[str, object] = {name: fields[name] for name in _SHARED if name in fields}
    first["choices"] = [_choice(_FIRST_DELTA, index=choices[0].get("index", 0))]
    first["metadata"] = {**(provider_metadata if isinstance(provider_metadata, dict) else {}), **metadata}
    if "usage" in fields:
        # With `include_usage` it is null in all chunks but the last.
        first["usage"] = None
    rest = {**fields, "choices": [{**choices[0], "delta": rest_delta}, *choices[1:]]}
    return encode_json(first), encode_json(rest)
