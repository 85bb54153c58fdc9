"""`python -m bench.gpu`: measures the models on this machine's GPU under the real Triton; the report goes to stdout."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import tritonclient.grpc as client
from tritonclient.utils import InferenceServerException

from bench.gpu import reference, triton_server
from bench.gpu.prompts import mixed, request
from bench.gpu.report import Cell, Comparison, compared_embeddings, compared_probabilities, table
from bench.load import BenchError
from controlplane.compile.model_plan import artefacts
from controlplane.compile.plans import Device, ModelInstance
from controlplane.errors import ArchgwError
from controlplane.runtime import gpu
from controlplane.runtime.native import triton

_ROLES: Final = ("guard", "embed", "function")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("python -m bench.gpu", description="Measure the models on a GPU under Triton.")
    parser.add_argument("--device", choices=[str(each) for each in Device], default=str(Device.GPU))
    parser.add_argument("--roles", type=_words, default=list(_ROLES), help="some of " + ",".join(_ROLES))
    parser.add_argument("--function", help="the catalogue entry for function; entries for vLLM run on the GPU")
    parser.add_argument("--batches", type=_numbers, default=[1, 8, 32])
    parser.add_argument("--tokens", type=_numbers, default=[32, 128, 512])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load (default 3)")
    found = parser.parse_args(argv)
    if unknown := set(found.roles) - set(_ROLES):
        parser.error(f"unknown roles: {', '.join(sorted(unknown))}")
    return found


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def device_name(device: Device) -> str:
    """Returns the GPU's name, or "CPU". Raises BenchError with the reason when there is no GPU."""
    if device is Device.CPU:
        return "CPU"
    found = gpu.find(os.environ)
    if found.usable is None:
        raise BenchError(f"{found.missing}; --device cpu measures the CPU")
    return found.usable


def _compare(triton_client: client.InferenceServerClient, roles: Sequence[str], device: Device) -> list[Comparison]:
    texts, found = mixed(), []
    if "embed" in roles:
        found.append(
            compared_embeddings(
                triton_server.infer(triton_client, "embed", texts)[0], reference.embeddings(texts, device)
            )
        )
    if "guard" in roles:
        probabilities, _ = triton_server.infer(triton_client, "guard", texts)
        found.append(compared_probabilities(probabilities, reference.probabilities(texts, device)))
    if "function" in roles:
        ((reply,),) = triton_server.infer(triton_client, "function", [request("")])[0]
        calls = json.loads(reply)["tool_calls"]
        called = ", ".join(f"{call['name']}({json.dumps(call['arguments'])})" for call in calls) or "nothing"
        found.append(Comparison("function", f"the weather in Seattle calls {called}"))
    return found


def _run(options: argparse.Namespace, scratch: Path) -> int:
    device = Device(options.device)
    name = device_name(device)
    if options.function is None and device is Device.GPU and triton.has_vllm():
        _progress("function is the default one, on the CPU; --function Arch-Function-3B measures one on the GPU")
    models = triton_server.instances(options.roles, device, options.function)
    with triton_server.started(models, scratch) as triton_client:
        _progress("comparing")
        comparisons = _compare(triton_client, options.roles, device)
        cells: dict[str, list[Cell]] = {}
        for role in options.roles:
            for tokens in options.tokens:
                for batch in options.batches:
                    _progress(f"{role}, {tokens} tokens, batch {batch}")
                    cell = triton_server.load(triton_client, role, tokens, batch, options.seconds)
                    cells.setdefault(role, []).append(cell)
    print(f"Triton on {name}. Batch: texts in one request; for function, requests at once.\n")
    print("\n".join(table({model.role: _model(model, name) for model in models}, cells)))
    print("\nBeside the same models in one process on the CPU:\n")
    print("\n".join(f"- {each.role}: {each.figure}{f': {each.fault}' if each.fault else ''}" for each in comparisons))
    return 1 if any(each.fault for each in comparisons) else 0


def _model(model: ModelInstance, gpu_name: str) -> str:
    return f"{' + '.join(artefacts(model))}, {gpu_name if model.device is Device.GPU else 'CPU'}"


def _progress(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    options = arguments(argv)
    # SIGTERM, too, stops the processes that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="archgw-bench-") as scratch:
        try:
            return _run(options, Path(scratch))
        except (BenchError, ArchgwError, InferenceServerException) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
