"""A model hub with the part of huggingface.co's HTTP API that the library huggingface_hub uses, on real sockets.

Small files are served by the hub itself, those kept by git-lfs from another origin that it redirects to, as the hub
does. In a test: `with HubServer() as hub: hub.add(HubRepository("owner/name", {...}))`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

_SILENCE_SECONDS: Final = 10.0
_MODEL = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)/revision/(?P<revision>[^/]+)")
_FILE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_RANGE = re.compile(r"bytes=(\d+)-")


@dataclass
class HubRepository:
    """`files`: path -> bytes; those of `lfs` are kept by git-lfs. With `token`, only requests with it may read.

    `accepted` False: gated, terms not accepted. `served`: bytes that differ from those of the hash.
    """

    name: str
    files: Mapping[str, bytes]
    lfs: frozenset[str] = frozenset()
    revision: str = "main"
    token: str | None = None
    accepted: bool = True
    served: dict[str, bytes] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()  # noqa: S324 - as git does

    def etag(self, path: str) -> str:
        content = self.files[path]
        if path in self.lfs:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()  # noqa: S324 - as git does


@dataclass(frozen=True)
class HubRequest:
    """A request to a server. `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class _Origin:
    """One of the two HTTP servers of the hub."""

    def __init__(self) -> None:
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = _SILENCE_SECONDS

            def do_HEAD(self) -> None:
                origin.handle(self)

            def do_GET(self) -> None:
                origin.handle(self)

            def log_message(self, *_: Any) -> None:
                return

        self.requests: list[HubRequest] = []
        # For the coming downloads: how many bytes of the body are sent before the connection is cut; the status that
        # comes in place of the body.
        self.cuts: list[int] = []
        self.failures: list[int] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Not daemons: closing the server waits for them, which shows clients that leak a connection.
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, headers: Mapping[str, str]) -> _Answer:
        raise NotImplementedError

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        path = unquote(urlsplit(handler.path).path)
        self.requests.append(HubRequest(handler.command, path, headers))
        answer = self.answer(path, headers)
        body, status, extra = answer.body, answer.status, dict(answer.headers)
        if handler.command == "GET" and "ETag" in extra and self.failures:
            body, status, extra = b"", self.failures.pop(0), {}
        downloads = handler.command == "GET" and status == 200 and "ETag" in extra
        if downloads and (matched := _RANGE.match(headers.get("range", ""))):
            start = int(matched[1])
            extra["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, status = body[start:], 206
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **extra}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if downloads and self.cuts:
            body = body[: self.cuts.pop(0)]
            handler.close_connection = True
        handler.wfile.write(body)


class _Storage(_Origin):
    """The server on which git-lfs keeps its files, by their hash."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}

    def answer(self, path: str, headers: Mapping[str, str]) -> _Answer:
        content = self.objects.get(path.removeprefix("/"))
        return _Answer(404) if content is None else _Answer(200, {"ETag": '"of-the-storage"'}, content)


class HubServer(_Origin):
    """The hub. A context manager; `storage` is the origin that large files come from."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = _Storage()
        self._repositories: dict[str, HubRepository] = {}

    def add(self, repository: HubRepository) -> HubRepository:
        self._repositories[repository.name] = repository
        for path in repository.lfs:
            content = repository.served.get(path, repository.files[path])
            self.storage.objects[repository.etag(path)] = content
        return repository

    def downloads(self, path: str) -> int:
        """Returns the number of downloads of a file."""
        return sum(request.method == "GET" and request.path.endswith(f"/{path}") for request in self.requests)

    def __enter__(self) -> Self:
        self.start()
        self.storage.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.storage.stop()
        self.stop()

    def answer(self, path: str, headers: Mapping[str, str]) -> _Answer:
        if matched := _MODEL.fullmatch(path):
            return self._model(matched["repository"], matched["revision"], headers)
        if matched := _FILE.fullmatch(path):
            return self._file(matched["repository"], matched["revision"], matched["path"], headers)
        return _Answer(404)

    def _model(self, name: str, revision: str, headers: Mapping[str, str]) -> _Answer:
        repository = self._repositories.get(name)
        if repository is None or (repository.token is not None and not _knows(repository, headers)):
            # The hub does not reveal whether an unreadable repository exists.
            return _refuse(404 if "authorization" in headers else 401, "RepoNotFound")
        if revision not in (repository.revision, repository.commit):
            return _refuse(404, "RevisionNotFound")
        siblings = [{"rfilename": path} for path in repository.files]
        body = {"id": name, "modelId": name, "sha": repository.commit, "siblings": siblings}
        return _Answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _file(self, name: str, revision: str, path: str, headers: Mapping[str, str]) -> _Answer:
        repository = self._repositories.get(name)
        if repository is None or (repository.token is not None and not _knows(repository, headers)):
            return _refuse(404 if "authorization" in headers else 401, "RepoNotFound")
        if not repository.accepted:
            return _refuse(403 if "authorization" in headers else 401, "GatedRepo")
        if revision not in (repository.revision, repository.commit):
            return _refuse(404, "RevisionNotFound")
        if path not in repository.files:
            return _refuse(404, "EntryNotFound")
        commit = {"X-Repo-Commit": repository.commit}
        if path not in repository.lfs:
            content = repository.served.get(path, repository.files[path])
            return _Answer(200, {**commit, "ETag": f'"{repository.etag(path)}"'}, content)
        linked = {"X-Linked-Etag": f'"{repository.etag(path)}"', "X-Linked-Size": str(len(repository.files[path]))}
        return _Answer(302, {**commit, **linked, "Location": f"{self.storage.url}/{repository.etag(path)}"})


def _knows(repository: HubRepository, headers: Mapping[str, str]) -> bool:
    return headers.get("authorization") == f"Bearer {repository.token}"


def _refuse(status: int, code: str) -> _Answer:
    return _Answer(status, {"X-Error-Code": code, "X-Error-Message": code})
