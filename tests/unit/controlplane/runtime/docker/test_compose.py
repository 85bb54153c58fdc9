"""compose.yaml: what each container is told, may do, and reads."""

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
from controlplane.render.envoy import check_with_envoy, find_envoy
from controlplane.render.files import Rendered
from controlplane.render.trust import ca_file
from controlplane.render.types import check_types
from controlplane.runtime.docker import compose
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
# Volumes that a container may write to, where it is not the sockets alone.
WORKERS = ("extproc-0", "extproc-1", "extproc-2")
WRITABLE = {"models": {"models"}, "triton": {"triton"}}
needs_compose = pytest.mark.skipif(not has_compose(), reason="no `docker` with the Compose plugin is installed here")


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def subject(shape: str, tmp_path: Path) -> Rendered:
    text, mode, changes = SHAPES[shape]
    return rendered(text, tmp_path, mode, **changes)


def read_by_compose(subject: Rendered, folder: Path) -> dict[str, Any]:
    """The file as Compose itself understands it. A variable that it would fill in fails the test."""
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


def test_the_file_as_a_whole(shape: str, subject: Rendered) -> None:
    # Digests change with the code of the models.
    text = re.sub(r'(archgw.files: )"[0-9a-f]{32}"', r'\1"..."', subject.files["compose.yaml"].text)
    golden = GOLDEN / f"{shape}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@needs_compose
def test_compose_accepts_it_and_reads_what_is_written(subject: Rendered, tmp_path: Path) -> None:
    found = read_by_compose(subject, tmp_path / "run")
    assert found["services"].keys() == services(subject).keys()
    for name, service in services(subject).items():
        if "command" in service:
            # Compose, too, escapes a dollar in what it shows.
            assert found["services"][name]["command"] == service["command"]


def test_each_container_is_an_ordinary_user_that_can_change_nothing_but_what_it_must(subject: Rendered) -> None:
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


def test_what_runs_on_is_looked_after_and_what_ends_is_not(subject: Rendered) -> None:
    for name, service in services(subject).items():
        assert service["restart"] == ("no" if name == "models" else "unless-stopped")
        assert ("healthcheck" in service) is (name != "models")


def test_envoy_waits_for_all_that_it_asks(shape: str, subject: Rendered) -> None:
    found = services(subject)
    others = found.keys() - {"envoy", "models"}
    assert found["envoy"]["depends_on"] == {name: {"condition": "service_healthy"} for name in others}
    assert ("triton" in others) is (shape != "remote")
    if "triton" in others:
        assert found["triton"]["depends_on"] == {"models": {"condition": "service_completed_successfully"}}


def test_only_the_listeners_are_published_and_where_the_file_says(subject: Rendered, shape: str) -> None:
    ports = {name: service["ports"] for name, service in services(subject).items() if "ports" in service}
    assert ports.keys() == {"envoy"}
    published = {(each["target"], each["host_ip"], each["published"]) for each in ports["envoy"]}
    assert published == {
        "remote": {(10000, "192.0.2.1", "7000"), (12000, "::1", "7001")},
    }.get(shape, {(10000, "0.0.0.0", "10000"), (12000, "127.0.0.1", "12000")})  # noqa: S104
    assert not any("expose" in service for service in services(subject).values())


def test_triton_has_no_network_and_only_those_that_ask_it_have_its_sockets(tmp_path: Path) -> None:
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
def test_an_address_of_ip_version_6_is_published_as_one(tmp_path: Path) -> None:
    found = read_by_compose(rendered(REMOTE, tmp_path, Mode.REMOTE), tmp_path / "run")
    assert [each["host_ip"] for each in found["services"]["envoy"]["ports"]] == ["192.0.2.1", "::1"]


def test_a_gpu_and_what_goes_with_it_is_asked_for_only_where_models_run_on_one(shape: str, subject: Rendered) -> None:
    beyond = {"deploy", "ulimits", "ipc", "devices", "runtime"}
    for name, service in services(subject).items():
        asked = beyond & service.keys()
        assert asked == ({"deploy", "ulimits", "ipc"} if (shape, name) == ("gpu", "triton") else set())
    if shape == "gpu":
        (device,) = services(subject)["triton"]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "capabilities": ["gpu"], "device_ids": ["0", "GPU-1f3a"]}


def test_all_gpus_are_asked_for_where_none_is_named(tmp_path: Path) -> None:
    found = services(rendered(LOCAL, tmp_path, Mode.LOCAL_GPU))["triton"]
    assert found["deploy"]["resources"]["reservations"]["devices"][0]["count"] == "all"


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_no_secret_is_in_the_file_in_any_form(tmp_path: Path) -> None:
    subject = rendered(REMOTE, tmp_path, Mode.REMOTE)
    text = subject.files["compose.yaml"].text
    for value in (*KEYS.values(), certificates()["key.pem"].decode()):
        holders = {name for name, file in subject.files.items() if value in file.text}
        assert holders, "the secret is used somewhere"
        assert all(name.startswith("secrets/") for name in holders)
        for form in (value, value.replace("$", "$$"), value.encode().hex(), hashlib.sha256(value.encode()).hexdigest()):
            assert form not in text


def test_secret_files_are_for_their_owner_alone_and_mounted_for_envoy_alone(tmp_path: Path) -> None:
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


def test_envoy_finds_each_secret_and_certificate_where_it_is_mounted(tmp_path: Path) -> None:
    subject = rendered(REMOTE, tmp_path, Mode.REMOTE)
    text = "".join(file.text for name, file in subject.files.items() if name.startswith("envoy/"))
    named = set(re.findall(r'"(/run/archgw/(?:secrets|tls)/[^"]+)"', text))
    assert named == {f"/run/archgw/{name}" for name in subject.files if name.startswith(("secrets/", "tls/"))}
    assert str(tmp_path) not in text


def test_no_environment_has_anything_of_the_operators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI", KEYS["OPENAI"])
    allowed = {"LANG", "PYTHONUNBUFFERED", "OPENBLAS_NUM_THREADS", "CUDA_DEVICE_ORDER", "HOME", "ARCHGW_CACHE_DIR"}
    for text, mode, changes in SHAPES.values():
        for service in services(rendered(text, tmp_path, mode, **changes)).values():
            assert service.get("environment", {}).keys() <= allowed


# --- what makes a container anew --------------------------------------------------------------------------------------

Change = Callable[[Path], Rendered]


def labels(subject: Rendered) -> dict[str, str]:
    found = services(subject).items()
    return {name: service["labels"]["archgw.files"] for name, service in found if "labels" in service}


def _remote(old: str, new: str) -> Change:
    assert old in REMOTE
    return lambda folder: rendered(REMOTE.replace(old, new), folder, Mode.REMOTE)


def _another_key(folder: Path) -> Rendered:
    subject = gateway(REMOTE, folder, Mode.REMOTE)
    first, *others = subject.envoy.providers
    assert first.credential
    providers = (replace(first, credential=replace(first.credential, value="sk-another")), *others)
    changed = replace(subject, envoy=replace(subject.envoy, providers=providers))
    return compose.render_compose(changed, inside(folder))


def _other_authorities(folder: Path) -> Rendered:
    trusted = folder / "others.crt"
    trusted.write_text("other authorities\n")
    return rendered(REMOTE, folder, Mode.REMOTE, trusted=trusted)


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
    # Compose sees a published port by itself.
    "a published port": (_remote("port: 7000", "port: 7002"), set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_service_is_made_anew_when_what_it_reads_has_changed_and_only_then(name: str, tmp_path: Path) -> None:
    change, expected = CHANGES[name]
    before, after = labels(rendered(REMOTE, tmp_path, Mode.REMOTE)), labels(change(tmp_path))
    assert {service for service in before if before[service] != after[service]} == expected


def own_models(folder: Path) -> str:
    """The guard of the examples, in a folder whose name must be quoted wherever it stands."""
    repository = folder / "o$wn: 'models'"
    (repository / "my-guard" / "1").mkdir(parents=True)
    for name in ("config.pbtxt", "1/model.py"):
        text = (asset("examples/serving") / "guard" / name).read_text()
        (repository / "my-guard" / name).write_text(text.replace('name: "guard"', 'name: "my-guard"'))
    serving = {"local": {"repository": str(repository)}, "roles": {"guard": {"model": "my-guard"}}}
    return f"{LOCAL}model_serving: {json.dumps(serving)}\n"


def test_triton_alone_is_made_anew_when_a_model_of_the_users_own_has_changed(tmp_path: Path) -> None:
    text = own_models(tmp_path)
    before = labels(rendered(text, tmp_path, Mode.LOCAL_CPU))
    (code,) = tmp_path.glob("*/my-guard/1/model.py")
    code.write_text(code.read_text() + "# changed\n")
    after = labels(rendered(text, tmp_path, Mode.LOCAL_CPU))
    assert {name for name in before if before[name] != after[name]} == {"triton"}


def test_digests_are_keyed_so_that_they_tell_nothing_of_what_they_are_of(tmp_path: Path) -> None:
    one, other = (labels(rendered(REMOTE, tmp_path, Mode.REMOTE, salt=salt)) for salt in (b"one", b"other"))
    assert all(one[name] != other[name] for name in one)


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    rendered(REMOTE, tmp_path, Mode.REMOTE).write(tmp_path / "run")
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    before = {path: path.stat().st_ino for path in files}
    CHANGES["a provider's key"][0](tmp_path).write(tmp_path / "run")
    changed = {path.name for path in files if path.stat().st_ino != before[path]}
    assert changed == {"provider_gpt-4.1.yaml", "compose.yaml"}


# --- models of this machine -------------------------------------------------------------------------------------------


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Source and target of each file and folder of this machine."""
    binds = (each for each in service["volumes"] if each["type"] == "bind")
    return ((each["source"].replace("$$", "$"), each["target"].replace("$$", "$")) for each in binds)


@needs_compose
def test_models_of_the_users_own_are_mounted_where_they_lie_whatever_the_folder_is_called(tmp_path: Path) -> None:
    found = read_by_compose(rendered(own_models(tmp_path), tmp_path, Mode.LOCAL_CPU), tmp_path / "run")
    (folder,) = (str(path) for path in tmp_path.glob("*/my-guard"))
    mounted = {target: each for each in found["services"]["triton"]["volumes"] if (target := each["target"])}
    # Compose writes what it has read so that it could be read again.
    key = folder.replace("$", "$$")
    assert mounted[key]["source"] == key
    assert mounted[key]["read_only"] is True


def test_what_links_of_a_model_lead_to_is_mounted_as_well(tmp_path: Path) -> None:
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


def test_the_users_own_catalogue_goes_to_what_prepares_its_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    more = tmp_path / "more.yaml"
    more.write_text("artefacts: {}\n")
    monkeypatch.setenv(CATALOG_VARIABLE, str(more))
    subject = rendered(LOCAL, tmp_path, Mode.LOCAL_CPU)
    assert subject.files["catalog.yaml"].text == more.read_text()
    found = services(subject)
    assert found["models"]["environment"][CATALOG_VARIABLE] == "/run/archgw/catalog.yaml"
    assert dict(mounts(found["models"])) == {"./catalog.yaml": "/run/archgw/catalog.yaml"}


# --- what Envoy says --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_envoy_accepts_what_it_is_told_in_a_container(name: str, tmp_path: Path) -> None:
    text, mode, changes = SHAPES[name]
    subject = gateway(text, tmp_path, mode, quick_start="quick_start" in changes)
    trusted = ca_file()
    binary = find_envoy()
    assert binary is not None, "tests need the extra `local`"
    files = compose.render_compose(subject, inside(tmp_path, trusted=trusted, **changes)).files
    check_types(files)
    check_with_envoy(binary, files, compose.here(subject, trusted))


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"nowhere\.crt"):
        rendered(LOCAL, tmp_path, Mode.LOCAL_CPU, trusted=tmp_path / "nowhere.crt")
