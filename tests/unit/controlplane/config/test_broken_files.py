"""Any broken file gives problems with positions: never a traceback, never pydantic's own messages."""

import os
import random

import pytest

from controlplane.assets import asset
from controlplane.config.load import load
from controlplane.errors import ConfigError
from tests.unit.controlplane.config.files import Folder
from tests.unit.controlplane.config.test_v01_migration import CANONICAL, OLD
from tests.unit.controlplane.config.test_validation_errors import FAULTY

QUICK_START = (asset("examples/quickstart") / "arch_config.yaml").read_text(encoding="utf-8")
FRAGMENTS = (
    "null", "~", "[]", "{}", "true", "-1", "1e99", "'x'", "$KEY", "${", "*a", "&a ", "<<: *a", "{a: {b: c}}", "[[1]]",
    "? ", "- ", "\t", '"\\ud800"', "!!str x", "x" * 300, "v0.1", "\u00e9", "\x00", "default", "messages", "http://u:p@h",
)  # fmt: skip


def broken(text: str, chance: random.Random) -> str:
    """`text` with one of the ways in which editing goes wrong."""
    lines = text.split("\n")
    line = chance.randrange(len(lines))
    place = chance.randrange(len(text) + 1)
    match chance.randrange(5):
        case 0:
            del lines[line]
            return "\n".join(lines)
        case 1:
            lines.insert(line, chance.choice(lines))
            return "\n".join(lines)
        case 2:
            key, colon, _ = lines[line].partition(": ")
            lines[line] = f"{key}{colon}{chance.choice(FRAGMENTS)}"
            return "\n".join(lines)
        case 3:
            return text[:place] + chance.choice(FRAGMENTS) + text[place:]
        case _:
            return text[:place] + text[place + chance.randint(1, 8) :]


def test_refuses_file_whose_name_is_not_utf8(folder: Folder) -> None:
    with pytest.raises(ConfigError, match=r"a\\xffb\.yaml:1:1: the path of this file is not UTF-8"):
        load(folder.path / os.fsdecode(b"a\xffb.yaml"), {})


@pytest.mark.parametrize("seed", range(12))
def test_broken_file_gives_problems_with_positions(folder: Folder, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  reproducible, not secret
    for text in (QUICK_START, CANONICAL, OLD, FAULTY) * 5:
        for _ in range(chance.randint(1, 4)):
            text = broken(text, chance)  # noqa: PLW2901
        folder.file.write_text(text, encoding="utf-8")
        try:
            load(folder.file, {"KEY": "k"})
        except ConfigError as error:
            assert error.problems
            last = text.count("\n") + 2
            assert all(1 <= problem.line <= last and problem.column >= 1 for problem in error.problems), text
            assert "Input should" not in str(error), text
