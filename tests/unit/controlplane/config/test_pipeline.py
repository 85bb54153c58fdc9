"""Guards, the error target and overrides, checked against each other."""

from pathlib import Path

import pytest

from extproc.shared.filter_config import FailMode, GuardMode, Listener, TextRole
from tests.unit.controlplane.config.files import PROVIDER, Folder


def file(*lines: str) -> str:
    return "version: v1\nendpoints: {api: {endpoint: h}}\n" + "".join(f"{line}\n" for line in lines) + PROVIDER


TARGETS = "prompt_targets: [{name: t, description: d, endpoint: {name: api}}]"
FORWARDING = "prompt_guards: {input_guards: {jailbreak: {on_exception: {forward_to_error_target: true}}}}"


def test_guards_may_read_both_listeners_in_shadow_mode(folder: Folder) -> None:
    guards = folder.load(
        file(TARGETS, "prompt_guards: {apply_to: [ingress, egress], input_guards: {jailbreak: {mode: shadow}}}")
    ).config.prompt_guards
    assert guards.apply_to == (Listener.INGRESS, Listener.EGRESS)
    assert guards.input_guards.on["jailbreak"].mode is GuardMode.SHADOW


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("prompt_guards: {apply_to: []}", "4:27: apply_to names no listener"),
        ("prompt_guards: {apply_to: [egress, egress]}", "4:27: apply_to names a listener twice"),
        ("prompt_guards: {apply_to: ingress}", "4:27: apply_to: expected a list, got text"),
        ("prompt_guards: {apply_to: [internal]}", '4:28: apply_to: expected ingress or egress, got "internal"'),
        (
            "prompt_guards: {input_guards: {jailbreak: {mode: watch}}}",
            '4:50: mode: expected enforce or shadow, got "watch"',
        ),
        (
            "prompt_guards: {input_guards: {jailbreak: {scope: [user, tol]}}}",
            '4:58: scope: expected user, tool, document, system or tools, got "tol"',
        ),
        ("prompt_guards: {input_guards: {jailbreak: {scope: user}}}", "4:51: scope: expected a list, got text"),
        ("prompt_guards: {input_guards: {jailbreak: {scope: []}}}", "4:51: scope names no role"),
        ("prompt_guards: {input_guards: {jailbreak: {scope: [user, user]}}}", "4:51: scope names a role twice"),
        (
            "prompt_guards: {input_guards: {jailbreak: {on_unreadable: refuse}}}",
            '4:59: on_unreadable: expected block or allow, got "refuse"',
        ),
        (FORWARDING, "4:84: there is no error_target to forward to"),
        (
            "prompt_guards: {input_guards: {toxicity: {}}}",
            "4:32: the guard toxicity needs a model of your own: the gateway brings none for it",
        ),
        ("error_target: {endpoint: ap}", "4:26: there is no endpoint ap"),
        ("error_target: {endpoint: api, path: x}", '4:37: path: expected a path that starts with /, got "x"'),
        (
            "error_target: {endpoint: api, path: '/{p}'}",
            "4:37: the error target has no arguments to fill its path with",
        ),
        ("error_target: {path: /x}", '4:1: "endpoint" is missing'),
        (
            "overrides: {intent_weights: {nli: 0.7, embedding: 0.3}}",
            "4:13: intent_weights needs an NLI model: without one the score is the similarity of embeddings",
        ),
        ("overrides: {intent_weights: {nli: 0.7}}", '4:13: "embedding" is missing'),
        ("overrides: {grounding: {threshold: 2}}", "4:36: threshold: 2 is out of bounds: it must be at most 1"),
        ("overrides: {grounding: true}", "4:24: grounding: expected a mapping of keys, got true or false"),
    ],
)
def test_refuses_gateway_that_cannot_work(folder: Folder, lines: str, problem: str) -> None:
    assert folder.problems(file(TARGETS, lines)) == [problem]
    if (
        "expected" not in problem
        and "missing" not in problem
        and "bounds" not in problem
        and "no arguments" not in problem
    ):
        assert all(folder.hints(file(TARGETS, lines)))


def test_faulty_error_target_counts_as_declared(folder: Folder) -> None:
    assert folder.problems(file(TARGETS, FORWARDING, "error_target: {endpoint: api, pth: /x}")) == [
        '5:31: unknown key "pth"'
    ]


def test_endpoint_of_the_error_target_counts_as_used(folder: Folder) -> None:
    assert folder.warnings(file(FORWARDING, "error_target: {endpoint: api}")) == []


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("error_target: {endpoint: api}", "3:1: error_target is ignored: there is no prompt target"),
        ("prompt_guards: {apply_to: [egress]}", "3:17: apply_to is ignored: there is no guard"),
        (
            "prompt_guards: {input_guards: {jailbreak: {mode: shadow, on_error: block}}}",
            "3:58: on_error is ignored: the guard only watches",
        ),
        (
            "model_serving: {roles: {guard: {model: Arch-Guard}}}\n"
            "prompt_guards: {input_guards: {jailbreak: {on_unreadable: block}}}",
            "4:44: on_unreadable is ignored: the catalogue does not say which scripts the guard's model reads",
        ),
        (
            "model_serving: {remote: {url: 'grpc://h:1'}, roles: {guard: {placement: remote}}}\n"
            "prompt_guards: {input_guards: {jailbreak: {on_unreadable: block}}}",
            "4:44: on_unreadable is ignored: the catalogue does not say which scripts the guard's model reads",
        ),
        ("overrides: {grounding: {enabled: false, threshold: 0.1}}", "3:41: threshold is ignored: grounding is off"),
        (
            "listeners: {egress: {enabled: false}}\n"
            "prompt_guards: {apply_to: [ingress, egress], input_guards: {jailbreak: {}}}",
            "4:37: egress is ignored: that listener is off",
        ),
    ],
)
def test_warns_of_ignored_settings(folder: Folder, lines: str, warning: str) -> None:
    text = file(lines).replace("endpoints: {api: {endpoint: h}}", "endpoints: {api: {endpoint: h}} # called below")
    found = [line for line in folder.warnings(text) if "no prompt target calls" not in line]
    assert [line.startswith(warning) for line in found] == [True]


def test_the_shipped_guard_may_block_unreadable_texts(folder: Folder) -> None:
    text = file(TARGETS, "prompt_guards: {input_guards: {jailbreak: {on_unreadable: block, scope: [user, tools]}}}")
    loaded = folder.load(text)
    assert loaded.warnings == ()
    guard = loaded.config.prompt_guards.input_guards.on["jailbreak"]
    assert (guard.on_unreadable, guard.scope) == (FailMode.BLOCK, (TextRole.USER, TextRole.TOOLS))


CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 8
{inputs}
output [ {{ name: "{output}" data_type: TYPE_FP32 dims: [ 1 ] }} ]
"""


def repository(path: Path, name: str, output: str, *inputs: str) -> None:
    tensors = "\n".join(f'input [ {{ name: "{each}" data_type: TYPE_STRING dims: [ 1 ] }} ]' for each in inputs)
    (path / name / "1").mkdir(parents=True)
    (path / name / "1" / "model.py").touch()
    (path / name / "config.pbtxt").write_text(CONFIG.format(name=name, inputs=tensors, output=output))


def test_repository_path_is_relative_to_the_file(folder: Folder) -> None:
    repository(folder.path / "mine", "entails", "ENTAILMENT", "PREMISE", "HYPOTHESIS")
    repository(folder.path / "mine", "toxic", "PROB", "TEXT")
    loaded = folder.load(
        file(
            TARGETS,
            "prompt_guards: {input_guards: {toxicity: {}}}",
            "model_serving: {local: {repository: mine}, roles: {nli: {model: entails}, toxicity: {model: toxic}}}",
            "overrides: {intent_weights: {nli: 0.5, embedding: 0.5}}",
        )
    )
    assert loaded.warnings == ()
    found = [(model.role, model.name, model.folder, model.max_batch) for model in loaded.custom_models]
    assert found == [
        ("nli", "entails", folder.path / "mine" / "entails", 8),
        ("toxicity", "toxic", folder.path / "mine" / "toxic", 8),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "{roles: {nli: {model: entails}}}",
            "3:38: the catalogue has no model entails for nli, and there is no local.repository",
        ),
        (
            f"{{local: {{repository: {'x' * 300}}}, roles: {{nli: {{model: entails}}}}}}",
            "3:37: the repository cannot be read: File name too long",
        ),
        (
            '{local: {repository: "\\e[2J"}, roles: {nli: {model: entails}}}',
            "3:37: repository: the path is empty, too long, or holds control characters",
        ),
        (
            "{local: {repository: gone}, roles: {nli: {model: entails}}}",
            "3:37: there is no folder FOLDER/gone",
        ),
        (
            "{local: {repository: mine}, roles: {nli: {model: entail}}}",
            "3:65: the catalogue has no model entail for nli, and there is none in FOLDER/mine",
        ),
        (
            "{local: {repository: mine}, roles: {nli: {model: toxic}}}",
            "3:65: FOLDER/mine/toxic/config.pbtxt: expected input PREMISE TYPE_STRING [1]; "
            "input HYPOTHESIS TYPE_STRING [1]; output ENTAILMENT TYPE_FP32 [1], "
            "found input TEXT TYPE_STRING [1]; output PROB TYPE_FP32 [1]",
        ),
        (
            "{local: {repository: mine}, roles: {nli: {model: toxicity}}}",
            "3:65: the gateway serves a model toxicity of its own",
        ),
        (
            "{local: {repository: mine}, roles: {nli: {model: ..}}}",
            "3:65: the catalogue has no model .. for nli, and there is none in FOLDER/mine",
        ),
        ("{local: {repository: mine}, roles: {nli: {model: ../mine}}}", '3:65: model: "../mine" is not a usable name'),
    ],
)
def test_unfit_custom_model_is_refused_with_the_expected_tensors(folder: Folder, line: str, problem: str) -> None:
    repository(folder.path / "mine", "toxic", "PROB", "TEXT")
    repository(folder.path / "mine", "toxicity", "PROB", "TEXT")
    text = file(f"model_serving: {line}").replace("{api: {endpoint: h}}", "{}")
    assert folder.problems(text) == [problem.replace("FOLDER", str(folder.path))]


def test_faulty_models_count_as_declared(folder: Folder) -> None:
    text = file(
        TARGETS,
        "prompt_guards: {input_guards: {toxicity: {}}}",
        "model_serving: {local: {repository: 3}, roles: {nli: {model: n}, toxicity: {model: t}}}",
        "overrides: {intent_weights: {nli: 0.5, embedding: 0.5}}",
    )
    assert folder.problems(text) == ["5:37: repository: expected a path, relative to this file"]


def test_weights_add_up_to_one(folder: Folder) -> None:
    repository(folder.path / "mine", "entails", "ENTAILMENT", "PREMISE", "HYPOTHESIS")
    serving = "model_serving: {local: {repository: mine}, roles: {nli: {model: entails}}}"
    text = file(TARGETS, serving, "overrides: {intent_weights: {nli: 0.7, embedding: 0.2}}")
    assert folder.problems(text) == ["5:13: the weights add up to 0.9, which must be 1"]
    folder.load(text.replace("0.2", "0.3"))


def test_warns_of_unused_model(folder: Folder) -> None:
    repository(folder.path / "mine", "toxic", "PROB", "TEXT")
    text = file(TARGETS, "model_serving: {local: {repository: mine}, roles: {toxicity: {model: toxic}}}")
    assert folder.warnings(text) == ["4:52: no guard uses this model"]
    assert folder.warnings(file(TARGETS, "model_serving: {local: {repository: mine}}")) == [
        "4:25: no role names a model of this repository"
    ]
