"""Pictures, sound, archives and other binary files in base64: no model reads their bytes as text. Used by screening.py
and readings.py. Pure.

A file is one by its first bytes, whatever its declared type: a text that is declared a picture stays a text.
"""

from __future__ import annotations

import binascii
import codecs
import re
from itertools import groupby
from typing import Final

from extproc.pipeline.words import is_word, segment

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
_SEPARATORS: Final = re.compile(r"[+/_-]")
_LINE_ENDS: Final = re.compile(r"[ \t\r\n]+")
_URL_SAFE: Final = str.maketrans("-_", "+/")
# In base64, letters stand in one case, or with a capital here and there, only where they are words or zeros.
_WORDS: Final = re.compile(r"(?:[A-Z]?[a-z]++[+/_-]?){3,}+|[A-Z+/_-]{16,}+")
# So many words of three letters or more are a sentence.
_SENTENCE: Final = 4
_SHORTEST_SENTENCE: Final = 16


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

    Letters of base64 may spell a sentence: then they stay where they are.
    """
    rest: list[str] = []
    media: list[str] = []
    at = 0
    for run in _BASE64.finditer(text):
        end = run.end()
        letters = _LINE_ENDS.sub("", run.group())
        last = _LAST_LINE.match(text, end)
        if last is not None and len(letters + last[1]) % 4 == 0:
            letters, end = letters + last[1], last.end()
        if is_medium(letters.translate(_URL_SAFE).encode()) and not _spells_a_sentence(letters):
            rest += (text[at : run.start()], " ")
            media.append(letters)
            at = end
    return "".join((*rest, text[at:])), media


def _spells_a_sentence(letters: str) -> bool:
    for found in _WORDS.finditer(letters):
        # Fewer letters are the zeros of a file.
        if len(found.group()) >= _SHORTEST_SENTENCE and len(set(found.group())) > 6:
            words = (word for part in _SEPARATORS.split(found.group()) for word in segment(part))
            if any(len(list(run)) >= _SENTENCE for known, run in groupby(words, _is_long_word) if known):
                return True
    return False


def _is_long_word(word: str) -> bool:
    return len(word) > 2 and is_word(word)
