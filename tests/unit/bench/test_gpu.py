"""The parts of the GPU bench that need no GPU."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from bench.gpu import __main__ as command
from bench.gpu.prompts import mixed, request, texts
from bench.gpu.report import Cell, compared_embeddings, compared_probabilities, table
from bench.gpu.triton_server import instances
from controlplane.compile.plans import Device
from controlplane.models.prepare import prepare
from controlplane.runtime import gpu


def test_texts_are_distinct_and_have_the_given_length() -> None:
    tokenizer = Tokenizer.from_file(str(prepare(("minilm",))["minilm"] / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for tokens in (32, 128, 512):
        found = texts(8, tokens)
        assert len(set(found)) == 8
        assert {len(tokenizer.encode(text).ids) for text in found} == {tokens}
    assert texts(1, 32, seed=1) != texts(1, 32, seed=2)
    assert "" in mixed()


def test_function_request_has_tools() -> None:
    body = json.loads(request("Hello."))
    assert body["messages"][0]["content"] == "Hello. What is the weather in Seattle?"
    assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather", "get_time"]


def test_model_instances_run_on_the_right_device() -> None:
    embed, guard, function = instances(["embed", "guard", "function"], Device.GPU, None)
    assert [embed.device, guard.device, function.device] == [Device.GPU, Device.GPU, Device.CPU]
    (large,) = instances(["function"], Device.GPU, "Arch-Function-3B")
    assert (large.device, large.behind) == (Device.GPU, "function_vllm")
    assert {model.device for model in instances(["embed", "guard", "function"], Device.CPU, None)} == {Device.CPU}


def test_comparison_accepts_only_close_outputs() -> None:
    unit = np.eye(3, dtype=np.float32)
    assert compared_embeddings(unit, unit).fault is None
    assert compared_embeddings(unit, unit[::-1].copy()).fault is not None
    column = np.array([[0.1], [0.9]], dtype=np.float32)
    assert compared_probabilities(column, column + np.float32(0.01)).fault is None
    assert compared_probabilities(column, column[::-1]).fault is not None


def test_table_has_a_row_for_each_length_and_a_column_for_each_batch() -> None:
    cells = [Cell(32, 1, (0.001, 0.002, 0.003)), Cell(32, 8, (0.004,)), Cell(512, 1, (0.01,)), Cell(512, 8, (0.08,))]
    assert table({"embed": "minilm-fp16, NVIDIA L4"}, {"embed": cells}) == [
        "| role | model | tokens | batch 1: p50 ms, texts/s | batch 8: p50 ms, texts/s |",
        "| --- | --- | ---: | ---: | ---: |",
        "| embed | minilm-fp16, NVIDIA L4 | 32 | 2.00, 500 | 4.00, 2,000 |",
        "| embed | minilm-fp16, NVIDIA L4 | 512 | 10.00, 100 | 80.00, 100 |",
    ]


def test_without_a_gpu_the_error_names_the_reason_and_the_cpu_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu, "detect", lambda _: gpu.GpuDetection(fault="NVML names no device"))
    # main() sets its own handler for SIGTERM, which must not outlive the test.
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert command.main([]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    output = capsys.readouterr().err
    assert "NVML names no device" in output
    assert "--device cpu" in output


def test_report_names_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "detect", lambda _: gpu.GpuDetection(names=("NVIDIA L4",), cuda=True))
    assert command.device_name(Device.GPU) == "NVIDIA L4"
    assert command.device_name(Device.CPU) == "CPU"


def test_unknown_role_is_refused() -> None:
    with pytest.raises(SystemExit):
        command.arguments(["--roles", "embed,nlu"])
