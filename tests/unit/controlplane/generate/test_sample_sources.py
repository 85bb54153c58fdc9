"""Sample sources of each kind, against their expected configuration and notes."""

import shutil

import pytest
import yaml

from controlplane.generate.generate import GenerateOptions, generate
from tests.unit.controlplane.generate.sources import FOLDER, Project

SOURCES = {
    "travel_fastapi": "travel.py",
    "shop_flask": "shop.py",
    "library_openapi": "library.yaml",
}


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_sample_source_becomes_the_expected_configuration(project: Project, source: str) -> None:
    path = project.path / SOURCES[source]
    (given,) = (file for file in (FOLDER / f"{source}.txt", FOLDER / f"{source}.yaml") if file.exists())
    shutil.copy(given, path)
    made = generate(str(path), GenerateOptions(), is_openapi=path.suffix != ".py")
    expected = (FOLDER / f"{source}.expected.yaml").read_text(encoding="utf-8")
    assert project.validate(made) == yaml.safe_load(expected)
    notes = [str(note).replace(f"{project.path}/", "") for note in made.notes]
    assert notes == (FOLDER / f"{source}.notes.txt").read_text(encoding="utf-8").splitlines()
