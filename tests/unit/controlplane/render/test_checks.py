"""A rendered file that is wrong is refused, with the place named and no secret shown."""

from __future__ import annotations

import pytest

from controlplane.errors import RenderError
from controlplane.render.envoy_validation import validate_with_envoy
from controlplane.render.proto_validation import validate_types
from controlplane.render.rendered_files import RenderedFile
from tests.unit.controlplane.render.plans import KEY, plan, render
from tests.unit.controlplane.render.test_gateway_files import binary

CLUSTERS = "envoy/cds.yaml"


def broken(name: str, old: str, new: str) -> dict[str, RenderedFile]:
    files = render(plan())
    assert old in files[name].text
    return files | {name: RenderedFile(files[name].text.replace(old, new))}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lb_policy:", "lb_polyci:"),
        ("LEAST_REQUEST", "LEAST_REQUETS"),
        ("connect_timeout: 1s", "connect_timeout: soon"),
        ("overwrite: true", "overwirte: true"),
        ("service_name: archgw", "service_name: 3"),
    ],
)
def test_types_find_a_wrong_name_or_value_however_deep(old: str, new: str) -> None:
    with pytest.raises(RenderError, match=CLUSTERS):
        validate_types(broken(CLUSTERS, old, new))


def test_text_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(RenderError, match="not YAML"):
        validate_types({CLUSTERS: RenderedFile("a: [")})


def test_a_wrong_secret_file_is_refused_without_its_secret() -> None:
    name = "secrets/provider_openai.yaml"
    with pytest.raises(RenderError, match=name) as caught:
        validate_types(broken(name, "inline_string", f"{KEY}: 1, x"))
    assert KEY not in str(caught.value)


def test_envoy_has_the_last_word() -> None:
    # Of the right type, and yet not what Envoy allows.
    files = broken("envoy/rds_internal.yaml", 'cluster: "endpoint_api"', 'cluster: "nowhere"')
    validate_types(files)
    with pytest.raises(RenderError, match="nowhere"):
        validate_with_envoy(binary(), files)
