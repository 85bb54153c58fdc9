"""`archgw up` against a remote Triton that it cannot use: it ends with what is wrong, and leaves nothing running."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.remote_triton import KEY, NAME, Cloud
from tests.dataplane.remote_config import KEY_VARIABLE, guarded_config
from tests.dataplane.stack import Stack
from tests.support.llm_provider import LlmProvider

# How long a start waits before it gives up; they all wait at once.
_PATIENCE_S = "10"


@dataclass(frozen=True)
class Wrong:
    """What differs from a configuration that works, and what `up` must say of it."""

    door: str = "tls"
    key: str = KEY
    tls: dict[str, str] = field(default_factory=dict)
    model: str = "guard"
    says: tuple[str, ...] = ()


_WRONG = {
    "wrong key": Wrong(key="sk-somebody-elses", says=("refused", "model_serving.remote.access_key")),
    "expired certificate": Wrong(door="expired", says=("unreachable", "certificate_has_expired")),
    "unknown authority": Wrong(door="foreign", says=("unreachable", "unable_to_get_local_issuer_certificate")),
    "wrong server name": Wrong(
        tls={"server_name": "other.example.test"}, says=("unreachable", "SAN", f"[{NAME},_127.0.0.1]")
    ),
    "no certificate of one's own": Wrong(door="mutual", says=("unreachable", "TLS_error")),
    "model not loaded": Wrong(model="idle", says=("unloaded", "no model", "idle")),
}


@dataclass(frozen=True)
class Ended:
    """How a start did."""

    code: int
    out: str
    err: str


def start(wrong: Wrong, cloud: Cloud, directory: Path, provider: LlmProvider, *options: str) -> Ended:
    remote: dict[str, Any] = {
        "url": f"grpcs://127.0.0.1:{getattr(cloud.doors, wrong.door)}",
        "access_key": f"${KEY_VARIABLE}",
        "tls": {"ca": str(cloud.authority), **wrong.tls},
    }
    serving = {"remote": remote, "roles": {"guard": {"model": wrong.model}}}
    stack = Stack(
        guarded_config(provider, serving), directory, {KEY_VARIABLE: wrong.key}, mode=(), runtime=Runtime.NATIVE
    )
    try:
        done = stack.try_up(*options)
    finally:
        stack.down()
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def ended(
    cloud: Cloud, _providers: tuple[LlmProvider, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Ended]:
    """Every wrong start, one beside the other."""

    def ends(wrong: Wrong, directory: Path) -> Ended:
        return start(wrong, cloud, directory, _providers[0], "--timeout", _PATIENCE_S)

    directories = [tmp_path_factory.mktemp("gw") for _ in _WRONG]
    with ThreadPoolExecutor(len(_WRONG)) as pool:
        return dict(zip(_WRONG, pool.map(ends, _WRONG.values(), directories), strict=True))


@pytest.mark.parametrize("name", _WRONG)
def test_up_names_what_is_wrong_with_the_remote(ended: dict[str, Ended], name: str) -> None:
    wrong, found = _WRONG[name], ended[name]
    print(found.err)
    assert found.code == 1
    assert f"not ready after {_PATIENCE_S} s: waiting for guard" in found.err
    assert [words for words in wrong.says if words not in found.err] == []
    assert wrong.key not in found.err + found.out


def test_up_refuses_a_model_with_the_wrong_signature(
    cloud: Cloud, tmp_path: Path, provider: LlmProvider
) -> None:
    found = start(Wrong(model="two_wide"), cloud, tmp_path, provider)
    assert found.code == 1
    assert "not ready after" not in found.err
    assert "guard on grpcs://" in found.err
    said = "expected inputs TEXT BYTES [-1, 1], outputs PROB FP32 [-1, 1]; found inputs TEXT BYTES [-1, 1], outputs "
    assert f"two_wide: {said}PROB FP32 [-1, 2]" in found.err
    # Nothing is left of it.
    assert not (tmp_path / "run" / "secrets").exists()
