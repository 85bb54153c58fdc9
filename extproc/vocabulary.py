"""The word pieces of bert-base-uncased (Apache-2.0), the most frequent first. Used by words.py and endpoints/usage.py.

A piece inside a word begins with `##`. The embedding model shipped reads text in the same ones.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

PIECES: Final = tuple(files("extproc").joinpath("vocabulary.txt").read_text(encoding="utf-8").splitlines())
