import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from controlplane.compile.plans import Device, ModelInstance, ModelPlan
from controlplane.errors import ModelError
from controlplane.models import cache
from controlplane.models.catalog import catalog
from controlplane.models.custom_model import CustomModel
from controlplane.render.model_repository import link_custom_models, render_repository

GOLDEN = Path(__file__).with_name("golden")
CPU, GPU = Device.CPU, Device.GPU
# What is rendered for each role on each device, and for each engine. Files of GOLDEN have these names.
INSTANCES = {
    "embed-cpu": ModelInstance("embed", "embed", 2, 64, threads=2),
    "embed-cpu-delayed": ModelInstance("embed", "embed", 1, 16, max_queue_delay_us=500),
    "embed-gpu": ModelInstance("embed", "embed", 1, 64, device=GPU),
    "embed-bge-cpu": ModelInstance("embed", "embed", 1, 64, "bge-large-en-v1.5"),
    "embed-bge-gpu": ModelInstance("embed", "embed", 1, 64, "bge-large-en-v1.5", GPU, max_queue_delay_us=500),
    "guard-cpu": ModelInstance("guard", "guard", 2, 64),
    "guard-gpu": ModelInstance("guard", "guard", 1, 64, device=GPU),
    "guard-arch-cpu": ModelInstance("guard", "guard", 1, 64, "Arch-Guard"),
    "guard-arch-gpu": ModelInstance("guard", "guard", 1, 64, "Arch-Guard", GPU),
    "toxicity-cpu": ModelInstance("toxicity", "toxicity", 1, 64, "Arch-Guard"),
    "nli-cpu": ModelInstance("nli", "nli", 1, 64, "bart-large-mnli"),
    "nli-gpu": ModelInstance("nli", "nli", 1, 64, "bart-large-mnli", GPU),
    "function-cpu": ModelInstance("function", "function", 1, 1),
    "function-arch-cpu": ModelInstance("function", "function", 1, 1, "Arch-Function-3B.gguf", threads=4),
    "function-arch-gpu": ModelInstance("function", "function", 1, 1, "Arch-Function-3B", GPU, behind="function_vllm"),
    "chat-cpu": ModelInstance("chat", "chat", 1, 0),
}


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model cache at one place on every machine, whatever the files in it are."""
    monkeypatch.setattr(cache, "folder", lambda name, *_: Path("/models", name))


def _plan(*models: ModelInstance) -> ModelPlan:
    return ModelPlan(models)


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("name", INSTANCES)
def test_config_pbtxt_matches_the_golden_file(name: str) -> None:
    files = render_repository(_plan(INSTANCES[name]))
    configs = {path: text for path, text in files.items() if not path.endswith(".py") and "triton_models" not in path}
    text = "".join(f"# {path}\n{text}" for path, text in sorted(configs.items()))
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.usefixtures("folders")
def test_triton_parses_every_config_pbtxt() -> None:
    for instance in INSTANCES.values():
        for path, text in render_repository(_plan(instance)).items():
            if path.endswith("config.pbtxt"):
                assert text_format.Parse(text, ModelConfig()).name == path.partition("/")[0]


@pytest.mark.parametrize("name", ["embed-cpu", "guard-cpu", "toxicity-cpu", "nli-cpu", "function-cpu", "chat-cpu"])
def test_model_imports_only_from_its_own_folder(name: str, tmp_path: Path) -> None:
    instance = dataclasses.replace(INSTANCES[name], name="m")
    for path, text in render_repository(_plan(instance)).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    # A fake of the module that only Triton's stub has. Then, as the stub does: "1" on the path, and import of model.
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
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_names_numbers_and_paths_reach_the_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARCHGW_CACHE_DIR", str(tmp_path / 'a "b" \\c'))
    instance = ModelInstance("guard", "my-guard", 2, 16, threads=4, parameters=(("slots", "3"),))
    text = render_repository(_plan(instance))["my-guard/config.pbtxt"]
    assert 'name: "my-guard"' in text
    assert "max_batch_size: 16" in text
    assert "count: 2" in text
    assert 'key: "threads" value { string_value: "4" }' in text
    assert json.dumps(str(tmp_path / 'a "b" \\c'))[1:-1] in text
    assert 'key: "slots" value { string_value: "3" }' in text
    assert "/minilm-guard-" in text


def test_the_chat_model_is_decoupled() -> None:
    text = render_repository(_plan(ModelInstance("chat", "chat", 1, 0)))["chat/config.pbtxt"]
    assert "decoupled: true" in text
    assert "max_batch_size: 0" in text


@pytest.mark.parametrize("role", ["embed", "guard"])
def test_cpu_batches_at_most_eight_waiting_texts_without_delay(role: str) -> None:
    text = render_repository(_plan(ModelInstance(role, "m", 1, 64)))["m/config.pbtxt"]
    assert "dynamic_batching { max_queue_delay_microseconds: 0 preferred_batch_size: [ 8 ] }" in text
    text = render_repository(_plan(ModelInstance(role, "m", 1, 4, max_queue_delay_us=250)))["m/config.pbtxt"]
    assert "dynamic_batching { max_queue_delay_microseconds: 250 preferred_batch_size: [ 4 ] }" in text
    assert "dynamic_batching" not in render_repository(_plan(ModelInstance(role, "m", 1, 1)))["m/config.pbtxt"]


@pytest.mark.parametrize(
    ("role", "artefact"), [("guard", "Arch-Guard"), ("nli", "bart-large-mnli"), ("function", None)]
)
def test_cpu_models_batch_only_when_configured(role: str, artefact: str | None) -> None:
    # In a batch, a short text would wait for the long text of another client.
    text = render_repository(_plan(ModelInstance(role, "m", 1, 64, artefact)))["m/config.pbtxt"]
    assert "dynamic_batching" not in text
    batched = ModelInstance(role, "m", 1, 64, artefact, max_queue_delay_us=250)
    assert "max_queue_delay_microseconds: 250 }" in render_repository(_plan(batched))["m/config.pbtxt"]


def test_gpu_model_reads_its_gpu_files() -> None:
    forms = catalog().made_of("guard", None, gpu=True)
    text = render_repository(_plan(ModelInstance("guard", "m", 1, 64, device=GPU)))["m/config.pbtxt"]
    assert forms != catalog().made_of("guard", None, gpu=False)
    assert all(f"/{name}-" in text for name in forms)


def test_refuses_role_without_model() -> None:
    with pytest.raises(ModelError, match="'nli'"):
        render_repository(_plan(ModelInstance("nli", "nli", 1, 1)))


def test_custom_model_is_linked_with_our_entry_point(tmp_path: Path) -> None:
    folder = tmp_path / "it's own"
    own = CustomModel("nli", "mine", folder, 1, entries=("1/words.txt", "config.pbtxt"), entry_points=("1/model.py",))
    plan = ModelPlan((), (own,))
    assert link_custom_models(plan) == {
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


def test_prepared_folder_applies_only_to_package_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARCHGW_CACHE_DIR", str(tmp_path))
    prepared = Path("/elsewhere")
    ours, hubs = ModelInstance("embed", "embed", 1, 8), ModelInstance("nli", "nli", 1, 8, "bart-large-mnli")
    files = render_repository(_plan(ours, hubs), prepared)
    assert str(prepared) in files["embed/config.pbtxt"]
    assert str(tmp_path) not in files["embed/config.pbtxt"]
    assert str(tmp_path) in files["nli/config.pbtxt"]
    assert str(prepared) not in files["nli/config.pbtxt"]
