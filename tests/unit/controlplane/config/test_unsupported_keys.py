"""Keys of later releases are refused by name, not ignored."""

import pytest

from controlplane.config.arch_config import ArchConfig
from controlplane.config.unsupported_keys import UNSUPPORTED
from controlplane.config.validation_errors import model_at
from tests.unit.controlplane.config.files import PROVIDER, Folder

WHOLE = """\
version: v1
listeners: {ingress: {}}
endpoints: {api: {endpoint: h}}
prompt_guards: {input_guards: {jailbreak: {on_exception: {}}}}
prompt_targets: [{name: t, description: d, endpoint: {name: api}}]
model_serving: {roles: {}}
overrides: {}
tracing: {}
"""


def with_key(path: str) -> str:
    """A valid file, but for the key at `path`."""
    lines = WHOLE + PROVIDER
    parent, _, key = path.replace("input_guards.*", "input_guards.jailbreak").rpartition(".")
    places = {
        "": f"version: v1\n{key}: x",
        "listeners.*": f"{{ingress: {{{key}: x, ",
        "endpoints.*": f"endpoint: h, {key}: x",
        "llm_providers.*": f"name: local, {key}: x",
        "prompt_guards": f"prompt_guards: {{{key}: x, ",
        "prompt_guards.input_guards": f"input_guards: {{{key}: x, ",
        "prompt_guards.input_guards.jailbreak": f"jailbreak: {{{key}: x, ",
        "prompt_guards.input_guards.jailbreak.on_exception": f"on_exception: {{{key}: x",
        "prompt_targets.*": f"description: d, {key}: x",
        "prompt_targets.*.endpoint": f"{{name: api, {key}: x",
        "model_serving": f"model_serving: {{{key}: x, ",
        "model_serving.roles": f"roles: {{{key}: x",
        "overrides": f"overrides: {{{key}: x",
        "tracing": f"tracing: {{{key}: x",
    }
    opening = {
        "": "version: v1",
        "listeners.*": "{ingress: {",
        "endpoints.*": "endpoint: h",
        "llm_providers.*": "name: local",
        "prompt_guards": "prompt_guards: {",
        "prompt_guards.input_guards": "input_guards: {",
        "prompt_guards.input_guards.jailbreak": "jailbreak: {",
        "prompt_guards.input_guards.jailbreak.on_exception": "on_exception: {",
        "prompt_targets.*": "description: d",
        "prompt_targets.*.endpoint": "{name: api",
        "model_serving": "model_serving: {",
        "model_serving.roles": "roles: {",
        "overrides": "overrides: {",
        "tracing": "tracing: {",
    }
    return lines.replace(opening[parent], places[parent], 1)


@pytest.mark.parametrize("path", [path for path, _ in UNSUPPORTED])
def test_unsupported_key_is_refused_with_an_alternative(folder: Folder, path: str) -> None:
    text = with_key(path)
    (problem,) = folder.problems(text)
    assert problem.endswith(f'"{path.rpartition(".")[2]}" is not supported yet')
    assert all(folder.hints(text))


@pytest.mark.parametrize("path", [path for path, _ in UNSUPPORTED])
def test_no_key_is_both_supported_and_unsupported(path: str) -> None:
    first = {"listeners": "ingress", "prompt_guards": "jailbreak"}
    section, *_ = path.split(".")
    *parents, key = path.replace("*", first.get(section, "*")).split(".")
    assert key not in model_at(tuple(parents)).model_fields


@pytest.mark.parametrize(
    "key",
    ["ratelimits", "routing", "model_aliases", "agents"],
)
def test_planned_sections_are_unsupported_keys(key: str) -> None:
    assert key in {path for path, _ in UNSUPPORTED}
    assert key not in ArchConfig.model_fields


def test_refuses_key_without_value(folder: Folder) -> None:
    text = f"version: v1\nprompt_targets:\n#  - name: x\nsystem_prompt: ~\n{PROVIDER}"
    assert folder.problems(text) == ['2:1: "prompt_targets" has no value', '4:1: "system_prompt" has no value']


def test_null_is_a_valid_parameter_default(folder: Folder) -> None:
    text = f"""\
version: v1
endpoints: {{api: {{endpoint: h}}}}
prompt_targets:
  - name: t
    description: d
    endpoint: {{name: api}}
    parameters: [{{name: p, description: d, default: null}}, {{name: q, description: d}}]
{PROVIDER}"""
    given, absent = folder.load(text).config.prompt_targets[0].parameters
    assert (given.has_default, absent.has_default) == (True, False)
