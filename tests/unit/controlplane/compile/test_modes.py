"""Where each role's model runs: the three modes, and what a file says before them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import (
    Address,
    Credential,
    Device,
    Gateway,
    Mode,
    OwnModel,
    RemoteTriton,
    Site,
    TritonSockets,
    Upstream,
)
from controlplane.config.arch import ArchConfig
from controlplane.errors import ArchgwError, RuntimeFault, UsageError
from extproc.shared import filter_config
from extproc.shared.filter_config import Place, Role

CPU = Site(TritonSockets(http="/run/h", grpc="/run/g"), workers=4, internal_socket="/run/i", repair_lock="/run/r")
GPU = replace(CPU, mode=Mode.LOCAL_GPU, gpu="NVIDIA L4", vllm=True)
REMOTE = replace(CPU, mode=Mode.REMOTE)
LOCAL, ELSEWHERE = (Place.LOCAL,), (Place.REMOTE,)
TRITON = {"url": ["grpcs://triton.example.com"]}
BARE: dict[str, Any] = {
    "version": "v1",
    "llm_providers": [{"name": "own", "provider": "triton", "model": "chat"}],
    "prompt_guards": {"input_guards": {"jailbreak": {}}},
}


def compiled(site: Site, *own: OwnModel, **serving: Any) -> Gateway:
    config = ArchConfig.model_validate_json(json.dumps({**BARE, "model_serving": serving}))
    return compile_gateway(config, site, own)


def asked(gateway: Gateway) -> filter_config.Inference:
    assert gateway.filter_config.inference is not None
    return gateway.filter_config.inference


def places(gateway: Gateway) -> dict[Role, tuple[Place, ...]]:
    return {role: tuple(backend.place for backend in served.backends) for role, served in asked(gateway).roles.items()}


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        (CPU, dict.fromkeys((Role.EMBED, Role.GUARD, Role.FUNCTION, Role.CHAT), LOCAL)),
        (GPU, dict.fromkeys((Role.EMBED, Role.GUARD, Role.FUNCTION, Role.CHAT), LOCAL)),
        (
            REMOTE,
            {Role.EMBED: LOCAL, Role.GUARD: ELSEWHERE, Role.FUNCTION: ELSEWHERE, Role.CHAT: LOCAL},
        ),
    ],
)
def test_the_command_places_each_role(site: Site, expected: dict[Role, tuple[Place, ...]]) -> None:
    assert places(compiled(site, remote=TRITON)) == expected


@pytest.mark.parametrize("site", [CPU, GPU, REMOTE])
def test_what_the_file_says_of_a_role_goes_before_the_command(site: Site) -> None:
    roles = {
        "guard": {"backend": ["remote", "local"]},
        "embed": {"backend": ["remote"]},
        "function": {"backend": ["local"]},
        "nli": {"backend": ["remote"], "model": "entailment"},
    }
    gateway = compiled(site, remote=TRITON, roles=roles)
    assert places(gateway) == {
        Role.EMBED: ELSEWHERE,
        Role.NLI: ELSEWHERE,
        Role.GUARD: (Place.REMOTE, Place.LOCAL),
        Role.FUNCTION: LOCAL,
        Role.CHAT: LOCAL,
    }
    assert gateway.models.names == ("guard", "function", "chat")
    assert [place.model for place in asked(gateway).roles[Role.NLI].backends] == ["entailment"]
    assert [place.model for place in asked(gateway).roles[Role.GUARD].backends] == ["guard", "guard"]


def test_without_a_url_plain_up_says_what_to_write_and_how_to_do_without() -> None:
    with pytest.raises(UsageError) as caught:
        compiled(REMOTE)
    message = str(caught.value)
    assert "guard and function" in message
    assert "model_serving.remote.url" in message
    assert "url: grpcs://triton.example.com:443" in message
    assert "archgw up --local -cpu" in message


def test_without_a_url_plain_up_runs_where_every_role_is_placed_here() -> None:
    roles = {"guard": {"backend": ["local"]}, "function": {"backend": ["local"]}}
    gateway = compiled(REMOTE, roles=roles)
    assert set(places(gateway).values()) == {LOCAL}
    assert gateway.envoy.remote is None


def test_where_nothing_runs_here_there_is_no_model_and_no_local_server() -> None:
    config = ArchConfig.model_validate_json(
        json.dumps(
            {
                **BARE,
                "listeners": {"ingress": {"enabled": False}},
                "llm_providers": [{"name": "gpt", "provider": "openai", "model": "m", "access_key": "k"}],
                "prompt_guards": {"apply_to": ["egress"], "input_guards": {"jailbreak": {}, "toxicity": {}}},
                "model_serving": {"remote": TRITON},
            }
        )
    )
    gateway = compile_gateway(config, REMOTE)
    assert gateway.models.names == ()
    assert asked(gateway).servers == {
        Place.REMOTE: filter_config.Server(
            address="unix:/run/i", protocol=filter_config.Protocol.GRPC, upstream="triton_remote"
        )
    }
    assert places(gateway) == {Role.GUARD: ELSEWHERE, Role.TOXICITY: ELSEWHERE}
    assert asked(gateway).models_timeout_ms == asked(gateway).roles[Role.GUARD].timeout_ms


def test_a_url_that_nothing_needs_makes_no_way_to_it() -> None:
    gateway = compiled(CPU, remote=TRITON)
    assert gateway.envoy.remote is None
    assert set(asked(gateway).servers) == {Place.LOCAL}


def test_the_budget_leaves_time_for_an_attempt_at_each_place() -> None:
    roles = {
        "guard": {"backend": ["remote", "local"], "timeout": "3s"},
        "embed": {"timeout": "1s"},
        "function": {"backend": ["remote", "local"], "timeout": "4s"},
    }
    gateway = compiled(CPU, remote=TRITON, roles=roles)
    # The guards may read a long text for ten seconds.
    assert asked(gateway).models_timeout_ms == 10_000 + 2 * 4_000
    slower = roles | {"guard": {"backend": ["remote", "local"], "timeout": "7s"}}
    assert asked(compiled(CPU, remote=TRITON, roles=slower)).models_timeout_ms == 2 * 7_000 + 2 * 4_000
    assert gateway.filter_config.request_timeout_ms > asked(gateway).models_timeout_ms


def test_a_remote_triton_is_compiled_with_all_that_the_file_says() -> None:
    remote = {
        "url": ["grpcs://a.example.com", "grpcs://b.example.com:8443"],
        "access_key": "sk-1",
        "header": "X-Api-Key",
        "tls": {"ca": "/ca", "cert": "/cert", "key": "/key", "server_name": "triton.example.com"},
        "connect_timeout": "300ms",
    }
    assert compiled(REMOTE, remote=remote).envoy.remote == RemoteTriton(
        upstream=Upstream(
            "triton_remote",
            (Address("a.example.com", 443), Address("b.example.com", 8443)),
            300,
            tls_server_name="triton.example.com",
        ),
        authority="triton.example.com",
        grpc=True,
        credential=Credential("triton_remote", "x-api-key", "", "sk-1"),
        ca=Path("/ca"),
        cert=Path("/cert"),
        key=Path("/key"),
    )


def test_the_http_form_keeps_its_path_and_the_key_is_a_bearer_s_by_default() -> None:
    gateway = compiled(REMOTE, remote={"url": ["http://10.0.0.1/serving/"], "access_key": "sk-1"})
    remote = gateway.envoy.remote
    assert remote is not None
    assert (remote.grpc, remote.path_prefix, remote.authority) == (False, "/serving", "10.0.0.1:8000")
    assert (remote.upstream.tls_server_name, remote.credential) == (
        None,
        Credential("triton_remote", "authorization", "Bearer ", "sk-1"),
    )
    assert asked(gateway).servers[Place.REMOTE].protocol is filter_config.Protocol.HTTP
    assert b"sk-1" not in filter_config.dump(gateway.filter_config)
    assert "sk-1" not in repr(gateway)


def test_a_gpu_computes_what_can_run_on_it() -> None:
    devices = {model.role: model.device for model in compiled(GPU).models.models}
    assert devices == {
        Role.EMBED: Device.GPU,
        Role.GUARD: Device.GPU,
        Role.FUNCTION: Device.CPU,
        Role.CHAT: Device.CPU,
    }
    assert {model.instances for model in compiled(GPU).models.models} == {1}
    here = {
        model.role: model.device for model in compiled(replace(REMOTE, gpu="NVIDIA L4"), remote=TRITON).models.models
    }
    assert here[Role.EMBED] is Device.GPU
    assert all(model.device is Device.CPU for model in compiled(replace(CPU, gpu="NVIDIA L4")).models.models)


@pytest.mark.parametrize(
    ("site", "artefact", "device", "behind"),
    [
        (GPU, "Arch-Function-3B", Device.GPU, "function_vllm"),
        (CPU, "Arch-Function-3B.gguf", Device.CPU, None),
        (replace(REMOTE, gpu="NVIDIA L4"), "Arch-Function-3B.gguf", Device.CPU, None),
    ],
)
def test_a_model_of_the_catalogue_runs_on_what_there_is(
    site: Site, artefact: str, device: Device, behind: str | None
) -> None:
    roles = {"function": {"model": "Arch-Function-3B", "backend": ["local"]}, "guard": {"backend": ["local"]}}
    (model,) = (each for each in compiled(site, roles=roles).models.models if each.role == "function")
    assert (model.artefact, model.device, model.behind) == (artefact, device, behind)


@pytest.mark.parametrize(
    ("site", "roles", "error", "words"),
    [
        (
            replace(GPU, vllm=False),
            {"function": {"model": "Arch-Function-3B"}},
            RuntimeFault,
            "vLLM backend",
        ),
        (CPU, {"guard": {"model": "their-guard"}}, UsageError, "their-guard is no model of this machine"),
        (CPU, {"nli": {"backend": ["local"]}}, UsageError, "bart-large-mnli"),
    ],
)
def test_a_model_that_cannot_run_here_is_an_error_with_a_way_out(
    site: Site, roles: dict[str, Any], error: type[ArchgwError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        compiled(site, remote=TRITON, roles=roles)
    assert "model_serving.roles." in str(caught.value)


@pytest.mark.parametrize(("site", "is_error"), [(GPU, False), (CPU, True), (REMOTE, True)])
def test_a_model_of_ones_own_that_asks_for_a_gpu_is_not_put_on_the_cpu(site: Site, is_error: bool) -> None:
    own = OwnModel("embed", "theirs", Path("/m/theirs"), 8, on_gpu=True)
    roles = {"embed": {"model": "theirs"}}
    if is_error:
        with pytest.raises(RuntimeFault, match="KIND_GPU"):
            compiled(site, own, remote=TRITON, roles=roles)
    else:
        assert compiled(site, own, remote=TRITON, roles=roles).places[0].where == "NVIDIA L4"


def test_numbers_of_the_local_triton_are_for_the_models_that_read_every_prompt() -> None:
    local = {"instances": 3, "threads": 2, "max_batch_size": 16, "max_queue_delay": "500us"}
    for model in compiled(CPU, local=local, roles={"nli": {"model": "bart-large-mnli"}}).models.models:
        found = (model.instances, model.threads, model.max_batch_size, model.max_queue_delay_us)
        assert (found == (3, 2, 16, 500)) == (model.role in {"embed", "guard", "nli"})


def test_people_are_told_which_model_runs_where() -> None:
    roles = {"guard": {"backend": ["remote", "local"]}, "embed": {"model": "bge-large-en-v1.5"}}
    gateway = compiled(replace(REMOTE, gpu="NVIDIA L4"), remote=TRITON, roles=roles)
    assert [(place.role, place.place, place.model, place.where) for place in gateway.places] == [
        ("embed", "local", "bge-large-en-v1.5", "NVIDIA L4"),
        ("guard", "remote", "guard", "grpcs://triton.example.com:443"),
        ("guard", "local", "minilm-fp16 + nanoguard-fp16", "NVIDIA L4"),
        ("function", "remote", "function", "grpcs://triton.example.com:443"),
        ("chat", "local", "smollm2", "CPU"),
    ]
