"""Helpers of tests that kill models or services: find, kill, and wait for the recovery."""

from __future__ import annotations

import psutil

from tests.dataplane.load import prompt
from tests.dataplane.stack import Stack, wait_for


def wait_recovered(stack: Stack) -> None:
    """Wait until every worker uses every model. Each worker finds out by itself and answers degraded until then."""
    stack.wait_healthy()
    wait_for(lambda: stack.status()["ready"] and all(_is_served_by_all_models(stack) for _ in range(6)))


def _is_served_by_all_models(stack: Stack) -> bool:
    answer = stack.post("ingress", prompt())
    return answer.status_code == 200 and "x-arch-degraded" not in answer.headers


def model_processes(stack: Stack, model: str) -> set[psutil.Process]:
    """The living processes of a model, children of Triton."""
    (triton,) = stack.pids("triton")
    # Triton leaves a dead child as a zombie, without a command line.
    living = [each for each in psutil.Process(triton).children() if each.status() != psutil.STATUS_ZOMBIE]
    return {each for each in living if f"/models/{model}/" in " ".join(each.cmdline())}


def kill_model(stack: Stack, model: str) -> set[psutil.Process]:
    """Kill the processes of a model. Returns them."""
    processes = model_processes(stack, model)
    assert processes
    for each in processes:
        each.kill()
    return processes
