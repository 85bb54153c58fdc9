"""The images of archgw, built once from this checkout for all tests in containers."""

from __future__ import annotations

import os
from functools import cache

from controlplane.runtime.docker import images
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.images import Images, Variant


@cache
def built() -> Images:
    """The images of a gateway with all models on the CPU. Outdated images are rebuilt.

    With $ARCHGW_IMAGES, the images of that registry are used and none is built.
    """
    required = images.required_images(Variant.CPU, local=True, registry=os.environ.get("ARCHGW_IMAGES"))
    # The test engine's containers reach no network but the machine's own; for builds of `archgw up` too.
    network = os.environ.setdefault("ARCHGW_BUILD_NETWORK", "host")
    images.ensure(Engine.find(), required, print, network=network)
    return required
