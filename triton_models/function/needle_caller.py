"""Answers one request to the role `function` with Needle, from JSON to JSON. Used by model.py.

{"messages": [...], "tools": [...]} -> {"tool_calls": [{"name", "arguments"}], "confidence"}; no call means that no tool
fits.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from triton_models.function.argument_conversion import conform, without_paths, without_unsupported_dates
from triton_models.function.argument_repair import repair_arguments
from triton_models.function.call_expansion import Call, expand_calls
from triton_models.function.date_words import speaks_of_dates
from triton_models.function.evidence import Evidence
from triton_models.function.needle import NeedleAnswer
from triton_models.function.needle_prompt import compose_prompt, parameter_names
from triton_models.function.request import parse_request
from triton_models.function.sentences import count_unused_values, sentences_with_values

# Under this confidence a call is most often wrong, and most often for a required value that the text lacks.
_MIN_CONFIDENCE = 0.1
# An answer sentence by sentence is preferred only if its least certain sentence has this confidence.
_MIN_SENTENCE_CONFIDENCE = 0.15


class ToolEngine(Protocol):
    """An engine that has read its tools."""

    def complete(self, text: str, max_new_tokens: int) -> NeedleAnswer:
        """Answers one prompt."""


class EnginePool(Protocol):
    """Holds one engine per tool set."""

    def get(self, facts: str, tools: str) -> ToolEngine:
        """Returns the engine that has read `tools`."""


class NeedleCaller:
    """Needle behind the interface of the role `function`."""

    def __init__(
        self, engines: EnginePool, max_new_tokens: int, today: Callable[[], datetime.date] = datetime.date.today
    ) -> None:
        self._engines = engines
        self._max_new_tokens = max_new_tokens
        self._today = today

    def reply(self, request: str) -> str:
        """Returns the calls as JSON. Raises RequestError with a message for the client if the request is malformed."""
        tools, messages = parse_request(request)
        if not tools:
            return json.dumps({"tool_calls": []})
        schemas = {tool["name"]: tool["parameters"] for tool in tools}
        text = compose_prompt(messages, parameter_names(schemas.values()))
        if not text:
            return json.dumps({"tool_calls": []})
        candidate = self._extract(text, tools, schemas)
        if candidate.confidence < _MIN_CONFIDENCE and any(schema.get("required") for schema in schemas.values()):
            # Needle's grammar makes it invent a value for each required parameter that the text lacks, and the
            # inventions spoil the other values. The gateway asks for missing values. It stays a guess: the confidence
            # of the second answer says nothing of the missing values.
            again = self._extract(text, [_all_optional(tool) for tool in tools], schemas)
            candidate = replace(again, confidence=candidate.confidence)
        return json.dumps(
            {
                "tool_calls": [{"name": name, "arguments": arguments} for name, arguments in candidate.calls],
                "confidence": candidate.confidence,
            },
            ensure_ascii=False,
        )

    def _extract(
        self, text: str, tools: Sequence[Mapping[str, Any]], schemas: Mapping[str, Mapping[str, Any]]
    ) -> _Candidate:
        engine = self._engines.get(self._facts(text), _tools_json(tools))
        return _CallExtractor(engine, self._max_new_tokens, schemas).extract(text)

    def _facts(self, text: str) -> str:
        """Returns today's date for a text that speaks of dates.

        Any other text gets the same answer every day: the date alone changes Needle's calls. The hour is left out,
        because Needle reads the tools again whenever the facts change.
        """
        return f"date: {self._today():%Y-%m-%d %a}" if speaks_of_dates(text) else ""


def _tools_json(tools: Sequence[Mapping[str, Any]]) -> str:
    """Returns the tools as JSON, in one order: a set in another order needs not be read again."""
    ordered = sorted(tools, key=lambda tool: str(tool["name"]))
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))


def _all_optional(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**tool, "parameters": {**tool["parameters"], "required": []}}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Calls for a text. `defects`: values of the text without an argument, plus missing required arguments."""

    calls: tuple[Call, ...]
    confidence: float
    defects: int


class _CallExtractor:
    """Prompts one engine with a text, and again sentence by sentence if the first answer has defects."""

    def __init__(self, engine: ToolEngine, max_new_tokens: int, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._engine = engine
        self._max_new_tokens = max_new_tokens
        self._schemas = schemas

    def extract(self, text: str) -> _Candidate:
        evidence = Evidence(text)
        calls, confidence = self._calls_of(text)
        whole = self._rate(calls, confidence, evidence)
        if not whole.calls or not whole.defects:
            return whole
        split = self._rate(*self._calls_by_sentence(text, calls), evidence)
        is_better = (
            len(split.calls) > 1 and split.confidence >= _MIN_SENTENCE_CONFIDENCE and split.defects <= whole.defects
        )
        return split if is_better else whole

    def _calls_by_sentence(self, text: str, whole_text_calls: list[Call]) -> tuple[list[Call], float]:
        calls: list[Call] = []
        lowest = 1.0
        for sentence in sentences_with_values(text):
            new_calls, confidence = self._calls_of(sentence)
            completed = self._with_earlier_values(new_calls, calls or whole_text_calls)
            calls += [call for call in completed if call not in calls]
            lowest = min(lowest, confidence) if new_calls else lowest
        return calls, lowest

    def _with_earlier_values(self, calls: Sequence[Call], earlier: Sequence[Call]) -> list[Call]:
        """Adds required arguments that only an earlier sentence has: "then repeat it for 10 seconds"."""
        completed: list[Call] = []
        for name, arguments in calls:
            before = next((previous for called, previous in earlier if called == name), {})
            required = self._schemas[name].get("required") or []
            completed.append((name, {**{key: before[key] for key in required if key in before}, **arguments}))
        return completed

    def _calls_of(self, text: str) -> tuple[list[Call], float]:
        """Prompts the engine once. Returns the calls, with arguments that the text supports, and the confidence."""
        answer = self._engine.complete(text, self._max_new_tokens)
        evidence = Evidence(text)
        calls: list[Call] = []
        for proposal in answer.proposals:
            if proposal.name not in self._schemas:
                continue
            schema = self._schemas[proposal.name]
            arguments = repair_arguments(conform(proposal.arguments, {"type": "object", **schema}), schema, evidence)
            invented = [path for path in proposal.ungrounded if not evidence.contains(arguments.get(path))]
            call = (proposal.name, without_unsupported_dates(without_paths(arguments, invented), text))
            if call not in calls:  # Needle repeats a call if a text repeats itself
                calls.append(call)
        # Needle's confidence is that all n calls are right. Its n-th root is comparable with that of one call.
        return expand_calls(calls, self._schemas, evidence), answer.confidence ** (1 / max(1, len(calls)))

    def _rate(self, calls: list[Call], confidence: float, evidence: Evidence) -> _Candidate:
        missing = sum(
            key not in arguments for name, arguments in calls for key in self._schemas[name].get("required") or []
        )
        unused = count_unused_values(evidence, [arguments for _, arguments in calls])
        return _Candidate(tuple(calls), confidence, unused + missing)
