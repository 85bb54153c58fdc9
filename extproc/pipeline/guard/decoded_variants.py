"""A text as a guard should read it: in plain letters, and once more with everything decoded that hides in it.

Honest prose has one reading. What is hidden has more, so that an attack is read however it is written; the guard's
model is trained on the same readings. Pure; a megabyte takes a second, in steps of a few milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from itertools import repeat
from typing import Final

from extproc.pipeline.guard import binary_files, ciphers, encodings
from extproc.pipeline.guard.encodings import Decoded
from extproc.pipeline.guard.english_words import is_word
from extproc.pipeline.guard.unicode_normalization import smuggled, spaced, visible

# An encoding within an encoding, and one more.
_DEPTH: Final = 3
# Characters that are read in one go, which takes a few milliseconds; and how many of a block's are read again with the
# next one.
_BLOCK: Final = 8_192
_SHARED: Final = 1_024

# Around what was decoded so many characters are read again with it. Few, since an attack drowns in prose.
_CONTEXT: Final = 48

_WORD: Final = r"[^\W\d_]++"
# Three words or more; the pattern begins with the end of the first, so that in prose it fails on its second character.
_JOINED: Final = re.compile(rf"[^\W\d_]([._+\-*|~=/\\,;:]){_WORD}(?:\1{_WORD})+")
_HUMPS: Final = re.compile(r"\b[A-Za-z][a-z]++[A-Z][a-z]++(?:[A-Z][a-z]++)+\b")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Four words or more in capitals: the models read them worse.
_SHOUTED: Final = re.compile(r"\b[A-Z]++(?:[^\w\n]{1,3}[A-Z]++){3,}\b")
_MIXED_CASE: Final = re.compile(r"\b[A-Za-z]*?[a-z][A-Z][A-Za-z]*")


class TooLong(Exception):
    """A text whose readings are longer than allowed, which may be much longer than the text itself."""


def readings(text: str) -> tuple[str, ...]:
    """The text normalised; then, where something is encoded in it, the decoded places with their surroundings, one
    reading for each layer of encoding. At most five, none twice.
    """
    steps = readings_in_steps(text)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: tuple[str, ...] = done.value
            return found


def readings_in_steps(text: str, most: int | None = None) -> Generator[None, None, tuple[str, ...]]:
    """The same, of a long text in steps of a few milliseconds.

    Raises `TooLong` as soon as the readings have more than `most` characters together.
    """
    layers: list[list[str]] = []
    length = 0
    for found in _of_blocks(text):
        for index, reading in enumerate(found):
            if index == len(layers):
                layers.append([])
            layers[index].append(reading)
            length += len(reading)
        if most is not None and length > most:
            raise TooLong
        yield
    plain, *hidden = ("\n".join(filter(None, dict.fromkeys(layer))) for layer in layers)
    return tuple(dict.fromkeys((plain, *filter(None, hidden))))


def _of_blocks(text: str) -> Iterator[Sequence[str]]:
    """The readings of each block. Of a binary file in the text only what hides in it is read."""
    text, files = binary_files.apart(text)
    yield from map(_of_block, repeat(text), _blocks(text))
    for file in files:
        for block in _blocks(file):
            yield "", *(_saying(reading) for reading in _of_block(file, block)[1:])


def _of_block(text: str, block: tuple[int, int]) -> Sequence[str]:
    start, end = block
    found = _readings(text[start:end])
    # What is encoded across the border of two blocks.
    return (*found, *_readings(text[start - _SHARED : start + _SHARED])[1:]) if start else found


def _saying(reading: str) -> str:
    return "\n".join(filter(binary_files.says_something, reading.split("\n")))


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Where each block begins and ends, cut between words where there are any."""
    start = 0
    while len(text) - start > _BLOCK:
        end = start + _BLOCK
        space = max(text.rfind(space, end - _SHARED, end) for space in " \n")
        end = space if space > 0 else end
        yield start, end
        start = end
    yield start, len(text)


def _readings(text: str) -> tuple[str, ...]:
    plain = visible(text)
    found = [_words(plain)]
    hidden = smuggled(text)
    if hidden:
        found.append(_words(visible(hidden)))
        plain = f"{plain}\n{visible(hidden)}"
    for _ in range(_DEPTH):
        # The next layer is within what this one decoded.
        plain = _decoded(plain)
        if not plain:
            break
        found.append(_words(plain))
    return tuple(dict.fromkeys(found))


def _words(text: str) -> str:
    """Words that are joined by signs or by capitals, as words; none shouted; white space made even."""
    text = _JOINED.sub(lambda found: found.group().replace(found.group(1), " "), text)
    text = _SHOUTED.sub(lambda found: found.group().lower(), _MIXED_CASE.sub(_one_case, text))
    return spaced(_HUMPS.sub(lambda found: _HUMP.sub(" ", found.group()).lower(), text))


def _one_case(found: re.Match[str]) -> str:
    lower = found.group().lower()
    return lower if is_word(lower) else found.group()


def _decoded(text: str) -> str:
    """One layer: every segment decoded in its place, with its surroundings; empty where there is none."""
    changed: list[tuple[int, int]] = []
    for decoder in (*encodings.DECODERS, *ciphers.DECODERS):
        segments = decoder(text)
        if segments:
            text, changed = _replace(text, segments, changed)
    return "\n".join(_surroundings(text, changed))


def _replace(
    text: str, segments: Sequence[Decoded], changed: Sequence[tuple[int, int]]
) -> tuple[str, list[tuple[int, int]]]:
    """The text with each segment replaced by what it means, and all that has changed so far, where it stands now."""
    pieces: list[str] = []
    moves: list[tuple[int, int]] = []  # from this place of the old text on, so much further back
    now: list[tuple[int, int]] = []
    at = length = 0
    for segment in segments:
        meant = f" {visible(segment.text)} "
        pieces += (text[at : segment.start], meant)
        length += segment.start - at
        now.append((length, length + len(meant)))
        length += len(meant)
        at = segment.end
        moves.append((segment.end, length - segment.end))
    pieces.append(text[at:])
    moved = iter([*moves, (len(text) + 1, 0)])
    shift, (border, following) = 0, next(moved)
    for start, end in changed:
        while start >= border:
            shift = following
            border, following = next(moved)
        now.append((start + shift, end + shift))
    return "".join(pieces), sorted(now)


def _surroundings(text: str, changed: Sequence[tuple[int, int]]) -> list[str]:
    """Each changed place with the text around it, cut between words; what overlaps is one."""
    places: list[list[int]] = []
    for start, end in changed:
        first, last = max(0, start - _CONTEXT), min(len(text), end + _CONTEXT)
        if places and first <= places[-1][1]:
            places[-1][1] = max(places[-1][1], last)
        else:
            places.append([first, last])
    return [text[first:last] for first, last in places]
