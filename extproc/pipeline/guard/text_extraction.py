"""Extracts the texts of a request that the guards read: every string of the client that a model may read. Pure.

Used by evaluator.py and refused_turns.py. Extraction follows the structure, not a list of known fields, so fields that
providers add later are read too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec

from extproc.conversation import state
from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.messages import SYSTEM_ROLES, Message
from extproc.pipeline.guard.string_extraction import StringExtractor

# Roles that do not reply to an assistant.
_NOT_REPLYING: Final = frozenset({"assistant", *SYSTEM_ROLES})
# A line with this many words is a sentence, which may be an attack by itself.
_SENTENCE_WORDS: Final = 5
# Maximum sentences of one field that become separate texts.
_MAX_SENTENCES: Final = 24

_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class RequestTexts:
    """`texts`: without duplicates, in the order of the request.

    `echoes`: the texts that occur only in the content of assistant messages with a reply. An assistant message at the
    end is no echo: it is the start of an answer that the client wrote for the LLM to continue.
    """

    texts: tuple[str, ...]
    echoes: frozenset[str]


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
    other: list[str] = []
    for name, raw in request.fields_for_models.items():
        for item in _array_items(raw):
            other += _split_sentences(extractor.from_json(bytes(item), name))
    other += _split_sentences(extractor.from_value(state.client_metadata(request.metadata), "metadata"))
    question = state.load(request.metadata).question
    if question is not None:
        other += _split_sentences(extractor.from_value(dict(question), "metadata"))
    in_conversation = (text for text, _ in conversation)
    texts = tuple(dict.fromkeys(text for text in (*in_conversation, *other) if text.strip()))
    return RequestTexts(texts, frozenset(echoes.difference(other)))


def conversation_texts(messages: Sequence[Message]) -> frozenset[str]:
    """Returns the texts that `extract` finds in `messages`, which must be whole runs of one role each."""
    return frozenset(text for text, _ in _conversation(messages, StringExtractor()))


def _conversation(messages: Sequence[Message], extractor: StringExtractor) -> Iterator[tuple[str, bool]]:
    """Yields (text, is echo) for each run of messages of one role: its content, then all other strings."""
    last_reply = max((i for i, message in enumerate(messages) if message["role"] not in _NOT_REPLYING), default=0)
    index = 0
    while index < len(messages):
        end = index + 1
        while end < len(messages) and messages[end]["role"] == messages[index]["role"]:
            end += 1
        content: list[str] = []
        other: list[str] = []
        for message in messages[index:end]:
            for key, value in message.items():
                if key == "content":
                    content += extractor.from_value(value, key)
                elif key != "model":
                    other += extractor.from_value({key: value}, key)
        is_echo = messages[index]["role"] == "assistant" and index < last_reply
        yield "\n".join(content), is_echo
        # Two parts may cut a word in the middle.
        if any(before[-1:].isalnum() and after[:1].isalnum() for before, after in pairwise(content)):
            yield "".join(content), is_echo
        yield from ((text, False) for text in _split_sentences(other))
        index = end


def _split_sentences(strings: Iterable[str]) -> list[str]:
    """Returns each sentence, then all other lines as one text. A model would overlook an attack among many names."""
    sentences: list[str] = []
    rest: list[str] = []
    for line in (line for string in strings for line in string.split("\n")):
        is_sentence = len(line.split()) >= _SENTENCE_WORDS and len(sentences) < _MAX_SENTENCES
        (sentences if is_sentence else rest).append(line)
    return [*sentences, "\n".join(rest)]


def _array_items(raw: msgspec.Raw) -> Sequence[msgspec.Raw]:
    """Returns the elements of an array, or any other value itself."""
    return _ARRAY.decode(raw) if bytes(raw).lstrip()[:1] == b"[" else [raw]
