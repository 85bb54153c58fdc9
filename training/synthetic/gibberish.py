"""Gibberish: broken words, punctuation, code crumbs, hashes, stuck keys."""

from __future__ import annotations

from random import Random

_SYLLABLES = "ing tion pre re un ver com lat ous est ren der out zig mar tel vo qui sha dor ible ment ship ward"
_SIGNS = r"== !-- }} (); \n << => ]( ~~ # // \ {% && !! :: (** |> @@"
_WORDS = "while lambda Page void seven hereby return Index nil"
_KEYS = "asdfghjklqwertyuiopzxcvbnm"


def gibberish(random: Random) -> str:
    """Returns 10 to 120 characters of gibberish."""
    return random.choice([_crumbs, _words, _hash, _mash])(random)


def _crumbs(random: Random) -> str:
    return random.choice([" ", " ", ""]).join(
        random.choices(f"{_SIGNS} {_WORDS} {_SYLLABLES}".split(), k=random.randint(6, 18))
    )


def _words(random: Random) -> str:
    words = ("".join(random.choices(_SYLLABLES.split(), k=random.randint(1, 4))) for _ in range(random.randint(4, 12)))
    return " ".join(word.capitalize() if random.random() < 0.3 else word for word in words)


def _hash(random: Random) -> str:
    return "".join(random.choices("0123456789abcdef", k=random.choice([12, 32, 40, 64])))


def _mash(random: Random) -> str:
    return "".join(random.choices(_KEYS, k=random.randint(10, 40)))
