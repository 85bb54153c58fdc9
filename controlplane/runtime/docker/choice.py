"""`--runtime auto`: containers where an engine answers and the images can be had, else processes; and why."""

from __future__ import annotations

from controlplane.config.model_serving import Mode
from controlplane.runtime.docker import images
from controlplane.runtime.docker.engine import Engine, why_not
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.runner import Runtime
from controlplane.runtime.runners import runner_of
from controlplane.runtime.wanted import Wanted


def choose(wanted: Wanted, layout: RunLayout) -> tuple[Runtime, str]:
    """The runtime and the reason, in words."""
    if (reason := why_not()) is not None:
        return Runtime.NATIVE, reason
    runner = runner_of(layout)
    if runner.parts() is not None:
        return runner.runtime, f"the gateway in {layout.root} runs so already"
    engine = Engine.find()
    variant = images.Variant.CPU if wanted.mode is not Mode.LOCAL_GPU else images.Variant.GPU
    needed = images.wanted(variant, local=True, registry=wanted.images)
    missing = images.missing(engine, needed)
    if not missing:
        return Runtime.DOCKER, "a Docker engine answers and has the images"
    for base in images.sources(needed, missing):
        if not engine.has_image(base) and not engine.can_pull(base):
            return Runtime.NATIVE, f"the Docker engine does not have the image {base}, and no registry gives it"
    return Runtime.DOCKER, f"a Docker engine answers; to be fetched or built first: {', '.join(missing)}"
