"""The WordPiece vocabulary of bert-base-uncased (Apache-2.0), most frequent first.

Used by pipeline/guard/english_words.py and endpoints/usage.py. A piece that continues a word starts with `##`. The
shipped embedding model uses the same pieces. The file is compressed: it is 29,523 lines that nobody edits.
"""

from __future__ import annotations

import gzip
from importlib.resources import files
from typing import Final

WORD_PIECES: Final = tuple(
    gzip.decompress(files("extproc").joinpath("vocabulary.txt.gz").read_bytes()).decode().splitlines()
)
