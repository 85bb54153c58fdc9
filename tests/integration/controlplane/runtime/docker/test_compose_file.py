"""compose.yaml: commands, permissions, mounts and secrets of each container."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.assets import asset
from controlplane.config.model_serving import Mode
from controlplane.errors import RenderError
from controlplane.models.catalog import CATALOG_VARIABLE
from controlplane.render.ca_bundle import ca_bundle
from controlplane.render.envoy_validation import find_envoy, validate_with_envoy
from controlplane.render.proto_validation import validate_types
from controlplane.render.rendered_files import RenderedFiles
from controlplane.runtime.docker import compose_file
from tests.unit.controlplane.runtime.docker.gateways import (
    KEYS,
    LOCAL,
    REMOTE,
    certificates,
    document,
    gateway,
    has_compose,
    inside,
    rendered,
    services,
)

GOLDEN = Path(__file__).with_name("golden")
SHAPES: dict[str, tuple[str, Mode, dict[str, Any]]] = {
    "cpu": (LOCAL, Mode.LOCAL_CPU, {"quick_start": True}),
    "gpu": (LOCAL, Mode.LOCAL_GPU, {"gpus": ("0", "GPU-1f3a")}),
    "remote": (REMOTE, Mode.REMOTE, {}),
}
# Writable volumes, besides those of sockets.
WORKERS = ("extproc-0", "extproc-1", "extproc-2")
WRITABLE = {"models": {"models"}, "triton": {"triton"}}
needs_compose = pytest.mark.skipif(not has_compose(), reason="no `docker` with the Compose plugin is installed here")


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def subject(shape: str, tmp_path: Path) -> RenderedFiles:
    text, mode, changes = SHAPES[shape]
    return rendered(text, tmp_path, mode, **changes)


def read_by_compose(subject: RenderedFiles, folder: Path) -> dict[str, Any]:
    """Return the file as Compose reads it. Fails if it contains a variable."""
    subject.write(folder)
    done = subprocess.run(
        ["docker", "compose", "--file", "compose.yaml", "config", "--format", "json"],  # noqa: S607
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_matches_the_golden_file(shape: str, subject: RenderedFiles) -> None:
    # The digests depend on the code of the models.
    text = re.sub(r'(archgw.files: )"[0-9a-f]{32}"', r'\1"..."', subject.files["compose.yaml"].text)
    golden = GOLDEN / f"{shape}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@needs_compose
def test_compose_reads_the_file_as_written(subject: RenderedFiles, tmp_path: Path) -> None:
    found = read_by_compose(subject, tmp_path / "run")
    assert found["services"].keys() == services(subject).keys()
    for name, service in services(subject).items():
        if "command" in service:
            # Compose escapes dollars in its output.
            assert found["services"][name]["command"] == service["command"]


def test_containers_are_unprivileged_and_read_only(subject: RenderedFiles) -> None:
    for name, service in services(subject).items():
        assert service["user"] == "1000:1000", name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert [each.partition(":")[0] for each in service["tmpfs"]] == ["/tmp"], name  # noqa: S108
        assert service["mem_limit"], name
        assert service["pids_limit"] > 0, name
        assert service["logging"] == {
            "driver": "json-file",
            "options": {"max-size": "104857600", "max-file": "11"},
        }, name
        assert not {"privileged", "cap_add", "pid"} & service.keys(), name
        assert service.get("network_mode") == ("none" if name == "triton" else None), name
        writable = {mount["source"] for mount in service.get("volumes", []) if not mount.get("read_only")}
        assert writable <= WRITABLE.get(name, {"sockets", "triton"}), name


def test_long_running_services_have_health_checks_and_restarts(subject: RenderedFiles) -> None:
    for name, service in services(subject).items():
        assert service["restart"] == ("no" if name == "models" else "unless-stopped")
        assert ("healthcheck" in service) is (name != "models")


def test_envoy_depends_on_all_services_that_it_calls(shape: str, subject: RenderedFiles) -> None:
    found = services(subject)
    others = found.keys() - {"envoy", "models"}
    assert found["envoy"]["depends_on"] == {name: {"condition": "service_healthy"} for name in others}
    assert ("triton" in others) is (shape != "remote")
    if "triton" in others:
        assert found["triton"]["depends_on"] == {"models": {"condition": "service_completed_successfully"}}


def test_publishes_only_the_listeners(subject: RenderedFiles, shape: str) -> None:
    ports = {name: service["ports"] for name, service in services(subject).items() if "ports" in service}
    assert ports.keys() == {"envoy"}
    published = {(each["target"], each["host_ip"], each["published"]) for each in ports["envoy"]}
    assert published == {
        "remote": {(10000, "192.0.2.1", "7000"), (12000, "::1", "7001")},
    }.get(shape, {(10000, "0.0.0.0", "10000"), (12000, "127.0.0.1", "12000")})  # noqa: S104
    assert not any("expose" in service for service in services(subject).values())


def test_triton_has_no_network_and_shares_its_sockets_with_clients_only(tmp_path: Path) -> None:
    chat = "version: v1\nllm_providers: [{name: local, provider: triton, model: chat}]\n"
    hosted = "version: v1\nllm_providers: [{name: h, provider: openai_compatible, model: m, base_url: 'http://h/v1'}]\n"
    for text, askers in ((chat, {"envoy", *WORKERS, "triton"}), (hosted, {*WORKERS, "triton"})):
        found = services(rendered(text, tmp_path, Mode.LOCAL_CPU))
        assert found["triton"]["network_mode"] == "none"
        holders = {
            name
            for name, service in found.items()
            if any(mount["target"] == "/run/archgw/triton" for mount in service.get("volumes", ()))
        }
        assert holders == askers


@needs_compose
def test_publishes_an_ipv6_address(tmp_path: Path) -> None:
    found = read_by_compose(rendered(REMOTE, tmp_path, Mode.REMOTE), tmp_path / "run")
    assert [each["host_ip"] for each in found["services"]["envoy"]["ports"]] == ["192.0.2.1", "::1"]


def test_reserves_a_gpu_only_for_models_on_a_gpu(shape: str, subject: RenderedFiles) -> None:
    beyond = {"deploy", "ulimits", "ipc", "devices", "runtime"}
    for name, service in services(subject).items():
        extra_keys = beyond & service.keys()
        assert extra_keys == ({"deploy", "ulimits", "ipc"} if (shape, name) == ("gpu", "triton") else set())
    if shape == "gpu":
        (device,) = services(subject)["triton"]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "capabilities": ["gpu"], "device_ids": ["0", "GPU-1f3a"]}


def test_reserves_all_gpus_by_default(tmp_path: Path) -> None:
    found = services(rendered(LOCAL, tmp_path, Mode.LOCAL_GPU))["triton"]
    assert found["deploy"]["resources"]["reservations"]["devices"][0]["count"] == "all"


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_file_contains_no_secret(tmp_path: Path) -> None:
    subject = rendered(REMOTE, tmp_path, Mode.REMOTE)
    text = subject.files["compose.yaml"].text
    for value in (*KEYS.values(), certificates()["key.pem"].decode()):
        holders = {name for name, file in subject.files.items() if value in file.text}
        assert holders, "the secret is used somewhere"
        assert all(name.startswith("secrets/") for name in holders)
        for form in (value, value.replace("$", "$$"), value.encode().hex(), hashlib.sha256(value.encode()).hexdigest()):
            assert form not in text


def test_secrets_are_private_and_mounted_in_envoy_only(tmp_path: Path) -> None:
    subject = rendered(REMOTE, tmp_path, Mode.REMOTE)
    files = {f"./{name}" for name in subject.files if name.startswith("secrets/")}
    assert all(subject.files[name.removeprefix("./")].mode == 0o600 for name in files)
    given = document(subject)["secrets"]
    assert {each["file"] for each in given.values()} == files
    assert len(given) == len(files) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in given)
    holders = {name for name, service in services(subject).items() if "secrets" in service}
    assert holders == {"envoy"}
    targets = {each["source"]: each["target"] for each in services(subject)["envoy"]["secrets"]}
    assert targets == {name: f"/run/archgw/{each['file'].removeprefix('./')}" for name, each in given.items()}
    assert all(set(each) == {"file"} for each in given.values())


def test_mounts_secrets_and_certificates_at_their_configured_paths(tmp_path: Path) -> None:
    subject = rendered(REMOTE, tmp_path, Mode.REMOTE)
    text = "".join(file.text for name, file in subject.files.items() if name.startswith("envoy/"))
    named = set(re.findall(r'"(/run/archgw/(?:secrets|tls)/[^"]+)"', text))
    assert named == {f"/run/archgw/{name}" for name in subject.files if name.startswith(("secrets/", "tls/"))}
    assert str(tmp_path) not in text


def test_no_environment_variable_of_the_operator_is_passed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI", KEYS["OPENAI"])
    allowed = {"LANG", "PYTHONUNBUFFERED", "OPENBLAS_NUM_THREADS", "CUDA_DEVICE_ORDER", "HOME", "ARCHGW_CACHE_DIR"}
    for text, mode, changes in SHAPES.values():
        for service in services(rendered(text, tmp_path, mode, **changes)).values():
            assert service.get("environment", {}).keys() <= allowed


# --- replacement of containers ----------------------------------------------------------------------------------------

Change = Callable[[Path], RenderedFiles]


def labels(subject: RenderedFiles) -> dict[str, str]:
    found = services(subject).items()
    return {name: service["labels"]["archgw.files"] for name, service in found if "labels" in service}


def _remote(old: str, new: str) -> Change:
    assert old in REMOTE
    return lambda folder: rendered(REMOTE.replace(old, new), folder, Mode.REMOTE)


def _another_key(folder: Path) -> RenderedFiles:
    subject = gateway(REMOTE, folder, Mode.REMOTE)
    first, *others = subject.envoy.providers
    assert first.credential
    providers = (replace(first, credential=replace(first.credential, value="sk-another")), *others)
    changed = replace(subject, envoy=replace(subject.envoy, providers=providers))
    return compose_file.render_compose(changed, inside(folder))


def _other_authorities(folder: Path) -> RenderedFiles:
    trusted = folder / "others.crt"
    trusted.write_text("other authorities\n")
    return rendered(REMOTE, folder, Mode.REMOTE, ca_file=trusted)


CHANGES: dict[str, tuple[Change, set[str]]] = {
    "nothing": (_remote("version: v1", "version: v1"), set()),
    "a provider's key": (_another_key, {"envoy"}),
    "whom Envoy believes": (_other_authorities, {"envoy"}),
    "a provider's patience": (_remote("model: m, access_key", "model: m, timeout: 9s, access_key"), {"envoy"}),
    "a description": (_remote("A customer", "A client"), {"extproc-0", "extproc-1"}),
    "a deadline of an API": (
        _remote("protocol: https", "protocol: https, timeout: 77s"),
        {"envoy", "extproc-0", "extproc-1"},
    ),
    # Compose notices changed ports by itself.
    "a published port": (_remote("port: 7000", "port: 7002"), set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_file_replaces_only_the_services_that_read_it(name: str, tmp_path: Path) -> None:
    change, expected = CHANGES[name]
    before, after = labels(rendered(REMOTE, tmp_path, Mode.REMOTE)), labels(change(tmp_path))
    assert {service for service in before if before[service] != after[service]} == expected


def own_models(folder: Path) -> str:
    """The example guard, in a folder whose name needs quotes everywhere."""
    repository = folder / "o$wn: 'models'"
    (repository / "my-guard" / "1").mkdir(parents=True)
    for name in ("config.pbtxt", "1/model.py"):
        text = (asset("examples/serving") / "guard" / name).read_text()
        (repository / "my-guard" / name).write_text(text.replace('name: "guard"', 'name: "my-guard"'))
    serving = {"local": {"repository": str(repository)}, "roles": {"guard": {"model": "my-guard"}}}
    return f"{LOCAL}model_serving: {json.dumps(serving)}\n"


def test_changed_custom_model_replaces_only_triton(tmp_path: Path) -> None:
    text = own_models(tmp_path)
    before = labels(rendered(text, tmp_path, Mode.LOCAL_CPU))
    (code,) = tmp_path.glob("*/my-guard/1/model.py")
    code.write_text(code.read_text() + "# changed\n")
    after = labels(rendered(text, tmp_path, Mode.LOCAL_CPU))
    assert {name for name in before if before[name] != after[name]} == {"triton"}


def test_digests_depend_on_the_salt(tmp_path: Path) -> None:
    one, other = (labels(rendered(REMOTE, tmp_path, Mode.REMOTE, salt=salt)) for salt in (b"one", b"other"))
    assert all(one[name] != other[name] for name in one)


def test_unchanged_files_are_not_rewritten(tmp_path: Path) -> None:
    rendered(REMOTE, tmp_path, Mode.REMOTE).write(tmp_path / "run")
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    before = {path: path.stat().st_ino for path in files}
    CHANGES["a provider's key"][0](tmp_path).write(tmp_path / "run")
    changed = {path.name for path in files if path.stat().st_ino != before[path]}
    assert changed == {"provider_gpt-4.1.yaml", "compose.yaml"}


# --- models of this machine -------------------------------------------------------------------------------------------


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return source and target of each bind mount."""
    binds = (each for each in service["volumes"] if each["type"] == "bind")
    return ((each["source"].replace("$$", "$"), each["target"].replace("$$", "$")) for each in binds)


@needs_compose
def test_mounts_custom_models_at_the_same_path(tmp_path: Path) -> None:
    found = read_by_compose(rendered(own_models(tmp_path), tmp_path, Mode.LOCAL_CPU), tmp_path / "run")
    (folder,) = (str(path) for path in tmp_path.glob("*/my-guard"))
    mounted = {target: each for each in found["services"]["triton"]["volumes"] if (target := each["target"])}
    # Compose escapes its output.
    key = folder.replace("$", "$$")
    assert mounted[key]["source"] == key
    assert mounted[key]["read_only"] is True


def test_mounts_the_targets_of_links_in_a_model(tmp_path: Path) -> None:
    text = own_models(tmp_path)
    (folder,) = tmp_path.glob("*/my-guard")
    blob = tmp_path / "blobs" / "abc"
    blob.parent.mkdir()
    blob.write_text("weights")
    (folder / "1" / "weights.bin").symlink_to("../../../blobs/abc")
    (folder / "1" / "beside.py").symlink_to("model.py")
    found = set(mounts(services(rendered(text, tmp_path, Mode.LOCAL_CPU))["triton"]))
    assert {(str(folder), str(folder)), (str(blob), str(blob))} <= found
    assert len(found) == 3  # with the repository


def test_mounts_the_users_catalogue_in_the_models_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text("artefacts: {}\n")
    monkeypatch.setenv(CATALOG_VARIABLE, str(more))
    subject = rendered(LOCAL, tmp_path, Mode.LOCAL_CPU)
    assert subject.files["catalog.yaml"].text == more.read_text()
    found = services(subject)
    assert found["models"]["environment"][CATALOG_VARIABLE] == "/run/archgw/catalog.yaml"
    assert dict(mounts(found["models"])) == {"./catalog.yaml": "/run/archgw/catalog.yaml"}


# --- validation by Envoy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_envoy_accepts_the_container_configuration(name: str, tmp_path: Path) -> None:
    text, mode, changes = SHAPES[name]
    subject = gateway(text, tmp_path, mode, quick_start="quick_start" in changes)
    trusted = ca_bundle()
    binary = find_envoy()
    assert binary is not None, "tests need the extra `local`"
    files = compose_file.render_compose(subject, inside(tmp_path, ca_file=trusted, **changes)).files
    validate_types(files)
    validate_with_envoy(binary, files, compose_file.host_paths(subject, trusted))


def test_names_an_unreadable_certificate(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"nowhere\.crt"):
        rendered(LOCAL, tmp_path, Mode.LOCAL_CPU, ca_file=tmp_path / "nowhere.crt")
