"""Checks prompt targets: each by itself, against each other, and against the endpoints that they name."""

from __future__ import annotations

import unicodedata
from urllib.parse import parse_qs, unquote

from controlplane.config.arch_config import ArchConfig
from controlplane.config.check_report import CheckReport
from controlplane.config.parameter_checks import check_parameters
from controlplane.config.parameters import Parameter
from controlplane.config.prompt_targets import PromptTarget
from controlplane.config.suggestions import did_you_mean
from controlplane.config.url_paths import placeholders
from controlplane.config.yaml_tree import Loc
from controlplane.quoting import quoted
from extproc.shared.filter_config import ParameterType


def check_targets(config: ArchConfig, report: CheckReport) -> None:
    targets = config.prompt_targets
    report.check_unique([target.name for target in targets], ("prompt_targets",), "prompt target")
    defaults = [index for index, target in enumerate(targets) if target.default]
    for index in defaults[1:]:
        first = report.mark(("prompt_targets", defaults[0], "default")).line
        report.fault(
            ("prompt_targets", index, "default"),
            f"a second default target: line {first} has the first",
            "keep one",
        )
    _check_examples(config, report)
    for index, target in enumerate(targets):
        loc: Loc = ("prompt_targets", index)
        report.check_endpoint(target.endpoint.name, (*loc, "endpoint", "name"))
        _check_headers(target, loc, report)
        if target.default:
            _check_default_target(target, loc, report)
        else:
            _check_path(target, loc, report)
        check_parameters(target, loc, report)
        if target.system_prompt is not None and not target.dispatches_to_llm:
            report.warning(
                (*loc, "system_prompt"),
                "this system_prompt is ignored: the API's own answer goes to the client",
                "remove it, or set auto_llm_dispatch_on_response: true",
            )


def _check_examples(config: ArchConfig, report: CheckReport) -> None:
    """Refuses an example that occurs twice: in one target it is useless, in two targets it is ambiguous."""
    seen: dict[str, Loc] = {}
    for index, target in enumerate(config.prompt_targets):
        for number, example in enumerate(target.examples):
            loc: Loc = ("prompt_targets", index, "examples", number)
            first = seen.setdefault(" ".join(example.split()).casefold(), loc)
            if first != loc:
                line = report.mark(first).line
                report.fault(loc, f"this example exists already, at line {line}", "keep one: it can mean one target")


def _check_headers(target: PromptTarget, loc: Loc, report: CheckReport) -> None:
    seen: set[str] = set()
    for name in target.endpoint.http_headers:
        if name.lower() in seen:
            where = (*loc, "endpoint", "http_headers", name)
            report.fault_at_key(where, f"header {name.lower()} is here twice", "keep one: case does not count")
        seen.add(name.lower())


def _check_default_target(target: PromptTarget, loc: Loc, report: CheckReport) -> None:
    if target.parameters:
        report.fault_at_key(
            (*loc, "parameters"), "a default target has no parameters: its API gets the messages", "remove them"
        )
    if target.examples:
        report.fault_at_key(
            (*loc, "examples"),
            "a default target has no examples: it gets prompts that match no other",
            "remove them",
        )
    if target.endpoint.http_method.value != "POST":
        report.fault(
            (*loc, "endpoint", "http_method"), "a default target is called with POST: its API gets the messages"
        )
    if placeholders(target.endpoint.path):
        report.fault((*loc, "endpoint", "path"), "a default target has no arguments to fill its path with")


def _check_path(target: PromptTarget, loc: Loc, report: CheckReport) -> None:
    parameters = {parameter.name: parameter for parameter in target.parameters}
    where = (*loc, "endpoint", "path")
    for name in placeholders(target.endpoint.path):
        parameter = parameters.get(name)
        if parameter is None:
            report.fault(
                where,
                f"the path holds {{{name}}}, which is no parameter of this target",
                did_you_mean(name, parameters, form="{{{}}}") or "declare it in parameters",
            )
        elif parameter.type.type in {ParameterType.LIST, ParameterType.DICT}:
            report.fault(where, f"the path holds {{{name}}}, a {parameter.type.type}: a path takes single values")
        elif not parameter.required and (not parameter.has_default or parameter.default is None):
            report.fault(
                where,
                f"the path holds {{{name}}}, which a call may lack",
                "make the parameter required, or give it a default",
            )
        elif name in placeholders(target.endpoint.path.partition("?")[0]):
            _check_path_values(parameter, (*loc, "parameters", target.parameters.index(parameter)), report)
    set_by_path = parse_qs(target.endpoint.path.partition("?")[2], keep_blank_values=True)
    for index, declared in enumerate(target.parameters):
        if declared.name in set_by_path and declared.name not in placeholders(target.endpoint.path):
            report.fault(
                (*loc, "parameters", index, "name"),
                f"the path of the call sets {declared.name} in its query already",
                "write {" + declared.name + "} there, or rename the parameter",
            )


def _check_path_values(parameter: Parameter, loc: Loc, report: CheckReport) -> None:
    """Refuses enum values and defaults of path parameters that are not one segment: the filter would refuse them."""
    values: list[tuple[Loc, object, str]] = [
        (("enum", index), choice, f"{quoted(choice)} of enum") for index, choice in enumerate(parameter.enum)
    ]
    if parameter.has_default:
        values.append((("default",), parameter.default, "the default"))
    for path, value, what in values:
        if isinstance(value, str) and not _is_segment(value):
            report.fault(
                (*loc, *path),
                f"{what} cannot stand in the path: it would call another one",
                "use values without / and \\, or pass the parameter in the query",
            )


def _is_segment(value: str) -> bool:
    decoded = unicodedata.normalize("NFKC", unquote(unicodedata.normalize("NFKC", value)))
    return decoded.strip() not in {"", ".", ".."} and decoded.isprintable() and not set("/\\") & set(decoded)
