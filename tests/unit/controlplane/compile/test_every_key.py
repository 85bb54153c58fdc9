"""Each key of the schema changes the compiled gateway: no key is accepted and ignored."""

import copy
import json
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import Gateway, TargetEnvironment, TritonSockets
from controlplane.config.arch_config import ArchConfig
from controlplane.models.catalog import catalog
from controlplane.models.custom_model import CustomModel

BASE: dict[str, Any] = {
    "version": "v1",
    "listeners": {"ingress": {}, "egress": {}},
    "endpoints": {"api": {"endpoint": "api.internal"}, "other": {"endpoint": "other.internal"}},
    "llm_providers": [
        {"name": "a", "provider": "openai", "model": "m", "base_url": "https://a.internal/v1"},
        {"name": "b", "provider": "triton", "model": "chat"},
    ],
    "prompt_guards": {"input_guards": {"jailbreak": {"on_exception": {}}, "toxicity": {"on_exception": {}}}},
    "prompt_targets": [
        {
            "name": "t",
            "description": "d",
            "endpoint": {"name": "api"},
            "parameters": [{"name": "p", "description": "d", "items": {"type": "str"}}],
        }
    ],
    "error_target": {"endpoint": "api"},
    "model_serving": {
        "remote": {"url": ["grpcs://triton.internal"], "access_key": "sk-0", "tls": {}},
        "local": {"repository": "models"},
        "roles": {
            "guard": {"placement": ["remote", "local"]},
            "embed": {},
            "nli": {"model": "entails"},
            "toxicity": {"model": "toxic"},
            "function": {},
        },
    },
    "overrides": {"intent_weights": {"nli": 0.6, "embedding": 0.4}, "grounding": {}, "long_texts": {}},
    "tracing": {},
}

GUARD_CHANGES: dict[str, Any] = {
    "threshold": 0.9,
    "on_error": "allow",
    "mode": "shadow",
    "scope": ["user"],
    "on_unreadable": "block",
    "on_exception.message": "no",
    "on_exception.status": 403,
    "on_exception.forward_to_error_target": True,
}
# Another value than the default or BASE's own, for each key that is no section.
CHANGES: dict[str, Any] = {
    "listeners.ingress.enabled": False,
    "listeners.ingress.address": "127.0.0.2",
    "listeners.ingress.port": 1,
    "listeners.ingress.allowed_hosts": ["a.internal"],
    "listeners.egress.enabled": False,
    "listeners.egress.allowed_hosts": ["a.internal"],
    "listeners.egress.address": "127.0.0.2",
    "listeners.egress.port": 1,
    "endpoints.api.endpoint": ["x:1"],
    "endpoints.api.protocol": "https",
    "endpoints.api.connect_timeout": "1s",
    "endpoints.api.timeout": "1s",
    "llm_providers.0.name": "z",
    "llm_providers.0.provider": "mistral",
    "llm_providers.0.model": "z",
    "llm_providers.0.access_key": "sk-1",
    "llm_providers.0.base_url": "http://z/v1",
    "llm_providers.0.default": True,
    "llm_providers.0.passthrough_auth": True,
    "llm_providers.0.timeout": "1s",
    "llm_providers.0.connect_timeout": "1s",
    **{
        f"prompt_guards.input_guards.{name}.{key}": value
        for name in ("jailbreak", "toxicity")
        for key, value in GUARD_CHANGES.items()
    },
    "prompt_guards.apply_to": ["egress"],
    "prompt_targets.0.name": "z",
    "prompt_targets.0.description": "z",
    "prompt_targets.0.examples": ["z"],
    "prompt_targets.0.default": True,
    "prompt_targets.0.endpoint.name": "other",
    "prompt_targets.0.endpoint.path": "/z",
    "prompt_targets.0.endpoint.http_method": "GET",
    "prompt_targets.0.endpoint.http_headers": {"x-z": "z"},
    "prompt_targets.0.endpoint.timeout": "1s",
    "prompt_targets.0.endpoint.retries": 1,
    "prompt_targets.0.parameters.0.name": "z",
    "prompt_targets.0.parameters.0.type": "int",
    "prompt_targets.0.parameters.0.description": "z",
    "prompt_targets.0.parameters.0.required": True,
    "prompt_targets.0.parameters.0.default": "z",
    "prompt_targets.0.parameters.0.enum": ["z"],
    "prompt_targets.0.parameters.0.format": "date",
    "prompt_targets.0.parameters.0.items.type": "int",
    "prompt_targets.0.parameters.0.items.enum": ["z"],
    "prompt_targets.0.parameters.0.items.format": "date",
    "prompt_targets.0.system_prompt": "z",
    "prompt_targets.0.auto_llm_dispatch_on_response": False,
    "system_prompt": "z",
    "error_target.endpoint": "other",
    "error_target.path": "/z",
    "model_serving.remote.url": ["http://z"],
    "model_serving.remote.access_key": "sk-1",
    "model_serving.remote.header": "x-api-key",
    "model_serving.remote.tls.ca": "/z",
    "model_serving.remote.tls.cert": "/z",
    "model_serving.remote.tls.key": "/z",
    "model_serving.remote.tls.server_name": "z",
    "model_serving.remote.connect_timeout": "2s",
    **{
        f"model_serving.roles.{role}.{key}": value
        for role, model in {
            "guard": "Arch-Guard",
            "embed": "bge-large-en-v1.5",
            "nli": "other",
            "toxicity": "other",
            "function": "Arch-Function-3B",
        }.items()
        for key, value in {"placement": ["remote"], "timeout": "1s", "model": model}.items()
    },
    "model_serving.local.repository": "other",
    "model_serving.local.instances": 3,
    "model_serving.local.threads": 2,
    "model_serving.local.max_batch_size": 16,
    "model_serving.local.max_queue_delay": "500us",
    "overrides.intent_weights.nli": 0.9,
    "overrides.intent_weights.embedding": 0.9,
    "overrides.grounding.enabled": False,
    "overrides.grounding.threshold": 0.9,
    "overrides.prompt_target_intent_matching_threshold": 0.9,
    "overrides.long_texts.timeout": "20s",
    "overrides.long_texts.whole": "16KiB",
    "overrides.long_texts.share": 1,
    "overrides.unknown_model": "error",
    "overrides.max_request_bytes": "1MiB",
    "overrides.max_json_values": 50_000,
    "overrides.filter_workers": 9,
    "overrides.watch_answers": True,
    "overrides.filter_transport": "grpc_aio",
    "overrides.timing_header": True,
    "overrides.stream_tool_chunks": True,
    "overrides.log_max_bytes": "1MiB",
    "overrides.log_files": 0,
    "tracing.random_sampling": 1,
    "tracing.collector": "http://z:4317",
}
# The version says how to read the rest; there is one.
WITHOUT_EFFECT = {"version"}

SITE = TargetEnvironment(TritonSockets(http="h", grpc="g"), workers=1, internal_socket="i", reload_lock="r")


def compiled(document: dict[str, Any]) -> Gateway:
    config = ArchConfig.model_validate_json(json.dumps(document))
    serving = config.model_serving
    assert serving.local.repository
    # As if each that the catalogue lacks were in the repository that the file names.
    own = [
        CustomModel(role, entry.model, Path(serving.local.repository) / entry.model, 1)
        for role, entry in serving.roles.configured.items()
        if entry.model and entry.model not in catalog().choices(role)
    ]
    return compile_gateway(config, SITE, own)


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(BASE)
    *parents, key = path.split(".")
    node: Any = document
    for step in parents:
        node = node[int(step)] if isinstance(node, list) else node[step]
    node[key] = value
    return document


def leaves(annotation: Any, path: str = "") -> set[str]:
    """The path of each key that is no section, with `api` for any endpoint and 0 for any item."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return {leaf for name, field in fields for leaf in leaves(field.annotation, f"{path}.{name}".lstrip("."))}
    sections = [option for option in get_args(annotation) if isinstance(option, type) and issubclass(option, BaseModel)]
    if not sections:
        return {path}
    origin = get_origin(annotation)
    step = ".api" if origin is dict else ".0" if origin is tuple else ""
    return leaves(sections[0], path + step)


def test_every_key_of_the_schema_is_in_the_table() -> None:
    assert leaves(ArchConfig) - WITHOUT_EFFECT == set(CHANGES)


@pytest.mark.parametrize("path", sorted(CHANGES))
def test_each_key_changes_the_compiled_gateway(path: str) -> None:
    assert compiled(changed(path, CHANGES[path])) != compiled(BASE)
