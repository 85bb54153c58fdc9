"""Is a value supported by what was said?

`support` matches after normalisation and is pure; `grounded` asks the embedding model about free text that matching
did not find, and keeps the supported arguments. Whether a value stands under the right name ("from A to B" filled in as
from B to A) is not judged here: both were said.
"""

from extproc.pipeline.functions.grounding.scoring import Said, support
from extproc.pipeline.functions.grounding.supported_arguments import grounded

__all__ = ["Said", "grounded", "support"]
