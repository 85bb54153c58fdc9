"""The configuration of the session's gateway, and the keys in its environment."""

from __future__ import annotations

from typing import Any, Final

from tests.dataplane.stack import free_ports
from tests.support.api_server import ApiServer
from tests.support.llm_provider import LlmProvider

KEYS: Final = {
    "MAIN_KEY": "sk-main-4c1f9b2e",
    "SECOND_KEY": "sk-second-77aa0d31",
    "TLS_KEY": "sk-tls-e5b09c62",
    "PARCEL_TOKEN": "token-parcel-91d2c7a4",
}

BLOCKED: Final = "This prompt is not allowed here."


def gateway_config(providers: tuple[LlmProvider, LlmProvider, LlmProvider], api: ApiServer) -> dict[str, Any]:
    """A configuration with every kind of provider and prompt target that the tests need."""
    main, second, tls = providers
    ingress, egress, closed = free_ports(3)
    return {
        "version": "v1",
        "listeners": {
            "ingress": {"address": "127.0.0.1", "port": ingress},
            "egress": {"address": "127.0.0.1", "port": egress},
        },
        "endpoints": {
            "weather_api": {"endpoint": f"127.0.0.1:{api.port}", "timeout": "3s"},
            "gone_api": {"endpoint": f"127.0.0.1:{closed}"},
        },
        "llm_providers": [
            {
                "name": "main",
                "provider": "openai",
                "model": "gpt-main",
                "access_key": "$MAIN_KEY",
                "base_url": f"{main.url}/openai/v1",
                "default": True,
                "timeout": "3s",
            },
            {
                "name": "second",
                "provider": "openai_compatible",
                "model": "gpt-second",
                "access_key": "${SECOND_KEY}",
                "base_url": f"{second.url}/v1",
            },
            {
                "name": "passthrough",
                "provider": "openai_compatible",
                "model": "gpt-pass",
                "passthrough_auth": True,
                "base_url": f"{second.url}/pass/v1",
            },
            {
                "name": "secure",
                "provider": "openai_compatible",
                "model": "gpt-tls",
                "access_key": "$TLS_KEY",
                "base_url": f"{tls.url}/v1",
            },
            {
                "name": "gone",
                "provider": "openai_compatible",
                "model": "gpt-gone",
                "base_url": f"http://127.0.0.1:{closed}/v1",
            },
            {"name": "local", "provider": "triton", "model": "chat"},
        ],
        "prompt_guards": {"input_guards": {"jailbreak": {"on_exception": {"message": BLOCKED}}}},
        "overrides": {"timing_header": True},
        "system_prompt": "You are a helpful assistant.",
        "prompt_targets": [
            {
                "name": "get_weather_forecast",
                "description": "Get the weather forecast for a city for a number of days",
                "endpoint": {"name": "weather_api", "path": "/weather", "http_method": "POST"},
                "system_prompt": "You are a weather forecaster.",
                "parameters": [
                    {"name": "city", "type": "str", "description": "The name of the city", "required": True},
                    {"name": "days", "type": "int", "description": "Number of days of the forecast", "required": True},
                    {
                        "name": "unit",
                        "type": "str",
                        "description": "Unit of temperature",
                        "enum": ["celsius", "fahrenheit"],
                        "default": "celsius",
                    },
                ],
            },
            {
                "name": "convert_currency",
                "description": "Get the exchange rate of a currency against the US dollar",
                "endpoint": {"name": "weather_api", "path": "/rates/{currency}", "http_method": "GET"},
                "auto_llm_dispatch_on_response": False,
                "parameters": [
                    {
                        "name": "currency",
                        "type": "str",
                        "description": "The currency, for example EUR or yen",
                        "required": True,
                    },
                ],
            },
            {
                "name": "reboot_server",
                "description": "Reboot a server in the data center",
                "endpoint": {"name": "gone_api", "path": "/reboot", "http_method": "POST"},
                "parameters": [
                    {"name": "server", "type": "str", "description": "The name of the server", "required": True},
                ],
            },
            {
                "name": "track_parcel",
                "description": "Find out where a parcel is, by its tracking number",
                "examples": ["Where is my parcel AB12?", "Has the package with tracking number ZX98 been delivered?"],
                "endpoint": {
                    "name": "weather_api",
                    "path": "/parcels/{tracking_number}",
                    "http_method": "POST",
                    "http_headers": {"x-parcel-token": "$PARCEL_TOKEN", "x-parcel-client": "archgw tests"},
                    "timeout": "500ms",
                    "retries": 2,
                },
                "parameters": [
                    {
                        "name": "tracking_number",
                        "type": "str",
                        "description": "The tracking number of the parcel, for example AB12",
                        "required": True,
                    },
                ],
            },
        ],
    }
