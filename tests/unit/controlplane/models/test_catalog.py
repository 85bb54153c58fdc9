import pytest
import yaml

from controlplane.assets import asset
from controlplane.errors import ModelError
from controlplane.models.catalog import catalog, parse
from triton_models.function import needle

TEXT = (asset("triton_models") / "catalog.yaml").read_text()


def test_every_role_has_its_folder_and_its_template() -> None:
    for role in catalog().roles:
        assert (asset("triton_models") / role / "model.py").is_file()
        assert (asset("triton_models") / role / "config.pbtxt.j2").is_file()


def test_roles_and_artefacts_select_what_they_need() -> None:
    assert list(catalog().select(("guard",))) == ["minilm", "nanoguard"]
    assert list(catalog().select(("needle", "embed"))) == ["minilm", "needle"]
    assert list(catalog().select(None)) == list(catalog().artefacts)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="there are: embed, guard, function, chat"):
        catalog().select(("gaurd",))


def test_the_function_model_refuses_all_but_the_catalogues_files() -> None:
    pinned = {made.file: made.sha256 for made in catalog().artefacts["needle"].make}
    assert pinned == {"libneedle3.so": needle.LIBRARY_SHA256, "needle3.cact": needle.WEIGHTS_SHA256}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("artefacts", "needle", "package", "sha256"), "abc"),
        (("artefacts", "needle", "extra"), 1),
        (("roles", "embed"), ["nothing"]),
        (("artefacts", "minilm", "make"), [{"file": "../x", "by": "copy", "of": "y", "sha256": "0" * 64}]),
        (("artefacts", "minilm", "make"), [{"file": "x", "by": "copy", "of": "y", "sha256": "0" * 64}]),
    ],
)
def test_a_wrong_catalogue_is_refused(path: tuple[str, ...], value: object) -> None:
    document = yaml.safe_load(TEXT)
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(ModelError, match="not valid"):
        parse(yaml.safe_dump(document))
