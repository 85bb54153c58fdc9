"""What no section can check alone: names that must exist, or must not exist twice; keys that contradict each other.

Works on a valid `ArchConfig`, or on the valid part of a faulty one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from controlplane.config.addresses import is_ip
from controlplane.config.arch import ArchConfig
from controlplane.config.document import Finding, ListNode, Loc, MapNode, Mark, key_mark, node_at, value_mark
from controlplane.config.endpoints import Endpoint, Protocol
from controlplane.config.problems import suggestion
from controlplane.config.providers import TRITON, VENDORS, Provider
from controlplane.config.targets import Parameter, PromptTarget, placeholders
from extproc.contract import ParameterType

# The models that the local Triton can serve as a provider.
_TRITON_MODELS = ("chat",)
# `x-arch-llm-provider-hint: default` means the default provider, whatever its name.
_RESERVED_PROVIDER = "default"
# The key of an API call's body that holds the conversation.
_RESERVED_PARAMETER = "messages"
_CONTAINER_HOST = "host.docker.internal"


@dataclass(slots=True)
class Checked:
    """What the checks found."""

    faults: list[Finding] = field(default_factory=list)
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Report:
    """Collects findings at places of `root`, the tree that the checked configuration was made from."""

    root: MapNode
    faults: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def mark(self, loc: Loc) -> Mark:
        return value_mark(self.root, loc)

    def fault(self, loc: Loc, message: str, hint: str | None = None) -> None:
        self.faults.append(Finding(value_mark(self.root, loc), message, hint))

    def fault_at_key(self, loc: Loc, message: str, hint: str | None = None) -> None:
        self.faults.append(Finding(key_mark(self.root, loc), message, hint))

    def warning(self, loc: Loc, message: str, hint: str | None = None) -> None:
        self.warnings.append(Finding(key_mark(self.root, loc), message, hint))


def check(config: ArchConfig, root: MapNode, whole: MapNode) -> Checked:
    """All findings. `whole` is the tree of the whole file: a faulty item of it is declared all the same."""
    report = _Report(root)
    _check_listeners(config, report)
    _check_endpoints(config, report)
    _check_providers(config, report, whole)
    _check_targets(config, report, whole)
    return Checked(report.faults, tuple(report.warnings))


def _check_listeners(config: ArchConfig, report: _Report) -> None:
    ingress, egress = config.listeners.ingress, config.listeners.egress
    if not ingress.enabled and not egress.enabled:
        report.fault(
            ("listeners", "egress", "enabled"), "both listeners are off: there is no gateway left", "enable one"
        )
    if ingress.enabled and egress.enabled and ingress.port == egress.port and _overlap(ingress.address, egress.address):
        loc = ("listeners", "egress" if node_at(report.root, ("listeners", "egress", "port")) else "ingress", "port")
        report.fault(loc, f"both listeners use port {ingress.port}", "give each a port of its own")
    if not ingress.enabled:
        for section in ("prompt_guards", "prompt_targets", "system_prompt"):
            if report.root.entry(section) is not None:
                report.warning((section,), f"{section} takes no part: the ingress listener is off")


def _overlap(one: str, other: str) -> bool:
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return first == second or first.is_unspecified or second.is_unspecified


def _check_endpoints(config: ArchConfig, report: _Report) -> None:
    called = {target.endpoint.name for target in config.prompt_targets}
    for name, endpoint in config.endpoints.items():
        loc: Loc = ("endpoints", name)
        _check_hosts(endpoint, (*loc, "endpoint"), report)
        if name not in called:
            report.warning(loc, f"no prompt target calls endpoint {name}", "remove it, or name it in a target")


def _check_hosts(endpoint: Endpoint, loc: Loc, report: _Report) -> None:
    hosts = [host.host for host in endpoint.endpoint]
    if endpoint.protocol is Protocol.HTTPS and len(set(hosts)) > 1:
        report.fault(
            loc,
            "https hosts of one endpoint must have one name: it is the name that their certificate is checked for",
            "make an endpoint of each host",
        )
    if _CONTAINER_HOST in hosts:
        _warn_of_container_host(loc, report)


def _warn_of_container_host(loc: Loc, report: _Report) -> None:
    report.warning(loc, f"{_CONTAINER_HOST} is known inside containers only", "outside of one write 127.0.0.1")


def _check_providers(config: ArchConfig, report: _Report, whole: MapNode) -> None:
    declared = whole.get("llm_providers")
    is_empty = isinstance(declared, ListNode) and not declared.items
    if is_empty or (declared is None and not _is_misspelt("llm_providers", whole)):
        report.fault_at_key(
            ("llm_providers",),
            "there is no LLM provider",
            "add llm_providers; one that needs no account: {name: local, provider: triton, model: chat, default: true}",
        )
    _check_unique([provider.name for provider in config.llm_providers], ("llm_providers",), "provider", report)
    defaults = [index for index, provider in enumerate(config.llm_providers) if provider.default]
    for index in defaults[1:]:
        first = report.mark(("llm_providers", defaults[0], "default")).line
        report.fault(
            ("llm_providers", index, "default"),
            f"a second default provider: line {first} has the first",
            "keep one",
        )
    for index, provider in enumerate(config.llm_providers):
        loc = ("llm_providers", index)
        if provider.name == _RESERVED_PROVIDER:
            report.fault(
                (*loc, "name"), '"default" cannot be the name of a provider', "it means the one with `default: true`"
            )
        if provider.provider == TRITON:
            _check_triton(provider, loc, report)
        else:
            _check_vendor(provider, loc, report)
            _check_loop(provider, config, loc, report)


def _is_misspelt(section: str, whole: MapNode) -> bool:
    """Whether an unknown key was probably meant to be `section`: it has been reported as such."""
    unknown = (entry.key for entry in whole.entries if entry.key not in ArchConfig.model_fields)
    return any(suggestion(key, (section,)) for key in unknown)


def _check_loop(provider: Provider, config: ArchConfig, loc: Loc, report: _Report) -> None:
    """A provider that is the gateway itself would be asked for ever."""
    url = provider.base_url
    if url is None or not _is_loopback(url.host):
        return
    for name, listener in (("ingress", config.listeners.ingress), ("egress", config.listeners.egress)):
        if listener.enabled and listener.port == url.port:
            report.fault((*loc, "base_url"), f"base_url is the gateway's own {name} listener", "name another server")


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if is_ip(host) else host == "localhost"


def _check_triton(provider: Provider, loc: Loc, report: _Report) -> None:
    given = {
        "access_key": provider.access_key is not None,
        "base_url": provider.base_url is not None,
        "passthrough_auth": provider.passthrough_auth,
    }
    for key, is_given in given.items():
        if is_given:
            report.fault_at_key(
                (*loc, key),
                f"{key} has no meaning for provider triton: it is the gateway's own Triton",
                "remove it; another server is openai_compatible, with its base_url",
            )
    if provider.model not in _TRITON_MODELS:
        report.fault(
            (*loc, "model"),
            "another model than chat is not supported yet for provider triton",
            "write `model: chat`; a server of your own is openai_compatible, with its base_url",
        )


def _check_vendor(provider: Provider, loc: Loc, report: _Report) -> None:
    vendor = VENDORS[provider.provider]
    if provider.url() is None:
        report.fault(
            (*loc, "base_url"),
            f"provider {provider.provider} needs base_url",
            "for example http://127.0.0.1:8000/v1",
        )
    if provider.access_key is not None and provider.passthrough_auth:
        report.fault_at_key(
            (*loc, "passthrough_auth"),
            "access_key and passthrough_auth exclude each other",
            "keep access_key for a key of yours, passthrough_auth for the client's",
        )
    # A server of the user's own may well ask for no key, whatever its vendor does.
    needs_key = vendor.needs_key and provider.base_url is None
    if needs_key and provider.access_key is None and not provider.passthrough_auth:
        report.fault(
            (*loc, "access_key"),
            f"provider {provider.provider} needs access_key",
            "write `access_key: $NAME`, or `passthrough_auth: true` to send the client's own key on",
        )
    if provider.base_url is None:
        return
    if not provider.base_url.path_given:
        report.warning(
            (*loc, "base_url"),
            "base_url has no path: requests go to /chat/completions",
            "most servers want /v1 at the end; end it with / if the root is meant",
        )
    if provider.base_url.host == _CONTAINER_HOST:
        _warn_of_container_host((*loc, "base_url"), report)


def _check_targets(config: ArchConfig, report: _Report, whole: MapNode) -> None:
    targets = config.prompt_targets
    _check_unique([target.name for target in targets], ("prompt_targets",), "prompt target", report)
    defaults = [index for index, target in enumerate(targets) if target.default]
    for index in defaults[1:]:
        first = report.mark(("prompt_targets", defaults[0], "default")).line
        report.fault(
            ("prompt_targets", index, "default"),
            f"a second default target: line {first} has the first",
            "keep one",
        )
    declared = whole.get("endpoints")
    endpoints = declared.keys() if isinstance(declared, MapNode) else ()
    for index, target in enumerate(targets):
        loc: Loc = ("prompt_targets", index)
        if target.endpoint.name not in endpoints:
            meant = suggestion(target.endpoint.name, endpoints)
            known = f"endpoints has: {', '.join(endpoints)}" if endpoints else "endpoints has none: add it there"
            report.fault(
                (*loc, "endpoint", "name"),
                f"there is no endpoint {target.endpoint.name}",
                f"did you mean {meant}?" if meant else known,
            )
        if target.default:
            _check_default_target(target, loc, report)
        else:
            _check_path(target, loc, report)
        _check_parameters(target, loc, report)
        if target.system_prompt is not None and not _dispatches(target):
            report.warning(
                (*loc, "system_prompt"),
                "this system_prompt takes no part: the API's own answer goes to the client",
                "remove it, or set auto_llm_dispatch_on_response: true",
            )


def _dispatches(target: PromptTarget) -> bool:
    dispatch = target.auto_llm_dispatch_on_response
    return not target.default if dispatch is None else dispatch


def _check_default_target(target: PromptTarget, loc: Loc, report: _Report) -> None:
    if target.parameters:
        report.fault_at_key(
            (*loc, "parameters"), "a default target has no parameters: its API gets the messages", "remove them"
        )
    if target.endpoint.http_method.value != "POST":
        report.fault(
            (*loc, "endpoint", "http_method"), "a default target is called with POST: its API gets the messages"
        )
    if placeholders(target.endpoint.path):
        report.fault((*loc, "endpoint", "path"), "a default target has no arguments to fill its path with")


def _check_path(target: PromptTarget, loc: Loc, report: _Report) -> None:
    parameters = {parameter.name: parameter for parameter in target.parameters}
    where = (*loc, "endpoint", "path")
    for name in placeholders(target.endpoint.path):
        parameter = parameters.get(name)
        if parameter is None:
            meant = suggestion(name, parameters)
            hint = f"did you mean {{{meant}}}?" if meant else "declare it in parameters"
            report.fault(where, f"the path holds {{{name}}}, which is no parameter of this target", hint)
        elif parameter.type in {ParameterType.LIST, ParameterType.DICT}:
            report.fault(where, f"the path holds {{{name}}}, a {parameter.type}: a path takes single values")
        elif not parameter.required and (not parameter.has_default or parameter.default is None):
            report.fault(
                where,
                f"the path holds {{{name}}}, which a call may lack",
                "make the parameter required, or give it a default",
            )


def _check_parameters(target: PromptTarget, loc: Loc, report: _Report) -> None:
    names = [parameter.name for parameter in target.parameters]
    _check_unique(names, (*loc, "parameters"), "parameter", report)
    for index, parameter in enumerate(target.parameters):
        where: Loc = (*loc, "parameters", index)
        if parameter.name == _RESERVED_PARAMETER:
            report.fault(
                (*where, "name"), '"messages" cannot be the name of a parameter: the call carries the messages in it'
            )
        for key, message, hint in _contradictions(parameter):
            report.fault((*where, key), message, hint)


def _contradictions(parameter: Parameter) -> Iterator[tuple[str, str, str | None]]:
    """Key, message and hint of each thing that a parameter says against itself."""
    if parameter.type is not ParameterType.STR:
        if parameter.enum:
            yield "enum", f"enum is not supported yet for a parameter of type {parameter.type}", "it works for str"
        if parameter.format is not None:
            yield "format", f"format has no meaning for a parameter of type {parameter.type}", "it works for str"
    if len(set(parameter.enum)) < len(parameter.enum):
        yield "enum", "enum names a value twice", "keep one"
    if not parameter.has_default:
        return
    if parameter.required:
        yield (
            "default",
            "a required parameter is asked for, so its default is never used",
            "remove required, or the default",
        )
    elif parameter.default is None:
        return
    elif not _is_of_type(parameter.default, parameter.type):
        yield "default", f"the default is not of the parameter's type, {parameter.type}", None
    elif parameter.enum and parameter.default not in parameter.enum:
        yield "default", "the default is not one of enum", f"enum has: {', '.join(parameter.enum)}"


def _is_of_type(value: object, kind: ParameterType) -> bool:
    match kind:
        case ParameterType.INT:
            return isinstance(value, int) and not isinstance(value, bool)
        case ParameterType.FLOAT:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ParameterType.BOOL:
            return isinstance(value, bool)
        case ParameterType.STR:
            return isinstance(value, str)
        case ParameterType.LIST:
            return isinstance(value, list)
        case ParameterType.DICT:
            return isinstance(value, dict)


def _check_unique(names: Sequence[str], loc: Loc, what: str, report: _Report) -> None:
    for index, name in enumerate(names):
        first = names.index(name)
        if first < index:
            line = report.mark((*loc, first, "name")).line
            report.fault(
                (*loc, index, "name"), f"{what} {name} exists already, at line {line}", "give each a name of its own"
            )
