import json
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.compile.plans import ModelInstance, ModelPlan, OwnModel, TritonPorts
from controlplane.errors import ModelError
from controlplane.models.repository import link_own, render_repository

PORTS = TritonPorts(1, 2, 3)
ROLES = ("embed", "guard", "function", "chat")


def _plan(*models: ModelInstance) -> ModelPlan:
    return ModelPlan(PORTS, models)


@pytest.mark.parametrize("role", ROLES)
def test_a_model_imports_nothing_outside_its_own_folder(role: str, tmp_path: Path) -> None:
    for path, text in render_repository(_plan(ModelInstance(role, "m", 1, 8))).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    # A stand-in for the module that only Triton's stub has; then what the stub does: "1" on the path, model imported.
    (tmp_path / "triton_python_backend_utils.py").write_text("")
    code = f"""
import sys
sys.path[:] = [path for path in sys.path if path != {str(Path.cwd())!r} and path]
sys.path += [{str(tmp_path / "m" / "1")!r}, {str(tmp_path)!r}]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
import model, triton_models
assert all(path.startswith({str(tmp_path)!r}) for path in triton_models.__path__), triton_models.__path__
model.TritonPythonModel
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=tmp_path)


def test_names_numbers_and_paths_reach_the_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARCHGW_CACHE_DIR", str(tmp_path / 'a "b" \\c'))
    instance = ModelInstance("guard", "my-guard", 2, 16, (("threads", "4"),))
    text = render_repository(_plan(instance))["my-guard/config.pbtxt"]
    assert 'name: "my-guard"' in text
    assert "max_batch_size: 16" in text
    assert "count: 2" in text
    assert 'key: "threads" value { string_value: "4" }' in text
    assert json.dumps(str(tmp_path / 'a "b" \\c'))[1:-1] in text
    assert 'key: "nanoguard"' in text


def test_the_chat_model_is_decoupled() -> None:
    text = render_repository(_plan(ModelInstance("chat", "chat", 1, 0)))["chat/config.pbtxt"]
    assert "decoupled: true" in text
    assert "max_batch_size: 0" in text


@pytest.mark.parametrize("role", ["embed", "guard", "function"])
def test_requests_are_never_put_into_one_batch(role: str) -> None:
    # A short text would wait for the long one of somebody else.
    assert "dynamic_batching" not in render_repository(_plan(ModelInstance(role, "m", 1, 64)))["m/config.pbtxt"]


def test_a_role_that_no_model_serves_is_refused() -> None:
    with pytest.raises(ModelError, match="'nli'"):
        render_repository(_plan(ModelInstance("nli", "nli", 1, 1)))


def test_a_model_of_the_users_own_is_linked_and_imported_behind_an_entry_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "it's own"
    own = OwnModel("nli", "mine", folder, 1, entries=("1/words.txt", "config.pbtxt"), entry_points=("1/model.py",))
    plan = ModelPlan(PORTS, (), (own,))
    assert link_own(plan) == {
        "mine/1/words.txt": folder / "1/words.txt",
        "mine/config.pbtxt": folder / "config.pbtxt",
    }
    ((path, entry),) = render_repository(plan).items()
    assert path == "mine/1/model.py"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text("class TritonPythonModel:\n    name = __file__\n")
    (tmp_path / "model.py").write_text(entry)
    code = "import model; print(model.TritonPythonModel.name)"
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == str(folder / "1" / "model.py")
