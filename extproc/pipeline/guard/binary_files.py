"""Pictures, sound, archives and other binary files in base64: no model reads their bytes as text. Used by screening.py
and readings.py. Pure.

A file is one by its first bytes, whatever its declared type: a text that is declared a picture stays a text.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from extproc.pipeline.guard.english_words import LETTER_RUN, is_word, segment

# The first bytes of each kind (https://www.garykessler.net/library/file_sigs.html), longer where a text has them too.
_MAGIC: Final = re.compile(
    # Pictures: PNG, JPEG, GIF, TIFF, icons, BMP, Photoshop.
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|\0\0[\1\2]\0|BM.{4}\0{4}|8BPS\0"
    # WAV, WebP and AVI; AIFF; MP4, HEIC and AVIF; Matroska; Ogg; FLAC; MP3 and AAC; MIDI.
    rb"|RI?F(?:F|X|64).{4}(?:WAVE|WEBP|AVI )|FORM.{4}AIF|.{4}ftyp|\x1aE\xdf\xa3|OggS\0|fLaC\0|ID3[\2-\4]\0"
    rb"|\xff[\xe2\xe3\xf0-\xf3\xf9-\xfd][\x10-\xef]|MThd\0"
    # Documents: PDF, and what Office wrote before it wrote ZIP. Archives: ZIP, gzip, bzip2, xz, 7z, Zstandard, RAR.
    rb"|%PDF-[12]\.|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1|PK[\3\5][\4\6]|\x1f\x8b\x08|BZh[1-9]1AY&SY|\xfd7zXZ\0"
    rb"|7z\xbc\xaf\x27\x1c|\x28\xb5\x2f\xfd|Rar!\x1a\x07"
    # Fonts, programs and data: WOFF, OpenType, ELF, Windows, WebAssembly, Java, SQLite, NumPy, Parquet.
    rb"|wOF[F2]|OTTO\0|\0\x01\0{3}|\x7fELF|MZ\x90\0|\0asm|\xca\xfe\xba\xbe|SQLite format 3\0|\x93NUMPY|PAR1\x15",
    re.DOTALL,
)
_CONTROL: Final = re.compile(rb"[\0-\x08\x0e-\x1f]")
# Letters of base64 that show what a file is.
_HEAD: Final = 4_096

# Lines as long as MIME and PEM have them, or one line: words in lines of their own are none of it.
_BASE64: Final = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{48,}+(?:[ \t]*\r?\n[ \t]*[A-Za-z0-9+/_-]{48,}+)*+={0,2}"
)
_LAST_LINE: Final = re.compile(r"[ \t]*\r?\n[ \t]*([A-Za-z0-9+/_-]{2,47}={0,2})(?![A-Za-z0-9+/_=-])")
_LINE_ENDS: Final = re.compile(r"[ \t\r\n]+")
_URL_SAFE: Final = str.maketrans("-_", "+/")
# In base64, letters stand in one case, or with a capital here and there, only where they are words or zeros.
_ONE_CASE: Final = re.compile(r"[a-z]{16,}+|[A-Z]{16,}+")
_CAPITALIZED: Final = re.compile(r"(?:[A-Z]{0,2}[a-z]++[+/_-]?|[A-Z]{3,8}[+/_-]?){3,}+")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Letters of a word that random ones spell now and then; so many different longer words are no chance.
_CHANCE: Final = 2
_NO_CHANCE: Final = 4


def is_medium(letters: bytes) -> bool:
    """Whether base64 in the standard alphabet, without line ends, is a binary file of a kind that is known."""
    head = letters[:_HEAD].rstrip(b"=")
    raw = binascii.a2b_base64(head[: len(head) // 4 * 4])
    return _MAGIC.match(raw) is not None and not _is_text(raw)


def _is_text(head: bytes) -> bool:
    try:
        # A character that is cut at the end is none that is wrong.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(head) is None


def apart(text: str) -> tuple[str, list[str]]:
    """The text without the binary files in it, and those in base64.

    Letters of base64 may spell words: those stay where they are.
    """
    rest: list[str] = []
    media: list[str] = []
    at = 0
    for run in _BASE64.finditer(text):
        end = run.end()
        letters = _LINE_ENDS.sub("", run.group())
        last = _LAST_LINE.match(text, end)
        if last is not None and not letters.endswith("=") and len(letters + last[1]) % 4 == 0:
            letters, end = letters + last[1], last.end()
        if is_medium(letters.translate(_URL_SAFE).encode()):
            rest += (text[at : run.start()], f" {' '.join(_spelled(letters))} ")
            media.append(letters)
            at = end
    return "".join((*rest, text[at:])), media


def says_something(line: str) -> bool:
    """Whether words stand among the letters of a file, and not by chance."""
    return len(_long({word for word in LETTER_RUN.findall(line) if is_word(word)}, _CHANCE + 1)) >= _NO_CHANCE - 1


def _spelled(letters: str) -> Iterator[str]:
    """Words that stand one behind the other in base64, as in ThreeWordsTogether."""
    one_case = (segment(found.group()) for found in _ONE_CASE.finditer(letters))
    capitalized = (_WORD.findall(found.group()) for found in _CAPITALIZED.finditer(letters))
    for stretches, least in ((one_case, _NO_CHANCE), (capitalized, _NO_CHANCE - 1)):
        for words in stretches:
            runs = (run for known, run in groupby(words, is_word) if known)
            if any(len(_long(run, _CHANCE)) >= least for run in runs):
                yield " ".join(words).lower()


def _long(words: Iterable[str], than: int) -> set[str]:
    return {word.lower() for word in words if len(word) > than}
