"""English that is spelled otherwise: shifted alphabets, backwards, with digits for letters, letter by letter. Used by
readings.py.

Each decoder is a guess that the list of English words decides: what it finds are words where there were none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from extproc.pipeline.guard.encodings import Decoded, Decoder
from extproc.pipeline.guard.english_words import LETTER_RUN, WORDS, is_word, segment

BACKWARDS: Final = "backwards"


def _shifted(by: int) -> str:
    return ascii_lowercase[by:] + ascii_lowercase[:by]


def _table(plain: str) -> dict[int, str]:
    """From the alphabet to `plain`, in both cases."""
    return {
        ord(char): letter
        for letters in ((ascii_lowercase, plain), (ascii_uppercase, plain.upper()))
        for char, letter in zip(*letters, strict=True)
    }


# Every shift, of which 13 is the one in use, and the alphabet backwards.
_ALPHABETS: Final = {**{str(by): _table(_shifted(by)) for by in range(1, 26)}, "atbash": _table(ascii_lowercase[::-1])}

# Frequent words; of three letters only those that no sentence is without.
_TELLING: Final = frozenset(
    (*(word for word in WORDS[:12_000] if len(word) > 3), *(word for word in WORDS[:200] if len(word) == 3))
)


def _shape(word: str) -> bytes:
    """The steps from letter to letter round the alphabet: the same in every shift of it."""
    codes = word.encode()
    return bytes((after - before) % 26 for before, after in pairwise(codes))


_SHAPES: Final = {_shape(word): word[0] for word in reversed(WORDS[:12_000]) if word in _TELLING}

# Three different words that are English in one and the same cipher and in no other way are no accident; and the words
# between them and next to them belong to it.
_FEWEST: Final = 3
_BETWEEN: Final = 10


@dataclass(frozen=True, slots=True)
class _Stretch:
    cipher: str
    start: int
    end: int


@dataclass(slots=True)
class _Group:
    """Telling words of one cipher near to each other: the places of the first and the last, and which they are."""

    first: int
    last: int
    words: set[str] = field(default_factory=set)


def cipher_texts(text: str) -> list[Decoded]:
    """Stretches of a shifted alphabet, or of words written backwards."""
    found: list[Decoded] = []
    for stretch in _stretches(text):
        if found and stretch.start < found[-1].end:
            continue
        coded = text[stretch.start : stretch.end]
        if stretch.cipher == BACKWARDS:
            # Either the whole is backwards or each word is: a reader tries both.
            plain = f"{coded[::-1]}\n{LETTER_RUN.sub(lambda word: word.group()[::-1], coded)}"
        else:
            plain = coded.translate(_ALPHABETS[stretch.cipher])
        found.append(Decoded(stretch.start, stretch.end, plain))
    return found


def _stretches(text: str) -> list[_Stretch]:
    """From the first to the last telling word of one cipher, with the unknown words around; in order of their start."""
    words = [word.lower() for word in LETTER_RUN.findall(text)]
    groups: dict[str, _Group] = {}
    done: list[tuple[str, int, int]] = []
    for index, word in enumerate(words):
        for cipher in () if len(word) < 3 or is_word(word) else _telling(word):
            group = groups.get(cipher)
            if group is None or index - group.last > _BETWEEN:
                if group is not None and len(group.words) >= _FEWEST:
                    done.append((cipher, group.first, group.last))
                group = groups[cipher] = _Group(index, index)
            group.last = index
            group.words.add(word)
    done += [(cipher, group.first, group.last) for cipher, group in groups.items() if len(group.words) >= _FEWEST]
    if not done:
        return []
    places = [word.span() for word in LETTER_RUN.finditer(text)]
    stretches = []
    for cipher, first, previous in done:
        start, end = first, previous
        while first - start < _BETWEEN and start > 0 and _may_belong(words[start - 1], cipher):
            start -= 1
        while end - previous < _BETWEEN and end + 1 < len(words) and _may_belong(words[end + 1], cipher):
            end += 1
        stretches.append(_Stretch(cipher, places[start][0], places[end][1]))
    return sorted(stretches, key=lambda stretch: (stretch.start, -stretch.end))


def _telling(word: str) -> list[str]:
    """The ciphers in which the word, which is no English, is a frequent English one."""
    found = [BACKWARDS] if word[::-1] in _TELLING else []
    if first := _SHAPES.get(_shape(word)):
        found.append(str((ord(first) - ord(word[0])) % 26))
    if word.translate(_ALPHABETS["atbash"]) in _TELLING:
        found.append("atbash")
    return found


def _may_belong(word: str, cipher: str) -> bool:
    """Whether this is no English, or English in the cipher too: a word may be both."""
    return not is_word(word) or is_word(word[::-1] if cipher == BACKWARDS else word.translate(_ALPHABETS[cipher]))


_LEET: Final = {
    "0": "o",
    "1": "il",
    "2": "z",
    "3": "e",
    "4": "a",
    "5": "s",
    "6": "g",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
    "!": "il",
    "|": "il",
    "+": "t",
    "€": "e",
    "£": "l",
    "¥": "y",
    "¢": "c",
}
_LEET_CHAR: Final = "0-9@$!|+€£¥¢"
_LEET_WORD: Final = re.compile(f"[A-Za-z{_LEET_CHAR}]+")
# Where a letter meets one; most texts have few of these.
_LEET_SPOT: Final = re.compile(f"[A-Za-z][{_LEET_CHAR}]|[{_LEET_CHAR}][A-Za-z]")
_ORDINAL: Final = re.compile(r"[0-9]*(?:1st|2nd|3rd|[0-9]th)|[0-9]+s")
_LEET_NUMBER: Final = re.compile(r"(?<![\w.,:/$€£-])[0-9]{1,4}(?![\w:/%]|[.,-][0-9])")
_LEET_LETTERS: Final = 7
_LEET_WORDS: Final = 3
_MOST_WAYS: Final = 64
_LONGEST_LEET: Final = 24


def leet_texts(text: str) -> list[Decoded]:
    """Words with digits and signs for letters, where there are two of them or a long one."""
    found: list[Decoded] = []
    letters = end = 0
    for spot in _LEET_SPOT.finditer(text):
        if spot.end() <= end:
            continue
        start = max(end, spot.start() - _LONGEST_LEET)
        before = _LEET_WORD.match(text[start : spot.end()][::-1])
        token = _LEET_WORD.match(text, spot.end() - (before.end() if before else 0))
        if token is None:
            continue
        end = token.end()
        word = token.group().rstrip("!")
        if word.isalpha() or _ORDINAL.fullmatch(word):
            continue
        plain = _leet(word)
        if plain is not None:
            found.append(Decoded(token.start(), token.start() + len(word), plain))
            letters += len(plain) if len(plain) > 2 else 0
    if letters < _LEET_LETTERS:
        return []
    # Where words are written so, a short number between them is a word as well: "1gn0r3 175 ru135".
    numbers = _leet_numbers(text, found) if len(found) >= _LEET_WORDS else []
    return sorted([*found, *numbers], key=lambda each: each.start)


def _leet_numbers(text: str, words: Sequence[Decoded]) -> Iterator[Decoded]:
    taken = {position for word in words for position in range(word.start, word.end)}
    for number in _LEET_NUMBER.finditer(text):
        plain = None if number.start() in taken else _leet(number.group())
        if plain is not None:
            yield Decoded(number.start(), number.end(), plain)


def _leet(word: str) -> str | None:
    choices = [_LEET.get(char, char) for char in word.lower()]
    for ways, spelled in enumerate(product(*choices)):
        plain = "".join(spelled)
        if is_word(plain):
            return plain
        if ways >= _MOST_WAYS:
            break
    return None


_LETTER_BY_LETTER: Final = re.compile(r"[^\W_](?<![^\W_].)(?:[\W_]{1,4}[^\W_](?![^\W_])){4,}", re.DOTALL)


def spelled_texts(text: str) -> list[Decoded]:
    """Letters apart: "i g n o r e", "i.g.n.o.r.e". What is wider apart than most is a new word."""
    found: list[Decoded] = []
    for run in _LETTER_BY_LETTER.finditer(text):
        letters, gaps = run.group()[0], []
        pieces = re.findall(r"([\W_]+)([^\W_])", run.group())
        usual = Counter(len(gap) for gap, _ in pieces).most_common(1)[0][0]
        for gap, letter in pieces:
            if len(gap) > usual or (gap.isspace() != pieces[0][0].isspace()):
                gaps.append(len(letters))
            letters += letter
        words = [letters[start:end] for start, end in zip([0, *gaps], [*gaps, len(letters)], strict=True)]
        said = " ".join(word if is_word(word) else " ".join(segment(word)) for word in words)
        if _says(said):
            found.append(Decoded(*run.span(), said))
    return found


_UNSPACED: Final = re.compile(r"[A-Za-z](?<![A-Za-z].)[A-Za-z]{15,}")


def unspaced_texts(text: str) -> list[Decoded]:
    """Three words or more with no space between them."""
    found: list[Decoded] = []
    for run in _UNSPACED.finditer(text):
        if is_word(run.group()):
            continue
        words = segment(run.group())
        if sum(len(word) >= 3 for word in words) >= 3 and all(map(is_word, words)):
            found.append(Decoded(*run.span(), " ".join(words)))
    return found


def _says(text: str) -> bool:
    """Mostly words of three letters or more: any letters can be cut into shorter ones."""
    words = text.split()
    long = sum(len(word) for word in words if len(word) >= 3 and is_word(word))
    return long >= 0.6 * sum(map(len, words)) and long >= 5


DECODERS: Final[Sequence[Decoder]] = (cipher_texts, leet_texts, spelled_texts, unspaced_texts)
