"""Extracts the texts of a request that the guards read: every string of the client that a model may read. Pure.

Used by evaluator.py and refused_turns.py. Extraction follows the structure, not a list of known fields, so fields that
providers add later are read too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from extproc.conversation import state
from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.messages import SYSTEM_ROLES, Message
from extproc.pipeline.guard.string_extraction import StringExtractor
from extproc.shared.filter_config import JsonValue, TextRole

# Roles that do not reply to an assistant.
_NOT_REPLYING: Final = frozenset({"assistant", *SYSTEM_ROLES})
_MESSAGE_ROLES: Final = {
    **dict.fromkeys(SYSTEM_ROLES, TextRole.SYSTEM),
    "tool": TextRole.TOOL,
    "function": TextRole.TOOL,
}
# By the `type` of a part of a user's message. Any other part has the user's own words.
_PART_ROLES: Final = {
    **dict.fromkeys(
        ("document", "file", "image", "image_url", "input_audio", "input_file", "input_image", "search_result"),
        TextRole.DOCUMENT,
    ),
    **dict.fromkeys(("function_call_output", "tool_result"), TextRole.TOOL),
}
_TOOL_FIELDS: Final = frozenset({"tools", "tool_choice", "functions", "function_call", "response_format"})
# Characters of each end of a part that are read together with the parts of other roles.
_END_CHARS: Final = 120
# A line with this many words is a sentence, which may be an attack by itself.
_SENTENCE_WORDS: Final = 5
# Maximum sentences of one field that become separate texts.
_MAX_SENTENCES: Final = 24

_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])


class RequestText(NamedTuple):
    """A text of a request, and its role there."""

    role: TextRole
    text: str


@dataclass(frozen=True, slots=True)
class RequestTexts:
    """`texts`: without duplicates, in the order of the request.

    `echoes`: the texts that occur only in the content of assistant messages with a reply. An assistant message at the
    end is no echo: it is the start of an answer that the client wrote for the LLM to continue.
    """

    texts: tuple[RequestText, ...]
    echoes: frozenset[RequestText]


def extract(request: ChatRequest) -> RequestTexts:
    """Returns the texts of a request.

    Consecutive messages of one role are one text, since a model reads them as one. In tools and other fields, each
    sentence is one text, and all names and short strings together are another.

    Raises `InvalidRequest`, and `RequestTooLarge` if JSON inside strings holds more than `MAX_INNER_VALUES` values.
    """
    extractor = StringExtractor()
    conversation = list(_conversation(request.messages, extractor))
    echoes = {text for text, is_echo in conversation if is_echo} - {
        text for text, is_echo in conversation if not is_echo
    }
    other: list[RequestText] = []
    for name, raw in request.fields_for_models.items():
        role = TextRole.TOOLS if name in _TOOL_FIELDS else TextRole.USER
        for item in _array_items(raw):
            other += _split_sentences(role, extractor.from_json(bytes(item), name))
    other += _split_sentences(TextRole.USER, extractor.from_value(state.client_metadata(request.metadata), "metadata"))
    question = state.load(request.metadata).question
    if question is not None:
        other += _split_sentences(TextRole.USER, extractor.from_value(dict(question), "metadata"))
    in_conversation = (text for text, _ in conversation)
    texts = tuple(dict.fromkeys(each for each in (*in_conversation, *other) if each.text.strip()))
    return RequestTexts(texts, frozenset(echoes.difference(other)))


def conversation_texts(messages: Sequence[Message]) -> frozenset[RequestText]:
    """Returns the texts that `extract` finds in `messages`, which must be whole runs of one role each."""
    return frozenset(text for text, _ in _conversation(messages, StringExtractor()))


def _conversation(messages: Sequence[Message], extractor: StringExtractor) -> Iterator[tuple[RequestText, bool]]:
    """Yields (text, is echo) for each run of messages of one role: its content, then all other strings."""
    last_reply = max((i for i, message in enumerate(messages) if message["role"] not in _NOT_REPLYING), default=0)
    index = 0
    while index < len(messages):
        end = index + 1
        while end < len(messages) and messages[end]["role"] == messages[index]["role"]:
            end += 1
        role = _MESSAGE_ROLES.get(str(messages[index]["role"]), TextRole.USER)
        content: list[RequestText] = []
        other: list[str] = []
        for message in messages[index:end]:
            for key, value in message.items():
                if key == "content":
                    content += _content(role, value, extractor)
                elif key != "model":
                    other += extractor.from_value({key: value}, key)
        is_echo = messages[index]["role"] == "assistant" and index < last_reply
        yield from ((text, is_echo) for text in _joined_content(role, content))
        yield from ((text, False) for text in _split_sentences(role, other))
        index = end


def _content(role: TextRole, value: JsonValue, extractor: StringExtractor) -> Iterator[RequestText]:
    """Yields the strings of a message's content. In users' messages, the type of a part decides its role."""
    for part in value if isinstance(value, list) else [value]:
        kind = part.get("type") if isinstance(part, dict) and role is TextRole.USER else None
        part_role = _PART_ROLES.get(kind, role) if isinstance(kind, str) else role
        yield from (RequestText(part_role, string) for string in extractor.from_value(part, "content"))


def _joined_content(role: TextRole, content: Sequence[RequestText]) -> Iterator[RequestText]:
    """Yields one text for each role in `content`.

    If there are several roles, one more text of `role` has the ends of all parts: an attack may be split over parts of
    different types.
    """
    if len(content) < 2:
        yield from content
        return
    roles = dict.fromkeys(each.role for each in content)
    for each_role in roles:
        yield from _joined(each_role, [text for part_role, text in content if part_role is each_role])
    if len(roles) > 1:
        yield from _joined(role, [_ends(text) for _, text in content])


def _joined(role: TextRole, parts: Sequence[str]) -> Iterator[RequestText]:
    yield RequestText(role, "\n".join(parts))
    # Two parts may cut a word in the middle.
    if any(before[-1:].isalnum() and after[:1].isalnum() for before, after in pairwise(parts)):
        yield RequestText(role, "".join(parts))


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _END_CHARS else f"{text[:_END_CHARS]}\n{text[-_END_CHARS:]}"


def _split_sentences(role: TextRole, strings: Iterable[str]) -> list[RequestText]:
    """Returns each sentence, then all other lines as one text. A model would overlook an attack among many names."""
    sentences: list[str] = []
    rest: list[str] = []
    for line in (line for string in strings for line in string.split("\n")):
        is_sentence = len(line.split()) >= _SENTENCE_WORDS and len(sentences) < _MAX_SENTENCES
        (sentences if is_sentence else rest).append(line)
    return [RequestText(role, text) for text in (*sentences, "\n".join(rest))]


def _array_items(raw: msgspec.Raw) -> Sequence[msgspec.Raw]:
    """Returns the elements of an array, or any other value itself."""
    return _ARRAY.decode(raw) if bytes(raw).lstrip()[:1] == b"[" else [raw]
