"""`llm_providers`: the LLMs behind the gateway, and what is known about the vendors that serve them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, PlainValidator, SecretStr, WithJsonSchema

from controlplane.config.addresses import BaseUrl, Url, parse_url
from controlplane.config.base_model import Section, refusal
from controlplane.config.names import Name
from controlplane.config.quantities import MINUTE, SECOND, ConnectTimeout, SilenceTimeout
from controlplane.quoting import quoted

TRITON: Final = "triton"
_LONGEST_KEY: Final = 4096


@dataclass(frozen=True, slots=True)
class Vendor:
    """What a value of `provider` stands for. `base_url` None: the file must say it.

    `needs_key`: without a key, or the client's own, every request would be refused.
    `accepts_metadata`: it takes a client's `metadata` rather than refusing the request for it.
    `accepts_developer`: it knows the role `developer`; all know `system`.
    `headers`: those of its API beyond OpenAI's, of requests and of answers; one that ends in `*` is a prefix.
    """

    base_url: Url | None
    needs_key: bool = True
    accepts_metadata: bool = False
    accepts_developer: bool = False
    headers: tuple[str, ...] = ()


# Everybody here speaks OpenAI's chat completions on the wire. Base URLs are those of the vendors' own documentation.
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
}
# The chat model on the gateway's own Triton: no URL, no key.
PROVIDERS: Final = (*VENDORS, TRITON)
# Vendors with a wire format of their own.
LATER: Final = frozenset(
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


def parse_provider(value: object) -> str:
    if not isinstance(value, str) or value not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        if isinstance(value, str) and value.lower() in LATER:
            raise refusal(
                f"{quoted(value)} is not supported yet: it speaks a format of its own, not OpenAI's",
                f"providers of this release: {known}",
            )
        raise refusal(
            f"{quoted(value)} is not known",
            f"use one of {known}; any server that speaks OpenAI's API is openai_compatible, with its base_url",
        )
    return value


def parse_key(value: object) -> SecretStr:
    """A key that can travel in a header. The message never holds it."""
    if not isinstance(value, str):
        raise refusal("expected the key as text", "write $NAME, and set NAME in the environment or in .env")
    if not value or len(value) > _LONGEST_KEY or any(not 0x21 <= ord(character) <= 0x7E for character in value):
        raise refusal(
            "the key cannot travel in a header: it is empty, too long, or holds spaces or control characters",
            "look for a stray line end or space where the key is set",
        )
    return SecretStr(value)


ProviderKind = Annotated[
    str, PlainValidator(parse_provider), WithJsonSchema({"type": "string", "enum": list(PROVIDERS)})
]
AccessKey = Annotated[SecretStr, PlainValidator(parse_key), WithJsonSchema({"type": "string", "minLength": 1})]


class Provider(Section):
    """One LLM provider."""

    name: Name
    """What clients and answers call it, in `x-arch-llm-provider-hint` and `x-arch-llm-provider`."""
    provider: ProviderKind
    """Whose API it is. Everything but `triton` speaks OpenAI's format; `openai_compatible` needs `base_url`."""
    model: str = Field(min_length=1, max_length=256)
    """The model id that goes into the request body. For `triton`: the model of the local Triton, `chat`."""
    access_key: AccessKey | None = None
    """The provider's key, written as `$NAME`. It never appears in a rendered file, a log or a trace."""
    base_url: BaseUrl | None = None
    """Where the API lives, `/v1` included where the server has it. `http` and `https`. The vendor's own by default."""
    default: bool = False
    """Takes the requests that name no provider and no model of the list."""
    passthrough_auth: bool = False
    """Sends the client's own `Authorization` on instead of a key of ours."""
    timeout: SilenceTimeout = Field(default=5 * MINUTE, json_schema_extra={"default": "5m"})
    """How long the provider may stay silent, before its first byte and between any two."""
    connect_timeout: ConnectTimeout = Field(default=5 * SECOND, json_schema_extra={"default": "5s"})
    """How long a connection may take to open."""

    def url(self) -> Url | None:
        """Where the API lives; None for the local Triton, and while a needed `base_url` is missing."""
        vendor = VENDORS.get(self.provider)
        return self.base_url or (vendor.base_url if vendor else None)
