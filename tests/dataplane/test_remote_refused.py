"""`archgw up` with a remote Triton that it cannot use ends with an error that names the cause."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.remote_config import KEY_VARIABLE, guarded_config
from tests.dataplane.remote_triton import KEY, NAME, RemoteTriton
from tests.dataplane.stack import Stack
from tests.support.llm_provider import LlmProvider

# Seconds that a start waits for models before it gives up.
_TIMEOUT_S = "10"


@dataclass(frozen=True)
class Mistake:
    """One difference from a working configuration, and the words of the error that `up` prints for it."""

    port: str = "tls"
    key: str = KEY
    tls: dict[str, str] = field(default_factory=dict)
    model: str = "guard"
    words: tuple[str, ...] = ()


_MISTAKES = {
    "wrong key": Mistake(key="sk-somebody-elses", words=("refused", "model_serving.remote.access_key")),
    "expired certificate": Mistake(port="expired", words=("unreachable", "certificate_has_expired")),
    "model not loaded": Mistake(model="idle", words=("unloaded", "no model", "idle")),
}
# tests/integration/controlplane/render/test_remote_triton.py tests these three with Envoy alone.
_MORE_MISTAKES = {
    "unknown authority": Mistake(port="foreign", words=("unreachable", "unable_to_get_local_issuer_certificate")),
    "wrong server name": Mistake(
        tls={"server_name": "other.example.test"}, words=("unreachable", "SAN", f"[{NAME},_127.0.0.1]")
    ),
    "no client certificate": Mistake(port="mutual", words=("unreachable", "TLS_error")),
}


@dataclass(frozen=True)
class Result:
    """Exit code and output of a start."""

    code: int
    out: str
    err: str


def start(
    mistake: Mistake, remote_triton: RemoteTriton, directory: Path, provider: LlmProvider, *options: str
) -> Result:
    remote: dict[str, Any] = {
        "url": f"grpcs://127.0.0.1:{getattr(remote_triton.ports, mistake.port)}",
        "access_key": f"${KEY_VARIABLE}",
        "tls": {"ca": str(remote_triton.authority), **mistake.tls},
    }
    serving = {"remote": remote, "roles": {"guard": {"model": mistake.model}}}
    stack = Stack(
        guarded_config(provider, serving), directory, {KEY_VARIABLE: mistake.key}, mode=(), runtime=Runtime.NATIVE
    )
    try:
        done = stack.try_up(*options)
    finally:
        stack.down()
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "mistakes", [_MISTAKES, pytest.param(_MORE_MISTAKES, marks=pytest.mark.matrix)], ids=["common", "TLS"]
)
def test_up_names_what_is_wrong_with_the_remote(
    remote_triton: RemoteTriton,
    provider: LlmProvider,
    tmp_path_factory: pytest.TempPathFactory,
    mistakes: dict[str, Mistake],
) -> None:
    def attempt(mistake: Mistake, directory: Path) -> Result:
        return start(mistake, remote_triton, directory, provider, "--timeout", _TIMEOUT_S)

    directories = [tmp_path_factory.mktemp("gw") for _ in mistakes]
    # All starts run at once, since each waits for the whole timeout.
    with ThreadPoolExecutor(len(mistakes)) as pool:
        results = list(pool.map(attempt, mistakes.values(), directories))
    for (name, mistake), result in zip(mistakes.items(), results, strict=True):
        print(name, result.err)
        assert result.code == 1, name
        assert f"not ready after {_TIMEOUT_S} s: waiting for guard" in result.err, name
        assert [words for words in mistake.words if words not in result.err] == [], name
        assert mistake.key not in result.err + result.out, name


def test_up_refuses_a_model_with_the_wrong_signature(
    remote_triton: RemoteTriton, tmp_path: Path, provider: LlmProvider
) -> None:
    result = start(Mistake(model="two_wide"), remote_triton, tmp_path, provider)
    assert result.code == 1
    assert "not ready after" not in result.err
    assert "guard on grpcs://" in result.err
    expected = (
        "expected inputs TEXT BYTES [-1, 1], outputs PROB FP32 [-1, 1]; found inputs TEXT BYTES [-1, 1], outputs "
    )
    assert f"two_wide: {expected}PROB FP32 [-1, 2]" in result.err
    # No process is left.
    assert not (tmp_path / "run" / "secrets").exists()
