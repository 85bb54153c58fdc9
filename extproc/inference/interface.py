"""The interface between the pipeline and the models. Implemented by role_clients.py; the pipeline knows no server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from extproc.conversation.messages import Message
from extproc.shared.filter_config import JsonValue, TextRole
from extproc.shared.roles import Role
from extproc.shared.scripts import Script

__all__ = ["Embeddings", "Extraction", "FloatMatrix", "FunctionCall", "Models", "Role", "RoleUnavailable"]

FloatMatrix = npt.NDArray[np.float32]


class RoleUnavailable(Exception):
    """No backend of a role gave a usable answer. `reason` is one word for logs; `FailureReason` lists most of them."""

    def __init__(self, role: Role, reason: str, detail: str) -> None:
        super().__init__(f"{role}: {reason}: {detail}")
        self.role = role
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A tool that the function model chose, with arguments that are not checked yet."""

    name: str
    arguments: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Extraction:
    """The function model's answer to a conversation; no calls if it abstains. `confidence` is 0 to 1."""

    calls: tuple[FunctionCall, ...] = ()
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Embeddings:
    """L2-normalised rows, shape [N, D]. Vectors of different spaces come from different models: do not compare them."""

    vectors: FloatMatrix
    space: str


class Models(Protocol):
    """Every method raises `RoleUnavailable`, within the role's timeout at each of its backends."""

    @property
    def spaces(self) -> Sequence[str]:
        """The spaces that `embed` may answer in, in order of preference."""

    async def embed(self, texts: Sequence[str], spaces: Collection[str] | None = None) -> Embeddings:
        """Embeds all texts in one space, which is one of `spaces` if they are given. `texts` must not be empty."""

    async def attack_probabilities(
        self, role: Role, texts: Sequence[str], text_roles: Sequence[TextRole] = ()
    ) -> tuple[float, ...]:
        """Returns for each text the probability, 0 to 1, of what the guard `role` looks for.

        `text_roles`: the role of each text in the request; empty: all are users' texts.
        """

    def readable_scripts(self, role: Role) -> frozenset[Script]:
        """Returns the scripts that the model of the guard `role` reads; empty: all, or unknown."""

    def readable_bytes(self, role: Role) -> float | None:
        """Returns how many bytes of prose of one request the guard `role` can read in time; None if unknown."""

    async def entailments(self, premise: str, hypotheses: Sequence[str]) -> tuple[float, ...]:
        """Returns for each hypothesis the probability, 0 to 1, that `premise` entails it."""

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        """Returns the calls that the conversation asks for."""
