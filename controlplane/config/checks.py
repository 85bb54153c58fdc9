"""Checks across sections: names that must exist or be unique, keys that contradict each other. Used by `load`.

The input is a valid `ArchConfig`, or the valid part of a faulty one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from controlplane.config.addresses import is_this_machine, listened_on
from controlplane.config.arch_config import ArchConfig
from controlplane.config.check_report import CheckReport
from controlplane.config.endpoints import Endpoint, Protocol
from controlplane.config.model_serving_checks import check_serving
from controlplane.config.pipeline_checks import check_pipeline
from controlplane.config.prompt_target_checks import check_targets
from controlplane.config.providers import Provider
from controlplane.config.suggestions import suggestion
from controlplane.config.vendors import TRITON, VENDORS
from controlplane.config.yaml_tree import Finding, ListNode, Loc, MapNode, node_at
from extproc.shared.filter_config import Listener
from extproc.shared.roles import Purpose, roles_of

# The models that the local Triton can serve as a provider.
_TRITON_MODELS = tuple(map(str, roles_of(Purpose.LLM)))
# `x-arch-llm-provider-hint: default` means the default provider, whatever its name.
_RESERVED_PROVIDER = "default"
# Endings of a base URL that are mistakes: paths that clients append themselves, or `/v1` twice.
_ENDPOINT = re.compile(r"/(?:chat/completions|completions|responses|messages|embeddings|models|v1/v1)$")
_CONTAINER_HOST = "host.docker.internal"


@dataclass(slots=True)
class CheckResult:
    """Errors and warnings."""

    faults: list[Finding] = field(default_factory=list)
    warnings: tuple[Finding, ...] = ()


def check(config: ArchConfig, root: MapNode, whole: MapNode) -> CheckResult:
    """Runs all checks. `root` and `whole`: as in CheckReport."""
    report = CheckReport(root, whole)
    _check_listeners(config, report)
    _check_endpoints(config, report)
    _check_providers(config, report)
    check_targets(config, report)
    check_pipeline(config, report)
    check_serving(config, report)
    return CheckResult(report.faults, tuple(report.warnings))


def _check_listeners(config: ArchConfig, report: CheckReport) -> None:
    ingress, egress = config.listeners.ingress, config.listeners.egress
    if not ingress.enabled and not egress.enabled:
        report.fault(
            ("listeners", "egress", "enabled"), "both listeners are off: there is no gateway left", "enable one"
        )
    if ingress.enabled and egress.enabled and ingress.port == egress.port and _overlap(ingress.address, egress.address):
        loc = ("listeners", "egress" if node_at(report.root, ("listeners", "egress", "port")) else "ingress", "port")
        report.fault(loc, f"both listeners use port {ingress.port}", "give each a port of its own")
    if not ingress.enabled:
        guards = () if Listener.EGRESS in config.prompt_guards.apply_to else ("prompt_guards",)
        for section in (*guards, "prompt_targets", "system_prompt"):
            if report.root.entry(section) is not None:
                report.warning((section,), f"{section} is ignored: the ingress listener is off")


def _overlap(one: str, other: str) -> bool:
    first, second = (set(map(ipaddress.ip_address, listened_on(each, ipv6=True))) for each in (one, other))
    return bool(first & second) or any(address.is_unspecified for address in first | second)


def _check_endpoints(config: ArchConfig, report: CheckReport) -> None:
    called = {target.endpoint.name for target in config.prompt_targets}
    called |= {config.error_target.endpoint} if config.error_target else set()
    for name, endpoint in config.endpoints.items():
        loc: Loc = ("endpoints", name)
        _check_hosts(endpoint, (*loc, "endpoint"), report)
        if name not in called:
            report.warning(loc, f"no prompt target calls endpoint {name}", "remove it, or name it in a target")


def _check_hosts(endpoint: Endpoint, loc: Loc, report: CheckReport) -> None:
    hosts = [host.host for host in endpoint.endpoint]
    if endpoint.protocol is Protocol.HTTPS and len(set(hosts)) > 1:
        report.fault(
            loc,
            "https hosts of one endpoint must have one name: their certificate is checked for it",
            "make an endpoint of each host",
        )
    if _CONTAINER_HOST in hosts:
        _warn_of_container_host(loc, report)


def _warn_of_container_host(loc: Loc, report: CheckReport) -> None:
    report.warning(
        loc,
        f"{_CONTAINER_HOST} exists in containers only",
        "127.0.0.1 means the same machine and works everywhere",
    )


def _check_providers(config: ArchConfig, report: CheckReport) -> None:
    declared = report.whole.get("llm_providers")
    is_empty = isinstance(declared, ListNode) and not declared.items
    if is_empty or (declared is None and not _is_misspelt("llm_providers", report.whole)):
        report.fault_at_key(
            ("llm_providers",),
            "there is no LLM provider",
            "add llm_providers; one that needs no account: {name: local, provider: triton, model: chat, default: true}",
        )
    report.check_unique([provider.name for provider in config.llm_providers], ("llm_providers",), "provider")
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
    """Returns whether an unknown key is probably `section` misspelt. That has been reported already."""
    unknown = (entry.key for entry in whole.entries if entry.key not in ArchConfig.model_fields)
    return any(suggestion(key, (section,)) for key in unknown)


def _check_loop(provider: Provider, config: ArchConfig, loc: Loc, report: CheckReport) -> None:
    """Refuses the gateway itself as a provider: requests would loop."""
    url = provider.base_url
    if url is None or not is_this_machine(url.host):
        return
    for name, listener in (("ingress", config.listeners.ingress), ("egress", config.listeners.egress)):
        if listener.enabled and listener.port == url.port:
            report.fault((*loc, "base_url"), f"base_url is the gateway's own {name} listener", "name another server")


def _check_triton(provider: Provider, loc: Loc, report: CheckReport) -> None:
    given = {
        "access_key": provider.access_key is not None,
        "base_url": provider.base_url is not None,
        "passthrough_auth": provider.passthrough_auth,
    }
    for key, is_configured in given.items():
        if is_configured:
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


def _check_vendor(provider: Provider, loc: Loc, report: CheckReport) -> None:
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
    # A server of the user's own may need no key, even if the vendor's does.
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
    if (ending := _ENDPOINT.search(provider.base_url.path)) is not None:
        report.warning(
            (*loc, "base_url"),
            f"base_url ends in {ending[0]}, and each request adds /chat/completions to it",
            "end it in /v1, or wherever the paths of the API begin",
        )
    if provider.base_url.host == _CONTAINER_HOST:
        _warn_of_container_host((*loc, "base_url"), report)
