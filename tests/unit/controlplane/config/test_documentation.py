"""docs/configuration.md and the schema say the same."""

import re
from pathlib import Path
from typing import Any

import pytest

from controlplane.config.json_schema import json_schema
from controlplane.config.vendors import VENDORS

DOCUMENT = (Path(__file__).parents[4] / "docs" / "configuration.md").read_text(encoding="utf-8")
# Where the page explains each model of the schema, and what its rows put before the key.
SECTIONS = {
    "Ingress": ("listeners", "ingress."),
    "Egress": ("listeners", "egress."),
    "Endpoint": ("endpoints", ""),
    "Provider": ("llm_providers", ""),
    "PromptGuards": ("prompt_guards", ""),
    "InputGuards": ("prompt_guards", ""),
    "Guard": ("prompt_guards", ""),
    "OnException": ("prompt_guards", "on_exception."),
    "PromptTarget": ("prompt_targets", ""),
    "TargetEndpoint": ("prompt_targets", "endpoint."),
    "Parameter": ("prompt_targets", "parameters[]."),
    "ErrorTarget": ("error_target", ""),
    "ModelServing": ("model_serving", ""),
    "LocalServing": ("model_serving", "local."),
    "Roles": ("model_serving", "roles."),
    "RoleServing": ("model_serving", "roles.*."),
    "Remote": ("model_serving", "remote."),
    "Tls": ("model_serving", "remote.tls."),
    "IntentWeights": ("overrides", "intent_weights."),
    "Grounding": ("overrides", "grounding."),
    "LongTexts": ("overrides", "long_texts."),
    "Overrides": ("overrides", ""),
    "Tracing": ("tracing", ""),
}


def models() -> dict[str, Any]:
    definitions: Any = json_schema()["$defs"]
    # `listeners` has a table for each; what `items` holds is said in its row.
    without = {"Listeners", "Items"}
    return {name: model for name, model in definitions.items() if "properties" in model and name not in without}


def rows(section: str) -> dict[str, list[str]]:
    """The cells of each row of a section's tables, by key."""
    body = DOCUMENT.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    found = {}
    for line in body.splitlines():
        match = re.match(r"\| `([^`]+)` \|", line)
        if match:
            found[match[1]] = [cell.strip() for cell in line.strip("| ").split(" | ")]
    return found


def test_every_model_of_the_schema_has_its_section() -> None:
    assert set(models()) == set(SECTIONS)


@pytest.mark.parametrize("model", sorted(SECTIONS))
def test_every_key_is_explained_with_its_default(model: str) -> None:
    section, prefix = SECTIONS[model]
    table = rows(section)
    schema = models()[model]
    for key, value in schema["properties"].items():
        assert prefix + key in table, f"{section}: {prefix + key}"
        default = table[prefix + key][2]
        if key in schema.get("required", ()):
            assert default == "required"
        elif isinstance(value.get("default"), bool):
            assert default.startswith(f"`{str(value['default']).lower()}`")
        elif value.get("default") and isinstance(value["default"], list):
            assert default == f"`[{', '.join(value['default'])}]`"
        elif isinstance(value.get("default"), int | float) or (value.get("default") and key != "message"):
            assert default == f"`{value['default']}`"


def test_every_key_of_the_top_level_is_explained() -> None:
    properties: Any = json_schema()["properties"]
    assert set(rows("Top level")) == set(properties)


def test_no_row_explains_a_removed_key() -> None:
    known = {prefix + key for name, (_, prefix) in SECTIONS.items() for key in models()[name]["properties"]}
    explained = {key for section, _ in SECTIONS.values() for key in rows(section)}
    assert explained - known - set(VENDORS) == set()


def test_every_provider_is_listed_with_its_url() -> None:
    table = rows("llm_providers")
    assert set(VENDORS) <= set(table)
    for name, vendor in VENDORS.items():
        if vendor.base_url is not None:
            url = vendor.base_url
            port = "" if url.port == 443 else f":{url.port}"
            assert table[name][1] == f"`http{'s' if url.secure else ''}://{url.host}{port}{url.path}`"
