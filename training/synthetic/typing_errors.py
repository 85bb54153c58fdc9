"""Typing errors: casing, typos, lost punctuation. Attacks and benign texts get them at the same rates."""

from __future__ import annotations

from random import Random


def typo(text: str, random: Random) -> str:
    """Swaps one letter inside a word with the next, drops it, or doubles it."""
    places = [index for index in range(1, len(text) - 2) if text[index].isalpha() and text[index + 1].isalpha()]
    if not places:
        return text
    index = random.choice(places)
    return random.choice(
        [
            text[:index] + text[index + 1] + text[index] + text[index + 2 :],
            text[:index] + text[index + 1 :],
            text[: index + 1] + text[index:],
        ]
    )


def with_typing_errors(text: str, random: Random) -> str:
    """Returns the text with random typing errors; most texts stay unchanged."""
    draw = random.random()
    if draw < 0.12:
        text = text.lower()
    elif draw < 0.15:
        text = text.upper()
    elif draw < 0.25:
        text = text[:1].lower() + text[1:]
    if random.random() < 0.15:
        text = text.rstrip(".!?")
    if random.random() < 0.1:
        text = text.replace(", ", " ")
    if random.random() < 0.15:
        for _ in range(random.randint(1, 1 + len(text) // 80)):
            text = typo(text, random)
    if random.random() < 0.06:
        text += random.choice(["!!", "...", " :)", " thx", " ???", " asap", " pls"])
    return text
