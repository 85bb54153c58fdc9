"""`ArchConfig`: the model of the whole `arch_config.yaml`."""

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
    """The ports that clients connect to."""
    endpoints: dict[Name, Endpoint] = Field(default={}, max_length=256)
    """The APIs that prompt targets call, by name."""
    # `checks` requires at least one, and pydantic does not: a list with one malformed provider is not an empty list.
    llm_providers: tuple[Provider, ...] = Field(default=(), max_length=128, json_schema_extra={"minItems": 1})
    """The LLMs behind the gateway."""
    prompt_guards: PromptGuards = PromptGuards()
    """Guards that read each prompt first and may block it."""
    prompt_targets: tuple[PromptTarget, ...] = Field(default=(), max_length=128)
    """Tasks that a prompt may ask for, and the API calls that do them."""
    error_target: ErrorTarget | None = None
    """The API that receives failed requests."""
    system_prompt: str | None = Field(default=None, min_length=1, max_length=65536)
    """The system prompt of every LLM call from the prompt listener."""
    model_serving: ModelServing = ModelServing()
    """The models, and the Triton servers that run them."""
    overrides: Overrides = Overrides()
    """Settings that most gateways do not need."""
    tracing: Tracing | None = None
    """Spans to an OpenTelemetry collector."""
