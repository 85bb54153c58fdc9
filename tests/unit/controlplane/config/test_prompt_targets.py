"""Prompt targets: their API calls and their examples."""

import pytest

from tests.unit.controlplane.config.files import PROVIDER, Folder

SECRET = "Bearer sk-very-secret"


def file(endpoint: str = "", target: str = "") -> str:
    return f"""\
version: v1
endpoints: {{api: {{endpoint: h, timeout: 9s}}}}
prompt_targets:
  - name: t
    description: d
    endpoint: {{name: api{endpoint}}}
{target}
{PROVIDER}"""


def test_call_accepts_headers_timeout_and_retries(folder: Folder) -> None:
    text = file(", timeout: 2s, retries: 3, http_headers: {Authorization: 'Bearer $TOKEN', x-team: blue}")
    call = folder.load(text, {"TOKEN": "sk-1"}).config.prompt_targets[0].endpoint
    assert (call.timeout, call.retries) == (2_000, 3)
    headers = {name: value.get_secret_value() for name, value in call.http_headers.items()}
    assert headers == {"Authorization": "Bearer sk-1", "x-team": "blue"}


def test_header_values_are_never_shown(folder: Folder) -> None:
    loaded = folder.load(file(", http_headers: {authorization: $TOKEN}"), {"TOKEN": SECRET})
    assert SECRET not in repr(loaded)
    for value in (f"{SECRET}\r\nx: y", f" {SECRET}", SECRET * 1000, f"{SECRET}é"):
        problems = folder.problems(file(", http_headers: {authorization: $TOKEN}"), {"TOKEN": value})
        assert len(problems) == 1
        assert "cannot travel in a header" in problems[0]
        assert "very-secret" not in problems[0]


def test_warns_of_plain_text_key_headers_only(folder: Folder) -> None:
    text = file(f", http_headers: {{authorization: '{SECRET}', x-team: blue}}")
    assert folder.warnings(text) == ["6:57: a key in plain text"]


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("http_headers: {host: x}", '6:42: header "host" is the gateway\'s own to set'),
        ("http_headers: {Content-Length: '1'}", '6:42: header "Content-Length" is the gateway\'s own to set'),
        ("http_headers: {x-arch-upstream: x}", '6:42: header "x-arch-upstream" is the gateway\'s own to set'),
        ("http_headers: {X-Envoy-Retry-On: x}", '6:42: header "X-Envoy-Retry-On" is the gateway\'s own to set'),
        ("http_headers: {'x y': z}", '6:42: "x y" is not the name of a header'),
        ("http_headers: {':path': /}", '6:42: ":path" is not the name of a header'),
        ("http_headers: {x-a: 1}", "6:47: x-a: expected the header's value as text"),
        ("http_headers: {x-a: a, X-A: b}", "6:50: header x-a is here twice"),
        ("http_headers: [a]", "6:41: http_headers: expected a mapping of keys, got a list"),
        ("http_headers: {x-a: $NOPE}", "6:47: environment variable NOPE is not set"),
        ("timeout: 0s", "6:36: timeout: 0s is out of bounds: 1ms to 10m"),
        ("timeout: 5", "6:36: timeout: expected a duration, got 5"),
        ("retries: 6", "6:36: retries: 6 is out of bounds: it must be at most 5"),
        ("retries: -1", "6:36: retries: -1 is out of bounds: it must be at least 0"),
    ],
)
def test_refuses_invalid_target_endpoint(folder: Folder, endpoint: str, problem: str) -> None:
    assert folder.problems(file(f", {endpoint}")) == [problem]


def test_examples_are_bounded_text(folder: Folder) -> None:
    assert folder.load(file(target="    examples: [a, b c]")).config.prompt_targets[0].examples == ("a", "b c")
    assert folder.problems(file(target="    examples: ['']")) == ["7:16: examples: the text is empty"]
    (problem,) = folder.problems(file(target=f"    examples: [{'x' * 1025}]"))
    assert problem == "7:16: examples: the text is longer than 1024 characters"
    many = ", ".join(f"e{number}" for number in range(65))
    assert folder.problems(file(target=f"    examples: [{many}]")) == ["7:15: examples: more than 64 items"]


def test_refuses_example_of_two_targets(folder: Folder) -> None:
    other = "  - {name: u, description: d, endpoint: {name: api}, examples: [c, 'Will it  Rain?']}"
    text = file(target=f"    examples: ['Will it rain?']\n{other}")
    assert folder.problems(text) == ["8:68: this example exists already, at line 7"]


def test_refuses_examples_of_default_target(folder: Folder) -> None:
    text = file(target="    default: true\n    examples: [a]")
    assert folder.problems(text) == ["8:5: a default target has no examples: it gets prompts that match no other"]
