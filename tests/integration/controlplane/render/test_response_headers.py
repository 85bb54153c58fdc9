"""Response headers from the filter's dynamic metadata, in a real Envoy."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from controlplane.compile.plans import Address, Upstream
from controlplane.render.rendered_files import RenderedFile
from controlplane.runtime import ports
from tests.integration.controlplane.render.envoy_server import Api, Gateway, running
from tests.unit.controlplane.render.plans import listener, plan, provider

CHAT = "/v1/chat/completions"
HEADERS = {"x-arch-prompt-target", "x-arch-intent-drift"}
TIMING = "filter;dur=1.90, guard;dur=17.2;place=local"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http"


def _filter(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": kind, "typed_config": {"@type": f"{_TYPE}.{kind}", **config}}


def with_stand_in(files: dict[str, RenderedFile], metadata: dict[str, str]) -> dict[str, RenderedFile]:
    """Return the files with a stand-in for the filter that sets dynamic metadata and chooses the provider."""
    tree = yaml.safe_load(files["envoy/lds.yaml"].text)
    choice = {"append": {"header": {"key": "x-arch-upstream", "value": "provider_openai"}}}
    for resource in tree["resources"]:
        manager = resource["filter_chains"][0]["filters"][0]["typed_config"]
        # Envoy chooses a route before the filter chain runs.
        for entry in manager.get("early_header_mutation_extensions", ()):
            entry["typed_config"]["mutations"].append(choice)
        manager["http_filters"] = [
            _filter("set_metadata.v3.Config", {"metadata": [{"metadata_namespace": "archgw", "value": metadata}]}),
            *(each for each in manager["http_filters"] if not _asks_the_filter(each["name"])),
        ]
    routes = {name: _without_the_filter(file) for name, file in files.items() if name.startswith("envoy/rds_")}
    return {**files, **routes, "envoy/lds.yaml": RenderedFile(yaml.safe_dump(tree))}


def _asks_the_filter(name: str) -> bool:
    return name in {"envoy.filters.http.ext_proc", "archgw.response"}


def _without_the_filter(file: RenderedFile) -> RenderedFile:
    tree = yaml.safe_load(file.text)
    for route in tree["resources"][0]["virtual_hosts"][0]["routes"]:
        configured = route.pop("typed_per_filter_config", {})
        if kept := {name: each for name, each in configured.items() if not _asks_the_filter(name)}:
            route["typed_per_filter_config"] = kept
    return RenderedFile(yaml.safe_dump(tree))


@contextmanager
def gateway(llm: int, metadata: dict[str, str], *, timing_header: bool = False) -> Iterator[Gateway]:
    first, second = ports.free(2)
    listeners = (listener("ingress", first), listener("egress", second))
    upstream = Upstream("provider_openai", (Address("127.0.0.1", llm),), 1000)
    subject = replace(
        plan(replace(provider(key=None), upstream=upstream)), listeners=listeners, timing_header=timing_header
    )
    with running(subject, change=lambda files: with_stand_in(files, metadata)) as found:
        yield found


@pytest.fixture(scope="module")
def llm() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def test_ingress_response_names_target_and_drift(llm: int) -> None:
    with gateway(llm, {"target": "get_weather", "drift": "true"}) as found:
        response_headers = found.public("ingress", "POST", CHAT).headers
        assert (response_headers["x-arch-prompt-target"], response_headers["x-arch-intent-drift"]) == (
            "get_weather",
            "true",
        )
        # Egress has no prompt targets.
        assert not HEADERS & set(found.public("egress", "POST", CHAT).headers)


@pytest.mark.parametrize("metadata", [{"target": "get_weather"}, {"decision": "forwarded"}])
def test_no_header_without_a_value(llm: int, metadata: dict[str, str]) -> None:
    with gateway(llm, metadata) as found:
        reply = found.public("ingress", "POST", CHAT, x_arch_prompt_target="forged")
        assert reply.status == 200
        assert reply.headers.get("x-arch-prompt-target") == metadata.get("target")
        assert "x-arch-intent-drift" not in reply.headers


@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_timing_header_has_filter_and_provider_times(llm: int, listener: str) -> None:
    logged = {"degraded": "guard", "filter_ms": "1.90", "models_ms": "17.2", "served": "guard=local"}
    with gateway(llm, {"timing": TIMING, **logged}, timing_header=True) as found:
        reply = found.public(listener, "POST", CHAT)
        assert re.fullmatch(rf"{TIMING}, upstream;dur=\d+", reply.headers["x-arch-timing"])
        assert reply.headers["x-arch-degraded"] == "guard"
        line = found.access(reply.headers["x-request-id"])
        assert {name: line[name] for name in logged} == logged
        assert line["upstream_ms"] >= 0


def test_timing_header_of_a_local_reply_has_no_provider_time() -> None:
    (unused_port,) = ports.free(1)
    with gateway(unused_port, {"timing": TIMING, "degraded": "intent"}, timing_header=True) as found:
        reply = found.public("ingress", "POST", CHAT)
        assert reply.status == 503
        assert (reply.headers["x-arch-timing"], reply.headers["x-arch-degraded"]) == (TIMING, "intent")
        assert "x-arch-timing" not in found.public("ingress", "POST", "/nothing").headers


def test_no_timing_header_without_the_option_and_none_from_a_provider(llm: int) -> None:
    with gateway(llm, {"timing": TIMING}) as found:
        reply = found.public("ingress", "POST", CHAT, x_arch_timing="forged", x_arch_degraded="forged")
        assert reply.status == 200
        assert not {"x-arch-timing", "x-arch-degraded"} & {*reply.headers, *reply.body["headers"]}
