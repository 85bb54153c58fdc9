"""Resolves percent-encoding, HTML entities, backslash escapes and code points. Used by unicode_normalization.py."""

from __future__ import annotations

import html
import re
import sys
from typing import Final

_PERCENT: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_PERCENT_NESTED: Final = re.compile(r"%(?:25)+(?=[0-9A-Fa-f]{2})")
_AMP_NESTED: Final = re.compile(r"&(?:amp;)+", re.IGNORECASE)
_HUGE_REFERENCE: Final = re.compile(r"&#[0-9]{9,};?")
_CODE_POINT: Final = re.compile(
    r"\\u\{?([0-9A-Fa-f]{4,6})\}|\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\x\{?([0-9A-Fa-f]{2})\}?"
    r"|\bU\+([0-9A-Fa-f]{4,6})\b[ ,]?"
)
_OCTAL: Final = re.compile(r"(?:\\[0-3]?[0-7]{2}){4,}")


def unescape(text: str) -> str:
    """Resolves one level of escapes. An escape that encodes no character stays as it is."""
    if "%" in text:
        text = _PERCENT.sub(_percent, _PERCENT_NESTED.sub("%", text))
    if "&" in text:
        # html.unescape raises ValueError on a number of thousands of digits.
        text = html.unescape(_HUGE_REFERENCE.sub("\ufffd", _AMP_NESTED.sub("&", text)))
    if "\\" in text or "U+" in text:
        text = _OCTAL.sub(_octal, _CODE_POINT.sub(_code_point, text))
    return text


def _percent(escape: re.Match[str]) -> str:
    try:
        return bytes.fromhex(escape.group().replace("%", "")).decode()
    except UnicodeDecodeError:
        return escape.group()


def _code_point(escape: re.Match[str]) -> str:
    code = int(next(group for group in escape.groups() if group), 16)
    return chr(code) if code <= sys.maxunicode else escape.group()


def _octal(escape: re.Match[str]) -> str:
    return "".join(chr(int(code, 8)) for code in escape.group().split("\\")[1:])
