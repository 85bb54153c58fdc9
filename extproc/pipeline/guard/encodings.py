"""Decoders for base64, base32, hexadecimal, character codes, binary, Morse and Braille. Used by decoded_variants.py.

Each decoder finds its own segments of a text. A segment that does not decode to text is left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from extproc.pipeline.guard.bytes_to_text import LEAST_PRINTABLE, decode_text, english_in_bytes, is_english
from extproc.pipeline.guard.decoded_segment import DecodedSegment, Decoder
from extproc.pipeline.guard.english_words import english_share, is_word, segment

_TOKEN: Final = re.compile(r"[A-Za-z][a-z]{,23}+(?![A-Za-z0-9+/_=-])|([A-Za-z0-9+/_-]{2,}={0,2})")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_NO_LETTER: Final = re.compile(r"[^A-Za-z0-9+/]")
_GAP: Final = re.compile(r"""[\s"',;]{1,4}""")
_SHORTEST_RUN: Final = 8


def decode_base64(text: str) -> list[DecodedSegment]:
    """Decodes base64: standard and URL-safe, with or without padding, in one piece or several."""
    segments: list[DecodedSegment] = []
    for run in _base64_runs(text):
        pieces = [text[start:end] for start, end in run]
        # Padding inside means that each piece was encoded by itself. Else it may be one text, broken into lines.
        padded_inside = any(piece.endswith("=") for piece in pieces[:-1])
        whole = None if padded_inside else _decode_token("".join(pieces))
        if whole is not None and (" " in whole or len(run) < 3):
            segments.append(DecodedSegment(run[0][0], run[-1][1], whole))
            continue
        each = [_decode_token(piece) for piece in pieces]
        if sum(piece is not None for piece in each) > len(run) / 2:
            # Next to encoded words, a piece of one or two letters is encoded too.
            each = [piece or _short_base64(token) for piece, token in zip(each, pieces, strict=True)]
        segments += [DecodedSegment(*span, piece) for span, piece in zip(run, each, strict=True) if piece]
        if whole is not None and not any(each):
            segments.append(DecodedSegment(run[0][0], run[-1][1], whole))
    return segments


def _short_base64(token: str) -> str | None:
    raw = binascii.a2b_base64(_padded(token))
    return raw.decode() if raw.isascii() and raw[:1].isalpha() and raw.decode().isprintable() else None


def _padded(token: str) -> str:
    """Returns the letters with correct padding, without a last letter that encodes no whole byte."""
    letters = _NO_LETTER.sub("", token.translate(_URL_SAFE))
    letters = letters[:-1] if len(letters) % 4 == 1 else letters
    return letters + "=" * (-len(letters) % 4)


def _base64_runs(text: str) -> Iterator[list[tuple[int, int]]]:
    """Yields runs of adjacent pieces that look like base64, as spans."""
    run: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        # The pattern also matches words: else it would search each again from the second letter.
        if token.lastindex is None or not _may_be_base64(token.group()):
            continue
        if run and not _GAP.fullmatch(text, run[-1][1], token.start()):
            if run[-1][1] - run[0][0] >= _SHORTEST_RUN:
                yield run
            run = []
        run.append(token.span())
    if run and run[-1][1] - run[0][0] >= _SHORTEST_RUN:
        yield run


def _may_be_base64(token: str) -> bool:
    """Returns whether `token` may be base64: it has capitals or digits inside, or is longer than a word."""
    if token.isalpha() and (token.islower() or token.istitle()):
        return len(token) > 24
    return not (token.isalpha() and token.isupper() and is_word(token))


def _decode_token(token: str) -> str | None:
    """Decodes `token`. In a long one, up to three letters before the base64 are skipped."""
    for skip in range(4 if len(token) >= 20 else 1):
        raw = binascii.a2b_base64(_padded(token[skip:]))
        text = decode_text(raw) or (english_in_bytes(raw) if len(raw) >= 2 * LEAST_PRINTABLE else None)
        if text is not None:
            return text
    return None


_BASE32: Final = re.compile(
    r"[A-Z2-7](?<![A-Za-z0-9].)(?:[A-Z2-7]+=*\s?)+|[a-z2-7](?<![A-Za-z0-9].)[a-z2-7]{15,}=*", re.DOTALL
)


def decode_base32(text: str) -> list[DecodedSegment]:
    """Decodes base32 of ten bytes or more."""
    segments: list[DecodedSegment] = []
    for run in _BASE32.finditer(text):
        letters = re.sub(r"[\s=]", "", run.group()).upper()
        if len(letters) < 16 or (letters.isalpha() and english_share(run.group()) > 0.5):
            continue
        # A rest of 1, 3 or 6 letters ends in a letter that encodes no whole byte.
        letters = letters[: len(letters) - {1: 1, 3: 1, 6: 1}.get(len(letters) % 8, 0)]
        try:
            decoded = decode_text(base64.b32decode(letters + "=" * (-len(letters) % 8)))
        except binascii.Error:
            continue
        if decoded is not None:
            segments.append(DecodedSegment(*run.span(), decoded))
    return segments


_HEX: Final = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z].)(?:x[0-9A-Fa-f]{2}|[0-9A-Fa-f])(?:[\s,;:|-]{0,2}(?:0x)?[0-9A-Fa-f]{2})+", re.DOTALL
)
_HEX_WORD: Final = re.compile(r"[0-9A-Fa-f]{2,}")


def decode_hex(text: str) -> list[DecodedSegment]:
    """Decodes hexadecimal bytes: in one run, byte by byte or word by word, with or without 0x."""
    segments: list[DecodedSegment] = []
    for run in _HEX.finditer(text):
        words = [word for word in _HEX_WORD.findall(run.group().replace("0x", " ")) if len(word) % 2 == 0]
        # Mostly single bytes: each is a letter. Mostly longer groups: each is a word, so a space (20) goes in between.
        separator = "" if sum(len(word) == 2 for word in words) * 2 > len(words) else "20"
        digits = separator.join(words)
        if len(digits) < 12 or (digits.isdigit() and len(digits) < 20):
            continue
        decoded = decode_text(bytes.fromhex(digits)) or (
            decode_text(bytes.fromhex("".join(words))) if separator else None
        )
        if decoded is not None:
            segments.append(DecodedSegment(*run.span(), decoded))
    return segments


_CODES: Final = re.compile(r"[0-9](?<![0-9.].)[0-9]{1,2}(?:[\s,;.|/-]{1,2}[0-9]{2,3}){5,}(?![0-9])", re.DOTALL)


def decode_character_codes(text: str) -> list[DecodedSegment]:
    """Decodes decimal or octal codes of ASCII characters."""
    segments: list[DecodedSegment] = []
    for run in _CODES.finditer(text):
        codes = re.findall(r"[0-9]+", run.group())
        for base in (10, 8) if not any("8" in code or "9" in code for code in codes) else (10,):
            decoded = "".join(chr(int(code, base)) for code in codes)
            if is_english(decoded):
                segments.append(DecodedSegment(*run.span(), decoded))
                break
    return segments


_BINARY: Final = re.compile(r"[01](?<![0-9].)[01]{6,}(?:[\s,;|]{0,2}[01]{7,})*", re.DOTALL)


def decode_binary(text: str) -> list[DecodedSegment]:
    """Decodes ASCII that is written as bits, seven or eight a character."""
    segments: list[DecodedSegment] = []
    for run in _BINARY.finditer(text):
        groups = re.findall(r"[01]+", run.group())
        bits = "".join(groups)
        size = 7 if all(len(group) == 7 for group in groups) else 8
        if len(bits) < 6 * size or len(bits) % size:
            continue
        decoded = decode_text(bytes(int(bits[start : start + size], 2) for start in range(0, len(bits), size)))
        if decoded is not None:
            segments.append(DecodedSegment(*run.span(), decoded))
    return segments


_MORSE_LETTERS: Final = (
    "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- v...- "
    "w.-- x-..- y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----."
)
_MORSE: Final = {each[1:]: each[0] for each in _MORSE_LETTERS.split()}
_MORSE_RUN: Final = re.compile(
    r"(?:[.·•_\u2010-\u2015\u2212-]{1,6}(?:\s{1,7}|\s?[/|]\s?)){5,}[.·•_\u2010-\u2015\u2212-]{1,6}"
)
_DOTS_AND_DASHES: Final = str.maketrans("·•_\u2010\u2011\u2012\u2013\u2014\u2015\u2212|", "..--------/")


def decode_morse(text: str) -> list[DecodedSegment]:
    """Decodes Morse code. Words are separated by a slash, by several spaces, or not at all."""
    segments: list[DecodedSegment] = []
    for run in _MORSE_RUN.finditer(text):
        words = re.split(r"\s*/\s*|\s{2,}", run.group().translate(_DOTS_AND_DASHES).strip())
        spelled = ["".join(_MORSE.get(letter, "") for letter in word.split()) for word in words]
        decoded = " ".join(spelled) if len(spelled) > 1 else " ".join(segment(spelled[0]))
        if is_english(decoded):
            segments.append(DecodedSegment(*run.span(), decoded))
    return segments


_BRAILLE: Final = dict(zip("⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵", "abcdefghijklmnopqrstuvwxyz", strict=True))
_BRAILLE_RUN: Final = re.compile("[\u2801-\u28ff][\u2800-\u28ff\\s]+")


def decode_braille(text: str) -> list[DecodedSegment]:
    """Decodes Braille, one cell a letter."""
    segments: list[DecodedSegment] = []
    for run in _BRAILLE_RUN.finditer(text):
        decoded = "".join(_BRAILLE.get(cell, " " if cell.isspace() or cell == "\u2800" else "") for cell in run.group())
        segments.append(DecodedSegment(*run.span(), decoded))
    return segments


DECODERS: Final[tuple[Decoder, ...]] = (
    decode_binary,
    decode_character_codes,
    decode_hex,
    decode_base32,
    decode_base64,
    decode_morse,
    decode_braille,
)
