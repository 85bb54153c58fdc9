"""Configurations of gateways with remote models, and which backend served a request."""

from __future__ import annotations

import re
from typing import Any, Final

import httpx2

from tests.dataplane.stack import free_ports
from tests.support.api_server import ApiServer
from tests.support.llm_provider import LlmProvider

KEY_VARIABLE: Final = "CLOUD_KEY"
BLOCKED: Final = "The cloud says no."
# Timeout of one call to a backend. The local guard queues the calls of several clients.
TIMEOUT_MS: Final = 1000

_ENTRY: Final = re.compile(r"(?P<role>[a-z]+);dur=[\d.]+;place=(?P<place>[a-z]+)(?P<rest>[^,]*)")


def guarded_config(provider: LlmProvider, serving: dict[str, Any]) -> dict[str, Any]:
    """An egress listener with a guard. `serving`: the section `model_serving`."""
    (egress,) = free_ports(1)
    return {
        "version": "v1",
        "listeners": {"ingress": {"enabled": False}, "egress": {"address": "127.0.0.1", "port": egress}},
        "llm_providers": [
            {
                "name": "a",
                "provider": "openai_compatible",
                "model": "m",
                "base_url": f"{provider.url}/v1",
                "default": True,
            }
        ],
        "prompt_guards": {
            "apply_to": ["egress"],
            "input_guards": {"jailbreak": {"on_exception": {"message": BLOCKED}}},
        },
        "model_serving": serving,
        "overrides": {"filter_workers": 1, "timing_header": True},
    }


def prompting_config(provider: LlmProvider, api: ApiServer, serving: dict[str, Any]) -> dict[str, Any]:
    """An ingress listener too, with one prompt target that uses every role."""
    config = guarded_config(provider, serving)
    (ingress,) = free_ports(1)
    config["listeners"]["ingress"] = {"address": "127.0.0.1", "port": ingress}
    config["prompt_guards"]["apply_to"] = ["ingress"]
    config["endpoints"] = {"api": {"endpoint": f"127.0.0.1:{api.port}"}}
    config["prompt_targets"] = [
        {
            "name": "get_weather_forecast",
            "description": "Get the weather forecast for a city for a number of days",
            "endpoint": {"name": "api", "path": "/weather", "http_method": "POST"},
            "parameters": [
                {"name": "city", "description": "The name of the city", "required": True},
                {"name": "days", "type": "int", "description": "Number of days of the forecast", "required": True},
            ],
        }
    ]
    return config


def served(answer: httpx2.Response) -> dict[str, str]:
    """The place that served each role, from the timing header."""
    entries = _ENTRY.finditer(answer.headers.get("x-arch-timing", ""))
    return {entry["role"]: entry["place"] for entry in entries if "error=" not in entry["rest"]}


def backend(status: dict[str, Any], role: str, place: str) -> dict[str, Any]:
    """The status of a role's backend at one place, from `archgw status --json`."""
    (entry,) = [each for each in status["roles"] if each["role"] == role]
    (found,) = [each for each in entry["places"] if each["place"] == place]
    assert isinstance(found, dict)
    return found
