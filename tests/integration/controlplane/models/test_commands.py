"""`archgw models`, as a shell calls it, with a test hub."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from controlplane.cli import models
from controlplane.cli.app import main
from controlplane.cli.download_progress import download_progress
from controlplane.models.pull import DownloadProgress
from tests.support.hub_server import HubRepository, HubServer

GUARD = {"config.json": b"{}", "tokenizer.json": b"{ }", "model.safetensors": b"weights", "README.md": b"# Arch-Guard"}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add(HubRepository("katanemo/Arch-Guard", GUARD, frozenset({"model.safetensors"})))
        yield server


@dataclass(frozen=True)
class Ended:
    """The output and the exit code of a command."""

    returncode: int
    stdout: str
    stderr: str


class Shell:
    """A shell with its own folder of models."""

    def __init__(
        self, folder: Path, hub: HubServer, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "ARCHGW_CACHE_DIR": str(folder / "cache")}
        self._environment["HF_ENDPOINT"] = hub.url
        self._patch = patch
        self._capture = capture

    def call(self, *arguments: str, **environment: str) -> Ended:
        """As `run`, in this process: a second sooner."""
        self._capture.readouterr()
        with self._patch.context() as patch, pytest.raises(SystemExit) as ended:
            for name, value in (self._environment | environment).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["archgw", "models", *arguments])
            main()
        output = self._capture.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, output.out, output.err)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        code = "from controlplane.cli.app import main; main()"
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code, "models", *arguments],
            env=self._environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def shell(tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, hub, monkeypatch, capsys)


def test_pulls_lists_and_verifies_a_catalogue_model(shell: Shell, tmp_path: Path) -> None:
    pulled = shell.run("pull", "Arch-Guard")
    assert (pulled.returncode, pulled.stderr) == (0, "")
    first, *files, last = pulled.stdout.splitlines()
    assert first.startswith("Arch-Guard: katanemo/Arch-Guard@main, licence: ")
    assert files == ["[1/3] config.json: 2 bytes", "[2/3] tokenizer.json: 3 bytes", "[3/3] model.safetensors: 7 bytes"]
    folder = Path(last.removeprefix("Arch-Guard: in "))
    assert folder.is_relative_to(tmp_path / "cache")
    # The hub's own library has left nothing in the home.
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]

    listed = {entry["name"]: entry for entry in json.loads(shell.call("list", "--json").stdout)}
    assert (listed["Arch-Guard"]["state"], listed["Arch-Guard"]["folder"]) == ("pulled", str(folder))
    assert listed["Arch-Guard"]["source"]["commit"] is not None
    assert listed["minilm"]["state"] == "not here"
    lines = shell.call("list").stdout.splitlines()
    assert f"    pulled: {folder}" in lines
    assert [line.split("  ")[1] for line in lines if line.startswith(("minilm", "Arch-Guard"))] == [
        "(embed, if the configuration names it)",
        "(embed)",
        "(guard)",
        "(minilm on a GPU)",
        "(minilm-intent on a GPU)",
        "(minilm-guard on a GPU)",
        "(guard, if the configuration names it)",
    ]

    assert shell.call("verify", "Arch-Guard").stdout == "Arch-Guard: whole\n"
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    damaged = shell.call("verify")
    assert damaged.returncode == 1
    assert "model.safetensors is not what the record says (SHA-256 differs)" in damaged.stderr
    assert "Run `archgw models pull Arch-Guard`." in damaged.stderr
    assert "minilm-intent is not here" in damaged.stderr


def test_refused_token_is_not_shown(shell: Shell, hub: HubServer) -> None:
    hub.add(HubRepository("katanemo/Arch-Guard", GUARD, token="hf_right"))
    done = shell.call("pull", "Arch-Guard", HF_TOKEN="hf_very_secret")
    assert done.returncode == 1
    assert done.stderr == (
        f"archgw: {hub.url}/katanemo/Arch-Guard: there is no such repository, "
        "or the token of HF_TOKEN may not read it (HTTP 404)\n"
    )
    assert "hf_very_secret" not in done.stdout


def test_pulls_nothing_when_one_name_is_wrong(shell: Shell, hub: HubServer) -> None:
    done = shell.call("pull", "Arch-Guard", "Arch-Gaurd")
    assert done.returncode == 1
    assert "no model 'Arch-Gaurd' in the catalogue" in done.stderr
    assert hub.requests == []


def test_prepare_names_the_pull_command_for_hub_models(shell: Shell, hub: HubServer) -> None:
    done = shell.call("prepare", "Arch-Guard")
    assert done.returncode == 1
    assert "archgw models pull Arch-Guard" in done.stderr
    assert hub.requests == []


@pytest.mark.parametrize(
    ("command", "cache", "output"),
    [
        ("list", "/" + "x" * 300, "File name too long"),
        ("verify", "/" + "x" * 300, "File name too long"),
        ("verify", "~nobody-of-that-name/cache", "no such user on this machine"),
        ("prepare", "/dev/null", "cannot write to the model cache /dev/null/models: "),
    ],
)
def test_error_names_the_unusable_cache(shell: Shell, command: str, cache: str, output: str) -> None:
    done = shell.call(command, ARCHGW_CACHE_DIR=cache)
    assert done.returncode == 1
    assert done.stderr.startswith("archgw: ")
    assert cache in done.stderr
    assert output in done.stderr


def test_interrupted_download_says_that_it_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "pull_model", stopped)
    done = CliRunner().invoke(models.app, ["pull", "Arch-Guard"])
    assert done.exit_code == 130
    assert "the next pull resumes here" in done.stderr


def _show(console: Console) -> None:
    with download_progress(console) as progress:
        for done in (0, 5_000_000, 10_000_000):
            progress(DownloadProgress("model.safetensors", done, 10_000_000, 1, 2))


def test_progress_on_a_terminal_is_a_bar() -> None:
    screen = io.StringIO()
    _show(Console(file=screen, force_terminal=True, width=100))
    assert "[1/2] model.safetensors" in screen.getvalue()
    assert "10.0/10.0 MB" in screen.getvalue()


def test_progress_in_a_log_is_one_line_a_file() -> None:
    log = io.StringIO()
    _show(Console(file=log, force_terminal=False))
    assert log.getvalue() == "[1/2] model.safetensors: 10.0 MB\n"
