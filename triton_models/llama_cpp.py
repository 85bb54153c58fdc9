"""llama.cpp in this process, as the models `chat` and `function` start it."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

import xllamacpp  # type: ignore[import-untyped]


def open_server(model: Path, *, threads: int, slots: int, context: int) -> xllamacpp.Server:
    """A GGUF model with `slots` conversations at once, `context` tokens of prompts and answers between them."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx = context
    parameters.kv_unified = True  # one conversation may use what the others leave
    parameters.n_parallel = slots
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.cache_ram_mib = 0  # keeps finished prompts in memory, up to 8 GiB by default
    parameters.verbosity = 0  # its log holds prompts
    # llama.cpp also opens an HTTP server, and it cannot be told not to. Nobody knows its key, and its unix socket is
    # removed as soon as it listens: no path leads to it.
    parameters.api_keys = [secrets.token_hex(32)]
    parameters.ui = False
    parameters.endpoint_slots = False
    with tempfile.TemporaryDirectory(prefix="archgw-") as folder:
        parameters.hostnames = [f"{folder}/closed.sock"]
        return xllamacpp.Server(parameters)


def gguf(directory: Path) -> Path:
    """The folder's GGUF file; of one in parts the first, which names the others."""
    found = sorted(directory.rglob("*.gguf"))
    if not found:
        raise ValueError(f"{directory} holds no GGUF file")
    return found[0]
