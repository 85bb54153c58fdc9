"""Files of version 0.1 are accepted with one warning a key, and keep their meaning."""

import pytest

from tests.unit.controlplane.config.files import PROVIDER, Folder

CANONICAL = """\
version: v1
listeners:
  ingress: {address: 127.0.0.1, port: 8080}
endpoints:
  api: {endpoint: "127.0.0.1:80", connect_timeout: 0.005s}
error_target: {endpoint: api, path: /error}
llm_providers:
  - {name: gpt, provider: openai, access_key: $KEY, model: gpt-4o, default: true}
  - {name: own, provider: mistral, model: m, base_url: "http://10.0.0.5:8001/v1"}
prompt_targets:
  - name: rate
    description: d
    endpoint: {name: api, path: "/v1/latest?symbols={symbol}", http_method: GET}
    parameters: [{name: symbol, description: d, required: true, type: str}]
overrides: {prompt_target_intent_matching_threshold: 0.6, stream_tool_chunks: true}
tracing: {random_sampling: 25}
"""

OLD = """\
version: v0.1
listener:
  address: 127.0.0.1
  port: 8080
  message_format: huggingface
  connect_timeout: 0.005s
endpoints:
  api: {endpoint: "127.0.0.1:80", connect_timeout: 0.005s}
llm_providers:
  - {name: gpt, provider_interface: openai, access_key: $KEY, model: gpt-4o, default: true, stream: true}
  - {name: own, provider: mistral, model: m, endpoint: "10.0.0.5:8001"}
prompt_targets:
  - name: rate
    description: d
    endpoint: {name: api, path: "/v1/latest?symbols={symbol}"}
    parameters: [{name: symbol, description: d, required: true, type: str, in_path: true}]
overrides: {prompt_target_intent_matching_threshold: 0.6}
mode: prompt
tracing: {sampling_rate: 0.25}
error_target: {endpoint: {name: api, path: /error}}
"""


def test_v01_file_loads_like_its_v1_form(folder: Folder) -> None:
    today = folder.load(CANONICAL, {"KEY": "k"})
    old = folder.load(OLD, {"KEY": "k"})
    assert today.warnings == ()
    assert old.config == today.config


def test_v01_file_gets_one_warning_a_key(folder: Folder) -> None:
    assert folder.warnings(OLD, {"KEY": "k"}) == [
        "1:1: version v0.1 is the 0.1 dialect",
        "2:1: `listener` is the 0.1 dialect",
        "5:3: `listener.message_format` is the 0.1 dialect: the gateway reads OpenAI's format, whatever it says",
        "6:3: `listener.connect_timeout` never had an effect, and has none here",
        "10:17: `provider_interface` is the 0.1 dialect",
        "10:93: `stream` is the 0.1 dialect: each request says itself whether its answer streams",
        "11:46: `endpoint` of a provider is the 0.1 dialect",
        "16:76: `in_path` is the 0.1 dialect: `{name}` in the path says it",
        "17:13: `prompt_target_intent_matching_threshold` counts on the scale of other models than those of 0.1",
        "18:1: `mode` is the 0.1 dialect",
        "19:11: `sampling_rate` is the 0.1 dialect",
        "20:16: `endpoint: {name, path}` is the 0.1 dialect",
    ]


@pytest.mark.parametrize(
    ("version", "overrides", "expected"),
    [
        ("v1", "", False),
        ("v0.1", "", True),
        ("v0.1", "overrides: {timing_header: true}\n", True),
        ("v0.1", "overrides: {stream_tool_chunks: false}\n", False),
    ],
)
def test_v01_file_enables_stream_tool_chunks(folder: Folder, version: str, overrides: str, expected: bool) -> None:
    config = folder.load(f"version: {version}\n{PROVIDER}{overrides}").config
    assert config.overrides.stream_tool_chunks is expected


def test_every_v01_warning_names_the_v1_form(folder: Folder) -> None:
    assert all(warning.hint for warning in folder.load(OLD, {"KEY": "k"}).warnings)


@pytest.mark.parametrize("version", ["v0.1", "v0.1.0", "0.1-beta", '"0.1-beta"'])
def test_accepts_each_v01_version_name(folder: Folder, version: str) -> None:
    assert len(folder.warnings(f"version: {version}\n{PROVIDER}")) == 1


@pytest.mark.parametrize("key", ["listener: {port: 1}", "mode: llm"])
def test_v1_file_refuses_v01_keys(folder: Folder, key: str) -> None:
    (problem,) = folder.problems(f"version: v1\n{key}\n{PROVIDER}")
    assert "unknown key" in problem


def test_mode_llm_disables_ingress(folder: Folder) -> None:
    config = folder.load(f"version: v0.1\nmode: llm\n{PROVIDER}").config
    assert not config.listeners.ingress.enabled
    assert config.listeners.egress.enabled


def test_mode_llm_keeps_the_address_of_the_listener(folder: Folder) -> None:
    config = folder.load(f"version: v0.1\nmode: llm\nlistener: {{port: 81}}\n{PROVIDER}").config
    assert (config.listeners.ingress.enabled, config.listeners.ingress.port) == (False, 81)


def test_provider_endpoint_can_name_an_entry_of_endpoints(folder: Folder) -> None:
    text = """\
    version: v0.1
    endpoints:
      mistral_local: {endpoint: "127.0.0.1:8001", protocol: https}
    llm_providers:
      - {name: local, provider: mistral, model: m, endpoint: mistral_local}
    """
    url = folder.load(text).config.llm_providers[0].base_url
    assert url is not None
    assert (url.secure, url.host, url.port, url.path) == (True, "127.0.0.1", 8001, "/v1")


def test_provider_endpoint_can_come_from_the_environment(folder: Folder) -> None:
    text = "version: v0.1\nllm_providers: [{name: a, provider: openai, model: m, endpoint: $HOST, protocol: https}]\n"
    url = folder.load(text, {"HOST": "llm.internal"}).config.llm_providers[0].base_url
    assert url is not None
    assert (url.secure, url.host, url.port, url.path) == (True, "llm.internal", 443, "/v1")


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("mode: other", "2:7: mode: expected llm or prompt"),
        ("listener: {message_format: xml}", "2:28: message_format: expected openai or huggingface"),
        ("listener: {port: 0}", "2:18: port: 0 is out of bounds: it must be at least 1"),
        ("listener: here", "2:11: ingress: expected a mapping of keys, got text"),
        ("listener: {}\nlisteners: {ingress: {}}", "2:1: both `listener` and `listeners.ingress` are here"),
        ("listener: {timeout: 3s}", '2:12: "timeout" is not supported yet'),
        ("tracing: {sampling_rate: 25}", "2:26: sampling_rate: expected a fraction from 0 to 1"),
        ("tracing: {sampling_rate: true}", "2:26: sampling_rate: expected a fraction from 0 to 1"),
        (
            "tracing: {sampling_rate: 0.1, random_sampling: 3}",
            "2:11: both `sampling_rate` and `random_sampling` are here",
        ),
    ],
)
def test_v01_key_errors_point_into_the_file(folder: Folder, lines: str, problem: str) -> None:
    assert folder.problems(f"version: v0.1\n{lines}\n{PROVIDER}") == [problem]


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("stream: 3, provider: triton", "stream: expected true or false"),
        ("provider: triton, provider_interface: triton", "both `provider_interface` and `provider` are here"),
        ("provider: openai, endpoint: [a, b]", "endpoint: expected one host or host:port"),
        ("provider: openai, endpoint: a, base_url: 'http://b/v1'", "both `endpoint` and `base_url` are here"),
        ("provider: openai, endpoint: a, protocol: ftp", "protocol: expected http or https"),
    ],
)
def test_reports_errors_in_v01_provider_keys(folder: Folder, rest: str, problem: str) -> None:
    problems = folder.problems(f"version: v0.1\nllm_providers: [{{name: a, model: chat, {rest}}}]\n")
    assert any(found.endswith(problem) for found in problems)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("{endpoint: {name: apj, path: /e}}", "3:33: there is no endpoint apj"),
        ("{endpoint: {path: /e}}", '3:1: "endpoint" is missing'),
        ("{endpoint: {name: api, path: e}}", '3:44: path: expected a path that starts with /, got "e"'),
        ("{endpoint: {name: api, path: /e}, path: /f}", "3:16: both `path` and `endpoint.path` are here"),
        ("{endpoint: {name: api, pth: /e}}", '3:38: unknown key "pth"'),
    ],
)
def test_v01_error_target_errors_keep_their_position(folder: Folder, target: str, problem: str) -> None:
    text = f"version: v0.1\nendpoints: {{api: {{endpoint: h}}}}\nerror_target: {target}\n{PROVIDER}"
    assert folder.problems(text) == [problem]


def test_v01_file_may_use_the_v1_error_target(folder: Folder) -> None:
    text = f"version: v0.1\nendpoints: {{api: {{endpoint: h}}}}\nerror_target: {{endpoint: api, path: /e}}\n{PROVIDER}"
    target = folder.load(text).config.error_target
    assert target is not None
    assert (target.endpoint, target.path) == ("api", "/e")


def test_in_path_must_match_the_path(folder: Folder) -> None:
    text = OLD.replace("{symbol}", "EUR")
    assert folder.problems(text, {"KEY": "k"}) == ["16:85: in_path: the path does not hold {symbol}"]


def test_errors_in_migrated_sections_keep_their_position(folder: Folder) -> None:
    text = f"version: v0.1\nlistener:\n  prt: 80\n{PROVIDER}"
    assert folder.problems(text) == ['3:3: unknown key "prt"']
