"""Lists and downloads files of a model hub, through the library huggingface_hub. Used by pull.py.

HF_ENDPOINT, HF_TOKEN (or `hf auth login`), HF_HUB_OFFLINE and the usual proxy variables apply. The library's own cache
is not used: it consists of symlinks, and would keep a second copy.
"""

from __future__ import annotations

import io
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from controlplane.errors import ModelError
from controlplane.models import pull_record
from controlplane.models.catalog import Hub, SourceFile

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from httpx2 import HTTPError

_ENDPOINT = "https://huggingface.co"
_TRUE = {"1", "ON", "YES", "TRUE"}
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 3  # after errors that the library itself does not retry: connection resets and server errors
_PAUSE_SECONDS = 1.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOB_ID = re.compile(r"[0-9a-f]{40}")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository at one commit: its size in bytes, and the hash that the hub declares.

    Files in git-lfs have `sha256`, small files have git's `blob_id`: exactly one of the two is set.
    """

    path: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None


class Repository:
    """One repository at one commit. Created by `open_repository`, and valid only inside its block."""

    def __init__(self, endpoint: str, token: str | None, hub: Hub) -> None:
        from huggingface_hub import HfApi  # noqa: PLC0415
        from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

        self._endpoint = endpoint
        # False, because with None the library would look for a token by itself.
        self._token = token or False
        self._hub = hub
        try:
            with _as_model_error(endpoint):
                info = HfApi(endpoint=endpoint, token=self._token).model_info(
                    hub.repository, revision=hub.revision, timeout=_TIMEOUT_SECONDS
                )
        except HfHubHTTPError:  # a subclass of OSError
            raise
        except OSError as error:
            raise ModelError(f"TLS to {endpoint} cannot be set up: {error}; look at SSL_CERT_FILE") from error
        if info.sha is None or not _COMMIT.fullmatch(info.sha):
            raise ModelError(f"{endpoint} reports no commit for {hub.repository}@{hub.revision}; is it a model hub?")
        self.commit = info.sha
        self._paths = [sibling.rfilename for sibling in info.siblings or () if _is_plain(sibling.rfilename)]

    def files(self, listed: list[SourceFile]) -> list[RemoteFile]:
        """Returns the files that match `listed`. Raises ModelError if an entry matches none or a file has no hash."""
        selected = []
        for entry in listed:
            matching = [path for path in self._paths if entry.names(path)]
            if not matching:
                where = f"{self._hub.repository} at {self._hub.revision} (commit {self.commit})"
                raise ModelError(f"{where} holds no {entry.path}")
            selected += matching
        return [self._describe(path) for path in dict.fromkeys(selected)]

    def _describe(self, path: str) -> RemoteFile:
        from huggingface_hub import get_hf_file_metadata  # noqa: PLC0415

        with _as_model_error(self._endpoint):
            metadata = get_hf_file_metadata(
                self._url(path),
                token=self._token,
                timeout=_TIMEOUT_SECONDS,
                endpoint=self._endpoint,
                retry_on_errors=True,
            )
        if metadata.size is None:
            raise ModelError(f"{self._endpoint} does not say how large {path} is; is it a model hub?")
        if metadata.etag is not None and _SHA256.fullmatch(metadata.etag):
            return RemoteFile(path, metadata.size, sha256=metadata.etag)
        if metadata.etag is not None and _BLOB_ID.fullmatch(metadata.etag):
            return RemoteFile(path, metadata.size, blob_id=metadata.etag)
        raise ModelError(f"{self._endpoint} declares no hash for {path} of {self._hub.repository}; is it a model hub?")

    def download(self, file: RemoteFile, part: Path, report: Callable[[int], None]) -> None:
        """Downloads the rest of the file into `part`. `report` gets the number of bytes so far.

        Resumes after a broken connection. Gives up after several attempts in a row without any data.
        """
        import httpx2  # noqa: PLC0415
        from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415
        from huggingface_hub.file_download import http_get  # noqa: PLC0415
        from huggingface_hub.utils.tqdm import silent_tqdm  # noqa: PLC0415

        # With compression, ranges would not count bytes of the file.
        headers = {"Accept-Encoding": "identity"}
        if self._token:
            # For the hub's own host only: httpx removes it on redirects to another host.
            headers["Authorization"] = f"Bearer {self._token}"
        failures = 0
        while True:
            had = part.stat().st_size if part.is_file() else 0
            if had > file.size:
                part.unlink()
                had = 0
            try:
                with (
                    _as_model_error(self._endpoint),
                    _Reporting(part.open("ab", buffering=0), file.size, report) as target,
                ):
                    http_get(
                        self._url(file.path),
                        target,
                        resume_size=had,
                        headers=headers,
                        expected_size=file.size,
                        displayed_filename=file.path,
                        tqdm_class=silent_tqdm,
                    )
            except (httpx2.ReadError, HfHubHTTPError) as error:
                if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
                    raise
                failures = 0 if part.stat().st_size > had else failures + 1
                if failures == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE_SECONDS * failures)
            except OSError as error:
                if error.errno is not None:  # from the disk; the library's own errors have none
                    raise
                raise ModelError(f"{file.path} of {self._hub.repository} does not have the declared size") from error
            else:
                return

    def _url(self, path: str) -> str:
        from huggingface_hub import hf_hub_url  # noqa: PLC0415

        return hf_hub_url(self._hub.repository, path, revision=self.commit, endpoint=self._endpoint)


class _Reporting(io.BufferedWriter):
    """A file that reports its length, and refuses to grow beyond `most` bytes."""

    def __init__(self, raw: io.FileIO, most: int, report: Callable[[int], None]) -> None:
        super().__init__(raw)
        self.seek(0, io.SEEK_END)
        self._most = most
        self._report = report

    def write(self, data: ReadableBuffer, /) -> int:
        if self.tell() + len(memoryview(data)) > self._most:
            # The library checks the size only at the end, and a server may send without end.
            raise OSError("longer than declared")
        written = super().write(data)
        self._report(self.tell())
        return written


@contextmanager
def _as_model_error(endpoint: str) -> Iterator[None]:
    """Converts the library's errors about malformed responses, or about a proxy's settings, into ModelError."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{endpoint} does not answer as a model hub does; look at HF_ENDPOINT, and at HTTPS_PROXY where it is set"
        ) from error


def _is_plain(path: object) -> bool:
    """Returns whether a hub's file name stays below the model's folder, and is not that of our own record."""
    if not isinstance(path, str) or not path.isprintable() or path == pull_record.NAME:
        return False
    return all(part not in {"", ".", ".."} for part in path.split("/"))


@contextmanager
def open_repository(name: str, hub: Hub) -> Iterator[Repository]:
    """Opens the repository of the model `name`. Its HTTP errors inside the block are raised as ModelError."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        raise ModelError(f"{name} is not here, and HF_HUB_OFFLINE is set: unset it, or copy the folder from elsewhere")
    endpoint = _endpoint()
    try:
        import httpx2  # noqa: PLC0415
        from huggingface_hub import close_session, constants, get_token  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            f"models of a hub are pulled with a package that is missing here ({error.name}); "
            "install it with: pip install 'archgw[models]'"
        ) from error
    except ValueError as error:
        raise ModelError(f"a variable HF_... of the environment is not what huggingface_hub takes: {error}") from error
    # Not set by environment variables: the library reads them only at import. Telemetry would send the name of the
    # running agent to the hub. Warnings would print signed URLs.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    token = get_token()
    if token is not None and not (token.isascii() and token.isprintable()):
        raise ModelError("HF_TOKEN is no token: it holds characters that no request can carry")
    try:
        yield Repository(endpoint, token, hub)
    except httpx2.HTTPError as error:
        raise ModelError(_explain(error, endpoint, hub, has_token=token is not None)) from error
    finally:
        close_session()


def _endpoint() -> str:
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or _ENDPOINT
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError as error:
        raise ModelError(f"HF_ENDPOINT is not a URL such as {_ENDPOINT}: {error}") from error
    if parts.username or parts.password:
        raise ModelError("HF_ENDPOINT holds a user or a password; a token belongs into HF_TOKEN")
    if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[!-~]+", endpoint):
        raise ModelError(f"HF_ENDPOINT={endpoint!r} is not a URL such as {_ENDPOINT}")
    return endpoint


def _explain(error: HTTPError, endpoint: str, hub: Hub, *, has_token: bool) -> str:
    """Returns the message for an HTTP error, without the library's text of a refusal: it may hold signed URLs."""
    from huggingface_hub.errors import (  # noqa: PLC0415
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if not isinstance(error, HfHubHTTPError):
        reason = str(error) or type(error).__name__
        return f"{_unreachable_host(error, endpoint)} cannot be reached: {reason}. A mirror is set with HF_ENDPOINT"
    status = error.response.status_code
    reason = "the hub failed; try again later: the partial download is kept"
    if isinstance(error, GatedRepoError):
        how = "with the account of HF_TOKEN" if has_token else "and set HF_TOKEN to a token of the account that did"
        reason = f"it is gated: accept its terms on that page {how}"
    elif isinstance(error, RevisionNotFoundError):
        reason = f"there is no revision {hub.revision}"
    elif status in (401, 403) or isinstance(error, RepositoryNotFoundError):
        private = "the token of HF_TOKEN may not read it" if has_token else "it is private and needs HF_TOKEN"
        reason = f"there is no such repository, or {private}"
    elif status == 404:
        reason = "a file that it lists is not there"
    elif status == 429:
        reason = "too many requests for now: try again later, or set HF_TOKEN"
    return f"{endpoint}/{hub.repository}: {reason} (HTTP {status})"


def _unreachable_host(error: HTTPError, endpoint: str) -> str:
    """Returns the name of the server that did not answer. Large files have another server, with secret signed URLs."""
    try:
        url = error.request.url
    except RuntimeError:  # there was no request yet
        return endpoint
    host = url.netloc.decode("ascii")
    return endpoint if host == urlsplit(endpoint).netloc else f"{host}, where {endpoint} keeps large files,"
