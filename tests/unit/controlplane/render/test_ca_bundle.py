"""The bundle of certificate authorities."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.errors import RenderError
from controlplane.render.ca_bundle import ca_bundle


def test_ssl_cert_file_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert ca_bundle() == bundle


def test_missing_ssl_cert_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")
    with pytest.raises(RenderError, match="SSL_CERT_FILE"):
        ca_bundle()


def test_finds_a_bundle_without_ssl_cert_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert ca_bundle().is_file()
