"""The throughput of the models alone: one process a core, each of which reads prompts back to back. Used by serving.py.

Weights, code and settings are those of Triton's processes; there is no server between prompts and models.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from bench.load import prompt
from bench.report import Alone
from controlplane.models.prepare import prepare
from controlplane.runtime.native import environment_variables
from triton_models.embed.encoder import Encoder
from triton_models.guard.detector import Detector


class ModelProcesses:
    """Processes with loaded models, which wait for `measure`."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    def measure(self, seconds: float) -> Alone:
        for pipe in self._pipes:
            pipe.send(seconds)
        prompts, rates, spent_s = zip(*(pipe.recv() for pipe in self._pipes), strict=True)
        return Alone(len(self._pipes), per_second=sum(rates), processor_ms=sum(spent_s) / sum(prompts) * 1000)


@contextlib.contextmanager
def model_processes(count: int) -> Iterator[ModelProcesses]:
    """Starts `count` processes and yields them once their models are loaded."""
    folders = prepare(("embed", "guard"))
    os.environ.update(environment_variables.THREADS)
    # Not forked: a fork would lack the threads of onnxruntime.
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        pipes = []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, number, folders), daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(process.terminate)
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        yield ModelProcesses(pipes)


def _serve(pipe: Connection, number: int, folders: dict[str, Path]) -> None:
    """Answers each number of seconds with the prompts read in them, prompts a second, and processor seconds."""
    encoder = Encoder(folders["minilm-intent"])
    detector = Detector.load(folders["minilm-guard"])
    prompts = (prompt(each) for each in itertools.count(number * 50_000_000))

    def both() -> None:
        text = next(prompts)
        detector.probability(text)
        encoder.encode(text)

    both()
    pipe.send(None)
    while True:
        seconds = pipe.recv()
        began, spent, count = time.perf_counter(), time.process_time(), 0
        while (took := time.perf_counter() - began) < seconds:
            both()
            count += 1
        pipe.send((count, count / took, time.process_time() - spent))
