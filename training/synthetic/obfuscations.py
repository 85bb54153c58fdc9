"""Obfuscations of a text, such as base64 or homoglyphs: functions from text to text. `random` decides details."""

from __future__ import annotations

import base64
import codecs
import urllib.parse
from collections.abc import Callable
from random import Random

Obfuscation = Callable[[str, Random], str]

_LEET = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7", "A": "4", "E": "3", "O": "0"})
_CYRILLIC = str.maketrans("aeopcxyiA", "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456\u0410")
_FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
_ZERO_WIDTH = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff")
_COMBINING = ("\u0301", "\u0308", "\u0323", "\u0336")
_MORSE_CODE = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
)
_MORSE = dict(zip("abcdefghijklmnopqrstuvwxyz", _MORSE_CODE.split(), strict=True))


def base64_text(text: str, random: Random) -> str:
    code = base64.b64encode(text.encode()).decode()
    return code.rstrip("=") if random.random() < 0.2 else code


def url_safe(text: str, random: Random) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def hexadecimal(text: str, random: Random) -> str:
    return text.encode().hex(random.choice([" ", ":"])) if random.random() < 0.3 else text.encode().hex()


def rot13(text: str, random: Random) -> str:
    return codecs.encode(text, "rot13")


def backwards(text: str, random: Random) -> str:
    return text[::-1] if random.random() < 0.6 else " ".join(word[::-1] for word in text.split())


def leet(text: str, random: Random) -> str:
    return text.translate(_LEET)


def spaced(text: str, random: Random) -> str:
    between = random.choice([" ", " ", ".", "-", "_"])
    return random.choice(["  ", " / "]).join(between.join(word) for word in text.split())


def homoglyphs(text: str, random: Random) -> str:
    return text.translate(_CYRILLIC)


def full_width(text: str, random: Random) -> str:
    return text.translate(_FULL_WIDTH)


def zero_width(text: str, random: Random) -> str:
    mark = random.choice(_ZERO_WIDTH)
    return "".join(letter + mark if letter.isalpha() and random.random() < 0.6 else letter for letter in text)


def combining(text: str, random: Random) -> str:
    return "".join(letter + random.choice(_COMBINING) if letter.isalpha() else letter for letter in text)


def percent(text: str, random: Random) -> str:
    return urllib.parse.quote(text)


def escapes(text: str, random: Random) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def entities(text: str, random: Random) -> str:
    return "".join(f"&#{ord(letter)};" for letter in text)


def binary(text: str, random: Random) -> str:
    return " ".join(f"{byte:08b}" for byte in text.encode())


def morse(text: str, random: Random) -> str:
    return " / ".join(" ".join(_MORSE.get(letter, letter) for letter in word) for word in text.lower().split())


def mixed_case(text: str, random: Random) -> str:
    return "".join(letter.upper() if random.random() < 0.5 else letter.lower() for letter in text)


def pig_latin(text: str, random: Random) -> str:
    return " ".join(f"{word[1:]}{word[0].lower()}ay" if word.isalpha() else word for word in text.split())


# The keys are the names by which a prompt refers to the obfuscation. Texts in an opaque one must name it.
OPAQUE: dict[str, Obfuscation] = {
    "base64": base64_text,
    "base64url": url_safe,
    "hex": hexadecimal,
    "rot13": rot13,
    "binary": binary,
    "Morse code": morse,
    "URL encoding": percent,
    "unicode escapes": escapes,
}
READABLE: dict[str, Obfuscation] = {
    "reversed text": backwards,
    "leetspeak": leet,
    "spaced letters": spaced,
    "Cyrillic letters": homoglyphs,
    "wide letters": full_width,
    "plain text": zero_width,
    "decorated letters": combining,
    "mixed case": mixed_case,
    "Pig Latin": pig_latin,
    "HTML entities": entities,
}
OBFUSCATIONS = OPAQUE | READABLE
