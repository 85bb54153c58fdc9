"""Texts in another alphabet: base64, base32, hexadecimal, character codes, binary, Morse, Braille. Used by readings.py.

Each decoder finds its own segments in a text and says what they mean. None guesses: what does not decode to text stays.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.pipeline.guard.english_words import english_share, is_word, segment


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the characters from `start` to `end` mean."""

    start: int
    end: int
    text: str


Decoder = Callable[[str], Sequence[Decoded]]

# Twelve printable characters are no accident of random bytes (1 in 100,000); fewer must be words.
_NO_ACCIDENT: Final = 12
_PRINTABLE: Final = re.compile(rb"[\t\n\r\x20-\x7e]{12,}")
_RUN: Final = re.compile(rb"[\t\n\r\x20-\x7e]*+")
_PIECE: Final = 256 << 10
_CONTROLS: Final = str.maketrans("", "", "\t\n\r\x00\ufeff")


def _text(raw: bytes) -> str | None:
    """The bytes as text in UTF-8 or UTF-16, None where they are none."""
    try:
        # English in UTF-16 is half NULs.
        text = (
            raw.decode() if raw.count(0) * 3 < len(raw) else raw.decode("utf-16" if raw[1:2] != b"\0" else "utf-16-le")
        )
    except UnicodeDecodeError:
        return None
    visible = text.translate(_CONTROLS)
    if not visible.isprintable():
        return None
    if len(visible) >= _NO_ACCIDENT:
        return text
    return text if len(visible) >= 3 and english_share(visible) >= 0.75 and _lettered(visible) else None


def _lettered(text: str) -> bool:
    return sum(char.isalpha() or char.isspace() for char in text) >= 0.7 * len(text)


def text_between(raw: bytes) -> str | None:
    """The English between bytes that are no text."""
    found = (run.strip() for run in _printable(raw))
    return "\n".join(run for run in found if english_share(run) >= 0.6 and _lettered(run)) or None


def _printable(raw: bytes) -> Iterator[str]:
    """The runs of printable characters, found piece by piece, so that other threads get their turn."""
    start = 0
    while start < len(raw):
        end = min(start + _PIECE, len(raw))
        if (run := _RUN.match(raw, end)) is not None:
            end = run.end()
        yield from (found[0].decode() for found in _PRINTABLE.finditer(raw, start, end))
        start = end


_TOKEN: Final = re.compile(r"[A-Za-z][a-z]{,23}+(?![A-Za-z0-9+/_=-])|([A-Za-z0-9+/_-]{2,}={0,2})")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_NO_LETTER: Final = re.compile(r"[^A-Za-z0-9+/]")
_GAP: Final = re.compile(r"""[\s"',;]{1,4}""")
_SHORTEST: Final = 8


def base64_texts(text: str) -> list[Decoded]:
    """Base64, standard and URL-safe, with or without padding, whole or in pieces."""
    found: list[Decoded] = []
    for run in _base64_runs(text):
        pieces = [text[start:end] for start, end in run]
        # One word each, padded each, or one text that is broken into lines.
        padded_inside = any(piece.endswith("=") for piece in pieces[:-1])
        whole = None if padded_inside else _base64("".join(pieces))
        if whole is not None and (" " in whole or len(run) < 3):
            found.append(Decoded(run[0][0], run[-1][1], whole))
            continue
        each = [_base64(piece) for piece in pieces]
        if sum(piece is not None for piece in each) > len(run) / 2:
            # Beside words that are encoded, one or two letters are no accident either.
            each = [piece or _letters(token) for piece, token in zip(each, pieces, strict=True)]
        found += [Decoded(*span, piece) for span, piece in zip(run, each, strict=True) if piece]
        if whole is not None and not any(each):
            found.append(Decoded(run[0][0], run[-1][1], whole))
    return found


def _letters(token: str) -> str | None:
    raw = binascii.a2b_base64(_padded(token))
    return raw.decode() if raw.isascii() and raw[:1].isalpha() and raw.decode().isprintable() else None


def _padded(token: str) -> str:
    """The letters with the padding that makes them whole; a last one that holds no byte is left out."""
    letters = _NO_LETTER.sub("", token.translate(_URL_SAFE))
    letters = letters[:-1] if len(letters) % 4 == 1 else letters
    return letters + "=" * (-len(letters) % 4)


def _base64_runs(text: str) -> Iterator[list[tuple[int, int]]]:
    """Pieces that look like base64 and stand one behind the other."""
    run: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        # Words are matched too, so that none is tried again from its second letter on.
        if token.lastindex is None or not _odd(token.group()):
            continue
        if run and not _GAP.fullmatch(text, run[-1][1], token.start()):
            if run[-1][1] - run[0][0] >= _SHORTEST:
                yield run
            run = []
        run.append(token.span())
    if run and run[-1][1] - run[0][0] >= _SHORTEST:
        yield run


def _odd(token: str) -> bool:
    """Whether this may be base64: upper-case letters or digits inside, or longer than a word."""
    if token.isalpha() and (token.islower() or token.istitle()):
        return len(token) > 24
    return not (token.isalpha() and token.isupper() and is_word(token))


def _base64(token: str) -> str | None:
    """What the letters of the alphabet in `token` mean; a first one or two may be none of it."""
    for skip in range(4 if len(token) >= 20 else 1):
        raw = binascii.a2b_base64(_padded(token[skip:]))
        text = _text(raw) or (text_between(raw) if len(raw) >= 2 * _NO_ACCIDENT else None)
        if text is not None:
            return text
    return None


_BASE32: Final = re.compile(
    r"[A-Z2-7](?<![A-Za-z0-9].)(?:[A-Z2-7]+=*\s?)+|[a-z2-7](?<![A-Za-z0-9].)[a-z2-7]{15,}=*", re.DOTALL
)


def base32_texts(text: str) -> list[Decoded]:
    """Base32 of ten bytes or more."""
    found: list[Decoded] = []
    for run in _BASE32.finditer(text):
        letters = re.sub(r"[\s=]", "", run.group()).upper()
        if len(letters) < 16 or (letters.isalpha() and english_share(run.group()) > 0.5):
            continue
        # A rest of 1, 3 or 6 letters holds no whole byte.
        letters = letters[: len(letters) - {1: 1, 3: 1, 6: 1}.get(len(letters) % 8, 0)]
        try:
            decoded = _text(base64.b32decode(letters + "=" * (-len(letters) % 8)))
        except binascii.Error:
            continue
        if decoded is not None:
            found.append(Decoded(*run.span(), decoded))
    return found


_HEX: Final = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z].)(?:x[0-9A-Fa-f]{2}|[0-9A-Fa-f])(?:[\s,;:|-]{0,2}(?:0x)?[0-9A-Fa-f]{2})+", re.DOTALL
)
_HEX_WORD: Final = re.compile(r"[0-9A-Fa-f]{2,}")


def hex_texts(text: str) -> list[Decoded]:
    """Hexadecimal bytes, together, apart or a word at a time, with or without 0x."""
    found: list[Decoded] = []
    for run in _HEX.finditer(text):
        words = [word for word in _HEX_WORD.findall(run.group().replace("0x", " ")) if len(word) % 2 == 0]
        # Single bytes are letters of one word, groups are words.
        joint = "" if sum(len(word) == 2 for word in words) * 2 > len(words) else "20"
        digits = joint.join(words)
        if len(digits) < 12 or (digits.isdigit() and len(digits) < 20):
            continue
        decoded = _text(bytes.fromhex(digits)) or (_text(bytes.fromhex("".join(words))) if joint else None)
        if decoded is not None:
            found.append(Decoded(*run.span(), decoded))
    return found


_CODES: Final = re.compile(r"[0-9](?<![0-9.].)[0-9]{1,2}(?:[\s,;.|/-]{1,2}[0-9]{2,3}){5,}(?![0-9])", re.DOTALL)


def character_codes(text: str) -> list[Decoded]:
    """Decimal or octal codes of ASCII characters."""
    found: list[Decoded] = []
    for run in _CODES.finditer(text):
        codes = re.findall(r"[0-9]+", run.group())
        for base in (10, 8) if not any("8" in code or "9" in code for code in codes) else (10,):
            said = "".join(chr(int(code, base)) for code in codes)
            if _says_words(said):
                found.append(Decoded(*run.span(), said))
                break
    return found


_BINARY: Final = re.compile(r"[01](?<![0-9].)[01]{6,}(?:[\s,;|]{0,2}[01]{7,})*", re.DOTALL)


def binary_texts(text: str) -> list[Decoded]:
    """ASCII as bits, seven or eight to the character."""
    found: list[Decoded] = []
    for run in _BINARY.finditer(text):
        groups = re.findall(r"[01]+", run.group())
        bits = "".join(groups)
        size = 7 if all(len(group) == 7 for group in groups) else 8
        if len(bits) < 6 * size or len(bits) % size:
            continue
        said = _text(bytes(int(bits[at : at + size], 2) for at in range(0, len(bits), size)))
        if said is not None:
            found.append(Decoded(*run.span(), said))
    return found


_MORSE_LETTERS: Final = (
    "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- v...- "
    "w.-- x-..- y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----."
)
_MORSE: Final = {each[1:]: each[0] for each in _MORSE_LETTERS.split()}
_MORSE_RUN: Final = re.compile(
    r"(?:[.·•_\u2010-\u2015\u2212-]{1,6}(?:\s{1,7}|\s?[/|]\s?)){5,}[.·•_\u2010-\u2015\u2212-]{1,6}"
)
_DOTS_AND_DASHES: Final = str.maketrans("·•_\u2010\u2011\u2012\u2013\u2014\u2015\u2212|", "..--------/")


def morse_texts(text: str) -> list[Decoded]:
    """Morse code; words apart by a slash, by several spaces, or not at all."""
    found: list[Decoded] = []
    for run in _MORSE_RUN.finditer(text):
        words = re.split(r"\s*/\s*|\s{2,}", run.group().translate(_DOTS_AND_DASHES).strip())
        spelled = ["".join(_MORSE.get(letter, "") for letter in word.split()) for word in words]
        said = " ".join(spelled) if len(spelled) > 1 else " ".join(segment(spelled[0]))
        if _says_words(said):
            found.append(Decoded(*run.span(), said))
    return found


_BRAILLE: Final = dict(zip("⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵", "abcdefghijklmnopqrstuvwxyz", strict=True))
_BRAILLE_RUN: Final = re.compile("[\u2801-\u28ff][\u2800-\u28ff\\s]+")


def braille_texts(text: str) -> list[Decoded]:
    """Braille, one cell a letter."""
    found: list[Decoded] = []
    for run in _BRAILLE_RUN.finditer(text):
        said = "".join(_BRAILLE.get(cell, " " if cell.isspace() or cell == "\u2800" else "") for cell in run.group())
        found.append(Decoded(*run.span(), said))
    return found


def _says_words(text: str) -> bool:
    return text.isprintable() and _lettered(text) and english_share(text) >= 0.6


DECODERS: Final[tuple[Decoder, ...]] = (
    binary_texts,
    character_codes,
    hex_texts,
    base32_texts,
    base64_texts,
    morse_texts,
    braille_texts,
)
