"""`pull` with the real library, from a test hub. The hub stores large files on another origin."""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from controlplane.errors import ModelError
from controlplane.models import cache, prepare, pull, pull_record
from controlplane.models import hub as hub_module
from controlplane.models.catalog import Artefact, Catalog, Hub, SourceFile
from controlplane.models.pull import DownloadProgress
from extproc.shared.roles import Role
from tests.support.hub_server import HubRepository, HubServer

CHUNK = 64 * 1024  # what the library is to read at a time
WEIGHTS = bytes(range(256)) * (CHUNK // 256 + 16)  # more than one of those
CONFIG = b'{"labels": 3}'
FILES = {"config.json": CONFIG, "tokenizer.json": b"{}", "model.safetensors": b"weights", "README.md": b"# hi"}
LFS = frozenset({"model.safetensors"})
TOKEN = "hf_a_token_of_ours"
EVERYTHING = [SourceFile(path="*.json"), SourceFile(path="model.safetensors")]

Catalogued = Callable[..., Artefact]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that the environment names, and a cache and a home of our own."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)
    for variable in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ARCHGW_CACHE_DIR", str(tmp_path / "cache"))
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def catalogued(monkeypatch: pytest.MonkeyPatch) -> Catalogued:
    """Puts the model `m`, of the repository `o/r`, into the catalogue."""

    def use(files: list[SourceFile] = EVERYTHING, revision: str = "main") -> Artefact:
        artefact = Artefact(
            description="d",
            engine="transformers",
            licence="l",
            devices=["cpu"],
            serves=Role.GUARD,
            hub=Hub(repository="o/r", revision=revision),
            files=files,
        )
        known = Catalog(roles={}, artefacts={"m": artefact})
        for module in (pull, prepare):
            monkeypatch.setattr(module, "catalog", lambda: known)
        return artefact

    return use


def _left() -> set[str]:
    """The files in the cache, without locks."""
    return {path.name for path in cache.cache_dir().iterdir() if path.suffix != ".lock"}


def test_listed_files_keep_their_path_and_are_recorded(hub: HubServer, catalogued: Catalogued) -> None:
    files = {**FILES, "onnx/model.onnx": b"graph", "onnx/notes.json": b"[]"}
    repository = hub.add(HubRepository("o/r", files, LFS | {"onnx/model.onnx"}))
    artefact = catalogued(
        [*EVERYTHING, SourceFile(path="onnx/model.onnx", sha256=hashlib.sha256(b"graph").hexdigest())]
    )
    seen: list[DownloadProgress] = []
    folder = pull.pull("m", seen.append)

    there = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    record = json.loads(there.pop(pull_record.NAME))
    assert there == {path: files[path] for path in files if path not in ("README.md", "onnx/notes.json")}
    assert (record["repository"], record["revision"], record["commit"]) == ("o/r", "main", repository.commit)
    assert {file["path"]: file["sha256"] for file in record["files"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in there.items()
    }
    assert {(advance.path, advance.size) for advance in seen if advance.done == advance.size} == {
        (path, len(content)) for path, content in there.items()
    }
    assert _left() == {folder.name}
    assert folder == cache.folder("m", artefact)
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


def test_requests_only_the_listed_files(hub: HubServer, catalogued: Catalogued) -> None:
    """No telemetry, no list of agents, no other protocol."""
    repository = hub.add(HubRepository("o/r", FILES, LFS))
    catalogued([SourceFile(path="model.safetensors")])
    pull.pull("m")
    resolved = f"/o/r/resolve/{repository.commit}/model.safetensors"
    assert [(request.method, request.path) for request in hub.requests] == [
        ("GET", "/api/models/o/r/revision/main"),
        ("HEAD", resolved),
        ("GET", resolved),
    ]
    assert "agent/" not in hub.requests[0].headers["user-agent"]


def test_second_pull_sends_no_request(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued()
    folder = pull.pull("m")
    hub.requests.clear()
    assert pull.pull("m") == folder
    assert hub.requests == []


def test_resumes_after_a_broken_connection(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", {"model.safetensors": WEIGHTS}, LFS))
    hub.storage.cuts = [CHUNK + 5]
    catalogued([SourceFile(path="model.safetensors")])
    assert (pull.pull("m") / "model.safetensors").read_bytes() == WEIGHTS
    assert [request.headers.get("range") for request in hub.storage.requests] == [None, f"bytes={CHUNK}-"]


def test_retries_after_a_server_error(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    hub.storage.failures = [503]
    catalogued([SourceFile(path="model.safetensors")])
    assert (pull.pull("m") / "model.safetensors").read_bytes() == b"weights"
    assert len(hub.storage.requests) == 2


def test_keeps_partial_download_after_repeated_server_errors(
    hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    hub.storage.failures = [503] * 3
    catalogued()
    monkeypatch.setattr(hub_module, "_PAUSE_SECONDS", 0)
    with pytest.raises(ModelError, match=r"the partial download is kept \(HTTP 503\)"):
        pull.pull("m")
    pull.pull("m")
    assert hub.downloads("config.json") == 1


def test_interrupted_pull_resumes_inside_the_file(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", {"config.json": CONFIG, "model.safetensors": WEIGHTS}, LFS))
    artefact = catalogued()

    def stop(advance: DownloadProgress) -> None:
        if advance.path == "model.safetensors" and advance.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull.pull("m", stop)
    assert not cache.folder("m", artefact).exists()
    folder = pull.pull("m")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert [request.headers.get("range") for request in hub.storage.requests] == [None, f"bytes={CHUNK}-"]
    assert hub.downloads("config.json") == 1
    assert _left() == {folder.name}


def test_does_not_resume_a_partial_file_of_another_version(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", {"model.safetensors": WEIGHTS}, LFS))
    catalogued([SourceFile(path="model.safetensors")])

    def stop(advance: DownloadProgress) -> None:
        if advance.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull.pull("m", stop)
    hub.add(HubRepository("o/r", {"model.safetensors": b"new"}, LFS))
    assert (pull.pull("m") / "model.safetensors").read_bytes() == b"new"
    assert [request.headers.get("range") for request in hub.storage.requests] == [None, None]


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_refuses_wrong_hash_and_keeps_nothing(hub: HubServer, catalogued: Catalogued, path: str) -> None:
    hub.add(HubRepository("o/r", FILES, LFS, served={path: bytes(len(FILES[path]))}))
    catalogued()
    with pytest.raises(ModelError, match=f"{path} of o/r is not the declared file"):
        pull.pull("m")
    assert _left() == set()


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_catalogue_hash_overrides_the_hubs(hub: HubServer, catalogued: Catalogued, path: str) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued([SourceFile(path=path, sha256="0" * 64)])
    with pytest.raises(ModelError, match=path):
        pull.pull("m")
    assert not [name for name in _left() if not name.startswith(".pulling-")]


def test_token_is_sent_to_the_hub_only(hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(HubRepository("o/r", FILES, LFS, token=TOKEN))
    catalogued()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pull.pull("m")
    assert {request.headers.get("authorization") for request in hub.requests} == {f"Bearer {TOKEN}"}
    assert {request.headers.get("authorization") for request in hub.storage.requests} == {None}


@pytest.mark.parametrize(
    ("token", "message"),
    [(None, "it is private and needs HF_TOKEN"), ("hf_wrong", "the token of HF_TOKEN may not read it")],
)
def test_forbidden_repository_error_names_the_token(
    hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch, token: str | None, message: str
) -> None:
    hub.add(HubRepository("o/r", FILES, LFS, token=TOKEN))
    catalogued()
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ModelError, match=message) as caught:
        pull.pull("m")
    assert "hf_wrong" not in str(caught.value)


@pytest.mark.parametrize(("token", "message"), [(None, "and set HF_TOKEN"), (TOKEN, "with the account of HF_TOKEN")])
def test_gated_repository_error_links_its_terms(
    hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch, token: str | None, message: str
) -> None:
    hub.add(HubRepository("o/r", FILES, LFS, accepted=False))
    catalogued()
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ModelError, match=message) as caught:
        pull.pull("m")
    assert f"{hub.url}/o/r: it is gated" in str(caught.value)


def test_error_names_a_missing_revision(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued(revision="v2")
    with pytest.raises(ModelError, match=r"no revision v2 \(HTTP 404\)"):
        pull.pull("m")


def test_error_names_a_missing_file(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued([SourceFile(path="*.gguf")])
    with pytest.raises(ModelError, match=r"o/r at main \(commit [0-9a-f]{40}\) holds no \*\.gguf"):
        pull.pull("m")


def test_offline_error_sends_no_request(
    hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        pull.pull("m")
    assert hub.requests == []


def test_offline_accepts_cached_models(hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued()
    folder = pull.pull("m")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pull.pull("m") == folder
    assert prepare.prepare(("m",)) == {"m": folder}


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9 cannot be reached"),
        ("hub.example.com", "is not a URL"),
        ("https://me:secret@hub.example.com", "a token belongs into HF_TOKEN"),
        ("http://[::1", "HF_ENDPOINT is not a URL"),
        ("http://127.0.0.1:99999", "HF_ENDPOINT is not a URL"),
        ("http://127.0.0.1:9/\x1b[31m", r"HF_ENDPOINT='http://127\.0\.0\.1:9/\\x1b\[31m' is not a URL"),
    ],
)
def test_error_names_an_invalid_hub_endpoint(
    hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch, endpoint: str, message: str
) -> None:
    catalogued()
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(ModelError, match=message) as caught:
        pull.pull("m")
    assert "secret" not in str(caught.value)


def test_error_names_unreachable_file_storage(
    hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued()
    hub.storage.stop()
    monkeypatch.setattr("time.sleep", lambda _: None)  # the library's, between its attempts
    storage = hub.storage.url.removeprefix("http://")
    with pytest.raises(ModelError, match=f"^{storage}, where {hub.url} keeps large files, cannot be reached: "):
        pull.pull("m")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HTTPS_PROXY", "bogus://me:secret@proxy", "look at .* HTTPS_PROXY"),
        ("SSL_CERT_FILE", "/no.pem", "SSL_CERT_FILE"),
    ],
)
def test_error_names_invalid_proxy_or_ca_file(  # noqa: PLR0917
    hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    catalogued()
    monkeypatch.setenv(variable, value)
    with pytest.raises(ModelError, match=message) as caught:
        pull.pull("m")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/out.json", "*/out.json"),
        ("../out.json", "*/out.json"),
        ("a/../out.json", "a/*/out.json"),
        ("a//out.json", "a/*/out.json"),
        (pull_record.NAME, "*archgw.json"),
        ("\x1b[31m.json", "*31m.json"),
    ],
)
def test_ignores_hub_names_outside_the_folder(hub: HubServer, catalogued: Catalogued, path: str, pattern: str) -> None:
    """A hub chooses the names of its files, but not their place on this machine."""
    hub.add(HubRepository("o/r", {**FILES, path: b"{}"}, LFS))
    assert SourceFile(path=pattern).names(path)
    catalogued([SourceFile(path="*.json"), SourceFile(path=pattern)])
    with pytest.raises(ModelError, match="holds no"):
        pull.pull("m")
    catalogued()
    there = {file.name for file in pull.pull("m").iterdir()}
    assert there == {"config.json", "tokenizer.json", "model.safetensors", pull_record.NAME}


def test_stops_when_server_sends_more_than_declared(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", {"model.safetensors": b"weights"}, LFS, served={"model.safetensors": WEIGHTS}))
    catalogued([SourceFile(path="model.safetensors")])
    with pytest.raises(ModelError, match="does not have the declared size"):
        pull.pull("m")
    assert all(part.stat().st_size <= len(b"weights") for part in cache.cache_dir().rglob("*.part"))


def test_refuses_invalid_commit(hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HubRepository, "commit", "main\x1b[31m")
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued()
    with pytest.raises(ModelError, match="reports no commit for o/r@main"):
        pull.pull("m")


def test_checks_disk_space_before_the_download(
    hub: HubServer, catalogued: Catalogued, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued()
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3))
    with pytest.raises(ModelError, match="ARCHGW_CACHE_DIR names another place"):
        pull.pull("m")
    assert hub.downloads("model.safetensors") == 0


def test_concurrent_calls_download_once(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued()
    threads = [threading.Thread(target=pull.pull, args=("m",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.downloads("model.safetensors") == 1


def test_downloads_only_the_damaged_file_again(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    artefact = catalogued()
    folder = pull.pull("m")
    (folder / "config.json").write_bytes(bytes(len(CONFIG)))
    assert cache.damage(folder, artefact) == [f"{folder / 'config.json'} is not what the record says (SHA-256 differs)"]
    pull.pull("m")
    assert cache.damage(folder, artefact) == []
    assert hub.downloads("config.json") == 2
    assert hub.downloads("model.safetensors") == 1


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: os.truncate(folder / "config.json", 3), "config.json has 3 bytes, not the 13"),
        (lambda folder: (folder / pull_record.NAME).unlink(), "no complete pull"),
    ],
)
def test_start_detects_missing_or_short_files_by_size(
    hub: HubServer, catalogued: Catalogued, harm: Callable[[Path], None], message: str
) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued()
    harm(pull.pull("m"))
    with pytest.raises(ModelError, match=message):
        prepare.prepare(("m",))


def test_start_does_not_pull_hub_models(hub: HubServer, catalogued: Catalogued) -> None:
    hub.add(HubRepository("o/r", FILES, LFS))
    catalogued()
    with pytest.raises(ModelError, match=r"m \(o/r@main\) is not here; to download it: archgw models pull m"):
        prepare.prepare(("m",))
    assert hub.requests == []


def test_pulls_only_hub_models() -> None:
    with pytest.raises(ModelError, match="needle is not a model of a hub"):
        pull.pull("needle")
