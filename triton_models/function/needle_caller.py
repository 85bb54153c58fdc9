"""One request to the function model, from JSON to JSON. Used by model.py.

{"messages": [...], "tools": [...]} -> {"tool_calls": [{"name", "arguments"}], "confidence"}; no call means that none
fits.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from triton_models.function.argument_conversion import conform, without, without_unsaid_dates
from triton_models.function.argument_repair import repaired
from triton_models.function.call_expansion import Call, expanded
from triton_models.function.evidence import Evidence
from triton_models.function.needle import Answer
from triton_models.function.needle_prompt import compose, parameter_names
from triton_models.function.request import parse
from triton_models.function.sentences import sentences, unused

# From this confidence on, in its least certain part, an answer sentence by sentence is taken for the better one.
_CERTAIN = 0.15


class Asked(Protocol):
    """An engine that has read its tools."""

    def ask(self, text: str, max_new_tokens: int) -> Answer:
        """One question."""


class Pool(Protocol):
    """Where engines come from."""

    def get(self, facts: str, tools: str) -> Asked:
        """The engine that has read `tools`."""


class Caller:
    """Needle behind the contract of the role `function`."""

    def __init__(
        self, engines: Pool, max_new_tokens: int, today: Callable[[], datetime.date] = datetime.date.today
    ) -> None:
        self._engines = engines
        self._max_new_tokens = max_new_tokens
        self._today = today

    def reply(self, request: str) -> str:
        """Raises RequestError, written for the caller, when the request is not what the contract says."""
        tools, turns = parse(request)
        if not tools:
            return json.dumps({"tool_calls": []})
        schemas = {tool["name"]: tool["parameters"] for tool in tools}
        text = compose(turns, parameter_names(schemas.values()))
        if not text:
            return json.dumps({"tool_calls": []})
        # The day without the hour: a tool set is read again whenever the facts change.
        facts = f"date: {self._today():%Y-%m-%d %a}"
        engine = self._engines.get(facts, json.dumps(tools, ensure_ascii=False, separators=(",", ":")))
        attempt = _Reader(engine, self._max_new_tokens, schemas).read(text)
        return json.dumps(
            {
                "tool_calls": [{"name": name, "arguments": arguments} for name, arguments in attempt.calls],
                "confidence": attempt.confidence,
            },
            ensure_ascii=False,
        )


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The calls that one way of asking gave. `faults`: how much speaks against them; 0 is nothing."""

    calls: tuple[Call, ...]
    confidence: float
    faults: int


class _Reader:
    """Asks one engine about one text, and once more in parts where the first answer leaves something out."""

    def __init__(self, engine: Asked, max_new_tokens: int, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._engine = engine
        self._max_new_tokens = max_new_tokens
        self._schemas = schemas

    def read(self, text: str) -> _Attempt:
        evidence = Evidence(text)
        calls, confidence = self._ask(text)
        whole = self._judged(calls, confidence, evidence)
        if not whole.calls or not whole.faults:
            return whole
        parts = self._judged(*self._by_sentence(text, calls), evidence)
        certain = len(parts.calls) > 1 and parts.confidence >= _CERTAIN and parts.faults <= whole.faults
        return parts if certain else whole

    def _by_sentence(self, text: str, calls: list[Call]) -> tuple[list[Call], float]:
        """Every sentence with values is asked by itself."""
        found: list[Call] = []
        lowest = 1.0
        for sentence in sentences(text):
            more, sure = self._ask(sentence)
            found += [call for call in self._inherited(more, found or calls) if call not in found]
            lowest = min(lowest, sure) if more else lowest
        return found, lowest

    def _inherited(self, calls: Sequence[Call], earlier: Sequence[Call]) -> list[Call]:
        """What a part does not say again holds as the part before said it: "then repeat it for 10 seconds"."""
        whole: list[Call] = []
        for name, arguments in calls:
            before = next((given for called, given in earlier if called == name), {})
            required = self._schemas[name].get("required") or []
            whole.append((name, {**{key: before[key] for key in required if key in before}, **arguments}))
        return whole

    def _ask(self, text: str) -> tuple[list[Call], float]:
        """One question to the engine: its calls, as far as the text holds them, and its confidence."""
        answer = self._engine.ask(text, self._max_new_tokens)
        evidence = Evidence(text)
        calls: list[Call] = []
        for proposal in answer.proposals:
            if proposal.name not in self._schemas:
                continue
            schema = self._schemas[proposal.name]
            arguments = repaired(conform(proposal.arguments, {"type": "object", **schema}), schema, evidence)
            invented = [path for path in proposal.ungrounded if not evidence.says(arguments.get(path))]
            call = (proposal.name, without_unsaid_dates(without(arguments, invented), text))
            if call not in calls:  # it repeats itself when a text says the same thing twice
                calls.append(call)
        # It is that all calls are right; as that of each one it compares with the confidence of a single call.
        return expanded(calls, self._schemas, evidence), answer.confidence ** (1 / max(1, len(calls)))

    def _judged(self, calls: list[Call], confidence: float, evidence: Evidence) -> _Attempt:
        """Every value that is named and not taken counts, and every one that is required and not given."""
        missing = sum(
            key not in arguments for name, arguments in calls for key in self._schemas[name].get("required") or []
        )
        return _Attempt(tuple(calls), confidence, unused(evidence, [arguments for _, arguments in calls]) + missing)
