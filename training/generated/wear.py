"""What typing does to a text: casing, typos, lost punctuation. Attacks and benign texts are worn alike."""

from __future__ import annotations

from random import Random


def typo(text: str, random: Random) -> str:
    """One letter swapped with the next, lost or doubled, inside a word."""
    places = [index for index in range(1, len(text) - 2) if text[index].isalpha() and text[index + 1].isalpha()]
    if not places:
        return text
    at = random.choice(places)
    return random.choice(
        [
            text[:at] + text[at + 1] + text[at] + text[at + 2 :],
            text[:at] + text[at + 1 :],
            text[: at + 1] + text[at:],
        ]
    )


def worn(text: str, random: Random) -> str:
    """The text as one of many people types it; mostly as it was."""
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
