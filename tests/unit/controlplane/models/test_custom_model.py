"""Custom models: folders of a Triton repository that can or cannot serve a role."""

from pathlib import Path

import pytest

from controlplane.models.custom_model import CustomModel, UnfitModel, inspect

GOOD = """\
name: "toxic"
backend: "python"
max_batch_size: 16
input [ { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "PROB" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""


@pytest.fixture
def write(tmp_path: Path) -> Path:
    (tmp_path / "toxic" / "1").mkdir(parents=True)
    (tmp_path / "toxic" / "1" / "model.py").touch()
    (tmp_path / "toxic" / "1" / "words.txt").touch()
    # Bytecode of another model.py than the one that Triton is given.
    (tmp_path / "toxic" / "1" / "__pycache__").mkdir()
    return tmp_path


def judged(repository: Path, text: str) -> CustomModel | UnfitModel:
    (repository / "toxic" / "config.pbtxt").write_text(text)
    return inspect("toxicity", "toxic", repository)


@pytest.mark.parametrize(
    ("text", "max_batch"),
    [
        (GOOD, 16),
        (GOOD.replace('name: "toxic"\n', ""), 16),
        (GOOD.replace("dims: [ 1 ]", "dims: [ -1 ]"), 16),
        (GOOD.replace("max_batch_size: 16", "max_batch_size: 0").replace("[ 1 ]", "[ -1, 1 ]"), 1),
        (GOOD + 'input [ { name: "ROLE" data_type: TYPE_STRING dims: [ 1 ] optional: true } ]\n', 16),
        (GOOD + 'output [ { name: "LOGITS" data_type: TYPE_FP32 dims: [ 2 ] } ]\n', 16),
        (GOOD + "instance_group [ { kind: KIND_CPU count: 2 } ]\ndynamic_batching { }\n", 16),
    ],
)
def test_accepts_model_with_the_tensors_of_its_role(write: Path, text: str, max_batch: int) -> None:
    entries = ("1/words.txt", "config.pbtxt")
    assert judged(write, text) == CustomModel(
        "toxicity", "toxic", write / "toxic", max_batch, entries=entries, entry_points=("1/model.py",)
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'name: "TEXT"',
            'name: "INPUT"',
            "expected input TEXT TYPE_STRING [1]; output PROB TYPE_FP32 [1], found input INPUT",
        ),
        ("TYPE_STRING", "TYPE_INT64", "found input TEXT TYPE_INT64 [1]"),
        ("TYPE_FP32 dims: [ 1 ]", "TYPE_FP32 dims: [ 2 ]", "output PROB TYPE_FP32 [2]"),
        ("TYPE_FP32", "TYPE_FP64", "output PROB TYPE_FP64 [1]"),
        ("max_batch_size: 16", "max_batch_size: 0", "expected input TEXT TYPE_STRING [-1, 1]"),
        ("input [", 'input [ { name: "MASK" data_type: TYPE_INT64 dims: [ 1 ] },', "found input MASK"),
        ('backend: "python"', 'backend: "onnxruntime"', "expected the backend python, found onnxruntime"),
        ('backend: "python"', 'platform: "tensorrt_plan"', "expected the backend python, found tensorrt_plan"),
        ('backend: "python"\n', "", "expected the backend python, found none"),
        ('name: "toxic"', 'name: "other"', 'it is called "other"'),
        ('name: "toxic"', r'name: "\033[31m"', r'it is called "\u001b[31m"'),
        ("max_batch_size: 16", "max_batch_size: many", "is no model configuration: 3:17"),
        ("max_batch_size: 16", "max_batch: 16", "is no model configuration: 3:1"),
        ("max_batch_size: 16", "model_transaction_policy { decoupled: true }", "the model is decoupled"),
        (
            "max_batch_size: 16",
            "max_batch_size: 16\ninstance_group [ { kind: KIND_MODEL } ]",
            "expected KIND_CPU or KIND_GPU or KIND_AUTO, found KIND_MODEL",
        ),
    ],
)
def test_unfit_model_error_has_expected_and_found(write: Path, old: str, new: str, words: str) -> None:
    unfit = judged(write, GOOD.replace(old, new))
    assert isinstance(unfit, UnfitModel)
    assert words in unfit.message
    assert str(write / "toxic" / "config.pbtxt") in unfit.message


@pytest.mark.parametrize(
    ("role", "name", "kind", "dims"),
    [
        ("guard", "PROB", "TYPE_FP32", "[ 1 ]"),
        ("embed", "EMBEDDING", "TYPE_FP32", "[ 1024 ]"),
        ("embed", "EMBEDDING", "TYPE_FP32", "[ -1 ]"),
        ("function", "RESPONSE", "TYPE_STRING", "[ 1 ]"),
    ],
)
def test_custom_model_may_replace_the_gateways_model(write: Path, role: str, name: str, kind: str, dims: str) -> None:
    text = GOOD.replace('"PROB" data_type: TYPE_FP32 dims: [ 1 ]', f'"{name}" data_type: {kind} dims: {dims}')
    text = text.replace('"TEXT"', '"REQUEST"') if role == "function" else text
    (write / "toxic" / "config.pbtxt").write_text(text)
    assert isinstance(inspect(role, "toxic", write), CustomModel)
    unfit = inspect("nli", "toxic", write)
    assert isinstance(unfit, UnfitModel)


@pytest.mark.parametrize("name", ["guard", "embed", "nli", "chat", "function_vllm"])
def test_custom_model_cannot_have_a_reserved_name(write: Path, name: str) -> None:
    unfit = inspect("toxicity", name, write)
    assert isinstance(unfit, UnfitModel)
    assert "another name" in str(unfit.hint)


@pytest.mark.parametrize("kind", ["KIND_CPU", "KIND_GPU"])
def test_detects_model_that_needs_a_gpu(write: Path, kind: str) -> None:
    model = judged(write, GOOD + f"instance_group [ {{ kind: {kind} }} ]\n")
    assert isinstance(model, CustomModel)
    assert model.on_gpu == (kind == "KIND_GPU")


def test_refuses_model_without_a_version(write: Path) -> None:
    (write / "toxic" / "1" / "model.py").unlink()
    unfit = judged(write, GOOD)
    assert isinstance(unfit, UnfitModel)
    assert "no version" in unfit.message


def test_unreadable_file_gives_no_traceback(write: Path) -> None:
    (write / "toxic" / "config.pbtxt").write_bytes(b"\xff")
    unfit = inspect("toxicity", "toxic", write)
    assert isinstance(unfit, UnfitModel)
