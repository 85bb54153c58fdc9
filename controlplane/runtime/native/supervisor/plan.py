"""The supervisor's plan: services and log sizes. Written by `client`, read once by the supervisor.

A JSON file, so that paths and arguments may contain any character. It contains no secret.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from controlplane.runtime.native.service import Service


class LogSizes(msgspec.Struct, frozen=True):
    """Each log is rotated at `max_bytes`, and `files` old ones are kept. 0: a full log is truncated."""

    max_bytes: int
    files: int


class SupervisorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`directory`: working directory of the services. `events`: the supervisor's log. `socket`: where it listens."""

    directory: Path
    socket: Path
    events: Path
    sizes: LogSizes
    services: tuple[Service, ...]


def encode(plan: SupervisorPlan) -> str:
    return msgspec.json.format(msgspec.json.encode(plan, enc_hook=_encode_path), indent=2).decode() + "\n"


def decode(text: bytes) -> SupervisorPlan:
    """Decode a plan. msgspec.DecodeError if the text is not a plan."""
    return msgspec.json.decode(text, type=SupervisorPlan, dec_hook=_decode_path)


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _decode_path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)
