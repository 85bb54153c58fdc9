"""`python -m bench.gpu`: the models on this machine's GPU under the real Triton. One report on stdout."""

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

from bench.gpu import reference, server
from bench.gpu.figures import Cell, Comparison, compared_embeddings, compared_probabilities, table
from bench.gpu.texts import mixed, request
from bench.load import BenchError
from controlplane.compile.models import artefacts
from controlplane.compile.plans import Device, ModelInstance
from controlplane.errors import ArchgwError
from controlplane.runtime import gpu
from controlplane.runtime.native import triton_install

_ROLES: Final = ("guard", "embed", "function")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser("python -m bench.gpu", description="Measure the models on a GPU under Triton.")
    parser.add_argument("--device", choices=[str(each) for each in Device], default=str(Device.GPU))
    parser.add_argument("--roles", type=_words, default=list(_ROLES), help="which of " + ",".join(_ROLES))
    parser.add_argument("--function", help="the catalogue's entry for function; on the GPU those of vLLM run there")
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


def place(device: Device) -> str:
    """The GPU's name, or "CPU". BenchError says what was looked for where there is no GPU."""
    if device is Device.CPU:
        return "CPU"
    found = gpu.detect(os.environ)
    if found.usable is None:
        raise BenchError(f"{found.missing}; --device cpu measures the CPU")
    return found.usable


def _compare(asked: client.InferenceServerClient, roles: Sequence[str], device: Device) -> list[Comparison]:
    texts, found = mixed(), []
    if "embed" in roles:
        found.append(compared_embeddings(server.ask(asked, "embed", texts)[0], reference.embeddings(texts, device)))
    if "guard" in roles:
        judged, _ = server.ask(asked, "guard", texts)
        found.append(compared_probabilities(judged, reference.probabilities(texts, device)))
    if "function" in roles:
        ((reply,),) = server.ask(asked, "function", [request("")])[0]
        calls = json.loads(reply)["tool_calls"]
        called = ", ".join(f"{call['name']}({json.dumps(call['arguments'])})" for call in calls) or "nothing"
        found.append(Comparison("function", f"the weather in Seattle calls {called}"))
    return found


def _run(asked_for: argparse.Namespace, scratch: Path) -> int:
    device = Device(asked_for.device)
    where = place(device)
    if asked_for.function is None and device is Device.GPU and triton_install.has_vllm():
        _progress("function is the default one, on the CPU; --function Arch-Function-3B measures one on the GPU")
    models = server.instances(asked_for.roles, device, asked_for.function)
    with server.started(models, scratch) as asked:
        _progress("comparing")
        comparisons = _compare(asked, asked_for.roles, device)
        cells: dict[str, list[Cell]] = {}
        for role in asked_for.roles:
            for tokens in asked_for.tokens:
                for batch in asked_for.batches:
                    _progress(f"{role}, {tokens} tokens, batch {batch}")
                    cell = server.load(asked, role, tokens, batch, asked_for.seconds)
                    cells.setdefault(role, []).append(cell)
    print(f"Triton on {where}. Batch: texts in one request; for function, requests at once.\n")
    print("\n".join(table({model.role: _model(model, where) for model in models}, cells)))
    print("\nBeside the same models in one process on the CPU:\n")
    print("\n".join(f"- {each.role}: {each.figure}{f': {each.fault}' if each.fault else ''}" for each in comparisons))
    return 1 if any(each.fault for each in comparisons) else 0


def _model(model: ModelInstance, where: str) -> str:
    return f"{' + '.join(artefacts(model))}, {where if model.device is Device.GPU else 'CPU'}"


def _progress(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    asked_for = arguments(argv)
    # So that a bench which is told to end stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="archgw-bench-") as scratch:
        try:
            return _run(asked_for, Path(scratch))
        except (BenchError, ArchgwError, InferenceServerException) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
