"""The table of LLM vendors: everything that differs by the `provider` key of `llm_providers`. One row each.

Used by the checks of the configuration and by compile. The filter gets only the schema and the quirks of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controlplane.config.addresses import Url, parse_url
from extproc.shared.filter_config import Schema

TRITON: Final = "triton"


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor. `base_url` None: the file must name one, except for the gateway's own Triton.

    `schema`: the JSON format of its API, see extproc/translators.
    `auth_header`, `auth_prefix`: the header that carries the key, and the text before the key.
    `needs_key`: it refuses every request without a key, be it the gateway's or the client's.
    `accepts_metadata`: it accepts a client's `metadata`; others refuse such a request.
    `accepts_developer`: it knows the role `developer`; all know `system`.
    `headers`: headers of its API beyond OpenAI's, of requests and of answers; one that ends in `*` is a prefix.
    """

    base_url: Url | None
    schema: Schema = Schema.OPENAI
    auth_header: str = "authorization"
    auth_prefix: str = "Bearer "
    needs_key: bool = True
    accepts_metadata: bool = False
    accepts_developer: bool = False
    headers: tuple[str, ...] = ()


# Base URLs are those of the vendors' own documentation.
VENDORS: Final[Mapping[str, Vendor]] = {
    "openai": Vendor(parse_url("https://api.openai.com/v1"), accepts_metadata=True, accepts_developer=True),
    "openai_compatible": Vendor(None, needs_key=False, accepts_metadata=True),
    "mistral": Vendor(parse_url("https://api.mistral.ai/v1"), headers=("mistral-*", "ratelimitbysize-*")),
    "groq": Vendor(parse_url("https://api.groq.com/openai/v1"), headers=("groq-*", "x-groq-*")),
    "deepseek": Vendor(parse_url("https://api.deepseek.com/v1"), headers=("x-ds-*",)),
    "xai": Vendor(parse_url("https://api.x.ai/v1"), headers=("x-grok-*", "x-metrics-*")),
    "together_ai": Vendor(parse_url("https://api.together.xyz/v1"), headers=("x-inference-*", "x-together-*")),
    "openrouter": Vendor(
        parse_url("https://openrouter.ai/api/v1"),
        headers=("http-referer", "x-generation-id", "x-openrouter-*", "x-title"),
    ),
    "ollama": Vendor(parse_url("http://127.0.0.1:11434/v1"), needs_key=False),
    # The chat model on the gateway's own Triton.
    TRITON: Vendor(None, schema=Schema.TRITON, needs_key=False),
}

# Names of vendors whose schema has no translator yet.
UNSUPPORTED_VENDORS: Final = frozenset(
    {
        "anthropic",
        "claude",
        "gemini",
        "google",
        "vertex",
        "vertex_ai",
        "bedrock",
        "aws_bedrock",
        "amazon_bedrock",
        "azure",
        "azure_openai",
        "cohere",
    }
)
