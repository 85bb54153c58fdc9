"""Chooses the runtime if the command line names none: Docker if it can get the images, else native processes."""

from __future__ import annotations

from controlplane.config.model_serving import Mode
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.docker import images
from controlplane.runtime.docker.engine import Engine, unavailable_reason
from controlplane.runtime.runner import Runtime
from controlplane.runtime.runner_selection import runner_of
from controlplane.runtime.start_options import StartOptions


def choose_runtime(options: StartOptions, layout: RunLayout) -> tuple[Runtime, str]:
    """Return the runtime, and the reason in words."""
    if (reason := unavailable_reason()) is not None:
        return Runtime.NATIVE, reason
    runner = runner_of(layout)
    if runner.services() is not None:
        return runner.runtime, f"the gateway in {layout.root} runs so already"
    engine = Engine.find()
    variant = images.Variant.CPU if options.mode is not Mode.LOCAL_GPU else images.Variant.GPU
    needed = images.required_images(variant, local=True, registry=options.images)
    missing = images.missing(engine, needed)
    if not missing:
        return Runtime.DOCKER, "a Docker engine answers and has the images"
    for base in images.base_images(needed, missing):
        if not engine.has_image(base) and not engine.can_pull(base):
            return Runtime.NATIVE, f"the Docker engine does not have the image {base}, and no registry gives it"
    return Runtime.DOCKER, f"a Docker engine answers; to be fetched or built first: {', '.join(missing)}"
