"""Command line, labels and reported steps of a build."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import controlplane
from controlplane.errors import RuntimeFault
from controlplane.runtime.docker import images
from controlplane.runtime.docker.build_context import digest
from controlplane.runtime.docker.image_build import SOURCES_LABEL, build, build_arguments, labels, step
from controlplane.runtime.docker.images import Variant

IMAGES = images.required_images(Variant.CPU, local=True, registry=None)
RECIPE = images.recipes(IMAGES)[IMAGES.triton]


def test_build_command_line() -> None:
    environ = {"HTTPS_PROXY": "http://user:secret@proxy:3128", "no_proxy": "localhost", "HTTP_PROXY": ""}
    arguments = build_arguments(RECIPE, "d1", Path("/context"), "host", environ)
    assert arguments[:7] == [
        *("build", "--tag", IMAGES.triton, "--file", "/context/docker/triton.Dockerfile"),
        *("--network", "host"),
    ]
    assert arguments[-1] == "/context"
    given = [value for option, value in pairwise(arguments) if option == "--build-arg"]
    assert given == [
        "BASE=nvcr.io/nvidia/tritonserver:24.10-py3",
        "LISTS=python:3.11-slim-bookworm",
        "LIBRARIES=engines",
        *("HTTPS_PROXY", "no_proxy"),
    ]
    assert "secret" not in " ".join(arguments)


def test_no_network_option_by_default() -> None:
    assert "--network" not in build_arguments(RECIPE, "d1", Path("/context"), None, {})


def test_labels_name_version_base_and_sources() -> None:
    shown = labels(RECIPE, "d1")
    assert shown[SOURCES_LABEL] == "d1"
    assert shown["org.opencontainers.image.version"] == controlplane.__version__
    assert shown["org.opencontainers.image.base.name"] == "nvcr.io/nvidia/tritonserver:24.10-py3"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("#12 [dependencies 3/3] RUN python -m venv  /opt/venv", "dependencies 3/3: RUN python -m venv /opt/venv"),
        ("#5 [wheel  1/12] FROM docker.io/library/python:3.11", "wheel 1/12: FROM docker.io/library/python:3.11"),
        ("Step 3/20 : RUN pip install x", "3/20: RUN pip install x"),
        ("#12 [dependencies 2/3] COPY --from=lists /build/dependencies.txt /build/", None),
        ("#1 [internal] load build definition from x.Dockerfile", None),
        ("#12 22.69   Downloading idna-3.20-py3-none-any.whl (69 kB)", None),
        ("#12 22.69 [x] RUN of a program in the image", None),
        ("", None),
    ],
)
def test_reports_slow_build_steps(line: str, shown: str | None) -> None:
    assert step(line) == shown


def test_cuts_a_long_step() -> None:
    shown = step(f"#1 [a 1/2] RUN {'x' * 500}")
    assert shown is not None
    assert len(shown) == 72
    assert shown.endswith("x…")


class FakeBuilder:
    """A fake engine whose build prints these lines and leaves an image with that label."""

    environment: dict[str, str] = {}  # noqa: RUF012 - as of the engine

    def __init__(self, lines: list[str], label: str) -> None:
        self._lines, self._label = lines, label
        self.arguments: tuple[str, ...] = ()

    def stream(self, *arguments: str, on_line: Callable[[str], None], doing: str) -> None:
        self.arguments = arguments
        assert (Path(arguments[-1]) / "pyproject.toml").is_file()
        for line in self._lines:
            on_line(line)

    def image_labels(self, _: str) -> dict[str, str]:
        return {SOURCES_LABEL: self._label}


def test_reports_each_step_once() -> None:
    engine: Any = FakeBuilder(
        ["#1 [a 1/2] RUN x", "#1 0.1 output", "#2 [b 1/1] RUN y", "#1 [a 1/2] RUN x"], digest(RECIPE)
    )
    messages: list[str] = []
    build(engine, RECIPE, messages.append)
    name = IMAGES.triton
    assert messages == [f"building {name}", f"building {name}: a 1/2: RUN x", f"building {name}: b 1/1: RUN y"]
    assert not Path(engine.arguments[-1]).exists()


def test_explains_an_image_that_the_builder_did_not_load() -> None:
    engine: Any = FakeBuilder([], "that of the former one")
    with pytest.raises(RuntimeFault, match="another builder keeps it"):
        build(engine, RECIPE, lambda _: None)
