from pathlib import Path
from typing import get_args

import pytest
import yaml

from controlplane.assets import asset
from controlplane.errors import ModelError
from controlplane.models import cache
from controlplane.models.catalog import Engine, SourceFile, catalog, parse
from extproc.shared.roles import ROLES
from extproc.shared.scripts import Script
from triton_models.function import needle

TEXT = (asset("triton_models") / "catalog.yaml").read_text()


def test_catalogue_has_default_models_for_exactly_the_roles_that_promise_one() -> None:
    assert set(catalog().roles) == {role for role, spec in ROLES.items() if spec.has_default_model}


def test_every_engine_of_the_role_table_is_known() -> None:
    assert set().union(*(spec.engines for spec in ROLES.values())) <= set(get_args(Engine))


def test_roles_and_artefacts_select_what_they_need() -> None:
    assert list(catalog().select(("guard",))) == ["minilm-guard"]
    assert list(catalog().select(("needle", "embed"))) == ["minilm-intent", "needle"]
    assert list(catalog().select(None)) == ["minilm-intent", "minilm-guard", "needle", "smollm2"]


def test_role_has_default_and_named_models() -> None:
    assert catalog().default("guard") == ("minilm-guard",)
    assert catalog().default("embed") == ("minilm-intent",)
    assert catalog().choices("guard") == ("Arch-Guard",)
    assert catalog().choices("embed") == ("minilm", "minilm-intent", "bge-large-en-v1.5")
    assert catalog().default("nli") == ()
    assert catalog().choices("nli") == ("bart-large-mnli",)
    assert catalog().artefacts["Arch-Function-3B"].cpu == "Arch-Function-3B.gguf"


def test_hub_models_are_selected_only_by_name() -> None:
    assert list(catalog().select(("function", "Arch-Function-3B"))) == ["needle", "Arch-Function-3B"]


@pytest.mark.parametrize("gpu", [False, True])
def test_the_shipped_guard_says_which_scripts_it_reads(gpu: bool) -> None:
    assert catalog().scripts("guard", None, gpu=gpu) == (Script.LATIN,)
    assert catalog().scripts("guard", "Arch-Guard", gpu=gpu) == ()


def test_unknown_name_error_lists_the_known_names() -> None:
    with pytest.raises(ModelError, match="there are: embed, guard, function, chat"):
        catalog().select(("gaurd",))


def test_function_model_accepts_only_catalogue_files() -> None:
    pinned = {made.file: made.sha256 for made in catalog().artefacts["needle"].make}
    assert pinned == {"libneedle3.so": needle.LIBRARY_SHA256, "needle3.cact": needle.WEIGHTS_SHA256}


def test_star_does_not_match_across_folders() -> None:
    weights = SourceFile(path="*.safetensors")
    assert weights.names("model-00001-of-00002.safetensors")
    assert not weights.names("onnx/model.safetensors")


MORE = """
artefacts:
  ours:
    description: our own encoder
    serves: embed
    engine: onnxruntime
    devices: [cpu]
    licence: ours
    path: /models/ours
    files:
      - path: model.onnx
"""


def test_user_catalogue_adds_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more.yaml").write_text(MORE)
    monkeypatch.setenv("ARCHGW_CATALOG", str(tmp_path / "more.yaml"))
    assert catalog().choices("embed") == ("minilm", "minilm-intent", "bge-large-en-v1.5", "ours")
    assert cache.folder("ours", catalog().artefacts["ours"]) == Path("/models/ours")
    monkeypatch.delenv("ARCHGW_CATALOG")
    assert "ours" not in catalog().artefacts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MORE.replace("ours:", "minilm:", 1), "in the catalogue already: minilm"),
        (MORE.replace("/models/ours", "models/ours"), "write the whole path"),
        ("roles: {embed: [minilm]}", "not valid"),
        (MORE.replace("ours:", "guard:", 1), "in the catalogue already: guard"),
        (MORE.replace("ours:", "../../ours:", 1), r"artefacts\.\.\./\.\./ours.*should match pattern"),
        (MORE.replace("serves: embed", "serves: guard"), r"artefacts\.ours: guard is served by transformers alone"),
        (MORE.replace("embed", "function").replace("onnxruntime", "vllm"), r"vllm computes on a GPU alone"),
        (MORE.replace("licence: ours", "licence: 2020-13-45"), "month must be in"),
        (MORE.replace("/models/ours", "~nobody-of-that-name/ours"), "not valid"),
        ("", "the file: "),
        ("artefacts: [", "not valid"),
        ("[" * 500, "not valid: maximum recursion depth"),
    ],
)
def test_checks_the_user_catalogue(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse(TEXT, text)


@pytest.mark.parametrize("path", ["/nowhere/more.yaml", "~nobody-of-that-name/more.yaml", "/"])
def test_error_names_a_missing_user_catalogue(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("ARCHGW_CATALOG", path)
    with pytest.raises(ModelError, match=f"ARCHGW_CATALOG={path} cannot be read"):
        catalog()


def test_error_names_an_invalid_user_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more.yaml").write_text("artefacts: 5")
    monkeypatch.setenv("ARCHGW_CATALOG", str(tmp_path / "more.yaml"))
    with pytest.raises(ModelError, match=r"^ARCHGW_CATALOG=/\S+/more\.yaml: the model catalogue is not valid:"):
        catalog()


def test_empty_catalogue_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHGW_CATALOG", "")
    assert catalog().choices("embed") == ("minilm", "minilm-intent", "bge-large-en-v1.5")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("artefacts", "needle", "package", "sha256"), "abc"),
        (("artefacts", "needle", "extra"), 1),
        (("artefacts", "minilm", "scripts"), ["latin"]),
        (("roles", "embed"), ["nothing"]),
        (("artefacts", "minilm", "make"), [{"file": "../x", "by": "copy", "of": "y", "sha256": "0" * 64}]),
        (("artefacts", "minilm", "make"), [{"file": "x", "by": "copy", "of": "y", "sha256": "0" * 64}]),
        (("artefacts", "minilm", "path"), "/models/minilm"),
        (("artefacts", "minilm", "devices"), []),
        (("artefacts", "Arch-Guard", "hub"), None),
        (("artefacts", "Arch-Guard", "files"), []),
        (("artefacts", "Arch-Guard", "files"), [{"path": "../config.json"}]),
        (("artefacts", "Arch-Guard", "files"), [{"path": "*.json", "sha256": "0" * 64}]),
        (("artefacts", "Arch-Guard", "hub", "repository"), "Arch-Guard"),
        (("artefacts", "Arch-Function-3B", "cpu"), "Arch-Function-3B"),
        (("artefacts", "Arch-Function-3B", "cpu"), "needle3"),
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
