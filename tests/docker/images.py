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
    wanted = images.wanted(Variant.CPU, local=True, registry=os.environ.get("ARCHGW_IMAGES"))
    # Builds use the machine's network: the containers of the test engine have none. Also for builds of `archgw up`.
    network = os.environ.setdefault("ARCHGW_BUILD_NETWORK", "host")
    images.ensure(Engine.find(), wanted, print, network=network)
    return wanted
