"""`prompt_targets`: what a prompt may mean, and the API call that answers it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from controlplane.config.base_model import Section
from controlplane.config.http_headers import HeaderName, HeaderValue
from controlplane.config.names import Name
from controlplane.config.parameters import Parameter
from controlplane.config.quantities import CallTimeout
from controlplane.config.url_paths import Path
from extproc.shared.filter_config import HttpMethod


class TargetEndpoint(Section):
    """Which API answers a target, and how it is called."""

    name: Name
    """A key of `endpoints`."""
    path: Path = "/"
    """The path of the call. `{name}` is filled with the argument of that name."""
    http_method: HttpMethod = HttpMethod.POST
    """`POST`: arguments as a JSON body. `GET`: what the path does not take goes into the query."""
    http_headers: dict[HeaderName, HeaderValue] = Field(default={}, max_length=32)
    """Headers of the call. `$NAME` is replaced from the environment. No value appears in a log or an admin page."""
    timeout: CallTimeout | None = None
    """How long one attempt may take, instead of the endpoint's own `timeout`."""
    retries: int = Field(default=0, ge=0, le=5)
    """How often the call is repeated when the API breaks off, is silent for `timeout`, or answers 502, 503 or 504."""


class PromptTarget(Section):
    """What a prompt may mean, and the API call that answers it."""

    name: Name
    """The function name that the function-calling model sees."""
    description: str = Field(min_length=1, max_length=4096)
    """What the target is for, in the users' words: prompts are matched against it."""
    examples: tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...] = Field(default=(), max_length=64)
    """Prompts that mean this target: they are matched as the description is."""
    default: bool = False
    """Takes the prompts that mean no other target; its API gets the messages as they are."""
    endpoint: TargetEndpoint
    """Which API answers."""
    parameters: tuple[Parameter, ...] = Field(default=(), max_length=64)
    """The arguments of the call."""
    system_prompt: str | None = Field(default=None, min_length=1, max_length=65536)
    """The system prompt of the LLM that words the API's answer, instead of the global one."""
    auto_llm_dispatch_on_response: bool | None = None
    """`true`: an LLM words the API's answer; `false`: the client gets the API's own.

    True by default, but false for the default target."""
