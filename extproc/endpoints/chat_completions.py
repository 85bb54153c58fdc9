"""OpenAI chat completions as the gateway reads and writes them.

Top-level fields that the gateway does not act on are kept as the bytes they came in, so that nothing that it does not
know is changed. Everything it does act on is encoded anew from what was parsed, so that what the guards read is what
leaves: of a duplicate key only the last survives, here and there alike.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from extproc.codecs import sse
from extproc.errors import InvalidRequest
from extproc.shared.filter_config import JsonValue

Message = Mapping[str, JsonValue]

# The top-level fields that the gateway acts on.
_READ: Final = ("messages", "model", "stream", "metadata")

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")

# Deeper JSON than this has no meaning in a prompt, and msgspec's own limit is the interpreter's.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat-completions request. `fields` are all top-level fields in their own bytes."""

    fields: Mapping[str, msgspec.Raw]
    messages: tuple[Message, ...]
    model: str | None
    stream: bool
    metadata: Mapping[str, JsonValue]
    # Whether working on the whole of it takes more than a few milliseconds.
    is_large: bool = False

    @property
    def has_tools(self) -> bool:
        """Whether the client brings tools of its own for the LLM."""
        return any(bytes(self.fields.get(name, b"null")) not in _NO_TOOLS for name in ("tools", "functions"))

    @property
    def include_usage(self) -> bool:
        """The client wants its stream to end with a chunk that holds the usage."""
        options = decode_object(bytes(self.fields.get("stream_options", b"null")))
        return options is not None and options.get("include_usage") is True

    @property
    def is_structured(self) -> bool:
        """The client wants an object for an answer, and no sentence: by `response_format` or a forced tool."""
        format_ = self._mode("response_format")
        choices = (self._mode(name) for name in ("tool_choice", "function_call"))
        return format_ not in {None, "text"} or any(choice not in _FREE for choice in choices)

    def _mode(self, name: str) -> str | None:
        """What a field asks for that is a word, or an object with a `type`; None where it is neither."""
        try:
            value: _Mode | str | None = _MODE.decode(self.fields.get(name, b"null"))
        except _UNREADABLE:
            return None
        if isinstance(value, _Mode):
            # Of several allowed tools, the mode says whether one must be called.
            return (value.allowed_tools or value).mode if value.type == "allowed_tools" else value.type
        return value


class _Allowed(msgspec.Struct, frozen=True):
    mode: str = "auto"


class _Mode(msgspec.Struct, frozen=True):
    """The fields of `response_format`, `tool_choice` and `function_call` that say what kind of answer is wanted."""

    type: str = "function"
    mode: str = "auto"
    allowed_tools: _Allowed | None = None


_MODE: Final = msgspec.json.Decoder(_Mode | str | None)

# An escape of one; `\\ud800` is none, and looking closer finds that out.
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
# As three bytes, which some encoders write.
_HALF_CHARACTER: Final = re.compile(rb"\xed[\xa0-\xbf]")
_HALF_ESCAPED: Final = "it escapes half of a surrogate pair (\\ud800 to \\udfff), which is no character"
_UNREAD: Final = "The body is not a JSON object that can be read: {}."
_NO_TOOLS: Final = {b"null", b"[]"}
# With these the model may answer in words.
_FREE: Final = frozenset({None, "auto", "none"})


def parse(body: bytes, *, is_large: bool = False) -> ChatRequest:
    """Read a request body. Raises `InvalidRequest` with the place of the fault, never with its content."""
    if not body:
        raise InvalidRequest("The request has no body: send a JSON object with `messages`.")
    try:
        # Fields that are kept as they are, nobody else decodes.
        body.decode()
        fields = _FIELDS.decode(body)
        values = {name: _VALUE.decode(fields[name]) for name in _READ if name in fields}
    except _UNREADABLE as error:
        raise InvalidRequest(_UNREAD.format(_fault(error, body))) from None
    if any(name not in _READ and _has_half_a_character(raw) for name, raw in fields.items()):
        raise InvalidRequest(_UNREAD.format(_HALF_ESCAPED))
    return ChatRequest(
        fields=fields,
        messages=_messages(values.get("messages")),
        model=_model(values.get("model")),
        stream=_stream(values.get("stream")),
        metadata=_metadata(values.get("metadata")),
        is_large=is_large,
    )


def as_read(request: ChatRequest) -> ChatRequest:
    """The request with every structured field as it is read here: of a duplicate key inside one only the last is left.

    For a request that guards read: what they read is what leaves. Raises `InvalidRequest`.
    """
    unread = (name for name in request.fields if name not in _READ)
    structured = [name for name in unread if bytes(request.fields[name])[:1] in {b"{", b"["}]
    anew = {name: msgspec.Raw(_encode(decode_json(bytes(request.fields[name])))) for name in structured}
    return dataclasses.replace(request, fields={**request.fields, **anew})


def with_messages(request: ChatRequest, messages: Sequence[Message]) -> ChatRequest:
    """The request with another conversation. Raises `InvalidRequest` where none is left."""
    return dataclasses.replace(request, messages=_messages(list[JsonValue](dict(message) for message in messages)))


def decode_json(text: bytes | str) -> JsonValue:
    """A JSON value from outside. Raises `InvalidRequest`."""
    try:
        value: JsonValue = _VALUE.decode(text)
    except _UNREADABLE as error:
        raw = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
        raise InvalidRequest(_UNREAD.format(_fault(error, raw))) from None
    return value


def _fault(error: Exception, text: bytes) -> str:
    """What is wrong with `text`, which could not be decoded for `error`."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    encoding = json.detect_encoding(text)
    if encoding == "utf-8-sig":
        return "it begins with a byte order mark (EF BB BF), which JSON must not have"
    if encoding != "utf-8":
        return f"it is {encoding[:6].upper()}, and JSON is UTF-8"
    if isinstance(error, UnicodeDecodeError):
        half = f"it holds half of a surrogate pair (byte {error.start}), which UTF-8 does not have"
        return half if _HALF_CHARACTER.match(text, error.start) else f"it is not UTF-8 (byte {error.start})"
    if _has_half_a_character(text):
        return _HALF_ESCAPED
    return str(error).rstrip(".")


def _has_half_a_character(text: bytes | msgspec.Raw) -> bool:
    """Whether JSON escapes one half of a surrogate pair without the other."""
    if not _SURROGATE.search(text):
        return False
    try:
        # With an end behind it: of a text that ends soon after one, msgspec says that it was truncated.
        _VALUE.decode(bytes(text) + b" " * 8)
    except _UNREADABLE as error:
        return "surrogate" in str(error)
    return False


def _messages(value: JsonValue) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise InvalidRequest("`messages` must be an array with at least one message.")
    for index, message in enumerate(value):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise InvalidRequest(f"`{place}` must be an object.")
        if not isinstance(message.get("role"), str):
            raise InvalidRequest(f"`{place}.role` must be a string.")
        if message["role"] not in _ROLES:
            raise InvalidRequest(f"`{place}.role` must be one of {', '.join(_ROLES)}.")
        content = message.get("content")
        if isinstance(content, list):
            if not all(isinstance(part, dict) for part in content):
                raise InvalidRequest(f"`{place}.content` must hold objects only: each part has a `type`.")
        elif content is not None and not isinstance(content, str):
            raise InvalidRequest(f"`{place}.content` must be a string, an array of parts, or null.")
    return tuple(message for message in value if isinstance(message, dict))


def _model(value: JsonValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidRequest("`model` must be a string.")


def _stream(value: JsonValue) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest("`stream` must be true or false.")


def _metadata(value: JsonValue) -> dict[str, JsonValue]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise InvalidRequest("`metadata` must be an object.")


def encode(
    request: ChatRequest, *, messages: Sequence[Message], model: str, metadata: Mapping[str, JsonValue]
) -> bytes:
    """The request with these three fields in place of its own; an empty `metadata` is left out."""
    fields: dict[str, object] = {**request.fields, "messages": messages, "model": model}
    if metadata:
        fields["metadata"] = metadata
    else:
        fields.pop("metadata", None)
    return _encode(fields)


def texts(message: Message) -> list[str]:
    """Every text that a message says: its content, or the `text` of each part; where there is none, its `refusal`."""
    content = message.get("content")
    if isinstance(content, list) and content:
        found = [part.get("text", part.get("refusal")) for part in content if isinstance(part, dict)]
    else:
        found = [content or message.get("refusal") or content]
    return [text for text in found if isinstance(text, str)]


def append_text(message: Message, text: str) -> Message:
    """The message with `text` at the end of its content."""
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [*content, {"type": "text", "text": text}]}
    return {**message, "content": f"{content or ''}{text}"}


def new_id(prefix: str = "chatcmpl-") -> str:
    return f"{prefix}{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer that the gateway gives by itself. `usage` None: nobody has counted its tokens.

    `is_refusal`: it stands in `refusal` and there is no content, so that a client that wants an object sees that this
    is none.
    """

    model: str
    content: str
    finish_reason: str = "stop"
    metadata: Mapping[str, JsonValue] | None = None
    usage: Mapping[str, JsonValue] | None = None
    is_refusal: bool = False

    @property
    def said(self) -> dict[str, JsonValue]:
        """The field of a message, or of a chunk's delta, that holds the text."""
        return {"refusal" if self.is_refusal else "content": self.content}

    @property
    def message(self) -> dict[str, JsonValue]:
        return {"role": "assistant", "content": None, **self.said}


def completion(answer: Completion) -> bytes:
    """`answer` as a `chat.completion` object."""
    body: dict[str, Any] = {
        "id": new_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [
            {
                "index": 0,
                "message": answer.message,
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": answer.usage,
    }
    if answer.metadata:
        body["metadata"] = answer.metadata
    return _encode(body)


def chunk(model: str, delta: Mapping[str, JsonValue], *, metadata: Mapping[str, JsonValue] | None = None) -> bytes:
    """One `chat.completion.chunk` object, with an id of its own."""
    return _encode({**_chunk_head(model), "choices": [_delta(delta)], **({"metadata": metadata} if metadata else {})})


def _chunk_head(model: str) -> dict[str, object]:
    """What all chunks of one stream share."""
    return {"id": new_id(), "object": "chat.completion.chunk", "created": int(time.time()), "model": model}


def _delta(delta: Mapping[str, JsonValue], finish_reason: str | None = None, index: JsonValue = 0) -> dict[str, object]:
    """The only choice of a chunk."""
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


_OPENING: Final[Mapping[str, JsonValue]] = {"role": "assistant", "content": ""}


class _Choice(msgspec.Struct, frozen=True):
    message: dict[str, Any]
    finish_reason: str | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: tuple[_Choice, ...]
    model: str = ""
    usage: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)


def read_completion(body: bytes) -> Completion | None:
    """A `chat.completion` object from outside, or None where the body is anything else."""
    try:
        answer = _COMPLETION.decode(body)
    except _UNREADABLE:
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


def _object(value: Any) -> dict[str, JsonValue] | None:
    return value if isinstance(value, dict) else None


class _DeltaChoice(msgspec.Struct, frozen=True):
    delta: dict[str, Any]
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, frozen=True):
    choices: tuple[_DeltaChoice, ...]
    model: str = ""
    usage: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)


def read_stream(body: bytes) -> Completion | None:
    """The completion that a whole event stream of chunks from outside tells, or None where it is anything else."""
    decoder = sse.EventDecoder()
    payloads = [payload for payload in (*decoder.feed(body), *decoder.flush()) if payload != b"[DONE]"]
    try:
        chunks = [_CHUNK.decode(payload) for payload in payloads]
    except _UNREADABLE:
        return None
    choices = [piece.choices[0] for piece in chunks if piece.choices]
    if not choices:
        return None
    said = (choice.delta.get("content") for choice in choices)
    content = "".join(text for text in said if isinstance(text, str))
    finish = next((choice.finish_reason for choice in reversed(choices) if choice.finish_reason), "stop")
    usage = next((piece.usage for piece in reversed(chunks) if piece.usage), None)
    return Completion(next((piece.model for piece in chunks if piece.model), ""), content, finish, usage=_object(usage))


def stream(answer: Completion, before: Sequence[bytes] = (), *, include_usage: bool = False) -> bytes:
    """`answer` as a whole event stream, after the chunks of `before`. Its metadata stands in its first chunk.

    `include_usage`: its usage is in a last chunk without choices, and null in the others.
    """
    head = {**_chunk_head(answer.model), **({"usage": None} if include_usage else {})}
    chunks: list[dict[str, object]] = [
        {**head, "choices": [_delta(_OPENING)], **({"metadata": answer.metadata} if answer.metadata else {})},
        {**head, "choices": [_delta(answer.said)]},
        {**head, "choices": [_delta({}, answer.finish_reason)]},
    ]
    if include_usage:
        chunks.append({**head, "choices": [], "usage": answer.usage})
    return b"".join(map(sse.event, (*before, *map(_encode, chunks)))) + sse.DONE


# What a chunk shares with the others of its stream.
_SHARED: Final = ("id", "object", "created", "model", "service_tier", "system_fingerprint")


def opened(payload: bytes, metadata: Mapping[str, JsonValue]) -> tuple[bytes, bytes] | None:
    """A provider's first chunk as two: the first has `metadata` and the role, the second all else.

    Two, since clients join what deltas say: a role that is said twice is `assistantassistant` to the openai SDK. None
    where `payload` has no choice: such a chunk may have another id than the answer's, or is none.
    """
    fields = decode_fields(payload)
    choices = _value(fields, "choices")
    if fields is None or not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    delta = choices[0].get("delta")
    said = {name: value for name, value in delta.items() if name != "role"} if isinstance(delta, dict) else {}
    before = _value(fields, "metadata")
    first: dict[str, object] = {name: fields[name] for name in _SHARED if name in fields}
    first["choices"] = [_delta(_OPENING, index=choices[0].get("index", 0))]
    first["metadata"] = {**(before if isinstance(before, dict) else {}), **metadata}
    if "usage" in fields:
        # With `include_usage` it is there, and null, in all chunks but the last.
        first["usage"] = None
    rest = {**fields, "choices": [{**choices[0], "delta": said}, *choices[1:]]}
    return _encode(first), _encode(rest)


def _value(fields: Mapping[str, msgspec.Raw] | None, name: str) -> JsonValue:
    """One field of an object from outside; None where it is not there, or cannot be read."""
    if fields is None or name not in fields:
        return None
    try:
        value: JsonValue = _VALUE.decode(fields[name])
    except _UNREADABLE:
        return None
    return value


def error_body(message: str, error_type: str, code: str) -> bytes:
    """The one error body of every reply."""
    return _encode({"error": {"message": message, "type": error_type, "code": code, "param": None}})


def decode_object(body: bytes | str) -> dict[str, JsonValue] | None:
    """A JSON object from outside, or None where the text is anything else."""
    try:
        value = _VALUE.decode(body)
    except _UNREADABLE:
        return None
    return value if isinstance(value, dict) else None


def decode_fields(body: bytes) -> dict[str, msgspec.Raw] | None:
    """The top-level fields of a JSON object in their own bytes, or None where the body is anything else."""
    try:
        return _FIELDS.decode(body)
    except _UNREADABLE:
        return None


def encode_json(value: object) -> bytes:
    return _encode(value)
