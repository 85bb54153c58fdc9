"""Sequence classifiers, with a stand-in for torch and transformers: which weights are read, and what is computed."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from triton_models import sequence_classifier
from triton_models.errors import Cancelled
from triton_models.guard.sequence_guard import SequenceGuard
from triton_models.sequence_classifier import SequenceClassifier, open_tokenizer


def never() -> bool:
    return False


class OnDevice:
    """A tensor that remembers where it was sent."""

    def __init__(self, values: Any, device: str = "cpu") -> None:
        self.values, self.device = values, device

    def to(self, device: str) -> "OnDevice":
        return OnDevice(self.values, device)

    def float(self) -> "OnDevice":
        return self

    def tolist(self) -> Any:
        return self.values.tolist()


class Model:
    """Its logit of class 1 is the number of a text's tokens."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.calls: list[Mapping[str, OnDevice]] = []

    def float(self) -> "Model":
        self.done.append("float")
        return self

    def half(self) -> "Model":
        self.done.append("half")
        return self

    def to(self, device: str) -> "Model":
        self.done.append(device)
        return self

    def eval(self) -> "Model":
        return self

    def __call__(self, **tensors: OnDevice) -> Any:
        self.calls.append(tensors)
        lengths = tensors["attention_mask"].values.sum(axis=1).astype(np.float32)
        return SimpleNamespace(logits=OnDevice(np.stack([np.zeros_like(lengths), lengths], axis=1)))


class Libraries:
    """torch and transformers, as far as they are used."""

    def __init__(self, *, cuda: bool) -> None:
        self.model = Model()
        self.opened: dict[str, Any] = {}
        self.threads = 0
        self.torch = SimpleNamespace(
            cuda=SimpleNamespace(is_available=lambda: cuda),
            set_num_threads=self._set_threads,
            from_numpy=OnDevice,
            inference_mode=self._inference,
        )
        self.transformers = SimpleNamespace(
            AutoModelForSequenceClassification=SimpleNamespace(from_pretrained=self._open)
        )

    def _set_threads(self, count: int) -> None:
        self.threads = count

    def _open(self, path: str, **options: Any) -> Model:
        self.opened = {"path": path, **options}
        return self.model

    @contextlib.contextmanager
    def _inference(self) -> Iterator[None]:
        yield


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Libraries]:
    def used(*, cuda: bool = False) -> Libraries:
        libraries = Libraries(cuda=cuda)
        monkeypatch.setattr(sequence_classifier, "_libraries", lambda: (libraries.torch, libraries.transformers))
        return libraries

    return used


@pytest.fixture
def folder(tmp_path: Path, weights: Mapping[str, Path]) -> Path:
    config = {"id2label": {"0": "SAFE", "1": "ATTACK"}, "type_vocab_size": 2, "pad_token_id": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").symlink_to(weights["minilm-intent"] / "tokenizer.json")
    return tmp_path


def test_loads_local_safetensors_and_no_code(use: Callable[..., Libraries], folder: Path) -> None:
    libraries = use()
    SequenceClassifier(folder, "ATTACK", 512, threads=3)
    expected = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    assert libraries.opened == {"path": str(folder), **expected}
    assert libraries.threads == 3


def test_precision_is_fp16_on_a_gpu_and_fp32_on_a_cpu(use: Callable[..., Libraries], folder: Path) -> None:
    on_cpu = use()
    SequenceClassifier(folder, "1", 512)
    assert on_cpu.model.done == ["float", "cpu"]
    on_gpu = use(cuda=True)
    SequenceClassifier(folder, "1", 512, gpu=2).probabilities(["hello"], never)
    assert on_gpu.model.done == ["half", "cuda:2"]
    assert {tensor.device for tensor in on_gpu.model.calls[0].values()} == {"cuda:2"}


def test_gpu_model_does_not_load_without_a_gpu(use: Callable[..., Libraries], folder: Path) -> None:
    use(cuda=False)
    with pytest.raises(RuntimeError, match=r"archgw\[gpu\]"):
        SequenceClassifier(folder, "1", 512, gpu=0)


def test_probabilities_keep_the_order_of_texts(use: Callable[..., Libraries], folder: Path) -> None:
    use()
    found = SequenceClassifier(folder, "ATTACK", 512).probabilities(["a b c d", "", "a b"], never)
    # [CLS] and [SEP] frame each text: 6, 2 and 4 tokens.
    assert found == pytest.approx([1 / (1 + np.exp(-count)) for count in (6, 2, 4)])


def test_pair_has_token_types(use: Callable[..., Libraries], folder: Path) -> None:
    libraries = use()
    SequenceClassifier(folder, "1", 512).probabilities([("a", "b c")], never)
    (tensors,) = libraries.model.calls
    assert tensors["token_type_ids"].values.tolist() == [[0, 0, 0, 1, 1, 1]]


def test_longer_text_of_a_pair_is_cut(use: Callable[..., Libraries], folder: Path) -> None:
    libraries = use()
    SequenceClassifier(folder, "1", 16).probabilities([("word " * 400, "b c")], never)
    ids = libraries.model.calls[0]["input_ids"].values
    whole = open_tokenizer(folder).encode("b c", add_special_tokens=False).ids
    assert ids.shape == (1, 16)
    assert ids[0, -3:-1].tolist() == whole


def test_special_tokens_in_a_text_are_text(folder: Path) -> None:
    tokenizer = open_tokenizer(folder)
    assert tokenizer.token_to_id("[SEP]") not in tokenizer.encode("a [SEP] b", add_special_tokens=False).ids


def test_cancelled_request_stops_between_batches(use: Callable[..., Libraries], folder: Path) -> None:
    use()
    with pytest.raises(Cancelled):
        SequenceClassifier(folder, "1", 512).probabilities(["a"], lambda: True)


class Marks:
    """Judges a window by whether it says "attack"."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def probabilities(self, items: Sequence[str], cancelled: Callable[[], bool]) -> list[float]:
        self.read += items
        return [0.9 if "attack" in item else 0.1 for item in items]


def test_guard_reads_every_window_and_the_worst_decides(folder: Path) -> None:
    marks = Marks()
    tokenizer = open_tokenizer(folder)
    guard = SequenceGuard(marks, tokenizer, 64)
    long = "word " * 300
    assert guard.probabilities(["hello", long, long + "attack", ""]) == [0.1, 0.1, 0.9, 0.1]
    assert len(marks.read) > 20
    assert max(len(tokenizer.encode(window).ids) for window in marks.read) <= 64
    assert guard.probabilities([]) == []
