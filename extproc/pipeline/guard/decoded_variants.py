"""Produces the variants of a text that a guard reads: the normalized text, and a decoded text for each encoding layer.

Used by prepared_texts.py, evaluation and training: the guard's model is trained on the same variants. Ordinary prose
has one variant. Pure. A megabyte takes a second, in steps of a few milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from itertools import repeat
from typing import Final

from extproc.pipeline.guard import binary_files, ciphers, encodings, leetspeak, word_spacing
from extproc.pipeline.guard.decoded_segment import DecodedSegment, Decoder
from extproc.pipeline.guard.english_words import is_word
from extproc.pipeline.guard.hidden_text import hidden_text
from extproc.pipeline.guard.unicode_normalization import collapse_white_space, normalize

_DECODERS: Final[tuple[Decoder, ...]] = (
    *encodings.DECODERS,
    ciphers.decode_ciphers,
    leetspeak.decode_leetspeak,
    word_spacing.decode_separated_letters,
    word_spacing.decode_missing_spaces,
)

# Layers of nested encodings.
_MAX_LAYERS: Final = 3
# Characters that are decoded in one step of a few milliseconds, and characters on each side of a border between two
# steps that are decoded a second time.
_BLOCK: Final = 8_192
_BORDER: Final = 1_024

# Characters around a decoded segment that its variant includes. Few, so that prose does not outweigh an attack.
_CONTEXT: Final = 48

_WORD: Final = r"[^\W\d_]++"
# Three words or more. The pattern starts with the last letter of the first word, so that in prose it fails early.
_JOINED: Final = re.compile(rf"[^\W\d_]([._+\-*|~=/\\,;:]){_WORD}(?:\1{_WORD})+")
_CAMEL_CASE: Final = re.compile(r"\b[A-Za-z][a-z]++[A-Z][a-z]++(?:[A-Z][a-z]++)+\b")
_CAMEL_BORDER: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Four words or more in capitals: the models understand them less well.
_ALL_CAPITALS: Final = re.compile(r"\b[A-Z]++(?:[^\w\n]{1,3}[A-Z]++){3,}\b")
_MIXED_CASE: Final = re.compile(r"\b[A-Za-z]*?[a-z][A-Z][A-Za-z]*")


class VariantsTooLong(Exception):
    """The variants of a text are longer than allowed. They may be much longer than the text itself."""


def decoded_variants(text: str) -> tuple[str, ...]:
    """Returns the normalized text, then the decoded segments with their surroundings, one variant an encoding layer.

    At most five variants, without duplicates.
    """
    steps = decoded_variants_in_steps(text)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            variants: tuple[str, ...] = done.value
            return variants


def decoded_variants_in_steps(text: str, max_chars: int | None = None) -> Generator[None, None, tuple[str, ...]]:
    """Returns the same as `decoded_variants`, and yields after every step of a few milliseconds.

    Raises `VariantsTooLong` as soon as the variants have more than `max_chars` characters together.
    """
    layers: list[list[str]] = []
    length = 0
    for variants in _variants_of_blocks(text):
        for index, variant in enumerate(variants):
            if index == len(layers):
                layers.append([])
            layers[index].append(variant)
            length += len(variant)
        if max_chars is not None and length > max_chars:
            raise VariantsTooLong
        yield
    plain, *decoded = ("\n".join(filter(None, dict.fromkeys(layer))) for layer in layers)
    return tuple(dict.fromkeys((plain, *filter(None, decoded))))


def _variants_of_blocks(text: str) -> Iterator[Sequence[str]]:
    """Yields the variants of each block. Of a binary file in the text, only decoded lines with English words remain."""
    text, files = binary_files.split_binary_files(text)
    yield from map(_variants_of_block, repeat(text), _blocks(text))
    for file in files:
        for block in _blocks(file):
            yield "", *(_lines_with_words(variant) for variant in _variants_of_block(file, block)[1:])


def _variants_of_block(text: str, block: tuple[int, int]) -> Sequence[str]:
    start, end = block
    variants = _variants(text[start:end])
    if not start:
        return variants
    # A segment may lie across the border of two blocks.
    return (*variants, *_variants(text[start - _BORDER : start + _BORDER])[1:])


def _lines_with_words(variant: str) -> str:
    return "\n".join(filter(binary_files.has_words, variant.split("\n")))


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yields the start and end of each block. Cuts between words if it can."""
    start = 0
    while len(text) - start > _BLOCK:
        end = start + _BLOCK
        space = max(text.rfind(space, end - _BORDER, end) for space in " \n")
        end = space if space > 0 else end
        yield start, end
        start = end
    yield start, len(text)


def _variants(text: str) -> tuple[str, ...]:
    plain = normalize(text)
    variants = [_plain_words(plain)]
    if hidden := hidden_text(text):
        hidden = normalize(hidden)
        variants.append(_plain_words(hidden))
        plain = f"{plain}\n{hidden}"
    for _ in range(_MAX_LAYERS):
        # The next layer can only be inside the segments that this one decoded.
        plain = _decode_layer(plain)
        if not plain:
            break
        variants.append(_plain_words(plain))
    return tuple(dict.fromkeys(variants))


def _plain_words(text: str) -> str:
    """Separates words that are joined by signs or in camel case, lowers capitals, and collapses white space."""
    text = _JOINED.sub(lambda run: run.group().replace(run.group(1), " "), text)
    text = _ALL_CAPITALS.sub(lambda run: run.group().lower(), _MIXED_CASE.sub(_lower_if_word, text))
    return collapse_white_space(_CAMEL_CASE.sub(lambda run: _CAMEL_BORDER.sub(" ", run.group()).lower(), text))


def _lower_if_word(token: re.Match[str]) -> str:
    lower = token.group().lower()
    return lower if is_word(lower) else token.group()


def _decode_layer(text: str) -> str:
    """Decodes one layer. Returns every decoded segment with its surroundings; empty if nothing is encoded."""
    changed: list[tuple[int, int]] = []
    for decoder in _DECODERS:
        segments = decoder(text)
        if segments:
            text, changed = _replace(text, segments, changed)
    return "\n".join(_surroundings(text, changed))


def _replace(
    text: str, segments: Sequence[DecodedSegment], changed: Sequence[tuple[int, int]]
) -> tuple[str, list[tuple[int, int]]]:
    """Returns the text with the segments decoded, and the spans of all segments decoded so far, in the new text."""
    pieces: list[str] = []
    shifts: list[tuple[int, int]] = []  # an offset in the old text, and how far the text from there on moves
    spans: list[tuple[int, int]] = []
    copied = length = 0
    for segment in segments:
        decoded = f" {normalize(segment.text)} "
        pieces += (text[copied : segment.start], decoded)
        length += segment.start - copied
        spans.append((length, length + len(decoded)))
        length += len(decoded)
        copied = segment.end
        shifts.append((segment.end, length - segment.end))
    pieces.append(text[copied:])
    pending = iter([*shifts, (len(text) + 1, 0)])
    shift, (border, next_shift) = 0, next(pending)
    for start, end in changed:
        while start >= border:
            shift = next_shift
            border, next_shift = next(pending)
        spans.append((start + shift, end + shift))
    return "".join(pieces), sorted(spans)


def _surroundings(text: str, changed: Sequence[tuple[int, int]]) -> list[str]:
    """Returns each changed span with the text around it. Spans that then overlap are merged."""
    spans: list[list[int]] = []
    for start, end in changed:
        first, last = max(0, start - _CONTEXT), min(len(text), end + _CONTEXT)
        if spans and first <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], last)
        else:
            spans.append([first, last])
    return [text[first:last] for first, last in spans]
