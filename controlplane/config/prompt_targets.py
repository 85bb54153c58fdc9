"""`prompt_targets`: tasks that a prompt may ask for, and the API calls that do them."""

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
    """The API call of a target."""

    name: Name
    """A key of `endpoints`."""
    path: Path = "/"
    """The path of the call. `{name}` is filled with the argument of that name."""
    http_method: HttpMethod = HttpMethod.POST
    """`POST`: arguments as a JSON body. `GET`: what the path does not take goes into the query."""
    http_headers: dict[HeaderName, HeaderValue] = Field(default={}, max_length=32)
    """Headers of the call. `$NAME` is replaced from the environment. No value appears in a log or an admin page."""
    timeout: CallTimeout | None = None
    """Timeout of one attempt, instead of the endpoint's `timeout`."""
    retries: int = Field(default=0, ge=0, le=5)
    """Maximum number of retries when the API breaks off, is silent for `timeout`, or answers 502, 503 or 504."""


class PromptTarget(Section):
    """A task that a prompt may ask for, and the API call that does it."""

    name: Name
    """The function name that the function-calling model sees."""
    description: str = Field(min_length=1, max_length=4096)
    """Purpose of the target, in the users' words. Prompts are compared with it."""
    examples: tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...] = Field(default=(), max_length=64)
    """Prompts for this target. Prompts are compared with them, too."""
    default: bool = False
    """Takes the prompts that match no other target. Its API gets the unchanged messages."""
    endpoint: TargetEndpoint
    """The API call."""
    parameters: tuple[Parameter, ...] = Field(default=(), max_length=64)
    """The arguments of the call."""
    system_prompt: str | None = Field(default=None, min_length=1, max_length=65536)
    """System prompt of the LLM that rewrites the API's response, instead of the global one."""
    auto_llm_dispatch_on_response: bool | None = None
    """`true`: an LLM answers from the API's response; `false`: the client gets the API's response itself.

    True by default, but false for the default target."""

    @property
    def dispatches_to_llm(self) -> bool:
        """`auto_llm_dispatch_on_response` with its default."""
        dispatch = self.auto_llm_dispatch_on_response
        return not self.default if dispatch is None else dispatch
