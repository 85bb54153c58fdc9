"""Messages for the author of a faulty file: all problems at once, each with a position and a hint."""

import pytest

from tests.unit.controlplane.config.files import PROVIDER, Folder

FAULTY = """\
version: v1
listners: {}
listeners:
  ingress: {port: 99999, addres: 1.2.3.4}
  egress: {enabled: maybe}
endpoints:
  a b: {endpoint: x}
  weather:
    endpont: 127.0.0.1:80
    timeout: 5
  api: {endpoint: http://foo/x, retries: 3}
llm_providers:
  - name: one
    provider: anthropic
    model: 5
  - provider: openai
    model: gpt
    name: two
    access_key: $NOPE_KEY
    base_ur: x
  - name: two
    provider: mistral
    model: m
    default: true
  - name: three
    provider: triton
    model: x
    default: true
prompt_guards:
  apply_to: [ingres]
  input_guards:
    jailbreak:
      threshold: 2
      on_error: alow
    pii: {}
prompt_targets:
  - name: t
    description: d
    endpoint: {name: wether, path: "/x/{y}", http_method: get}
  - name: t2
    description: d
    examples: [a, 3]
    endpoint: {name: wether, path: "/x/{y}", http_headers: {host: h, x-key: $NO_HEADER}, retries: 9}
    parameters:
      - {name: yy, type: strng, description: x}
  - name: t3
    description: d
    endpoint: {name: wether, path: "/x/{y}", http_method: GET}
    parameters:
      - {name: yy, type: str, description: x}
tracing:
system_prompt: 3
overrides: {max_request_bytes: 10GiB, filter_workers: 0}
"""

# Line, column, message and hint of each problem in FAULTY: all of them come in one run.
EXPECTED = """\
2:1: unknown key "listners" | did you mean listeners?
4:19: port: 99999 is out of bounds: it must be at most 65535
4:26: unknown key "addres" | did you mean address?
5:21: enabled: expected true or false, got "maybe"
7:3: "a b" is not a usable name | use 1 to 64 letters, digits, '_', '.' or '-'
9:5: unknown key "endpont" | did you mean endpoint?
10:14: timeout: expected a duration, got 5 | write a number with its unit, such as 30s or 500ms
11:19: endpoint: expected a host or host:port, got a URL | move http or https to `protocol`, \
and a path to the target's `path`
11:33: "retries" is not supported yet | each prompt target has its own: `endpoint.retries`
14:15: provider: "anthropic" is not supported yet: it speaks a format of its own, not OpenAI's | providers of this \
release: openai, openai_compatible, mistral, groq, deepseek, xai, together_ai, openrouter, ollama, triton
15:12: model: expected text, got 5 | put it in quotes if it is meant as text
19:17: environment variable NOPE_KEY is not set | set it in the environment of archgw, or as NOPE_KEY=... in DOTENV; \
for a literal $ write $$
20:5: unknown key "base_ur" | did you mean base_url?
21:5: provider mistral needs access_key | write `access_key: $NAME`, or `passthrough_auth: true` to send the client's \
own key on
21:11: provider two exists already, at line 18 | give each a name of its own
27:12: another model than chat is not supported yet for provider triton | write `model: chat`; a server of your own is \
openai_compatible, with its base_url
28:14: a second default provider: line 24 has the first | keep one
30:14: apply_to: expected ingress or egress, got "ingres" | did you mean ingress?
33:18: threshold: 2 is out of bounds: it must be less than 1
34:17: on_error: expected block or allow, got "alow" | did you mean allow?
35:5: "pii" is not supported yet | the guards of this release are `jailbreak` and `toxicity`
39:59: http_method: expected GET or POST, got "get" | did you mean GET?
42:19: examples: expected text, got 3 | put it in quotes if it is meant as text
43:61: header "host" is the gateway's own to set | remove it
43:77: environment variable NO_HEADER is not set | set it in the environment of archgw, or as NO_HEADER=... in DOTENV; \
for a literal $ write $$
43:99: retries: 9 is out of bounds: it must be at most 5
45:26: type: "strng" is not known | use int, float, bool, str, list, dict, date, time or datetime (or integer, number, \
boolean, string, array, object)
48:22: there is no endpoint wether | did you mean weather?
48:36: the path holds {y}, which is no parameter of this target | did you mean {yy}?
51:1: "tracing" has no value | give it one, or remove the line
52:16: system_prompt: expected text, got 3 | put it in quotes if it is meant as text
53:32: max_request_bytes: expected a size, got "10GiB" | write bytes as a number, or with a unit, such as 10MiB
53:55: filter_workers: 0 is out of bounds: it must be at least 1
"""


def test_reports_all_problems_in_file_order_with_position_and_hint(folder: Folder) -> None:
    found = zip(folder.problems(FAULTY), folder.hints(FAULTY), strict=True)
    lines = [f"{problem} | {hint}" if hint else problem for problem, hint in found]
    assert lines == EXPECTED.replace("DOTENV", str(folder.path / ".env")).splitlines()


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("", '1:1: "version" is missing'),
        ("version: v2", '1:10: version: expected v1, got "v2"'),
        ("version: 1", "1:10: version: expected v1, got 1"),
        ("version: v1\nlisteners: []", "2:12: listeners: expected a mapping of keys, got a list"),
        ("version: v1\nprompt_targets: {}", "2:17: prompt_targets: expected a list, got a mapping of keys"),
        ("version: v1\nendpoints: [a]", "2:12: endpoints: expected a mapping of keys, got a list"),
        ("version: v1\nendpoints: {a: {}}", '2:13: "endpoint" is missing'),
        ("version: v1\nendpoints: {a: b}", "2:16: a: expected a mapping of keys, got text"),
        ("version: v1\nprompt_targets: [a]", "2:18: prompt_targets: expected a mapping of keys, got text"),
        ("version: v1\nsystem_prompt: ''", "2:16: system_prompt: the text is empty"),
        ("version: v1\nsystem_prompt: [a]", "2:16: system_prompt: expected text, got a list"),
        ("version: v1\nlisteners: {ingress: {port: 1.5}}", "2:29: port: expected a whole number, got 1.5"),
        ("version: v1\nlisteners: {ingress: {port: '80'}}", '2:29: port: expected a whole number, got "80"'),
        ("version: v1\nlisteners: {ingress: {port: true}}", "2:29: port: expected a whole number, got true"),
        ("version: v1\nlisteners: {ingress: {enabled: 1}}", "2:32: enabled: expected true or false, got 1"),
        (
            "version: v1\nlisteners: {ingress: {address: gateway}}",
            '2:32: address: expected an IP address or localhost, got "gateway"',
        ),
        ("version: v1\ntracing: {random_sampling: all}", '2:28: random_sampling: expected a number, got "all"'),
        (
            "version: v1\ntracing: {random_sampling: 101}",
            "2:28: random_sampling: 101 is out of bounds: it must be at most 100",
        ),
        ("version: v1\ntracing: {collector: 'http://h:1/v1/traces'}", "2:22: collector: a gRPC collector has no path"),
        (
            "version: v1\nprompt_guards: {input_guards: {jailbreak: {on_exception: {status: 500}}}}",
            "2:67: status: 500 is out of bounds: it must be at most 499",
        ),
        (
            "version: v1\nprompt_guards: {input_guards: {jailbreak: {threshold: 0}}}",
            "2:55: threshold: 0 is out of bounds: it must be more than 0",
        ),
        (
            "version: v1\noverrides: {prompt_target_intent_matching_threshold: 1.01}",
            "2:54: prompt_target_intent_matching_threshold: 1.01 is out of bounds: it must be at most 1",
        ),
        ("version: v1\nprompt_guards: {input_guards: {jailbreak: }}", '2:32: "jailbreak" has no value'),
    ],
)
def test_wrong_value_is_reported_at_its_position(folder: Folder, lines: str, problem: str) -> None:
    provider = PROVIDER if lines else "llm_providers: [{name: local, provider: triton, model: chat}]\n"
    assert folder.problems(f"{lines}\n{provider}".lstrip("\n")) == [problem]


def test_unknown_key_without_suggestion_gets_the_list_of_keys(folder: Folder) -> None:
    hints = folder.hints(f"version: v1\nlisteners: {{ingress: {{zzz: 1}}}}\n{PROVIDER}")
    assert hints == ["keys that are known here: enabled, address, port, allowed_hosts"]


@pytest.mark.parametrize(("written", "meant"), [("model_providers", "llm_providers"), ("guards", "prompt_guards")])
def test_suggests_our_key_for_another_versions_key(folder: Folder, written: str, meant: str) -> None:
    assert folder.hints(f"version: v1\n{written}: []\n{PROVIDER}") == [f"did you mean {meant}?"]


def test_misspelt_key_is_not_reported_as_missing(folder: Folder) -> None:
    text = "version: v1\nllm_providers:\n  - {nam: local, provider: triton, model: chat}\n"
    assert folder.problems(text) == ['3:6: unknown key "nam"']


def test_reports_key_without_value_once(folder: Folder) -> None:
    text = "version: v1\nllm_providers:\n  - name:\n    provider: triton\n    model: chat\n"
    assert folder.problems(text) == ['3:5: "name" has no value']


def test_faulty_item_counts_as_declared(folder: Folder) -> None:
    text = """\
    version: v1
    endpoints:
      api: {endpoint: "not a host!"}
    llm_providers:
      - {name: only, provider: openai, model: m, access_key: k, timeout: never}
    prompt_targets:
      - {name: t, description: d, endpoint: {name: api}}
    """
    assert folder.problems(text) == [
        "3:19: endpoint: not a host or host:port",
        '5:70: timeout: expected a duration, got "never"',
    ]


def test_quoted_values_are_short_without_control_characters(folder: Folder) -> None:
    text = f'version: v1\nendpoints: {{"\\e[31m{"x" * 500}": {{endpoint: h}}}}\n{PROVIDER}'
    (problem,) = folder.problems(text)
    assert "\x1b" not in problem
    assert len(problem) < 120
