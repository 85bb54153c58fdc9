"""Keys whose feature comes in a later release: refused by name, so that nobody believes that they work.

Also values that are simply not there: `key:` with nothing behind it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from controlplane.config.yaml_tree import Finding, ListNode, Loc, MapNode, Mark, Node, Scalar, matches
from controlplane.quoting import quoted

_UPSTREAM_TLS: Final = "certificates of `https` servers are verified against the public authorities"
_MODE: Final = "the command says it: `archgw up --local -cpu`, `archgw up --local`, `archgw up`"

# Where, and what to do until then. `*` stands for any name or index.
LATER: Final[tuple[tuple[str, str], ...]] = (
    ("model_serving.mode", _MODE),
    ("model_serving.device", _MODE),
    ("model_serving.roles.chat", "the model `chat` runs on the local Triton; another server is an LLM provider"),
    ("ratelimits", "token limits come later; limit requests in front of the gateway"),
    ("rate_limits", "token limits come later; limit requests in front of the gateway"),
    ("routing", "a request names its provider or model itself, or gets the one with `default: true`"),
    ("routing_preferences", "a request names its provider or model itself, or gets the one with `default: true`"),
    ("model_aliases", "a request names a provider by `name`, which can be any word"),
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
    ("endpoints.*.http_host", "the first host of `endpoint` is the name that it is called by"),
    ("endpoints.*.tls", _UPSTREAM_TLS),
    ("endpoints.*.health_check", "a host that fails is seen by its failing calls"),
    ("llm_providers.*.routing_preferences", "a request names its provider or model itself"),
    ("llm_providers.*.usage", "a request names its provider or model itself"),
    ("llm_providers.*.http_host", "the host of `base_url` is the name that the provider is called by"),
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
_PATTERNS: Final = tuple((tuple(path.split(".")), instead) for path, instead in LATER)
# Places where null is a value.
_NULLS: Final = ("prompt_targets", "*", "parameters", "*", "default")


def take_out(root: MapNode) -> tuple[MapNode, tuple[Finding, ...]]:
    """The tree without the keys that come later, and a finding for each, and for each key without a value.

    A key without a value stays where it is: the check of its section must still see that it is there.
    """
    findings: list[Finding] = []
    taken = _take_out(root, (), findings)
    assert isinstance(taken, MapNode)  # noqa: S101  only entries are taken out, never the root
    return taken, tuple(findings)


def _take_out(node: Node, loc: Loc, findings: list[Finding]) -> Node:
    if isinstance(node, ListNode):
        return replace(
            node, items=tuple(_take_out(item, (*loc, index), findings) for index, item in enumerate(node.items))
        )
    if not isinstance(node, MapNode):
        return node
    kept = []
    for entry in node.entries:
        where = (*loc, entry.key)
        later = _later(where, entry.mark)
        if later is not None:
            findings.append(later)
            continue
        if isinstance(entry.value, Scalar) and entry.value.value is None and not _may_be_null(where):
            findings.append(Finding(entry.mark, f"{quoted(entry.key)} has no value", "give it one, or remove the line"))
        kept.append(replace(entry, value=_take_out(entry.value, where, findings)))
    return replace(node, entries=tuple(kept))


def _later(loc: Loc, mark: Mark) -> Finding | None:
    for pattern, instead in _PATTERNS:
        if matches(pattern, loc):
            return Finding(mark, f"{quoted(loc[-1])} is not supported yet", instead)
    return None


def _may_be_null(loc: Loc) -> bool:
    return matches(_NULLS, loc[: len(_NULLS)])
