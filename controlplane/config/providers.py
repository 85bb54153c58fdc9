"""`llm_providers`: the LLMs behind the gateway. `vendors` has the table of their vendors."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, PlainValidator, SecretStr, WithJsonSchema

from controlplane.config.addresses import BaseUrl, Url
from controlplane.config.base_model import Section, refusal
from controlplane.config.names import Name
from controlplane.config.quantities import MINUTE, SECOND, ConnectTimeout, SilenceTimeout
from controlplane.config.vendors import UNSUPPORTED_VENDORS, VENDORS
from controlplane.quoting import quoted

_MAX_KEY_CHARS: Final = 4096


def parse_provider(value: object) -> str:
    """Returns the name of a vendor in the table."""
    if not isinstance(value, str) or value not in VENDORS:
        known = ", ".join(VENDORS)
        if isinstance(value, str) and value.lower() in UNSUPPORTED_VENDORS:
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
    """Parses a key that can be sent in a header. Error messages never contain it."""
    if not isinstance(value, str):
        raise refusal("expected the key as text", "write $NAME, and set NAME in the environment or in .env")
    if not value or len(value) > _MAX_KEY_CHARS or any(not 0x21 <= ord(character) <= 0x7E for character in value):
        raise refusal(
            "the key cannot travel in a header: it is empty, too long, or holds spaces or control characters",
            "look for a stray line end or space where the key is set",
        )
    return SecretStr(value)


ProviderKind = Annotated[str, PlainValidator(parse_provider), WithJsonSchema({"type": "string", "enum": list(VENDORS)})]
AccessKey = Annotated[SecretStr, PlainValidator(parse_key), WithJsonSchema({"type": "string", "minLength": 1})]


class Provider(Section):
    """One LLM provider."""

    name: Name
    """The name in `x-arch-llm-provider-hint` and `x-arch-llm-provider`."""
    provider: ProviderKind
    """The vendor of the API. All except `triton` speak OpenAI's format; `openai_compatible` needs `base_url`."""
    model: str = Field(min_length=1, max_length=256)
    """The model id that goes into the request body. For `triton`: the model of the local Triton, `chat`."""
    access_key: AccessKey | None = None
    """The provider's key, written as `$NAME`. It never appears in a rendered file, a log or a trace."""
    base_url: BaseUrl | None = None
    """The URL of the API, with `/v1` if the server has it. `http` and `https`. Default: the vendor's own."""
    default: bool = False
    """Takes the requests that name no provider and no model of the list."""
    passthrough_auth: bool = False
    """Passes the client's own `Authorization` on, instead of a key of the gateway."""
    timeout: SilenceTimeout = Field(default=5 * MINUTE, json_schema_extra={"default": "5m"})
    """The time that the provider may stay silent, before its first byte and between any two."""
    connect_timeout: ConnectTimeout = Field(default=5 * SECOND, json_schema_extra={"default": "5s"})
    """Timeout for opening a connection."""

    def url(self) -> Url | None:
        """Returns the URL of the API; None for the local Triton, and while a needed `base_url` is missing."""
        return self.base_url or VENDORS[self.provider].base_url
