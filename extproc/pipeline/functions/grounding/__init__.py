"""Grounding: keeps the arguments of a call that the user's text supports.

Matching (scoring.py, pure) compares normalised values with the text. supported_arguments.py asks the embedding model
about free text that matching does not find. Grounding does not check that a value is under the right parameter: "from A
to B" passes with A and B swapped, because the text holds both.
"""

from extproc.pipeline.functions.grounding.parsed_text import ParsedText
from extproc.pipeline.functions.grounding.scoring import support_score
from extproc.pipeline.functions.grounding.supported_arguments import supported_arguments

__all__ = ["ParsedText", "support_score", "supported_arguments"]
