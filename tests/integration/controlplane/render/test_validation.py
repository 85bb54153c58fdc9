"""Validation of rendered files: errors name the place and show no secret."""

from __future__ import annotations

import pytest

from controlplane.errors import RenderError
from controlplane.render.envoy_validation import validate_with_envoy
from controlplane.render.proto_validation import validate_types
from controlplane.render.rendered_files import RenderedFile
from tests.integration.controlplane.render.test_gateway_files import binary
from tests.unit.controlplane.render.plans import KEY, plan, render

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
def test_proto_validation_finds_nested_wrong_fields_and_values(old: str, new: str) -> None:
    with pytest.raises(RenderError, match=CLUSTERS):
        validate_types(broken(CLUSTERS, old, new))


def test_rejects_text_that_is_not_yaml() -> None:
    with pytest.raises(RenderError, match="not YAML"):
        validate_types({CLUSTERS: RenderedFile("a: [")})


def test_rejects_an_invalid_secret_file_without_showing_the_secret() -> None:
    name = "secrets/provider_openai.yaml"
    with pytest.raises(RenderError, match=name) as caught:
        validate_types(broken(name, "inline_string", f"{KEY}: 1, x"))
    assert KEY not in str(caught.value)


def test_envoy_rejects_what_proto_validation_accepts() -> None:
    # Valid by type, but Envoy rejects it.
    files = broken("envoy/rds_internal.yaml", 'cluster: "endpoint_api"', 'cluster: "nowhere"')
    validate_types(files)
    with pytest.raises(RenderError, match="nowhere"):
        validate_with_envoy(binary(), files)
