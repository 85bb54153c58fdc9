"""Splits a text into fragments, as attackers and programmers do: variables, a numbered list, a concatenation."""

from __future__ import annotations

from random import Random


def fragments(text: str, random: Random) -> list[str]:
    """Returns two to five fragments that join to the text. Cuts are between words, sometimes inside one."""
    count = min(random.randint(2, 5), len(text) // 2)
    places = [index for index in range(1, len(text)) if text[index] == " "]
    if len(places) < count - 1 or random.random() < 0.3:
        places = list(range(1, len(text)))
    cuts = sorted(random.sample(places, count - 1))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def slot_values(parts: list[str], random: Random) -> dict[str, str]:
    """Returns the slot values that the grammars of splitting and obfuscation use to present the fragments."""
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
