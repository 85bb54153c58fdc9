"""Checks across sections: names that must exist or be unique, keys that contradict each other."""

import pytest

from controlplane.config.vendors import VENDORS
from extproc.shared.filter_config import ParameterType
from tests.unit.controlplane.config.files import PROVIDER, Folder


def providers(*items: str) -> str:
    return "version: v1\nllm_providers:\n" + "".join(f"  - {{{item}}}\n" for item in items)


def target(text: str, parameters: str = "[]", endpoint: str = "{name: api}") -> str:
    return f"""\
version: v1
endpoints: {{api: {{endpoint: h}}}}
prompt_targets:
  - {{name: t, description: d, {text}
     endpoint: {endpoint},
     parameters: {parameters}}}
{PROVIDER}"""


OPENAI = "name: a, provider: openai, model: m, access_key: $KEY"
ENVIRON = {"KEY": "k"}


def test_refuses_file_without_provider(folder: Folder) -> None:
    assert folder.problems("version: v1\n") == ["1:1: there is no LLM provider"]
    assert folder.problems("version: v1\nllm_providers: []\n") == ["2:1: there is no LLM provider"]


def test_misspelt_llm_providers_is_not_reported_as_missing(folder: Folder) -> None:
    text = providers(OPENAI).replace("llm_providers", "llm_provider")
    assert folder.problems(text, ENVIRON) == ['2:1: unknown key "llm_provider"']


def test_provider_names_are_unique(folder: Folder) -> None:
    text = providers(OPENAI, OPENAI)
    assert folder.problems(text, ENVIRON) == ["4:12: provider a exists already, at line 3"]


def test_providers_may_share_a_model_a_key_and_a_host(folder: Folder) -> None:
    text = providers(
        "name: a, provider: openai_compatible, model: m, base_url: 'http://h:1/v1', access_key: $KEY",
        "name: b, provider: openai_compatible, model: m, base_url: 'http://h:2/v1', access_key: $KEY",
        "name: c, provider: openai_compatible, model: m, base_url: 'http://h:2/v1', access_key: $KEY",
    )
    assert len(folder.load(text, ENVIRON).config.llm_providers) == 3


def test_several_providers_need_no_default(folder: Folder) -> None:
    text = providers(OPENAI, OPENAI.replace("name: a", "name: b"))
    assert not any(provider.default for provider in folder.load(text, ENVIRON).config.llm_providers)


def test_refuses_two_default_providers(folder: Folder) -> None:
    text = providers(f"{OPENAI}, default: true", f"{OPENAI}, default: true".replace("name: a", "name: b"))
    (problem,) = folder.problems(text, ENVIRON)
    assert problem.endswith("a second default provider: line 3 has the first")


def test_refuses_provider_named_default(folder: Folder) -> None:
    text = providers(OPENAI.replace("name: a", "name: default"))
    assert folder.problems(text, ENVIRON) == ['3:12: "default" cannot be the name of a provider']


@pytest.mark.parametrize("vendor", sorted(name for name, vendor in VENDORS.items() if vendor.needs_key))
def test_hosted_provider_needs_a_key(folder: Folder, vendor: str) -> None:
    base = f"name: a, provider: {vendor}, model: m"
    assert folder.problems(providers(base)) == [f"3:5: provider {vendor} needs access_key"]
    assert folder.load(providers(f"{base}, access_key: $KEY"), ENVIRON).warnings == ()
    assert folder.load(providers(f"{base}, passthrough_auth: true")).warnings == ()
    # A server of the user's own.
    assert folder.load(providers(f"{base}, base_url: 'http://h/v1'")).warnings == ()


def test_openai_compatible_needs_base_url(folder: Folder) -> None:
    assert folder.problems(providers("name: a, provider: openai_compatible, model: m")) == [
        "3:5: provider openai_compatible needs base_url"
    ]


def test_refuses_access_key_with_passthrough_auth(folder: Folder) -> None:
    (problem,) = folder.problems(providers(f"{OPENAI}, passthrough_auth: true"), ENVIRON)
    assert problem.endswith("access_key and passthrough_auth exclude each other")


@pytest.mark.parametrize("key", ["access_key: $KEY", "base_url: 'http://h/v1'", "passthrough_auth: true"])
def test_the_local_triton_takes_neither_key_nor_url(folder: Folder, key: str) -> None:
    (problem,) = folder.problems(providers(f"name: a, provider: triton, model: chat, {key}"), ENVIRON)
    assert problem.startswith("3:46: ")
    assert "has no meaning for provider triton" in problem


def test_the_local_triton_serves_its_chat_model(folder: Folder) -> None:
    (problem,) = folder.problems(providers("name: a, provider: triton, model: llama"))
    assert problem == "3:40: another model than chat is not supported yet for provider triton"


@pytest.mark.parametrize("vendor", ["anthropic", "gemini", "bedrock", "azure_openai", "Claude"])
def test_vendor_with_another_schema_is_not_supported_yet(folder: Folder, vendor: str) -> None:
    (problem,) = folder.problems(providers(f"name: a, provider: {vendor}, model: m"))
    assert f'provider: "{vendor}" is not supported yet' in problem


def test_warns_of_base_url_without_path_unless_it_ends_in_a_slash(folder: Folder) -> None:
    text = providers("name: a, provider: openai_compatible, model: m, base_url: 'http://h:8000'")
    assert folder.warnings(text) == ["3:54: base_url has no path: requests go to /chat/completions"]
    assert folder.warnings(text.replace(":8000", ":8000/")) == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/", "/v1/models", "/v1/v1"])
def test_warns_of_base_url_that_ends_in_an_endpoint_path(folder: Folder, path: str) -> None:
    text = providers(f"name: a, provider: openai_compatible, model: m, base_url: 'http://h:8000{path}'")
    (warning,) = folder.warnings(text)
    assert warning.endswith(", and each request adds /chat/completions to it")
    assert folder.warnings(text.replace(path, "/v1/")) == folder.warnings(text.replace(path, "/api/v1")) == []


@pytest.mark.parametrize(
    ("url", "listener"),
    [
        ("http://127.0.0.1:12000/v1", "egress"),
        ("http://localhost:10000/v1", "ingress"),
        ("http://[::1]:12000/", "egress"),
    ],
)
def test_refuses_gateway_itself_as_provider(folder: Folder, url: str, listener: str) -> None:
    text = providers(f"name: a, provider: openai_compatible, model: m, base_url: '{url}'")
    assert folder.problems(text) == [f"3:64: base_url is the gateway's own {listener} listener"]
    folder.load(text.replace(":12000", ":12001").replace(":10000", ":10001"))


def test_warns_of_host_docker_internal(folder: Folder) -> None:
    url = "base_url: 'http://host.docker.internal:1/v1'"
    text = providers(f"name: a, provider: ollama, model: m, {url}")
    (warning,) = folder.warnings(text)
    assert warning.endswith("host.docker.internal exists in containers only")
    (warning,) = folder.warnings(target("").replace("endpoint: h", "endpoint: host.docker.internal"))
    assert warning.endswith("host.docker.internal exists in containers only")


@pytest.mark.parametrize(
    ("ingress", "egress", "clash"),
    [
        ("port: 1", "port: 1", True),
        ("port: 12000", "enabled: true", True),
        ("port: 1, address: 127.0.0.1", "port: 1", True),
        ("port: 1, address: '::'", "port: 1", True),
        ("port: 1, address: 10.0.0.1", "port: 1", False),
        ("port: 1, enabled: false", "port: 1", False),
        ("port: 1", "port: 2", False),
    ],
)
def test_two_listeners_cannot_share_a_port(folder: Folder, ingress: str, egress: str, clash: bool) -> None:
    text = f"version: v1\nlisteners:\n  ingress: {{{ingress}}}\n  egress: {{{egress}}}\n{PROVIDER}"
    if clash:
        (problem,) = folder.problems(text)
        assert "both listeners use port" in problem
    else:
        folder.load(text)


def test_refuses_gateway_without_listeners(folder: Folder) -> None:
    text = f"version: v1\nlisteners: {{ingress: {{enabled: false}}, egress: {{enabled: false}}}}\n{PROVIDER}"
    assert folder.problems(text) == ["2:58: both listeners are off: there is no gateway left"]


def test_warns_of_ingress_sections_when_ingress_is_off(folder: Folder) -> None:
    text = f"version: v1\nlisteners: {{ingress: {{enabled: false}}}}\nsystem_prompt: x\nprompt_guards: {{}}\n{PROVIDER}"
    assert folder.warnings(text) == [
        "3:1: system_prompt is ignored: the ingress listener is off",
        "4:1: prompt_guards is ignored: the ingress listener is off",
    ]
    guarded = text.replace("prompt_guards: {}", "prompt_guards: {apply_to: [egress], input_guards: {jailbreak: {}}}")
    assert folder.warnings(guarded) == ["3:1: system_prompt is ignored: the ingress listener is off"]


def test_warns_of_unused_endpoint(folder: Folder) -> None:
    text = f"version: v1\nendpoints: {{api: {{endpoint: h}}}}\n{PROVIDER}"
    assert folder.warnings(text) == ["2:13: no prompt target calls endpoint api"]


def test_refuses_https_hosts_with_different_names(folder: Folder) -> None:
    text = target("").replace("endpoint: h", "endpoint: ['a:1', 'b:1'], protocol: https")
    (problem,) = folder.problems(text)
    assert "https hosts of one endpoint must have one name" in problem
    assert folder.problems(text.replace("a:1", "10.0.0.1").replace("b:1", "10.0.0.2"))
    folder.load(text.replace("b:1", "a:2"))
    folder.load(text.replace("protocol: https", "protocol: http"))


def test_target_names_are_unique(folder: Folder) -> None:
    item = "  - {name: t, description: d, endpoint: {name: api}}\n"
    text = f"version: v1\nendpoints: {{api: {{endpoint: h}}}}\nprompt_targets:\n{item * 2}{PROVIDER}"
    assert folder.problems(text) == ["5:12: prompt target t exists already, at line 4"]


def test_refuses_second_default_target(folder: Folder) -> None:
    item = "  - {name: NAME, description: d, default: true, endpoint: {name: api}}\n"
    items = item.replace("NAME", "a") + item.replace("NAME", "b")
    text = f"version: v1\nendpoints: {{api: {{endpoint: h}}}}\nprompt_targets:\n{items}{PROVIDER}"
    assert folder.problems(text) == ["5:40: a second default target: line 4 has the first"]


@pytest.mark.parametrize(
    ("endpoints", "hint"),
    [
        ("{weather_api: {endpoint: h}}", "did you mean weather_api?"),
        ("{other: {endpoint: h}}", "endpoints has: other"),
        ("{}", "endpoints has none: add it there"),
    ],
)
def test_the_endpoint_of_a_target_must_exist(folder: Folder, endpoints: str, hint: str) -> None:
    text = f"""\
version: v1
endpoints: {endpoints}
prompt_targets:
  - {{name: t, description: d, endpoint: {{name: wether_api}}}}
{PROVIDER}"""
    assert folder.problems(text) == ["4:48: there is no endpoint wether_api"]
    assert folder.hints(text) == [hint]


@pytest.mark.parametrize(
    ("parameters", "endpoint", "problem"),
    [
        ("[{name: p, description: d}]", "{name: api}", "a default target has no parameters"),
        ("[]", "{name: api, http_method: GET}", "a default target is called with POST"),
        ("[]", "{name: api, path: '/{p}'}", "a default target has no arguments to fill its path with"),
    ],
)
def test_default_target_has_only_messages(folder: Folder, parameters: str, endpoint: str, problem: str) -> None:
    text = target("default: true,", parameters, endpoint)
    if parameters == "[]":
        text = text.replace(",\n     parameters: []", "")
    (found,) = folder.problems(text)
    assert problem in found


@pytest.mark.parametrize(
    "text", ["default: true, system_prompt: s,", "auto_llm_dispatch_on_response: false, system_prompt: s,"]
)
def test_warns_of_unused_system_prompt(folder: Folder, text: str) -> None:
    file = target(text).replace(",\n     parameters: []", "")
    (warning,) = folder.warnings(file)
    assert "this system_prompt is ignored" in warning
    dispatching = file.replace("system_prompt", "auto_llm_dispatch_on_response: true, system_prompt", 1)
    if "false" not in text:
        assert folder.warnings(dispatching) == []


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ("name: p, description: d, required: true", None),
        ("name: p, description: d, default: x", None),
        ("name: q, description: d, required: true", "the path holds {p}, which is no parameter of this target"),
        ("name: p, description: d", "the path holds {p}, which a call may lack"),
        ("name: p, description: d, default: null", "the path holds {p}, which a call may lack"),
        (
            "name: p, description: d, required: true, type: list",
            "the path holds {p}, a list: a path takes single values",
        ),
        ("name: p, description: d, default: a/b", "the default cannot stand in the path: it would call another one"),
        ("name: p, description: d, default: '..'", "the default cannot stand in the path: it would call another one"),
        (
            "name: p, description: d, required: true, enum: [a, b%2fc]",
            '"b%2fc" of enum cannot stand in the path: it would call another one',
        ),
    ],
)
def test_path_placeholders_must_always_have_a_value(folder: Folder, parameter: str, problem: str | None) -> None:
    text = target("", f"[{{{parameter}}}]", "{name: api, path: '/v1/{p}?x=1'}")
    if problem is None:
        folder.load(text)
    else:
        assert [found.partition(": ")[2] for found in folder.problems(text)] == [problem]


def test_refuses_parameter_that_the_paths_query_sets(folder: Folder) -> None:
    text = target("", "[{name: p, description: d}, {name: x, description: d}]", "{name: api, path: '/v1?x=1&y={p}'}")
    text = text.replace("{name: p, description: d}", "{name: p, description: d, default: a/b}")
    (problem,) = folder.problems(text)
    assert "the path of the call sets x in its query already" in problem


@pytest.mark.parametrize("path", ["v1", "", "/a b", "/{p", "/p}", "/{}", "/{a b}", "/{{p}}", "/#x", "/\\u0000", "3"])
def test_refuses_invalid_url_path(folder: Folder, path: str) -> None:
    text = target("", "[{name: p, description: d, required: true}]", f'{{name: api, path: "{path}"}}')
    (problem,) = folder.problems(text)
    assert ": path: " in problem


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ("name: messages, description: d", '"messages" cannot be the name of a parameter'),
        ("name: p, description: d, required: true, default: x", "a required parameter is asked for"),
        ("name: p, description: d, type: int, default: '7'", "the default is not of the parameter's type, int"),
        ("name: p, description: d, type: int, default: true", "the default is not of the parameter's type, int"),
        ("name: p, description: d, type: float, default: x", "the default is not of the parameter's type, float"),
        ("name: p, description: d, type: bool, default: 1", "the default is not of the parameter's type, bool"),
        ("name: p, description: d, default: 7", "the default is not of the parameter's type, str"),
        ("name: p, description: d, type: list, default: {}", "the default is not of the parameter's type, list"),
        ("name: p, description: d, type: dict, default: []", "the default is not of the parameter's type, dict"),
        ("name: p, description: d, type: datetime, default: now", "the default is not in the format date-time"),
        ("name: p, description: d, enum: [a, b], default: c", "the default is not one of enum"),
        ("name: p, description: d, type: int, format: date", "format has no meaning for a parameter of type int"),
        ("name: p, description: d, format: phone", 'format: "phone" is not known'),
        ("name: p q, description: d", 'name: "p q" is not a usable name'),
        ("name: p", '"description" is missing'),
    ],
)
def test_refuses_contradictory_parameter(folder: Folder, parameter: str, problem: str) -> None:
    (found,) = folder.problems(target("", f"[{{{parameter}}}]"))
    assert problem in found


def test_parameter_names_are_unique(folder: Folder) -> None:
    parameter = "{name: p, description: d}"
    (problem,) = folder.problems(target("", f"[{parameter}, {parameter}]"))
    assert "parameter p exists already" in problem


@pytest.mark.parametrize(
    ("written", "resolved"),
    [
        ("int", ParameterType.INT), ("integer", ParameterType.INT), ("float", ParameterType.FLOAT),
        ("number", ParameterType.FLOAT), ("bool", ParameterType.BOOL), ("boolean", ParameterType.BOOL),
        ("str", ParameterType.STR), ("string", ParameterType.STR), ("list", ParameterType.LIST),
        ("array", ParameterType.LIST), ("dict", ParameterType.DICT), ("object", ParameterType.DICT),
    ],
)  # fmt: skip
def test_types_have_python_and_json_schema_names(folder: Folder, written: str, resolved: ParameterType) -> None:
    config = folder.load(target("", f"[{{name: p, description: d, type: {written}}}]")).config
    assert config.prompt_targets[0].parameters[0].type.type is resolved


def test_a_float_may_have_a_whole_default(folder: Folder) -> None:
    config = folder.load(target("", "[{name: p, description: d, type: float, default: 1}]")).config
    assert config.prompt_targets[0].parameters[0].default == 1
