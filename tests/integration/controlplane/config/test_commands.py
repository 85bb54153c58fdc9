"""`archgw validate` and `archgw schema`, as a shell or an editor calls them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from controlplane.assets import asset
from controlplane.config.json_schema import json_schema
from controlplane.config.yaml_parser import parse
from controlplane.config.yaml_tree import plain
from tests.unit.controlplane.config.files import PROVIDER, Folder


def archgw(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from controlplane.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_a_valid_file_exits_0_with_one_line(folder: Folder) -> None:
    folder.write(f"version: v1\n{PROVIDER}")
    done = archgw("validate", cwd=folder.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "arch_config.yaml: valid: ingress on 0.0.0.0:10000, egress on 127.0.0.1:12000, "
        "1 provider, 0 prompt targets, 0 endpoints, guards: none\n"
    )


def test_warnings_go_to_stderr_and_exit_0(folder: Folder) -> None:
    folder.write(f"version: v0.1\n{PROVIDER}")
    done = archgw("validate", "arch_config.yaml", cwd=folder.path)
    assert done.returncode == 0
    assert done.stderr.startswith("arch_config.yaml:1:1: warning: version v0.1 is the 0.1 dialect\n")
    assert done.stdout.startswith("arch_config.yaml: valid with 1 warning: ingress on ")


def test_an_invalid_file_exits_2_with_every_problem_and_no_traceback(folder: Folder) -> None:
    folder.write(f"version: v1\nlisteners: {{ingress: {{prt: 1}}}}\nsystem_prompt: 3\n{PROVIDER}")
    done = archgw("validate", cwd=folder.path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        'arch_config.yaml:2:23: unknown key "prt"\n'
        "    did you mean port?\n"
        "arch_config.yaml:3:16: system_prompt: expected text, got 3\n"
        "    put it in quotes if it is meant as text\n"
    )


def test_a_missing_file_exits_2_with_the_way_out(tmp_path: Path) -> None:
    done = archgw("validate", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("arch_config.yaml:1:1: there is no such file\n")
    assert "archgw up --quick-start --local -cpu" in done.stderr


def test_refuses_a_folder(tmp_path: Path) -> None:
    done = archgw("validate", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert "the file cannot be read: Is a directory" in done.stderr


def test_the_schema_is_json_of_draft_2020_12(tmp_path: Path) -> None:
    done = archgw("schema", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    schema = json.loads(done.stdout)
    assert schema == json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["version"]
    assert schema["additionalProperties"] is False


def test_every_key_of_the_schema_is_described_and_none_may_be_null() -> None:
    schema = json_schema()
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    for section in (schema, *definitions.values()):
        assert isinstance(section, dict)
        properties = section.get("properties", {})
        assert isinstance(properties, dict)
        # A key without a description of its own has that of its section.
        described = {
            key for key, value in properties.items() if isinstance(value, dict) and {"description", "$ref"} & {*value}
        }
        assert described == set(properties)
    assert '"null"' not in json.dumps(schema)
    assert ": null" not in json.dumps(schema)


def test_quick_start_loads_without_environment_or_warnings(tmp_path: Path) -> None:
    done = archgw("validate", str(asset("examples/quickstart") / "arch_config.yaml"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "guards: jailbreak" in done.stdout


def test_the_quick_start_passes_the_schema_too() -> None:
    root, _ = parse((asset("examples/quickstart") / "arch_config.yaml").read_bytes())
    assert root is not None
    Draft202012Validator.check_schema(json_schema())
    Draft202012Validator(json_schema()).validate(plain(root))


EVERYTHING = """\
version: v1
endpoints: {api: {endpoint: h}}
error_target: {endpoint: api, path: /e}
prompt_guards:
  apply_to: [ingress, egress]
  input_guards: {jailbreak: {mode: shadow}, toxicity: {on_exception: {forward_to_error_target: true}}}
prompt_targets:
  - name: t
    description: d
    examples: [a, b]
    endpoint: {name: api, http_headers: {authorization: $TOKEN, x-a: b}, timeout: 2s, retries: 3}
    parameters:
      - {name: p, type: list, items: int, description: d}
      - {name: q, type: list, items: {type: date, enum: [2026-01-31]}, description: d}
      - {name: r, type: datetime, description: d}
      - {name: s, type: int, enum: [1, 2], default: 1, description: d}
model_serving:
  remote:
    url: [grpcs://a:1, "grpcs://b"]
    access_key: $KEY
    header: x-api-key
    tls: {ca: a.pem, cert: c.pem, key: k.pem, server_name: t}
    connect_timeout: 2s
  roles:
    guard: {placement: [remote, local], timeout: 200ms}
    function: {placement: remote, model: Arch-Function-3B}
    nli: {model: n}
    toxicity: {model: t}
  local: {repository: m, instances: 1, threads: 2, max_batch_size: 16, max_queue_delay: 500us}
overrides: {grounding: {enabled: true, threshold: 0.5}, intent_weights: {nli: 0.5, embedding: 0.5}}
"""


def test_schema_accepts_every_key_in_every_form() -> None:
    root, _ = parse(f"{EVERYTHING}{PROVIDER}".encode())
    assert root is not None
    Draft202012Validator(json_schema()).validate(plain(root))


@pytest.mark.parametrize(
    "lines",
    [
        "listners: {}",
        "listeners: {ingress: {port: 0}}",
        "system_prompt: ~",
        "overrides: {max_request_bytes: lots}",
        "prompt_guards: {apply_to: []}",
        "prompt_guards: {apply_to: [internal]}",
        "error_target: {path: /e}",
        "overrides: {intent_weights: {nli: 1}}",
        "model_serving: {local: {repository: 3}}",
        "model_serving: {remote: {}}",
        "model_serving: {remote: {url: []}}",
        "model_serving: {remote: {url: ftp://h}}",
        "model_serving: {roles: {guard: {placement: cloud}}}",
        "model_serving: {roles: {guard: {placement: []}}}",
        "model_serving: {local: {max_queue_delay: 1s}}",
    ],
)
def test_schema_refuses_what_the_command_refuses(folder: Folder, lines: str) -> None:
    text = f"version: v1\n{lines}\n{PROVIDER}"
    assert folder.problems(text)
    root, _ = parse(text.encode())
    assert root is not None
    assert not Draft202012Validator(json_schema()).is_valid(plain(root))
