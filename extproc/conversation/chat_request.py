"""A request in the canonical form. An endpoint makes it from its client's body; a translator encodes it for a provider.

The canonical form is the request body of OpenAI chat completions. Top-level fields that the gateway does not act on
keep their bytes, so that nothing unknown is changed. Fields that it acts on are encoded anew from the decoded values:
the gateway forwards exactly what the guards read, even if a key occurs twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from extproc.codecs.json_values import DECODE_ERRORS, Fields, decode_json, decode_object, encode_json
from extproc.conversation.messages import Message, checked_messages
from extproc.shared.filter_config import JsonValue

# Top-level fields that the gateway acts on.
DECODED_FIELDS: Final = ("messages", "model", "stream", "metadata")
# Top-level fields that no model reads.
_SETTINGS: Final = frozenset({*DECODED_FIELDS, "stream_options"})

_NULL: Final = msgspec.Raw(b"null")
_NO_TOOLS: Final = {b"null", b"[]"}
# Values of `tool_choice` and `response_format` with which the model may answer in plain text.
_FREE_CHOICES: Final = frozenset({None, "auto", "none"})
_FREE_FORMATS: Final = frozenset({None, "text"})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`fields`: all top-level fields in their own bytes, by their names in the canonical form.

    `is_large`: work on the whole request takes more than a few milliseconds.
    """

    fields: Fields
    messages: tuple[Message, ...]
    model: str | None
    stream: bool
    metadata: Mapping[str, JsonValue]
    is_large: bool = False

    @property
    def has_tools(self) -> bool:
        """The client sends its own tools for the LLM."""
        return any(bytes(self.fields.get(name, _NULL)) not in _NO_TOOLS for name in ("tools", "functions"))

    @property
    def include_usage(self) -> bool:
        """The client wants its stream to end with a chunk that holds the usage."""
        options = decode_object(self.fields.get("stream_options", _NULL))
        return options is not None and options.get("include_usage") is True

    @property
    def is_structured(self) -> bool:
        """The client requests an object instead of text, by `response_format` or by a forced tool."""
        choices = (self._mode(name) for name in ("tool_choice", "function_call"))
        return self._mode("response_format") not in _FREE_FORMATS or any(mode not in _FREE_CHOICES for mode in choices)

    @property
    def fields_for_models(self) -> Fields:
        """The fields besides the messages and the metadata that an LLM may read, tools for example."""
        return {name: raw for name, raw in self.fields.items() if name not in _SETTINGS}

    @property
    def messages_bytes(self) -> int:
        """The size of the messages as received, in bytes of JSON."""
        return len(self.fields.get("messages", b""))

    def with_messages(self, messages: Sequence[Message]) -> ChatRequest:
        """Returns the request with `messages` as its conversation. Raises `InvalidRequest` if there are none."""
        return dataclasses.replace(self, messages=checked_messages(list[JsonValue](map(dict, messages))))

    def reencoded(self) -> ChatRequest:
        """Returns the request with every structured field encoded anew, so that none has a key twice.

        Guarded requests need it: the gateway forwards exactly what the guards read. Raises `InvalidRequest`.
        """
        kept = [name for name in self.fields if name not in DECODED_FIELDS]
        structured = [name for name in kept if bytes(self.fields[name])[:1] in {b"{", b"["}]
        encoded = {name: msgspec.Raw(encode_json(decode_json(bytes(self.fields[name])))) for name in structured}
        return dataclasses.replace(self, fields={**self.fields, **encoded})

    def _mode(self, name: str) -> str | None:
        """Returns the mode in a field that holds a string or an object with a `type`; None if it holds neither."""
        try:
            value: _Mode | str | None = _MODE.decode(self.fields.get(name, _NULL))
        except DECODE_ERRORS:
            return None
        if isinstance(value, _Mode):
            # With `allowed_tools`, the mode tells whether one of them must be called.
            return (value.allowed_tools or value).mode if value.type == "allowed_tools" else value.type
        return value


class _AllowedTools(msgspec.Struct, frozen=True):
    mode: str = "auto"


class _Mode(msgspec.Struct, frozen=True):
    """The fields of `response_format`, `tool_choice` and `function_call` that say which kind of answer is wanted."""

    type: str = "function"
    mode: str = "auto"
    allowed_tools: _AllowedTools | None = None


_MODE: Final = msgspec.json.Decoder(_Mode | str | None)


def of_messages(messages: Sequence[Message]) -> ChatRequest:
    """Returns a request that holds these messages and nothing else."""
    return ChatRequest(fields={}, messages=tuple(messages), model=None, stream=False, metadata={})
