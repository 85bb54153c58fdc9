"""BFCL's rows as prompt targets, and its official checker. Used by sections and by training/function_confidence.py.

The checker is imported from the pinned wheel; the package is not installed.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from extproc.shared.filter_config import EndpointCall, HttpMethod, Items, JsonValue, Parameter, ParameterType, Target
from training import datasets

# BFCL uses Python's type names.
_TYPES: Final[Mapping[str, ParameterType]] = {
    "string": ParameterType.STR,
    "any": ParameterType.STR,
    "integer": ParameterType.INT,
    "float": ParameterType.FLOAT,
    "boolean": ParameterType.BOOL,
    "array": ParameterType.LIST,
    "tuple": ParameterType.LIST,
    "dict": ParameterType.DICT,
}
_CALL: Final = EndpointCall(endpoint="bfcl", upstream="bfcl", method=HttpMethod.POST, path="/")


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt with its targets. `answers`: the right calls, None if no call is right."""

    id: str
    category: str
    messages: tuple[Mapping[str, str], ...]
    targets: tuple[Target, ...]
    functions: Sequence[Mapping[str, Any]]
    answers: Sequence[Mapping[str, Any]] | None

    @property
    def right_names(self) -> list[str]:
        """The names of the functions in the right calls, sorted."""
        return sorted(next(iter(answer)) for answer in self.answers or ())


def rows(category: str) -> list[Row]:
    """Returns all rows of a category such as "simple_python" or "irrelevance", in order."""
    answers = {}
    if "irrelevance" not in category:
        answers = {row["id"]: row["ground_truth"] for row in datasets.bfcl_answers(category)}
    return [
        Row(
            id=row["id"],
            category=category,
            messages=tuple(row["question"][0]),
            targets=tuple(target(function) for function in row["function"]),
            functions=row["function"],
            answers=answers.get(row["id"]),
        )
        for row in datasets.bfcl(category)
    ]


def target(function: Mapping[str, Any]) -> Target:
    """Returns a BFCL function as the prompt target that arch_config.yaml would declare."""
    declared = function["parameters"]
    required = set(declared.get("required", ()))
    return Target(
        name=function["name"],
        description=function["description"],
        call=_CALL,
        parameters=tuple(_parameter(name, of, name in required) for name, of in declared["properties"].items()),
    )


def _parameter(name: str, declared: Mapping[str, Any], required: bool) -> Parameter:
    kind = _TYPES[declared["type"]]
    description = str(declared.get("description") or "")
    inner = declared.get("properties") or (declared.get("items") or {}).get("properties")
    if inner:
        # Parameters cannot declare the keys of an object: authors put them into the description.
        keys = "; ".join(f"{key} ({of['type']}): {of.get('description', '')}".strip() for key, of in inner.items())
        description = f"{description} Keys: {keys}"
    items = None
    if kind is ParameterType.LIST and (declared.get("items") or {}).get("type") in _TYPES:
        element = declared["items"]
        items = Items(type=_TYPES[element["type"]], enum=tuple(element.get("enum") or ()))
    default = declared.get("default")
    return Parameter(
        name=name,
        type=kind,
        description=description,
        required=required,
        enum=tuple(each for each in declared.get("enum") or () if isinstance(each, str | int | float)),
        format=declared.get("format"),
        items=items,
        # The model sees the default. The checker ignores whether the gateway sends it.
        default_json=None if default is None else json.dumps(default),
    )


class Checker:
    """The official AST checker of BFCL, for Python functions."""

    def __init__(self) -> None:
        wheel = str(datasets.wheel("bfcl-eval"))
        if wheel not in sys.path:
            sys.path.append(wheel)
        # The checker reads one flag from this table. The real module imports the clients of all vendors.
        table = ModuleType("bfcl_eval.constants.model_config")
        table.MODEL_CONFIG_MAPPING = {"archgw": SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]
        sys.modules[table.__name__] = table
        self._check = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker").ast_checker
        self._python = importlib.import_module("bfcl_eval.constants.enums").Language.PYTHON

    def exact(self, row: Row, calls: Sequence[tuple[str, Mapping[str, JsonValue]]]) -> bool:
        """Returns whether these are exactly the right calls with right arguments."""
        return not self.error(row, calls)

    def error(self, row: Row, calls: Sequence[tuple[str, Mapping[str, JsonValue]]]) -> str:
        """Returns the checker's error message, "" for right calls."""
        made = [{name: dict(arguments)} for name, arguments in calls]
        verdict = self._check(list(row.functions), made, list(row.answers or ()), self._python, row.category, "archgw")
        return "" if verdict["valid"] else f"{verdict.get('error_type')}: {verdict.get('error')}"
