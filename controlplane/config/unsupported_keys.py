"""Refuses keys of features that come in a later release, and keys without a value. Used by `load`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from controlplane.config.yaml_tree import Finding, ListNode, Loc, MapNode, Mark, Node, Scalar, matches
from controlplane.quoting import quoted

_UPSTREAM_TLS: Final = "certificates of `https` servers are verified against the public authorities"
_MODE: Final = "choose it on the command line: `archgw up --local -cpu`, `archgw up --local`, `archgw up`"

# Path of the key, and the alternative until then. `*` matches any name or index.
UNSUPPORTED: Final[tuple[tuple[str, str], ...]] = (
    ("model_serving.mode", _MODE),
    ("model_serving.device", _MODE),
    ("model_serving.roles.chat", "the model `chat` runs on the local Triton; another server is an LLM provider"),
    ("ratelimits", "token limits come later; limit requests in front of the gateway"),
    ("rate_limits", "token limits come later; limit requests in front of the gateway"),
    ("routing", "requests name their provider or model, or go to the provider with `default: true`"),
    ("routing_preferences", "requests name their provider or model, or go to the provider with `default: true`"),
    ("model_aliases", "requests name a provider by its `name`, which can be any word"),
    ("agents", "describe APIs as `prompt_targets`"),
    ("filters", "describe APIs as `prompt_targets`"),
    ("mcp_servers", "describe APIs as `prompt_targets`"),
    ("client_keys", "clients are not authenticated yet; keep the listeners on a private address"),
    ("cache", "answers are not cached"),
    ("state_storage", "the gateway keeps no conversation: its state travels with the client"),
    ("state_storage_v1_responses", "the gateway keeps no conversation: its state travels with the client"),
    ("metrics", "Envoy counts on its admin socket"),
    ("listeners.*.tls", "terminate TLS in front of the gateway"),
    ("listeners.*.timeout", "timeouts belong to `endpoints.<name>` and to each of `llm_providers`"),
    ("listeners.*.message_format", "both listeners speak OpenAI's format"),
    ("listeners.*.client_keys", "clients are not authenticated yet; keep the listeners on a private address"),
    ("endpoints.*.retries", "each prompt target has its own: `endpoint.retries`"),
    ("endpoints.*.http_headers", "each prompt target has its own: `endpoint.http_headers`"),
    ("endpoints.*.http_host", "the Host header is the first host of `endpoint`"),
    ("endpoints.*.tls", _UPSTREAM_TLS),
    ("endpoints.*.health_check", "failing calls show that a host is down"),
    ("llm_providers.*.routing_preferences", "requests name their provider or model"),
    ("llm_providers.*.usage", "requests name their provider or model"),
    ("llm_providers.*.http_host", "the Host header is the host of `base_url`"),
    ("llm_providers.*.weight", "traffic is not split between providers"),
    ("llm_providers.*.priority", "there is no failover between providers"),
    ("llm_providers.*.fallback", "there is no failover between providers"),
    ("llm_providers.*.retries", "a request is sent once"),
    ("llm_providers.*.headers", "the provider gets its key in `authorization`"),
    ("llm_providers.*.tls", _UPSTREAM_TLS),
    ("prompt_guards.output_guards", "answers are not guarded, prompts are: `input_guards`"),
    ("prompt_guards.input_guards.pii", "the guards of this release are `jailbreak` and `toxicity`"),
    ("prompt_guards.input_guards.*.apply_to", "the guards share one: `prompt_guards.apply_to`"),
    ("prompt_targets.*.type", "every target calls an API"),
    ("overrides.optimize_context_window", "conversations are sent on whole"),
    ("overrides.use_agent_orchestrator", "describe APIs as `prompt_targets`"),
    ("tracing.trace_arch_internal", "every request that is sampled is traced"),
    ("tracing.span_attributes", "spans carry the attributes that Envoy gives them"),
    ("tracing.opentracing_grpc_endpoint", "the collector is `tracing.collector`, such as http://127.0.0.1:4317"),
)
_PATTERNS: Final = tuple((tuple(path.split(".")), alternative) for path, alternative in UNSUPPORTED)
# Keys that may be null.
_NULLS: Final = ("prompt_targets", "*", "parameters", "*", "default")


def remove(root: MapNode) -> tuple[MapNode, tuple[Finding, ...]]:
    """Returns the tree without unsupported keys, and a finding for each of them and for each key without a value.

    A key without a value stays in the tree, so that the check of its section does not call it missing.
    """
    findings: list[Finding] = []
    remaining = _remove(root, (), findings)
    assert isinstance(remaining, MapNode)  # noqa: S101  only entries are removed, never the root
    return remaining, tuple(findings)


def _remove(node: Node, loc: Loc, findings: list[Finding]) -> Node:
    if isinstance(node, ListNode):
        return replace(
            node, items=tuple(_remove(item, (*loc, index), findings) for index, item in enumerate(node.items))
        )
    if not isinstance(node, MapNode):
        return node
    kept = []
    for entry in node.entries:
        key_loc = (*loc, entry.key)
        unsupported = _unsupported(key_loc, entry.mark)
        if unsupported is not None:
            findings.append(unsupported)
            continue
        if isinstance(entry.value, Scalar) and entry.value.value is None and not _may_be_null(key_loc):
            findings.append(Finding(entry.mark, f"{quoted(entry.key)} has no value", "give it one, or remove the line"))
        kept.append(replace(entry, value=_remove(entry.value, key_loc, findings)))
    return replace(node, entries=tuple(kept))


def _unsupported(loc: Loc, mark: Mark) -> Finding | None:
    for pattern, alternative in _PATTERNS:
        if matches(pattern, loc):
            return Finding(mark, f"{quoted(loc[-1])} is not supported yet", alternative)
    return None


def _may_be_null(loc: Loc) -> bool:
    return matches(_NULLS, loc[: len(_NULLS)])
