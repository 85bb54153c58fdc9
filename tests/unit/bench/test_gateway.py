"""The configuration of the measured gateway: guard, two filter workers, targets that the prompt does not match."""

from __future__ import annotations

from pathlib import Path

from bench import gateway
from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import TargetEnvironment, TritonSockets
from controlplane.config.load import load
from extproc.shared.filter_config import Listener


def test_configuration_has_guard_targets_and_two_workers(tmp_path: Path) -> None:
    file = tmp_path / "arch_config.yaml"
    file.write_text(gateway.config(ingress=10001, egress=12001, upstream=9001))

    loaded = load(file, {"BENCH_KEY": "sk-bench"})

    assert loaded.warnings == ()
    assert loaded.config.overrides.filter_workers == 2
    environment = TargetEnvironment(TritonSockets(http="h", grpc="g"), workers=2, internal_socket="", reload_lock="")
    config = compile_gateway(loaded.config, environment).filter_config
    assert config.prompting is not None
    assert [guard.name for guard in config.guards[Listener.INGRESS]] == ["jailbreak"]
    assert len(config.prompting.targets) == 2


def test_configuration_has_the_given_local_settings(tmp_path: Path) -> None:
    file = tmp_path / "arch_config.yaml"
    settings = {"instances": 2, "threads": 2, "max_queue_delay": "2ms"}
    file.write_text(gateway.config(ingress=10001, egress=12001, upstream=9001, local=settings))

    local = load(file, {"BENCH_KEY": "sk-bench"}).config.model_serving.local

    assert (local.instances, local.threads, local.max_queue_delay) == (2, 2, 2000)
