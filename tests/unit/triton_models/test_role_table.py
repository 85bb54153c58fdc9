"""The models inside Triton import nothing of the gateway, so that these tests hold their names to the role table."""

import ast
from pathlib import Path

import pytest

from controlplane.assets import asset
from extproc.shared.roles import BULK, COMPUTE_NS, ROLES, Role


def strings(path: Path) -> set[str]:
    """Every string literal of a module."""
    tree = ast.parse(path.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("role", ROLES)
def test_model_reads_and_writes_the_tensors_of_its_role(role: Role) -> None:
    spec = ROLES[role]
    assert {*spec.inputs, spec.output} <= strings(asset("triton_models") / spec.code / "model.py")


def test_adaptor_uses_the_same_names_as_the_filter() -> None:
    assert {COMPUTE_NS, BULK} <= strings(asset("triton_models") / "adaptor.py")


def test_every_role_has_a_row() -> None:
    assert set(ROLES) == set(Role)
