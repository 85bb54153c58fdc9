"""Places of each role's model: the three modes, and the file's settings that override them."""

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
    RemoteTriton,
    TargetEnvironment,
    TritonSockets,
    Upstream,
)
from controlplane.config.arch_config import ArchConfig
from controlplane.config.model_serving import Mode
from controlplane.errors import ArchgwError, RuntimeFault, UsageError
from controlplane.models.custom_model import CustomModel
from extproc.shared import filter_config
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role

CPU = TargetEnvironment(
    TritonSockets(http="/run/h", grpc="/run/g"), workers=4, internal_socket="/run/i", reload_lock="/run/r"
)
GPU = replace(CPU, mode=Mode.LOCAL_GPU, gpu="NVIDIA L4", vllm=True)
REMOTE = replace(CPU, mode=Mode.REMOTE)
LOCAL, ELSEWHERE = (Place.LOCAL,), (Place.REMOTE,)
TRITON = {"url": ["grpcs://triton.example.com"]}
BARE: dict[str, Any] = {
    "version": "v1",
    "llm_providers": [{"name": "own", "provider": "triton", "model": "chat"}],
    "prompt_guards": {"input_guards": {"jailbreak": {}}},
}


def compiled(environment: TargetEnvironment, *own: CustomModel, **serving: Any) -> Gateway:
    config = ArchConfig.model_validate_json(json.dumps({**BARE, "model_serving": serving}))
    return compile_gateway(config, environment, own)


def inference_of(gateway: Gateway) -> filter_config.Inference:
    assert gateway.filter_config.inference is not None
    return gateway.filter_config.inference


def places(gateway: Gateway) -> dict[Role, tuple[Place, ...]]:
    return {
        role: tuple(backend.place for backend in served.backends)
        for role, served in inference_of(gateway).roles.items()
    }


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (CPU, dict.fromkeys((Role.EMBED, Role.GUARD, Role.FUNCTION, Role.CHAT), LOCAL)),
        (GPU, dict.fromkeys((Role.EMBED, Role.GUARD, Role.FUNCTION, Role.CHAT), LOCAL)),
        (
            REMOTE,
            {Role.EMBED: LOCAL, Role.GUARD: ELSEWHERE, Role.FUNCTION: ELSEWHERE, Role.CHAT: LOCAL},
        ),
    ],
)
def test_mode_decides_where_roles_run(environment: TargetEnvironment, expected: dict[Role, tuple[Place, ...]]) -> None:
    assert places(compiled(environment, remote=TRITON)) == expected


@pytest.mark.parametrize("environment", [CPU, GPU, REMOTE])
def test_role_settings_override_the_mode(environment: TargetEnvironment) -> None:
    roles = {
        "guard": {"placement": ["remote", "local"]},
        "embed": {"placement": ["remote"]},
        "function": {"placement": ["local"]},
        "nli": {"placement": ["remote"], "model": "entailment"},
    }
    gateway = compiled(environment, remote=TRITON, roles=roles)
    assert places(gateway) == {
        Role.EMBED: ELSEWHERE,
        Role.NLI: ELSEWHERE,
        Role.GUARD: (Place.REMOTE, Place.LOCAL),
        Role.FUNCTION: LOCAL,
        Role.CHAT: LOCAL,
    }
    assert gateway.models.names == ("guard", "function", "chat")
    assert [place.model for place in inference_of(gateway).roles[Role.NLI].backends] == ["entailment"]
    assert [place.model for place in inference_of(gateway).roles[Role.GUARD].backends] == ["guard", "guard"]


def test_remote_mode_without_url_explains_the_options() -> None:
    with pytest.raises(UsageError) as caught:
        compiled(REMOTE)
    message = str(caught.value)
    assert "guard and function" in message
    assert "model_serving.remote.url" in message
    assert "url: grpcs://triton.example.com:443" in message
    assert "archgw up --local -cpu" in message


def test_remote_mode_without_url_runs_when_all_roles_are_local() -> None:
    roles = {"guard": {"placement": ["local"]}, "function": {"placement": ["local"]}}
    gateway = compiled(REMOTE, roles=roles)
    assert set(places(gateway).values()) == {LOCAL}
    assert gateway.envoy.remote is None


def test_all_remote_has_no_local_models_or_server() -> None:
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
    assert inference_of(gateway).servers == {
        Place.REMOTE: filter_config.Server(
            address="unix:/run/i", protocol=filter_config.Protocol.GRPC, upstream="triton_remote"
        )
    }
    assert places(gateway) == {Role.GUARD: ELSEWHERE, Role.TOXICITY: ELSEWHERE}
    assert inference_of(gateway).models_timeout_ms == inference_of(gateway).roles[Role.GUARD].timeout_ms


def test_unused_remote_triton_has_no_cluster() -> None:
    gateway = compiled(CPU, remote=TRITON)
    assert gateway.envoy.remote is None
    assert set(inference_of(gateway).servers) == {Place.LOCAL}


def test_models_deadline_covers_an_attempt_at_each_backend() -> None:
    roles = {
        "guard": {"placement": ["remote", "local"], "timeout": "3s"},
        "embed": {"timeout": "1s"},
        "function": {"placement": ["remote", "local"], "timeout": "4s"},
    }
    gateway = compiled(CPU, remote=TRITON, roles=roles)
    # The guards may read a long text for ten seconds.
    assert inference_of(gateway).models_timeout_ms == 10_000 + 2 * 4_000
    slower = roles | {"guard": {"placement": ["remote", "local"], "timeout": "7s"}}
    assert inference_of(compiled(CPU, remote=TRITON, roles=slower)).models_timeout_ms == 2 * 7_000 + 2 * 4_000
    assert gateway.filter_config.request_timeout_ms > inference_of(gateway).models_timeout_ms


def test_compiles_all_settings_of_the_remote_triton() -> None:
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


def test_http_remote_keeps_its_path_and_sends_a_bearer_key() -> None:
    gateway = compiled(REMOTE, remote={"url": ["http://10.0.0.1/serving/"], "access_key": "sk-1"})
    remote = gateway.envoy.remote
    assert remote is not None
    assert (remote.grpc, remote.path_prefix, remote.authority) == (False, "/serving", "10.0.0.1:8000")
    assert (remote.upstream.tls_server_name, remote.credential) == (
        None,
        Credential("triton_remote", "authorization", "Bearer ", "sk-1"),
    )
    assert inference_of(gateway).servers[Place.REMOTE].protocol is filter_config.Protocol.HTTP
    assert b"sk-1" not in filter_config.dump(gateway.filter_config)
    assert "sk-1" not in repr(gateway)


def test_models_run_on_a_gpu_where_they_can() -> None:
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
    ("environment", "artefact", "device", "behind"),
    [
        (GPU, "Arch-Function-3B", Device.GPU, "function_vllm"),
        (CPU, "Arch-Function-3B.gguf", Device.CPU, None),
        (replace(REMOTE, gpu="NVIDIA L4"), "Arch-Function-3B.gguf", Device.CPU, None),
    ],
)
def test_catalogue_model_runs_on_the_available_device(
    environment: TargetEnvironment, artefact: str, device: Device, behind: str | None
) -> None:
    roles = {"function": {"model": "Arch-Function-3B", "placement": ["local"]}, "guard": {"placement": ["local"]}}
    (model,) = (each for each in compiled(environment, roles=roles).models.models if each.role == "function")
    assert (model.artefact, model.device, model.behind) == (artefact, device, behind)


@pytest.mark.parametrize(
    ("environment", "roles", "error", "words"),
    [
        (
            replace(GPU, vllm=False),
            {"function": {"model": "Arch-Function-3B"}},
            RuntimeFault,
            "vLLM backend",
        ),
        (
            CPU,
            {"guard": {"model": "their-guard"}},
            UsageError,
            "guard runs on this machine, which has no model their-guard",
        ),
        (CPU, {"nli": {"placement": ["local"]}}, UsageError, "bart-large-mnli"),
    ],
)
def test_error_for_unrunnable_model_has_a_way_out(
    environment: TargetEnvironment, roles: dict[str, Any], error: type[ArchgwError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        compiled(environment, remote=TRITON, roles=roles)
    assert "model_serving.roles." in str(caught.value)


@pytest.mark.parametrize(("environment", "is_error"), [(GPU, False), (CPU, True), (REMOTE, True)])
def test_custom_gpu_model_does_not_run_on_a_cpu(environment: TargetEnvironment, is_error: bool) -> None:
    own = CustomModel("embed", "theirs", Path("/m/theirs"), 8, on_gpu=True)
    roles = {"embed": {"model": "theirs"}}
    if is_error:
        with pytest.raises(RuntimeFault, match="KIND_GPU"):
            compiled(environment, own, remote=TRITON, roles=roles)
    else:
        assert compiled(environment, own, remote=TRITON, roles=roles).places[0].where == "NVIDIA L4"


def test_local_settings_apply_to_models_that_read_every_prompt() -> None:
    local = {"instances": 3, "threads": 2, "max_batch_size": 16, "max_queue_delay": "500us"}
    for model in compiled(CPU, local=local, roles={"nli": {"model": "bart-large-mnli"}}).models.models:
        found = (model.instances, model.threads, model.max_batch_size, model.max_queue_delay_us)
        assert (found == (3, 2, 16, 500)) == (model.role in {"embed", "guard", "nli"})


def test_role_locations_name_model_and_device() -> None:
    roles = {"guard": {"placement": ["remote", "local"]}, "embed": {"model": "bge-large-en-v1.5"}}
    gateway = compiled(replace(REMOTE, gpu="NVIDIA L4"), remote=TRITON, roles=roles)
    assert [(place.role, place.place, place.model, place.where) for place in gateway.places] == [
        ("embed", "local", "bge-large-en-v1.5", "NVIDIA L4"),
        ("guard", "remote", "guard", "grpcs://triton.example.com:443"),
        ("guard", "local", "minilm-guard-fp16", "NVIDIA L4"),
        ("function", "remote", "function", "grpcs://triton.example.com:443"),
        ("chat", "local", "smollm2", "CPU"),
    ]
