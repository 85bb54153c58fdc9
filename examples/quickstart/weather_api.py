"""The sample API of the quick start, which the prompt targets of arch_config.yaml call.

`python weather_api.py --port 18083`. The figures are made up: they are computed from the arguments, so that equal
requests have equal answers. SIGTERM and Ctrl-C stop it.
"""

from __future__ import annotations

import argparse
import zlib
from typing import Any, Final

from aiohttp import web

_SKIES: Final = ("sunny", "partly cloudy", "cloudy", "rain", "thunderstorms")
_MAX_DAYS: Final = 14


def _figure(*parts: object, below: int) -> int:
    """Returns a number in [0, below) that depends only on `parts`."""
    return zlib.crc32("/".join(str(part).strip().lower() for part in parts).encode()) % below


def forecast(location: str, days: int, units: str = "celsius") -> dict[str, Any]:
    """Returns `days` days of made-up weather."""
    answer = []
    for day in range(1, days + 1):
        low = _figure(location, "climate", below=20) + _figure(location, day, "low", below=5)
        high = low + 4 + _figure(location, day, "span", below=8)
        if units == "fahrenheit":
            low, high = round(low * 1.8 + 32), round(high * 1.8 + 32)
        answer.append({"day": day, "sky": _SKIES[_figure(location, day, below=len(_SKIES))], "low": low, "high": high})
    return {"location": location, "units": units, "forecast": answer}


def exchange(currency_symbol: str) -> dict[str, Any]:
    """Returns a made-up exchange rate of one US dollar."""
    symbol = currency_symbol.strip().upper()
    return {"base": "USD", "currency": symbol, "rate": round(0.5 + _figure(symbol, below=10_000) / 5_000, 4)}


async def _arguments(request: web.Request) -> dict[str, Any]:
    try:
        arguments = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(arguments, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    return arguments


async def _weather(request: web.Request) -> web.Response:
    match await _arguments(request):
        case {"location": str(location), "days": int(days), **rest} if location and 1 <= days <= _MAX_DAYS:
            units = rest.get("units") or "celsius"
            if units not in ("celsius", "fahrenheit"):
                raise web.HTTPBadRequest(text="units: celsius or fahrenheit")
            return web.json_response(forecast(location, days, units))
    raise web.HTTPBadRequest(text=f"required: location, a string, and days, an integer from 1 to {_MAX_DAYS}")


async def _currency(request: web.Request) -> web.Response:
    match await _arguments(request):
        case {"currency_symbol": str(symbol)} if symbol.strip():
            return web.json_response(exchange(symbol))
    raise web.HTTPBadRequest(text="required: currency_symbol, a string such as EUR")


def main() -> None:
    parser = argparse.ArgumentParser(description="The sample API of the archgw quick start.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18083)
    arguments = parser.parse_args()
    app = web.Application()
    app.router.add_post("/weather", _weather)
    app.router.add_post("/currency", _currency)
    web.run_app(app, host=arguments.host, port=arguments.port, print=lambda *_: None)


if __name__ == "__main__":
    main()
