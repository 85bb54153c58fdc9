"""Refuses keys of features that come in a later release, and keys without a value. Used by `load`."""

from __future__ import annotations

from typing import Final

from controlplane.config.yaml_tree import Finding, Loc, MapNode, Node, Scalar, key_mark, matches, rewrite
from controlplane.quoting import quoted

_UPSTREAM_TLS: Final = "certificates of `https` servers are verified against the public authorities"
_MODE: Final = "choose it on the command line: `archgw up --local -cpu`, `archgw up --local`, `archgw up`"

# Path of each key, and the alternative until the feature exists. `*` matches any name or index.
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

    def change(loc: Loc, node: Node) -> Node | None:
        alternative = next((alternative for pattern, alternative in _PATTERNS if matches(pattern, loc)), None)
        if alternative is not None:
            findings.append(Finding(key_mark(root, loc), f"{quoted(loc[-1])} is not supported yet", alternative))
            return None
        if _lacks_value(loc, node):
            findings.append(
                Finding(key_mark(root, loc), f"{quoted(loc[-1])} has no value", "give it one, or remove the line")
            )
        return node

    remaining = rewrite(root, change)
    return remaining, tuple(findings)


def _lacks_value(loc: Loc, node: Node) -> bool:
    is_null = isinstance(node, Scalar) and node.value is None
    return is_null and isinstance(loc[-1], str) and not matches(_NULLS, loc[: len(_NULLS)])
