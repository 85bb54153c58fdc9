"""`model_serving.remote.tls`: whether its files are what Envoy will need. Reads them, and keeps nothing."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from controlplane.config.remote_triton import Remote
from controlplane.config.yaml_tree import Finding, Loc, MapNode, value_mark

_PLACE: Loc = ("model_serving", "remote", "tls")


def check(remote: Remote | None, root: MapNode) -> tuple[Finding, ...]:
    """A finding for each file that cannot be read, is no PEM, or does not go with the other."""
    return tuple(_faults(remote, root)) if remote is not None else ()


def _faults(remote: Remote, root: MapNode) -> Iterator[Finding]:
    tls = remote.tls
    unreadable = False
    for key, path in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        fault = _unreadable(path) if path is not None else None
        if fault is not None:
            unreadable = True
            yield Finding(value_mark(root, (*_PLACE, key)), fault, "the path is relative to this file")
    if unreadable:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
    except ssl.SSLError:
        mark = value_mark(root, (*_PLACE, "ca"))
        yield Finding(mark, f"{tls.ca} holds no certificate", "it is a PEM file: -----BEGIN CERTIFICATE-----")
    try:
        if tls.cert is not None and tls.key is not None:
            # An empty password instead of a question at the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
    except ssl.SSLError as error:
        mark = value_mark(root, (*_PLACE, "cert"))
        if error.reason == "KEY_VALUES_MISMATCH":
            yield Finding(mark, "the key is not that of this certificate")
        else:
            hint = "PEM files: -----BEGIN CERTIFICATE-----, and a private key without a password"
            yield Finding(mark, f"{tls.cert} and {tls.key} are no certificate and its key", hint)


def _unreadable(path: str) -> str | None:
    try:
        # Before it is opened: somebody would have to write into a pipe, and Envoy would find it empty.
        if Path(path).is_fifo():
            return f"{path} is a pipe, which Envoy could not read after us"
        with Path(path).open("rb"):
            return None
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
