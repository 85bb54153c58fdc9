"""`docker build` of one image of ours, told one line a step. Works with BuildKit and with the classic builder."""

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

# Docker knows these arguments by itself, gives them to each step, and keeps them out of the image's history.
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
# What takes time: `#12 [dependencies 3/3] RUN python -m venv /opt/venv` of BuildKit, `Step 3/20 : RUN ...` of the
# classic builder. FROM fetches.
_STEP: Final = re.compile(r"(?:#\d+ \[(?P<at>[^\]]+)\]|Step (?P<number>\d+/\d+) :) (?P<what>(?:RUN|FROM) .+)")
_COLUMNS: Final = 72


def build(engine: Engine, recipe: Recipe, say: Callable[[str], None], *, network: str | None = None) -> None:
    """Build the image. `network`: of its steps, as `docker build --network` takes it.

    RuntimeFault says what failed, with the last lines of the build.
    """
    told: set[str] = set()

    def tell(line: str) -> None:
        found = step(line)
        if found is not None and found not in told:
            told.add(found)
            say(f"building {recipe.reference}: {found}")

    say(f"building {recipe.reference}")
    sources = digest(recipe)
    with assembled_context(recipe.sources) as context:
        arguments = build_arguments(recipe, sources, context, network, engine.environment)
        engine.stream(*arguments, on_line=tell, doing=f"building the image {recipe.reference} on {recipe.base}")
    if (engine.image_labels(recipe.reference) or {}).get(SOURCES_LABEL) != sources:
        raise RuntimeFault(
            f"{recipe.reference} was built, but the engine does not have it: another builder keeps it; "
            "unset BUILDX_BUILDER, or: docker buildx use default"
        )


def build_arguments(
    recipe: Recipe, sources: str, context: Path, network: str | None, environ: Mapping[str, str]
) -> list[str]:
    """What `docker` is given. Of `environ`, the names of the proxy variables that are set there, and no value."""
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
    """Those that the Dockerfile cannot know; title, description and licence are written there."""
    known = {
        f"{_OCI}.version": controlplane.__version__,
        f"{_OCI}.base.name": recipe.base,
        SOURCES_LABEL: sources,
    }
    revision = _revision(asset("pyproject.toml").parent)
    return known | ({f"{_OCI}.revision": revision} if revision else {})


def step(line: str) -> str | None:
    """The step that a line of the builder's output begins, where it is one that takes time; None for other lines."""
    found = _STEP.match(line)
    if found is None:
        return None
    text = f"{' '.join((found['at'] or found['number']).split())}: {' '.join(found['what'].split())}"
    return text if len(text) <= _COLUMNS else f"{text[: _COLUMNS - 1]}…"


def _each(option: str, values: list[str]) -> list[str]:
    return [service for value in values for service in (option, value)]


def _revision(root: Path) -> str | None:
    """The commit of a checkout, `-dirty` where it was changed since; None where there is none, or no git."""
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
