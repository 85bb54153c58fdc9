"""Reads a Python file into an `ApiDescription`: finds its routes; fastapi.py and flask.py read their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from controlplane.errors import Problem, SourceError
from controlplane.generate import limitations
from controlplane.generate.operations import (
    MAX_OPERATIONS,
    METHODS,
    ApiDescription,
    InexpressibleError,
    Note,
    Operation,
)
from controlplane.generate.python import fastapi, flask
from controlplane.generate.python.project import Project
from controlplane.generate.python.routers import Framework, Routers
from controlplane.generate.python.routes import routes

_OPERATION_READERS: Final = {Framework.FASTAPI: fastapi.operation, Framework.FLASK: flask.operation}


def read(path: Path, path_prefix: str = "") -> ApiDescription:
    """Returns the API that the FastAPI or Flask source at `path` implements. Raises `SourceError`."""
    try:
        return _read(path, path_prefix)
    except RecursionError:
        raise SourceError((Problem(str(path), 1, 1, "its expressions are nested too deeply"),)) from None


def _read(path: Path, path_prefix: str) -> ApiDescription:
    routers = Routers.of(Project().open(path))
    found, notes = routes(routers)
    operations: list[Operation] = []
    skipped = [*routers.notes, *notes]
    for route in found[:MAX_OPERATIONS]:
        if route.hidden:
            skipped.append(Note(route.position, route.function.name, "skipped: include_in_schema is off"))
            continue
        for method in route.methods:
            if method not in METHODS:
                skipped.append(Note(route.position, route.function.name, limitations.unsupported_method(method)))
                continue
            try:
                operation = _OPERATION_READERS[route.framework](route, method)
            except InexpressibleError as error:
                skipped.append(Note(route.position, route.function.name, f"skipped: {error}"))
                continue
            operations.append(replace(operation, path=path_prefix.rstrip("/") + operation.path))
    if not found:
        raise SourceError((Problem(str(path), 1, 1, "no routes were found", _no_routes_hint(skipped)),))
    return ApiDescription(routers.title, None, tuple(operations), tuple(skipped))


def _no_routes_hint(notes: Sequence[Note]) -> str:
    hint = (
        'looked for @app.get("/path"), @router.post("/path"), @app.route("/path") and the like of FastAPI and Flask; '
        "name the file that has them, or use --openapi FILE"
    )
    return "\n    ".join([hint, *map(str, notes)])
