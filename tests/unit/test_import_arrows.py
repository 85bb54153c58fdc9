"""Imports between packages go one way. Late and type-only imports count like all others."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A package of controlplane may import those of lower lines: never of its own line or of a higher one.
LAYERS = (
    {"cli"},
    {"generate", "quickstart"},
    {"runtime"},
    {"render"},
    {"compile"},
    {"config"},
    {"models"},
    {"errors", "quoting", "versions"},
    {"assets"},
)
LEVEL = {name: -level for level, names in enumerate(LAYERS) for name in names}


def imports(source: str) -> Iterator[str]:
    """Yields each imported name with its whole module path."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_allowed(module: str, imported: str) -> bool:
    importer, target = module.split("."), imported.split(".")
    if target[0] not in {"controlplane", "extproc", "triton_models"} or target[:2] == importer[:2]:
        return True
    if target in (["controlplane"], ["controlplane", "__version__"]):
        return True
    match importer[0], target[0]:
        case "controlplane", "controlplane":
            return LEVEL[target[1]] < LEVEL[importer[1]]
        case "controlplane", "extproc":
            return target[1] == "shared"
        case "extproc", "extproc":
            return importer[1] != "shared"
        case importer_root, target_root:
            return importer_root == target_root


@pytest.mark.parametrize("package", ["controlplane", "extproc", "triton_models"])
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {imported}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for imported in imports(path.read_text(encoding="utf-8"))
        if not is_allowed(".".join(path.relative_to(ROOT).with_suffix("").parts), imported)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("controlplane.config.load", "from controlplane.compile.plans import Gateway"),
        ("controlplane.models.cache", "def late():\n    import controlplane.config.load"),
        ("controlplane.errors", "from controlplane import versions"),
        ("controlplane.compile.gateway", "from extproc.pipeline import ingress"),
        ("extproc.gateway", "from controlplane import errors"),
        ("extproc.shared.filter_config", "from extproc import gateway"),
        ("triton_models.guard.model", "from extproc.shared import filter_config"),
    ],
)
def test_an_upward_import_is_found(module: str, source: str) -> None:
    assert not all(is_allowed(module, imported) for imported in imports(source))
