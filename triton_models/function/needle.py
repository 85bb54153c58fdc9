"""Runs Needle 3 with ctypes: one engine per tool set. Used by needle_caller.py.

The library is an opaque binary with global state. It is loaded from the memory that was hashed, never from a path whose
content could change in between. Its Python package is not imported, because that reports usage to a third party.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triton_models.errors import RequestError

LIBRARY_SHA256 = "016acf60a979c3f1d34d5e155d29bb74100c7ebeff115ea3c40afebf625070c4"
WEIGHTS_SHA256 = "c9d915eca282ed42d1a09b143b592adb4cc6744ffe2d294adf5cfc5548170c38"
_ANSWER_BYTES = 1 << 18
_SC_NPROCESSORS_ONLN = 84
_NEEDLE_INIT_OFFSET = 0x3D7E0
_SYSCONF_SLOT_OFFSET = 0x13D848


@dataclass(frozen=True, slots=True)
class Proposal:
    """One call that Needle proposes. `ungrounded`: paths of arguments that it did not find in the text."""

    name: str
    arguments: dict[str, Any]
    ungrounded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NeedleAnswer:
    """Needle's calls for a text; no proposal if it abstains. `confidence`: 0 to 1."""

    proposals: tuple[Proposal, ...]
    confidence: float


class NeedleEngine:
    """One copy of the library for one tool set: the state is global to a copy."""

    def __init__(self, library: bytes, weights: bytes) -> None:
        # From an anonymous file: the loader keeps one copy per path and inode, and each engine needs its own. The
        # descriptor stays open, else the next engine's file would get the same path and this engine's copy.
        descriptor = os.memfd_create("libneedle3")
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(library)
        self._library = ctypes.CDLL(f"/proc/self/fd/{descriptor}")
        _use_one_thread(self._library)
        self._library.needle_init.argtypes = [ctypes.c_char_p] * 3
        self._library.needle_complete.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        self._library.needle_load.argtypes = [ctypes.c_char_p, ctypes.c_uint64]
        self._library.needle_reset.restype = None
        if self._library.needle_load(weights, len(weights)) < 0:
            raise RuntimeError("Needle does not load its weights")
        self._weights = weights  # the library may keep pointing into it
        self._buffer = ctypes.create_string_buffer(_ANSWER_BYTES)

    def prepare(self, facts: str, tools: str) -> None:
        """Reads the tools, at about 450 tokens a second. Raises RequestError if they are too long."""
        if self._library.needle_init(facts.encode(), tools.encode(), None) < 0:
            raise RequestError("the tools' descriptions and schemas are too long for the function model")

    def complete(self, text: str, max_new_tokens: int) -> NeedleAnswer:
        """Answers one prompt, without memory of the previous one."""
        self._library.needle_reset()
        # A C string ends at the first NUL: Needle would not read the rest.
        encoded = text.replace("\0", " ").encode()
        code = self._library.needle_complete(encoded, max_new_tokens, self._buffer, _ANSWER_BYTES)
        if code < 0:
            raise RuntimeError(f"Needle failed with code {code}")
        return _parse(json.loads(self._buffer.value))


def _parse(document: dict[str, Any]) -> NeedleAnswer:
    ungrounded = tuple((document.get("validation") or {}).get("ungrounded") or ())
    # Needle suppresses a call with an invented argument; its other arguments may be right.
    calls = document.get("function_calls") or document.get("suppressed_calls") or []
    proposals = []
    for call in calls:
        # In these paths Needle may replace all but letters and digits by "_": "math.gcd" -> "math_gcd".
        spellings = (f"{call['name']}.", re.sub(r"\W", "_", call["name"]) + ".")
        paths = tuple(
            path.removeprefix(prefix) for path in ungrounded for prefix in spellings if path.startswith(prefix)
        )
        proposals.append(Proposal(call["name"], dict(call.get("arguments") or {}), paths))
    return NeedleAnswer(tuple(proposals), float(document.get("confidence") or 0.0))


def _one_processor(name: int) -> int:
    return 1 if name == _SC_NPROCESSORS_ONLN else os.sysconf(name)


_sysconf = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_int)(_one_processor)  # kept alive: the library calls it


def _use_one_thread(library: ctypes.CDLL) -> None:
    """Makes the library see one processor.

    By default it starts one pinned thread per processor, and they wait for one another in busy loops. It has no setting
    for that. On two busy processors a call took 3 to 36 s instead of 1.2 s with one thread; on two idle ones 0.25 s
    instead of 0.4 s. The library gets the count from sysconf, so sysconf's entry in its table of imported functions is
    replaced by our function. The offsets are those of the pinned file.
    """
    address = ctypes.cast(library.needle_init, ctypes.c_void_p).value or 0
    slot = address - _NEEDLE_INIT_OFFSET + _SYSCONF_SLOT_OFFSET
    page = slot & ~(mmap.PAGESIZE - 1)
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # The loader made the table read-only.
    if mprotect(page, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) != 0:
        raise RuntimeError(f"cannot limit Needle to one thread: {os.strerror(ctypes.get_errno())}")
    ctypes.c_void_p.from_address(slot).value = ctypes.cast(_sysconf, ctypes.c_void_p).value
    mprotect(page, mmap.PAGESIZE, mmap.PROT_READ)


class NeedleEngines:
    """Engines for the tool sets used last. A tool set is read once, not for every request."""

    def __init__(self, directory: Path, capacity: int) -> None:
        self._library = _verified(directory / "libneedle3.so", LIBRARY_SHA256)
        self._weights = _verified(directory / "needle3.cact", WEIGHTS_SHA256)
        self._capacity = max(1, capacity)
        self._engines: OrderedDict[tuple[str, str], NeedleEngine] = OrderedDict()
        # Loads one engine now: a library for another platform fails at the start, not at the first request.
        self._spare: NeedleEngine | None = NeedleEngine(self._library, self._weights)

    def get(self, facts: str, tools: str) -> NeedleEngine:
        """Returns the engine that has read `tools` and `facts`."""
        key = (facts, tools)
        engine = self._engines.pop(key, None)
        if engine is None:
            engine = self._free()
            try:
                engine.prepare(facts, tools)
            except RequestError:
                self._spare = engine
                raise
        self._engines[key] = engine
        return engine

    def _free(self) -> NeedleEngine:
        if self._spare is not None:
            engine, self._spare = self._spare, None
            return engine
        if len(self._engines) < self._capacity:
            return NeedleEngine(self._library, self._weights)
        return self._engines.popitem(last=False)[1]


def _verified(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RuntimeError(f"{path} is not the pinned file: refusing to load it")
    return content
