"""`archgw up` against a remote Triton that it cannot use: it ends with what is wrong, and leaves nothing running."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.dataplane.cloud import KEY, Cloud
from tests.dataplane.remote import KEY_VARIABLE, guarded_config
from tests.dataplane.stack import Stack, archgw
from tests.support.llm_provider import LlmProvider

# Long enough for a gateway without models of its own to be ready, were there nothing wrong.
_PATIENCE_S = "6"


@dataclass(frozen=True)
class Wrong:
    """What differs from a configuration that works, and every word that `up` must say of it."""

    door: str = "tls"
    key: str = KEY
    tls: dict[str, str] = field(default_factory=dict)
    model: str = "guard"
    says: tuple[str, ...] = ()


_WRONG = {
    "wrong key": Wrong(key="sk-somebody-elses", says=("guard", "refused", "401", "access_key")),
    "expired certificate": Wrong(door="expired", says=("guard", "unreachable", "expired")),
    "unknown authority": Wrong(door="foreign", says=("guard", "unreachable", "certificate")),
    "wrong server name": Wrong(tls={"server_name": "other.example.test"}, says=("guard", "unreachable", "name")),
    "no certificate of one's own": Wrong(door="mutual", says=("guard", "unreachable")),
    "model not loaded": Wrong(model="idle", says=("guard", "idle")),
}


def start(wrong: Wrong, cloud: Cloud, directory: Path, provider: LlmProvider, *options: str) -> tuple[int, str]:
    """Exit code and standard error."""
    remote: dict[str, Any] = {
        "url": f"grpcs://127.0.0.1:{getattr(cloud.doors, wrong.door)}",
        "access_key": f"${KEY_VARIABLE}",
        "tls": {"ca": str(cloud.authority), **wrong.tls},
    }
    serving = {"remote": remote, "roles": {"guard": {"model": wrong.model}}}
    config = guarded_config(provider, serving)
    stack = Stack(config, directory, {KEY_VARIABLE: wrong.key}, mode=())
    try:
        done = stack.try_up(*options)
    finally:
        stack.down()
    assert wrong.key not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", _WRONG)
def test_up_ends_with_what_is_wrong(cloud: Cloud, tmp_path: Path, provider: LlmProvider, name: str) -> None:
    wrong = _WRONG[name]
    code, said = start(wrong, cloud, tmp_path, provider, "--timeout", _PATIENCE_S)
    print(said)
    assert code == 1
    assert f"not ready after {_PATIENCE_S} s" in said
    assert [word for word in wrong.says if word not in said] == []


def test_a_model_of_another_shape_ends_it_at_once_with_what_was_expected_and_what_was_found(
    cloud: Cloud, tmp_path: Path, provider: LlmProvider
) -> None:
    code, said = start(Wrong(model="two_wide"), cloud, tmp_path, provider)
    print(said)
    assert code == 1
    assert "not ready after" not in said
    for word in ("guard", "two_wide", "expected", "PROB", "FP32", "1]", "found", "2]"):
        assert word in said


def test_nothing_is_left_of_a_start_that_failed(cloud: Cloud, tmp_path: Path, provider: LlmProvider) -> None:
    start(Wrong(model="two_wide"), cloud, tmp_path, provider)
    assert archgw("status", "--run-dir", str(tmp_path / "run")).returncode == 1
    assert not (tmp_path / "run" / "secrets").exists()
