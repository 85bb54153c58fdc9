"""The models inside Triton import nothing of the gateway, so that these tests hold their names to the role table."""

import ast
from pathlib import Path

import pytest

from controlplane.assets import asset
from extproc.shared.filter_config import TextRole
from extproc.shared.roles import BULK, COMPUTE_NS, ROLES, TEXT_ROLE, Role


def strings(path: Path) -> set[str]:
    """Every string literal of a module."""
    tree = ast.parse(path.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("role", ROLES)
def test_model_reads_and_writes_the_tensors_of_its_role(role: Role) -> None:
    spec = ROLES[role]
    optional = {each for pair in spec.optional_inputs.items() for each in pair}
    assert {*spec.inputs, *optional, spec.output} <= strings(asset("triton_models") / spec.code / "model.py")


def test_the_text_of_an_unknown_role_is_a_users() -> None:
    for spec in ROLES.values():
        assert spec.guard is None or spec.optional_inputs == {TEXT_ROLE: TextRole.USER}


def test_adaptor_uses_the_same_names_as_the_filter() -> None:
    assert {COMPUTE_NS, BULK} <= strings(asset("triton_models") / "adaptor.py")


def test_every_role_has_a_row() -> None:
    assert set(ROLES) == set(Role)
