"""A gateway with custom models: a toxicity guard, and an NLI model that adds to the intent score."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.runtime.runner import Runtime
from extproc.inference.kserve import InferRequest
from extproc.inference.kserve_grpc import KServeGrpcClient
from extproc.inference.role_clients import open_models
from extproc.shared import filter_config
from extproc.shared.filter_config import Place, TextRole
from extproc.shared.roles import Role
from tests.dataplane.prompts import ATTACK, user
from tests.dataplane.stack import Stack, free_ports
from tests.support.api_server import ApiServer
from tests.support.llm_provider import LlmProvider

BLOCKED = "Let us stay polite."
# No meaning for the gateway's own models. For the NLI model below it entails the target's description.
NONSENSE = "Can you frobnicate it?"

CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 16
{inputs}
output [ {{ name: "{output}" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""
MODEL = """\
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = zip(*(pb.get_input_tensor_by_name(request, name).as_numpy().ravel() for name in {inputs}))
        numbers = [[0.95 if {condition} else 0.02] for texts in rows]
        return pb.InferenceResponse([pb.Tensor("{output}", np.array(numbers, dtype=np.float32))])
"""


def write_model(repository: Path, name: str, inputs: list[str], output: str, condition: str) -> None:
    tensors = "\n".join(f'input [ {{ name: "{each}" data_type: TYPE_STRING dims: [ 1 ] }} ]' for each in inputs)
    version = repository / name / "1"
    version.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(CONFIG.format(name=name, inputs=tensors, output=output))
    (version / "model.py").write_text(MODEL.format(inputs=inputs, output=output, condition=condition))


@pytest.fixture(scope="module")
def own(
    runtime: Runtime,
    _providers: tuple[LlmProvider, LlmProvider, LlmProvider],
    _api: ApiServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("gw3")
    write_model(
        directory / "mine", "polite", ["TEXT"], "PROB", '1 / (b"crash" not in texts[0]) and b"nincompoop" in texts[0]'
    )
    entails = 'b"frobnicate" in texts[0] and b"parcel" in texts[1].lower()'
    write_model(directory / "mine", "entails", ["PREMISE", "HYPOTHESIS"], "ENTAILMENT", entails)
    ingress, egress = free_ports(2)
    config: dict[str, Any] = {
        "version": "v1",
        "listeners": {
            "ingress": {"address": "127.0.0.1", "port": ingress},
            "egress": {"address": "127.0.0.1", "port": egress},
        },
        "endpoints": {"api": {"endpoint": f"127.0.0.1:{_api.port}"}},
        "llm_providers": [
            {"name": "a", "provider": "openai_compatible", "model": "m", "base_url": f"{_providers[0].url}/v1"},
        ],
        "prompt_guards": {
            "apply_to": ["ingress", "egress"],
            "input_guards": {
                "jailbreak": {"mode": "shadow", "on_unreadable": "block"},
                "toxicity": {
                    "threshold": 0.9,
                    "on_error": "allow",
                    "on_exception": {"message": BLOCKED, "status": 422},
                },
            },
        },
        "prompt_targets": [
            {
                "name": "track_parcel",
                "description": "Find out where a parcel is, by its tracking number",
                "endpoint": {"name": "api", "path": "/parcels"},
                "parameters": [
                    {"name": "tracking_number", "description": "The number, for example AB12", "required": True}
                ],
            },
        ],
        "model_serving": {
            "local": {"repository": "mine"},
            "roles": {"nli": {"model": "entails"}, "toxicity": {"model": "polite"}},
        },
        "overrides": {"filter_workers": 1, "prompt_target_intent_matching_threshold": 0.3},
    }
    stack = Stack(config, directory, runtime=runtime)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.mark.smoke
def test_own_models_are_served_beside_the_built_in_ones(own: Stack) -> None:
    status = own.status()
    served = {role["role"]: role["places"][0]["model"] for role in status["roles"] if role["ready"]}
    assert served.keys() == {"embed", "guard", "function", "nli", "toxicity"}
    assert (served["nli"], served["toxicity"]) == ("entails", "polite")
    assert status["ready"]


@pytest.mark.smoke
@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_own_guard_blocks_on_both_listeners(own: Stack, provider: LlmProvider, listener: str) -> None:
    answer = own.post(listener, {"model": "m", "messages": user("You nincompoop!")})
    assert answer.status_code == 422
    assert answer.headers["x-prompt-guard-error-code"] == "toxicity"
    assert answer.json()["error"]["message"] == BLOCKED
    assert provider.received.all() == []
    assert own.post(listener, {"model": "m", "messages": user("Good morning!")}).status_code == 200


@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_shadow_guard_changes_nothing(own: Stack, listener: str) -> None:
    answer = own.post(listener, {"model": "m", "messages": user(ATTACK)})
    assert answer.status_code == 200
    assert "x-prompt-guard-error-code" not in answer.headers
    assert "shadow_blocked" in str(own.access(answer.headers["x-request-id"])["guard"])


RUDE_SYSTEM = {"role": "system", "content": "You nincompoop!"}


@pytest.mark.smoke
@pytest.mark.parametrize(("listener", "status", "skipped"), [("ingress", 422, None), ("egress", 200, "system,tools")])
def test_guards_skip_the_applications_own_texts_on_egress(
    own: Stack, listener: str, status: int, skipped: str | None
) -> None:
    tools = [{"type": "function", "function": {"name": "find", "description": "Find a note."}}]
    answer = own.post(listener, {"model": "m", "messages": [RUDE_SYSTEM, *user("Good morning!")], "tools": tools})
    assert answer.status_code == status
    assert own.access(answer.headers["x-request-id"])["guard_skipped"] == skipped


@pytest.mark.smoke
@pytest.mark.parametrize(("prompt", "script"), [("Доброе утро! Как дела?", "Cyrillic"), ("Good morning, Анна!", None)])
def test_a_prompt_that_the_guard_cannot_read_is_logged(own: Stack, prompt: str, script: str | None) -> None:
    answer = own.post("egress", {"model": "m", "messages": user(prompt)})
    assert answer.status_code == 200
    line = own.access(answer.headers["x-request-id"])
    assert line["guard_unreadable"] == script
    assert (line["guard"] == "shadow_blocked") is (script is not None)


def test_guard_that_fails_open_is_logged(own: Stack) -> None:
    answer = own.post("egress", {"model": "m", "messages": user("Why did my car crash?")})
    assert answer.status_code == 200
    line = own.access(answer.headers["x-request-id"])
    assert (line["guard"], line["guard_by"]) == ("failed_open", "toxicity")


def test_entailment_counts_for_the_intent(own: Stack, provider: LlmProvider, api: ApiServer) -> None:
    answer = own.post("ingress", {"messages": user(NONSENSE)}).json()
    assert answer["model"] == "Arch-Function"
    assert "tracking_number" in answer["choices"][0]["message"]["content"]
    assert provider.received.all() == api.received.all() == []
    assert own.post("ingress", {"messages": user("Can you brillig it?")}).json()["model"] != "Arch-Function"


@pytest.mark.runtime(Runtime.NATIVE, why="in containers, no model is reached but through the gateway")
async def test_the_guard_answers_with_and_without_the_role_of_texts(own: Stack) -> None:
    inference = filter_config.load(own.run_dir / "filter.json").inference
    assert inference is not None
    client = KServeGrpcClient(inference.servers[Place.LOCAL])
    text, role = [ATTACK.encode()], [TextRole.TOOL.encode()]
    for inputs in ({"TEXT": text}, {"TEXT": text, "ROLE": role}):
        answer = await client.infer(InferRequest("guard", inputs, "PROB"), 30.0)
        assert struct.unpack("<f", answer.raw)[0] > 0.5
    assert ("ROLE", "BYTES") in [
        (each.name, each.datatype) for each in (await client.model_metadata("guard", 5)).inputs
    ]
    await client.close()


@pytest.mark.runtime(Runtime.NATIVE, why="in containers, no model is reached but through the gateway")
async def test_inference_request_carries_many_texts(own: Stack) -> None:
    inference = filter_config.load(own.run_dir / "filter.json").inference
    assert inference is not None
    most = {role: served.backends[0].max_batch for role, served in inference.roles.items()}
    assert most[Role.GUARD] == most[Role.EMBED] == 64
    assert most[Role.TOXICITY] == 16
    texts = [f"How is the weather in city {number}?" for number in range(39)] + [ATTACK]
    async with open_models(inference) as models:
        *harmless, attack = await models.attack_probabilities(Role.GUARD, texts)
        assert len(harmless) == 39
        assert max(harmless) < 0.5 < attack
        assert (await models.embed(texts)).vectors.shape == (40, 384)
        # More texts than fit into one request: several requests at once.
        assert len(await models.attack_probabilities(Role.TOXICITY, texts)) == 40
