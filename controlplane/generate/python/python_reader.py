"""One Python file into operations: finds its routes, and asks the framework of each what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from controlplane.errors import Problem, SourceError
from controlplane.generate import limitations
from controlplane.generate.operations import (
    METHODS,
    MOST_OPERATIONS,
    InexpressibleError,
    Note,
    Operation,
    Reading,
)
from controlplane.generate.python import fastapi, flask
from controlplane.generate.python.project import Project
from controlplane.generate.python.routers import Framework, Routers
from controlplane.generate.python.routes import routes

_READERS: Final = {Framework.FASTAPI: fastapi.operation, Framework.FLASK: flask.operation}


def read(path: Path, path_prefix: str = "") -> Reading:
    """Everything that the FastAPI or Flask source at `path` offers. Raises `SourceError`."""
    try:
        return _read(path, path_prefix)
    except RecursionError:
        raise SourceError((Problem(str(path), 1, 1, "its expressions are nested too deeply"),)) from None


def _read(path: Path, path_prefix: str) -> Reading:
    routers = Routers.of(Project().open(path))
    found, notes = routes(routers)
    operations: list[Operation] = []
    skipped = [*routers.notes, *notes]
    for route in found[:MOST_OPERATIONS]:
        if route.hidden:
            skipped.append(Note(route.place, route.function.name, "skipped: include_in_schema is off"))
            continue
        for method in route.methods:
            if method not in METHODS:
                skipped.append(Note(route.place, route.function.name, limitations.unsupported(method)))
                continue
            try:
                operation = _READERS[route.framework](route, method)
            except InexpressibleError as error:
                skipped.append(Note(route.place, route.function.name, f"skipped: {error}"))
                continue
            operations.append(replace(operation, path=path_prefix.rstrip("/") + operation.path))
    if not found:
        raise SourceError((Problem(str(path), 1, 1, "no routes were found", _looked_for(skipped)),))
    return Reading(routers.title, None, tuple(operations), tuple(skipped))


def _looked_for(notes: Sequence[Note]) -> str:
    looked = (
        'looked for @app.get("/path"), @router.post("/path"), @app.route("/path") and the like of FastAPI and Flask; '
        "name the file that has them, or use --openapi FILE"
    )
    return "\n    ".join([looked, *map(str, notes)])
