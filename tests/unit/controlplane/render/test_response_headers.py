"""What a client of ingress is told of its prompt: from the filter's metadata, in a real Envoy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from controlplane.compile.plans import Address, Listener, Upstream
from controlplane.render.files import File
from controlplane.runtime import ports
from tests.unit.controlplane.render.plans import plan, provider
from tests.unit.controlplane.render.running import Api, Gateway, running

CHAT = "/v1/chat/completions"
HEADERS = {"x-arch-prompt-target", "x-arch-intent-drift"}
_TYPE = "type.googleapis.com/envoy.extensions.filters.http"


def _filter(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": kind, "typed_config": {"@type": f"{_TYPE}.{kind}", **config}}


def with_stand_in(files: dict[str, File], notes: dict[str, str]) -> dict[str, File]:
    """The files with something in the filter's place that says `notes` and chooses the provider."""
    tree = yaml.safe_load(files["envoy/lds.yaml"].text)
    choice = {"append": {"header": {"key": "x-arch-upstream", "value": "provider_openai"}}}
    for listener in tree["resources"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        # The route is looked for before any filter of the chain can choose.
        for entry in manager.get("early_header_mutation_extensions", ()):
            entry["typed_config"]["mutations"].append(choice)
        manager["http_filters"] = [
            _filter("set_metadata.v3.Config", {"metadata": [{"metadata_namespace": "archgw", "value": notes}]}),
            manager["http_filters"][-1],
        ]
    routes = {name: _without_the_filter(file) for name, file in files.items() if name.startswith("envoy/rds_")}
    return {**files, **routes, "envoy/lds.yaml": File(yaml.safe_dump(tree))}


def _without_the_filter(file: File) -> File:
    tree = yaml.safe_load(file.text)
    for route in tree["resources"][0]["virtual_hosts"][0]["routes"]:
        route.pop("typed_per_filter_config", None)
    return File(yaml.safe_dump(tree))


@contextmanager
def gateway(llm: int, notes: dict[str, str]) -> Iterator[Gateway]:
    first, second = ports.free(2)
    listeners = (Listener("ingress", Address("127.0.0.1", first)), Listener("egress", Address("127.0.0.1", second)))
    upstream = Upstream("provider_openai", (Address("127.0.0.1", llm),), 1000)
    subject = replace(plan(replace(provider(key=None), upstream=upstream)), listeners=listeners)
    with running(subject, change=lambda files: with_stand_in(files, notes)) as found:
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


def test_a_client_of_ingress_is_told_the_target_and_the_drift(llm: int) -> None:
    with gateway(llm, {"target": "get_weather", "drift": "true"}) as found:
        told = found.public("ingress", "POST", CHAT).headers
        assert (told["x-arch-prompt-target"], told["x-arch-intent-drift"]) == ("get_weather", "true")
        # The other listener understands no prompts.
        assert not HEADERS & set(found.public("egress", "POST", CHAT).headers)


@pytest.mark.parametrize("notes", [{"target": "get_weather"}, {"decision": "forwarded"}])
def test_where_there_is_nothing_to_tell_there_is_no_header(llm: int, notes: dict[str, str]) -> None:
    with gateway(llm, notes) as found:
        reply = found.public("ingress", "POST", CHAT, x_arch_prompt_target="forged")
        assert reply.status == 200
        assert reply.headers.get("x-arch-prompt-target") == notes.get("target")
        assert "x-arch-intent-drift" not in reply.headers
