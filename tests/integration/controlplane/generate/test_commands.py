"""The command `archgw generate-prompt-targets`."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controlplane.cli.app import main
from controlplane.errors import SourceError
from controlplane.generate.generate import GenerateOptions, generate
from controlplane.generate.openapi import document_loader
from tests.unit.controlplane.generate.sources import FOLDER, Project

API = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/weather/{city}')\ndef act(city: str): 'The weather.'\n"
OPENAPI = (
    b"openapi: 3.1.0\ninfo: {title: W}\nservers: [{url: /v1}]\npaths: {/weather: {get: {summary: The weather.}}}\n"
)


def archgw(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from controlplane.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture
def called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process, which is faster, and returns exit status, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["archgw", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return call


@contextmanager
def serving(status: int, pieces: list[bytes], location: str | None = None) -> Iterator[str]:
    """Starts an HTTP server with one answer and yields its URL."""
    end = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location is not None:
                self.send_header("location", location)
            self.end_headers()
            for piece in pieces:
                # An empty piece: sends nothing more and keeps the connection open.
                if not piece:
                    end.wait()
                try:
                    self.wfile.write(piece)
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            """Silences the log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/openapi.json"
    finally:
        end.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_prints_a_configuration_that_validate_accepts(project: Project) -> None:
    project.write(API)
    done = archgw("generate-prompt-targets", "api.py", "--endpoint", "10.0.0.1:81", cwd=project.path)
    assert (done.returncode, done.stderr) == (
        0,
        "api.py:4: act: no description in the source for city: made from the name; write one\n",
    )
    (project.path / "arch_config.yaml").write_text(done.stdout, encoding="utf-8")
    validated = archgw("validate", cwd=project.path)
    assert (validated.returncode, validated.stderr) == (0, "")
    assert "1 prompt target, 1 endpoint" in validated.stdout


@pytest.mark.parametrize("source", ["travel_fastapi.txt", "shop_flask.txt"])
def test_does_not_run_or_import_the_source(project: Project, source: str) -> None:
    text = (FOLDER / source).read_text(encoding="utf-8")
    project.write(f"{text}\nimport pathlib, no_such_package\npathlib.Path('ran').touch()\nraise SystemExit(3)\n")
    done = archgw("generate-prompt-targets", "api.py", cwd=project.path)
    assert done.returncode == 0
    assert sorted(path.name for path in project.path.iterdir()) == ["api.py"]


def test_syntax_error_exits_1_with_its_line(project: Project) -> None:
    project.write("from fastapi import FastAPI\napp = FastAPI(\n")
    done = archgw("generate-prompt-targets", "api.py", cwd=project.path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("api.py:2:14: '(' was never closed\n    ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"print('hello')\n", "no routes were found\n    looked for @app.get"),
        (b"", "no routes were found"),
        (b"\0", "source code string cannot contain null bytes"),
        (b"\xff\xfe", "(unicode error)"),
        (b"x = " + b"(" * 5000, "too many nested parentheses"),
        (b"x = " + b"-" * 50000 + b"1", "nested"),
        (b"#" * (2 * 1024 * 1024 + 1), "the file is too large: at most 2097152 bytes"),
    ],
)
def test_file_without_routes_exits_1(
    project: Project, called: Callable[..., tuple[int, str, str]], content: bytes, message: str
) -> None:
    (project.path / "api.py").write_bytes(content)
    code, out, err = called("generate-prompt-targets", "api.py")
    assert (code, out) == (1, "")
    assert err.startswith("api.py:1:")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "archgw: name one source: a Python file, or --openapi FILE or URL\n"),
        (["a.py", "--openapi", "b.json"], 2, "archgw: name one source"),
        (["api.json"], 2, "archgw: api.json is not a Python file; for an OpenAPI document: --openapi api.json\n"),
        (["none.py"], 1, "none.py:1:1: the file cannot be read: No such file or directory\n"),
        (["--openapi", "none.json"], 1, "none.json:1:1: the document cannot be read: No such file or directory\n"),
        (["--openapi", "."], 1, ".:1:1: the document cannot be read: Is a directory\n"),
        (["--openapi", "http://127.0.0.1:1/"], 1, "http://127.0.0.1:1/:1:1: the document cannot be fetched: "),
        (["--openapi", "http://[bad"], 1, "http://[bad:1:1: the document cannot be fetched: "),
        (["a.py", "--endpoint", "a b"], 2, "archgw: --endpoint: not a host or host:port\n"),
        (["a.py", "--endpoint", "ftp://x"], 2, "archgw: --endpoint: expected a URL that starts with http"),
        (["a.py", "--endpoint-name", "a b"], 2, "archgw: --endpoint-name: 'a b' is not a usable name"),
        (["a.py", "--path-prefix", "api"], 2, "archgw: --path-prefix: expected a path that starts with /"),
    ],
)
def test_wrong_usage_prints_one_sentence(
    called: Callable[..., tuple[int, str, str]], arguments: list[str], code: int, message: str
) -> None:
    status, out, err = called("generate-prompt-targets", *arguments)
    assert (status, out) == (code, "")
    assert err.startswith(message)


def test_fetches_a_document_and_takes_its_server_as_endpoint(project: Project) -> None:
    with serving(200, [OPENAPI]) as url:
        done = archgw("generate-prompt-targets", "--openapi", url, cwd=project.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"endpoint: {url.split('/')[2]}\n" in done.stdout
    assert "path: /v1/weather\n" in done.stdout


def test_follows_redirects(project: Project) -> None:
    with serving(200, [OPENAPI]) as url, serving(302, [], url) as old:
        assert generate(old, GenerateOptions(), is_openapi=True).count == 1


@pytest.mark.parametrize(
    ("status", "pieces", "message"),
    [
        (404, [b"no"], "the server answered with status 404"),
        (200, [b"<html>"], "this is not an OpenAPI document: it is not a mapping of keys"),
        (200, [b"\xff"], "the document is not UTF-8 text"),
        (200, [b"x" * 600, b"x" * 600], "the document is too large: at most 1000 bytes"),
        (200, [b"openapi", b""], "the document did not arrive in 0.5 seconds"),
    ],
)
def test_failed_fetch_is_an_error_with_the_url(
    monkeypatch: pytest.MonkeyPatch, status: int, pieces: list[bytes], message: str
) -> None:
    monkeypatch.setattr(document_loader, "MAX_BYTES", 1000)
    monkeypatch.setattr(document_loader, "FETCH_TIMEOUT_S", 0.5)
    with serving(status, pieces) as url, pytest.raises(SourceError) as caught:
        generate(url, GenerateOptions(), is_openapi=True)
    assert str(caught.value).startswith(f"{url}:1:1: {message}")


def test_endless_redirect_is_an_error() -> None:
    with serving(302, [], "/again") as url, pytest.raises(SourceError, match="the document cannot be fetched"):
        generate(url, GenerateOptions(), is_openapi=True)
