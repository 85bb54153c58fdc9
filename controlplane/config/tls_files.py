"""Checks the files of `model_serving.remote.tls`: Envoy must be able to use them. Used by `load`."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from controlplane.config.remote_triton import Remote
from controlplane.config.yaml_tree import Finding, Loc, MapNode, value_mark

_TLS: Loc = ("model_serving", "remote", "tls")


def check(remote: Remote | None, root: MapNode) -> tuple[Finding, ...]:
    """Returns a finding for each file that cannot be read, is no PEM, or does not match the other file."""
    return tuple(_faults(remote, root)) if remote is not None else ()


def _faults(remote: Remote, root: MapNode) -> Iterator[Finding]:
    tls = remote.tls
    unreadable = False
    for key, path in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        fault = _unreadable(path) if path is not None else None
        if fault is not None:
            unreadable = True
            yield Finding(value_mark(root, (*_TLS, key)), fault, "the path is relative to this file")
    if unreadable:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
    except ssl.SSLError:
        mark = value_mark(root, (*_TLS, "ca"))
        yield Finding(mark, f"{tls.ca} holds no certificate", "it is a PEM file: -----BEGIN CERTIFICATE-----")
    try:
        if tls.cert is not None and tls.key is not None:
            # The empty password prevents a question at the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
    except ssl.SSLError as error:
        mark = value_mark(root, (*_TLS, "cert"))
        if error.reason == "KEY_VALUES_MISMATCH":
            yield Finding(mark, "the key does not belong to this certificate")
        else:
            hint = "PEM files: -----BEGIN CERTIFICATE-----, and a private key without a password"
            yield Finding(mark, f"{tls.cert} and {tls.key} are not a certificate and its key", hint)


def _unreadable(path: str) -> str | None:
    try:
        # Checked first: opening a pipe waits for a writer, and Envoy would find it empty.
        if Path(path).is_fifo():
            return f"{path} is a pipe, which Envoy could not read after us"
        with Path(path).open("rb"):
            return None
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
