"""What the pipeline asks of models, and how that fails. The pipeline knows this interface and no server behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from extproc.endpoints.chat_completions import Message
from extproc.shared.filter_config import JsonValue, Role

__all__ = ["Embeddings", "Extraction", "FloatMatrix", "FunctionCall", "Models", "Role", "RoleUnavailable"]

FloatMatrix = npt.NDArray[np.float32]


class RoleUnavailable(Exception):
    """No place of a model's gave a usable answer. `reason` is one word for logs, `faults.Reason` lists most."""

    def __init__(self, role: Role, reason: str, detail: str) -> None:
        super().__init__(f"{role}: {reason}: {detail}")
        self.role = role
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A tool that the function model chose, with the arguments that the conversation holds: not checked yet."""

    name: str
    arguments: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Extraction:
    """What the function model made of a conversation; no calls where it abstains. `confidence` is 0 to 1."""

    calls: tuple[FunctionCall, ...] = ()
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Embeddings:
    """L2-normalised rows, shape [N, D]. Vectors of two spaces are of two models, and say nothing of each other."""

    vectors: FloatMatrix
    space: str


class Models(Protocol):
    """Every method raises `RoleUnavailable`, within the role's deadline at each of its places."""

    @property
    def spaces(self) -> Sequence[str]:
        """Every space that `embed` may answer in, the preferred one first."""

    async def embed(self, texts: Sequence[str], spaces: Collection[str] | None = None) -> Embeddings:
        """Of all texts in one space, which is one of `spaces` where they are given; at least one text."""

    async def attack_probabilities(self, role: Role, texts: Sequence[str]) -> tuple[float, ...]:
        """For each text, how likely it is what the guard `role` looks for, 0 to 1."""

    def readable_bytes(self, role: Role) -> float | None:
        """How many bytes of prose of one request the guard `role` can read in time; None where that is not known."""

    async def entailments(self, premise: str, hypotheses: Sequence[str]) -> tuple[float, ...]:
        """For each hypothesis, how likely `premise` entails it, 0 to 1."""

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        """The calls that the conversation asks for."""
