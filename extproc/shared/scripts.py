"""The scripts that a model may be able to read. Used by the model catalogue and the guards."""

from __future__ import annotations

from enum import StrEnum


class Script(StrEnum):
    """A script, by its name in Unicode (UAX #24). `OTHER`: any script that is not listed."""

    LATIN = "Latin"
    GREEK = "Greek"
    CYRILLIC = "Cyrillic"
    ARMENIAN = "Armenian"
    GEORGIAN = "Georgian"
    HEBREW = "Hebrew"
    ARABIC = "Arabic"
    ETHIOPIC = "Ethiopic"
    DEVANAGARI = "Devanagari"
    BENGALI = "Bengali"
    GURMUKHI = "Gurmukhi"
    GUJARATI = "Gujarati"
    ORIYA = "Oriya"
    TAMIL = "Tamil"
    TELUGU = "Telugu"
    KANNADA = "Kannada"
    MALAYALAM = "Malayalam"
    SINHALA = "Sinhala"
    THAI = "Thai"
    LAO = "Lao"
    TIBETAN = "Tibetan"
    MYANMAR = "Myanmar"
    KHMER = "Khmer"
    MONGOLIAN = "Mongolian"
    HAN = "Han"
    HIRAGANA = "Hiragana"
    KATAKANA = "Katakana"
    BOPOMOFO = "Bopomofo"
    HANGUL = "Hangul"
    OTHER = "Other"
