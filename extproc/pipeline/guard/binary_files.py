"""Recognizes pictures, sound, archives and other binary files in base64. No model reads their bytes as text. Pure.

Used by file_text.py and decoded_variants.py. The first bytes decide, not the declared type: text that is declared as a
picture stays text.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from extproc.pipeline.guard.english_words import LETTER_RUN, is_word, segment

# File signatures (https://www.garykessler.net/library/file_sigs.html). Longer than usual if a text may start like one.
_SIGNATURE: Final = re.compile(
    # Pictures: PNG, JPEG, GIF, TIFF, icons, BMP, Photoshop.
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|\0\0[\1\2]\0|BM.{4}\0{4}|8BPS\0"
    # WAV, WebP and AVI; AIFF; MP4, HEIC and AVIF; Matroska; Ogg; FLAC; MP3 and AAC; MIDI.
    rb"|RI?F(?:F|X|64).{4}(?:WAVE|WEBP|AVI )|FORM.{4}AIF|.{4}ftyp|\x1aE\xdf\xa3|OggS\0|fLaC\0|ID3[\2-\4]\0"
    rb"|\xff[\xe2\xe3\xf0-\xf3\xf9-\xfd][\x10-\xef]|MThd\0"
    # Documents: PDF, and Office before it used ZIP. Archives: ZIP, gzip, bzip2, xz, 7z, Zstandard, RAR.
    rb"|%PDF-[12]\.|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1|PK[\3\5][\4\6]|\x1f\x8b\x08|BZh[1-9]1AY&SY|\xfd7zXZ\0"
    rb"|7z\xbc\xaf\x27\x1c|\x28\xb5\x2f\xfd|Rar!\x1a\x07"
    # Fonts, programs and data: WOFF, OpenType, ELF, Windows, WebAssembly, Java, SQLite, NumPy, Parquet.
    rb"|wOF[F2]|OTTO\0|\0\x01\0{3}|\x7fELF|MZ\x90\0|\0asm|\xca\xfe\xba\xbe|SQLite format 3\0|\x93NUMPY|PAR1\x15",
    re.DOTALL,
)
_CONTROL: Final = re.compile(rb"[\0-\x08\x0e-\x1f]")
# Letters of base64 that are decoded to recognize a file.
_HEAD_LETTERS: Final = 4_096

# One line, or lines as long as those of MIME and PEM. Shorter lines may be words.
_BASE64: Final = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{48,}+(?:[ \t]*\r?\n[ \t]*[A-Za-z0-9+/_-]{48,}+)*+={0,2}"
)
_LAST_LINE: Final = re.compile(r"[ \t]*\r?\n[ \t]*([A-Za-z0-9+/_-]{2,47}={0,2})(?![A-Za-z0-9+/_=-])")
_LINE_ENDS: Final = re.compile(r"[ \t\r\n]+")
_URL_SAFE: Final = str.maketrans("-_", "+/")
# Long runs of one case, or of capitalized words, occur in base64 only if they are words or encode zeros.
_ONE_CASE: Final = re.compile(r"[a-z]{16,}+|[A-Z]{16,}+")
_CAPITALIZED: Final = re.compile(r"(?:[A-Z]{0,2}[a-z]++[+/_-]?|[A-Z]{3,8}[+/_-]?){3,}+")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Random letters sometimes spell words of this length. _LEAST_WORDS different longer words are no coincidence.
_CHANCE_LETTERS: Final = 2
_LEAST_WORDS: Final = 4


def is_binary_file(letters: bytes) -> bool:
    """Returns whether `letters` (standard base64 without line ends) is a binary file of a known type."""
    head = letters[:_HEAD_LETTERS].rstrip(b"=")
    raw = binascii.a2b_base64(head[: len(head) // 4 * 4])
    return _SIGNATURE.match(raw) is not None and not _is_text(raw)


def _is_text(head: bytes) -> bool:
    try:
        # Incremental, since the head may end inside a character.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(head) is None


def split_binary_files(text: str) -> tuple[str, list[str]]:
    """Returns the text without binary files, and those files in base64.

    English words that the base64 letters of a file spell stay in the text.
    """
    rest: list[str] = []
    files: list[str] = []
    copied = 0
    for run in _BASE64.finditer(text):
        end = run.end()
        letters = _LINE_ENDS.sub("", run.group())
        last = _LAST_LINE.match(text, end)
        if last is not None and not letters.endswith("=") and len(letters + last[1]) % 4 == 0:
            letters, end = letters + last[1], last.end()
        if is_binary_file(letters.translate(_URL_SAFE).encode()):
            rest += (text[copied : run.start()], f" {' '.join(_spelled_words(letters))} ")
            files.append(letters)
            copied = end
    return "".join((*rest, text[copied:])), files


def has_words(line: str) -> bool:
    """Returns whether `line`, decoded from the letters of a file, has too many English words for a coincidence."""
    return len(_words_longer_than(_CHANCE_LETTERS + 1, filter(is_word, LETTER_RUN.findall(line)))) >= _LEAST_WORDS - 1


def _spelled_words(letters: str) -> Iterator[str]:
    """Yields the words that base64 letters spell without spaces, as in ThreeWordsTogether."""
    one_case = (segment(run.group()) for run in _ONE_CASE.finditer(letters))
    capitalized = (_WORD.findall(run.group()) for run in _CAPITALIZED.finditer(letters))
    for stretches, least in ((one_case, _LEAST_WORDS), (capitalized, _LEAST_WORDS - 1)):
        for words in stretches:
            runs = (run for known, run in groupby(words, is_word) if known)
            if any(len(_words_longer_than(_CHANCE_LETTERS, run)) >= least for run in runs):
                yield " ".join(words).lower()


def _words_longer_than(length: int, words: Iterable[str]) -> set[str]:
    return {word.lower() for word in words if len(word) > length}
