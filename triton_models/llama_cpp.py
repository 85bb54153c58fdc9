"""Starts llama.cpp in this process. Used by the models `chat` and `function`."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

import xllamacpp  # type: ignore[import-untyped]


def open_server(model: Path, *, threads: int, slots: int, context: int) -> xllamacpp.Server:
    """Loads a GGUF model with `slots` concurrent conversations that share `context` tokens of prompts and answers."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx = context
    parameters.kv_unified = True  # a conversation may use tokens that the others do not need
    parameters.n_parallel = slots
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.cache_ram_mib = 0  # by default, finished prompts stay in memory, up to 8 GiB
    parameters.verbosity = 0  # its log holds prompts
    # llama.cpp always opens an HTTP server as well. Its key is random, and its unix socket is deleted as soon as it
    # listens, so that nobody can connect.
    parameters.api_keys = [secrets.token_hex(32)]
    parameters.ui = False
    parameters.endpoint_slots = False
    with tempfile.TemporaryDirectory(prefix="archgw-") as folder:
        parameters.hostnames = [f"{folder}/closed.sock"]
        return xllamacpp.Server(parameters)


def gguf(directory: Path) -> Path:
    """Returns the folder's GGUF file. Of a split file it is the first part, which names the others."""
    found = sorted(directory.rglob("*.gguf"))
    if not found:
        raise ValueError(f"{directory} holds no GGUF file")
    return found[0]
