"""`ArchConfig`: the whole of `arch_config.yaml`, checked section by section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from controlplane.config.base_model import Section
from controlplane.config.endpoints import Endpoint
from controlplane.config.error_target import ErrorTarget
from controlplane.config.listeners import Listeners
from controlplane.config.model_serving import ModelServing
from controlplane.config.names import Name
from controlplane.config.overrides import Overrides
from controlplane.config.prompt_guards import PromptGuards
from controlplane.config.prompt_targets import PromptTarget
from controlplane.config.providers import Provider
from controlplane.config.tracing import Tracing


class ArchConfig(Section):
    """Configuration of an archgw gateway."""

    version: Literal["v1"]
    """The version of this format."""
    listeners: Listeners = Listeners()
    """The doors of the gateway."""
    endpoints: dict[Name, Endpoint] = Field(default={}, max_length=256)
    """The APIs that prompt targets call, by name."""
    # At least one: `checks` says so, since a file whose only provider is malformed must not be told that it has none.
    llm_providers: tuple[Provider, ...] = Field(default=(), max_length=128, json_schema_extra={"minItems": 1})
    """The LLMs behind the gateway."""
    prompt_guards: PromptGuards = PromptGuards()
    """What is refused before anything else reads a prompt."""
    prompt_targets: tuple[PromptTarget, ...] = Field(default=(), max_length=128)
    """What a prompt may mean, and the API calls that answer it."""
    error_target: ErrorTarget | None = None
    """The API that failures are sent on to."""
    system_prompt: str | None = Field(default=None, min_length=1, max_length=65536)
    """The system prompt of every LLM call from the prompt listener."""
    model_serving: ModelServing = ModelServing()
    """Where the models run, and which they are."""
    overrides: Overrides = Overrides()
    """Numbers that most gateways leave alone."""
    tracing: Tracing | None = None
    """Spans to an OpenTelemetry collector."""
