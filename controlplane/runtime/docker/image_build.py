"""Builds one of archgw's images with `docker build` and reports each step. For BuildKit and the classic builder."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import controlplane
from controlplane.assets import asset
from controlplane.errors import RuntimeFault
from controlplane.runtime.docker.build_context import Recipe, assembled_context, digest
from controlplane.runtime.docker.engine import Engine

SOURCES_LABEL: Final = "archgw.sources"
_OCI: Final = "org.opencontainers.image"

# Predefined build arguments: Docker passes them to each step and keeps them out of the image's history.
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
# Steps that take time: `#12 [dependencies 3/3] RUN python -m venv /opt/venv` of BuildKit, `Step 3/20 : RUN ...` of the
# classic builder. FROM pulls an image.
_STEP: Final = re.compile(r"(?:#\d+ \[(?P<stage>[^\]]+)\]|Step (?P<number>\d+/\d+) :) (?P<command>(?:RUN|FROM) .+)")
_COLUMNS: Final = 72


def build(engine: Engine, recipe: Recipe, say: Callable[[str], None], *, network: str | None = None) -> None:
    """Build the image. `network`: network of the build steps, as for `docker build --network`.

    RuntimeFault with the last lines of the build if it fails.
    """
    reported: set[str] = set()

    def report_step(line: str) -> None:
        current = step(line)
        if current is not None and current not in reported:
            reported.add(current)
            say(f"building {recipe.reference}: {current}")

    say(f"building {recipe.reference}")
    sources = digest(recipe)
    with assembled_context(recipe.sources) as context:
        arguments = build_arguments(recipe, sources, context, network, engine.environment)
        engine.stream(*arguments, on_line=report_step, doing=f"building the image {recipe.reference} on {recipe.base}")
    if (engine.image_labels(recipe.reference) or {}).get(SOURCES_LABEL) != sources:
        raise RuntimeFault(
            f"{recipe.reference} was built, but the engine does not have it: another builder keeps it; "
            "unset BUILDX_BUILDER, or: docker buildx use default"
        )


def build_arguments(
    recipe: Recipe, sources: str, context: Path, network: str | None, environ: Mapping[str, str]
) -> list[str]:
    """Return the arguments of `docker`. They contain the names of proxy variables, but not the values."""
    proxies = [name for name in (*_PROXIES, *(name.lower() for name in _PROXIES)) if environ.get(name)]
    return [
        *("build", "--tag", recipe.reference, "--file", str(context / recipe.dockerfile)),
        *(("--network", network) if network else ()),
        *_each("--build-arg", [f"{key}={value}" for key, value in recipe.arguments.items()]),
        *_each("--build-arg", proxies),
        *_each("--label", [f"{key}={value}" for key, value in labels(recipe, sources).items()]),
        str(context),
    ]


def labels(recipe: Recipe, sources: str) -> dict[str, str]:
    """Return the labels that depend on the build. Title, description and licence are in the Dockerfile."""
    build_labels = {
        f"{_OCI}.version": controlplane.__version__,
        f"{_OCI}.base.name": recipe.base,
        SOURCES_LABEL: sources,
    }
    revision = _revision(asset("pyproject.toml").parent)
    return build_labels | ({f"{_OCI}.revision": revision} if revision else {})


def step(line: str) -> str | None:
    """Return the step that a line of output starts, if the step takes time; None for other lines."""
    match = _STEP.match(line)
    if match is None:
        return None
    text = f"{' '.join((match['stage'] or match['number']).split())}: {' '.join(match['command'].split())}"
    return text if len(text) <= _COLUMNS else f"{text[: _COLUMNS - 1]}…"


def _each(option: str, values: list[str]) -> list[str]:
    return [argument for value in values for argument in (option, value)]


def _revision(root: Path) -> str | None:
    """Return the commit of a checkout, with `-dirty` after changes; None without a checkout or without git."""
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
