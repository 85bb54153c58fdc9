"""The role table: one row a role, with everything that differs from role to role. Read by both packages.

A new role is a value of `Role`, a row of `ROLES` and a folder in triton_models/. A catalogue entry
(triton_models/catalog.yaml) and a section in controlplane/config/model_serving.py make it configurable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

# An output of any width, such as an embedding.
ANY_WIDTH: Final = -1
# An extra output that any model may have: INT64, the nanoseconds it computed for the request, one row a text.
COMPUTE_NS: Final = "COMPUTE_NS"
# The request parameter that asks one of the gateway's own models to compute in its background threads.
BULK: Final = "bulk"
# An input that a guard's model may have: the origin of each text, a `TextRole` of filter_config.py.
TEXT_ROLE: Final = "ROLE"


class Role(StrEnum):
    """A task that the gateway needs a model for."""

    EMBED = "embed"
    NLI = "nli"
    GUARD = "guard"
    TOXICITY = "toxicity"
    FUNCTION = "function"
    CHAT = "chat"


class Purpose(StrEnum):
    """The part of the gateway that calls a role's model."""

    INTENT = "intent"
    GUARD = "guard"
    TOOL_SELECTION = "tool selection"
    # The gateway's own Triton as an LLM provider.
    LLM = "llm"


@dataclass(frozen=True, slots=True)
class InputGuard:
    """A guard of `prompt_guards.input_guards`: its key there, and its default message to clients."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One row. All inputs are BYTES tensors of shape [texts, 1].

    `optional_inputs`: inputs that a model of the role may have or lack, each with the value that counts without it.
    `output_datatype` is a KServe datatype; the output has shape [texts, output_width].
    `engines` can run the role's models of the catalogue.
    `code` is the folder of triton_models/ whose code serves the role.
    """

    purpose: Purpose
    inputs: tuple[str, ...]
    output: str
    # Deadline of one call, in milliseconds, unless the configuration has another.
    timeout_ms: int
    engines: frozenset[str]
    code: str
    output_datatype: str = "FP32"
    output_width: int = 1
    optional_inputs: Mapping[str, str] = field(default_factory=dict)
    # One call may carry many texts. False: one call carries one request.
    is_batched: bool = True
    # One request gets a stream of responses. Triton cannot batch such a model.
    is_decoupled: bool = False
    # The package brings a model for the role. False: the user must name one.
    has_default_model: bool = True
    # Plain `archgw up` runs the role on the remote Triton.
    is_remote_by_default: bool = False
    # The one text that each input of a probe carries: the cheapest real request.
    probe_text: str = ""
    guard: InputGuard | None = None


def _guard(name: str, message: str, engines: frozenset[str], *, has_default_model: bool) -> RoleSpec:
    return RoleSpec(
        Purpose.GUARD,
        inputs=("TEXT",),
        output="PROB",
        optional_inputs={TEXT_ROLE: "user"},
        # Guards read long prompts in windows.
        timeout_ms=10_000,
        engines=engines,
        code="guard",
        has_default_model=has_default_model,
        is_remote_by_default=True,
        guard=InputGuard(name, message),
    )


ROLES: Final[Mapping[Role, RoleSpec]] = {
    Role.EMBED: RoleSpec(
        Purpose.INTENT,
        inputs=("TEXT",),
        output="EMBEDDING",
        timeout_ms=5_000,
        engines=frozenset({"onnxruntime"}),
        code="embed",
        output_width=ANY_WIDTH,
    ),
    Role.NLI: RoleSpec(
        Purpose.INTENT,
        inputs=("PREMISE", "HYPOTHESIS"),
        output="ENTAILMENT",
        timeout_ms=5_000,
        engines=frozenset({"transformers"}),
        code="nli",
        has_default_model=False,
    ),
    Role.GUARD: _guard(
        "jailbreak",
        "This request was blocked: it reads like an attempt to override the assistant's instructions.",
        frozenset({"transformers"}),
        has_default_model=True,
    ),
    Role.TOXICITY: _guard(
        "toxicity",
        "This request was blocked: it reads as abusive.",
        frozenset({"transformers"}),
        has_default_model=False,
    ),
    Role.FUNCTION: RoleSpec(
        Purpose.TOOL_SELECTION,
        inputs=("REQUEST",),
        output="RESPONSE",
        # The function model decodes tokens.
        timeout_ms=20_000,
        engines=frozenset({"libneedle3", "llama.cpp", "vllm"}),
        code="function",
        output_datatype="BYTES",
        is_batched=False,
        is_remote_by_default=True,
        probe_text='{"messages":[],"tools":[]}',
    ),
    Role.CHAT: RoleSpec(
        Purpose.LLM,
        inputs=("REQUEST",),
        output="RESPONSE",
        timeout_ms=30_000,
        engines=frozenset({"llama.cpp"}),
        code="chat",
        output_datatype="BYTES",
        is_batched=False,
        is_decoupled=True,
        probe_text="{}",
    ),
}

# The role of each input guard, by the guard's name.
GUARD_ROLES: Final[Mapping[str, Role]] = {spec.guard.name: role for role, spec in ROLES.items() if spec.guard}
# The roles that model_serving.roles may configure. The model of the gateway's own LLM provider is not one of them.
CONFIGURABLE: Final = tuple(role for role, spec in ROLES.items() if spec.purpose is not Purpose.LLM)


def roles_of(purpose: Purpose) -> tuple[Role, ...]:
    """Returns the roles of a purpose, in the order of the table."""
    return tuple(role for role, spec in ROLES.items() if spec.purpose is purpose)
