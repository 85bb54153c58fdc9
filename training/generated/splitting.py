"""A text cut into pieces, as attackers and programmers cut one: variables, a numbered list, a sum."""

from __future__ import annotations

from random import Random


def pieces(text: str, random: Random) -> list[str]:
    """Two to five pieces; cut between words, now and then inside one. Joined they are the text."""
    count = min(random.randint(2, 5), len(text) // 2)
    places = [index for index in range(1, len(text)) if text[index] == " "]
    if len(places) < count - 1 or random.random() < 0.3:
        places = list(range(1, len(text)))
    cuts = sorted(random.sample(places, count - 1))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def slots(parts: list[str], random: Random) -> dict[str, str]:
    """What the grammars of splitting say about the pieces."""
    names = random.choice(["abcde", "xyzuv", "pqrst", ("part1", "part2", "part3", "part4", "part5"), "ABCDE"])[
        : len(parts)
    ]
    plus = random.choice([" + ", "+", " and then ", " . ", " & "])
    pairs = list(zip(names, parts, strict=True))
    shuffled = random.sample(pairs, len(pairs)) if random.random() < 0.3 else pairs
    return {
        "assignments": ", ".join(f'{name} = "{part}"' for name, part in shuffled),
        "assignments_code": "\n".join(f"{name} = {part!r}" for name, part in shuffled),
        "sum": plus.join(names),
        "sum_code": " + ".join(names),
        "numbered": "; ".join(f'{number}) "{part.strip()}"' for number, part in enumerate(parts, 1)),
        "quoted": ", ".join(f'"{part.strip()}"' for part in parts),
        "keys": ", ".join(f"<{name}>" for name in names),
        "template": " ".join(f"<{name}>" for name in names),
        "count": str(len(parts)),
    }
