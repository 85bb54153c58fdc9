"""A remote Triton: a real tritonserver behind a real Envoy that terminates TLS and checks the key."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx2
import trustme
import yaml

from controlplane.assets import asset
from controlplane.render.envoy_validation import find_envoy
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.native.triton_install import build_backend, find_triton
from tests.dataplane.stack import free_ports, wait_for

KEY: Final = "sk-cloud-2f6d90c1"
# The name in its certificate, beside 127.0.0.1.
NAME: Final = "triton.example.test"

# Triton's stub starts Python isolated. With this line the models find numpy, their only dependency.
_FIND_NUMPY: Final = "import os, sys; sys.path[:0] = os.environ['PYTHONPATH'].split(os.pathsep)\n"
_START_S: Final = 60
_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"
_PREFIX: Final = "archgw-cloud-"


class ProcessGroup:
    """A process and its children, in a process group of their own."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self._argv = argv
        self._log = log
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, start_new_session=True
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group. A stopped process reacts to SIGKILL and SIGCONT only."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait(_START_S)

    def check(self) -> None:
        """Fail with the log of the process if it has ended."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(self._log.read_text(errors="replace")[-4000:])


@dataclass(frozen=True)
class Ports:
    """Listener ports of the Envoy in front: a valid certificate, an expired one, one of an unknown authority, one that
    requires a client certificate, and no TLS.
    """

    tls: int
    expired: int
    foreign: int
    mutual: int
    plain: int


class RemoteTriton:
    """Serves the example repository and two mistakes: `two_wide`, a guard with two numbers per text, and `idle`, a
    model that is not loaded.
    """

    def __init__(self, directory: Path, authority: trustme.CA) -> None:
        self._layout = RunLayout(directory)
        self._http, self.grpc, self._metrics, *ports = free_ports(8)
        self.ports = Ports(*ports)
        self._shared_memory = f"{_PREFIX}{os.getpid()}-{self._http}-"
        self._layout.models.mkdir(parents=True)
        install = find_triton()
        build_backend(install, self._layout)
        models = _write_repository(self._layout.models)
        environment = {
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": ":".join(map(str, install.libraries)),
            "PYTHONPATH": str(install.site_packages),
        }
        self.triton = ProcessGroup(self._triton_argv(install.server, models), directory / "triton.log", environment)
        certificates = _certificates(directory, authority)
        # The CA that issued its certificate, and a client certificate with its key for a gateway.
        self.authority, self.client = certificates.authority, certificates.client
        config = directory / "envoy.yaml"
        config.write_text(yaml.safe_dump(_envoy(self.ports, certificates, self._http, self.grpc)))
        envoy = find_envoy()
        assert envoy is not None, "tests need the extra `local`"
        argv = [str(envoy), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
        self.envoy = ProcessGroup(argv, directory / "envoy.log")

    def _triton_argv(self, server: Path, models: Sequence[str]) -> list[str]:
        return [
            str(server),
            f"--model-repository={self._layout.models}",
            f"--backend-directory={self._layout.backends}",
            f"--backend-config=python,shm-region-prefix-name={self._shared_memory}",
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in models),
            "--http-address=127.0.0.1",
            f"--http-port={self._http}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self.grpc}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={self._metrics}",
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=false",
            "--exit-timeout-secs=3",
        ]

    def start(self) -> None:
        self.triton.start()
        self.envoy.start()
        self.wait_ready()

    def kill_triton(self) -> None:
        self.triton.kill()
        self._clean()

    def restart_triton(self) -> None:
        """Start Triton again, and wait until it is ready."""
        self.triton.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until a request with the key, through Envoy, succeeds."""
        wait_for(self._is_ready, _START_S)

    def kill(self) -> None:
        """Kill Envoy and Triton."""
        self.envoy.kill()
        self.kill_triton()

    def calls(self, model: str) -> int:
        """Successful inferences of a model since its server started."""
        answer = httpx2.get(f"http://127.0.0.1:{self._http}/v2/models/{model}/stats", timeout=5).json()
        return int(answer["model_stats"][0]["inference_stats"]["success"]["count"])

    def load(self, model: str) -> None:
        self._repository(model, "load")

    def unload(self, model: str) -> None:
        """Unload the model."""
        self._repository(model, "unload")

    def _repository(self, model: str, what: str) -> None:
        url = f"http://127.0.0.1:{self._http}/v2/repository/models/{model}/{what}"
        httpx2.post(url, timeout=_START_S).raise_for_status()

    def _is_ready(self) -> bool:
        self.triton.check()
        self.envoy.check()
        try:
            url = f"http://127.0.0.1:{self.ports.plain}/v2/health/ready"
            return httpx2.get(url, headers={"x-api-key": KEY}, timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def _clean(self) -> None:
        """Delete the shared memory that a killed Triton leaves behind."""
        for file in Path("/dev/shm").glob(f"{self._shared_memory}*"):  # noqa: S108
            file.unlink()


@contextlib.contextmanager
def running_triton(authority: trustme.CA) -> Iterator[RemoteTriton]:
    """A ready server, killed at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="ag-cloud-") as folder:
        remote_triton = RemoteTriton(Path(folder), authority)
        try:
            remote_triton.start()
            yield remote_triton
        finally:
            remote_triton.kill()


def _write_repository(target: Path) -> list[str]:
    """Write the example's models and two mistakes. Return the names to load."""
    example = asset("examples/serving")
    names = sorted(folder.name for folder in example.iterdir())
    for source, name in [*zip(names, names, strict=True), ("guard", "two_wide"), ("guard", "idle")]:
        shutil.copytree(example / source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        config, model = target / name / "config.pbtxt", target / name / "1" / "model.py"
        config.write_text(config.read_text().replace(f'name: "{source}"', f'name: "{name}"'))
        model.write_text(_FIND_NUMPY + model.read_text())
    wide = target / "two_wide" / "config.pbtxt"
    wide.write_text(wide.read_text().replace("TYPE_FP32 dims: [ 1 ]", "TYPE_FP32 dims: [ 2 ]"))
    return [*names, "two_wide"]


@dataclass(frozen=True)
class _Certificates:
    good: Path
    expired: Path
    foreign: Path
    client: Path
    authority: Path


def _certificates(directory: Path, authority: trustme.CA) -> _Certificates:
    """Write key and chain of each certificate into one PEM file."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    issued = {
        "good": authority.issue_cert(NAME, "127.0.0.1"),
        "expired": authority.issue_cert(NAME, "127.0.0.1", not_after=yesterday),
        "foreign": trustme.CA().issue_cert(NAME, "127.0.0.1"),
        "client": authority.issue_cert("gateway.example.test"),
    }
    for name, certificate in issued.items():
        certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / f"{name}.pem"))
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    return _Certificates(*(directory / f"{name}.pem" for name in (*issued, "authority")))


def _envoy(ports: Ports, certificates: _Certificates, http: int, grpc: int) -> dict[str, Any]:
    good = certificates.good
    listeners = [
        _listener(ports.tls, _tls(good)),
        _listener(ports.expired, _tls(certificates.expired)),
        _listener(ports.foreign, _tls(certificates.foreign)),
        _listener(ports.mutual, _tls(good, asked_of=certificates.authority)),
        _listener(ports.plain, None),
    ]
    h2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    clusters = [
        {**_cluster("grpc", grpc), "typed_extension_protocol_options": h2},
        _cluster("http", http),
    ]
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _listener(port: int, tls: dict[str, Any] | None) -> dict[str, Any]:
    manager = {
        "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "remote",
        "codec_type": "AUTO",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": _routes()}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if tls is not None:
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    # All interfaces: a gateway in containers connects from another network.
    return {"address": _address(port, "0.0.0.0"), "filter_chains": [chain]}  # noqa: S104


def _routes() -> list[dict[str, Any]]:
    """Requests with the key in one of two headers pass: gRPC to one port of Triton, HTTP to the other."""
    keys = [("authorization", f"Bearer {KEY}"), ("x-api-key", KEY)]
    passing = [
        {
            "match": {
                "prefix": "/",
                "headers": [{"name": name, "string_match": {"exact": value}}],
                **({"grpc": {}} if cluster == "grpc" else {}),
            },
            "route": {"cluster": cluster, "timeout": "0s"},
        }
        for name, value in keys
        for cluster in ("grpc", "http")
    ]
    return [*passing, {"match": {"prefix": "/"}, "direct_response": {"status": 401}}]


def _tls(certificate: Path, asked_of: Path | None = None) -> dict[str, Any]:
    pem = {"filename": str(certificate)}
    common: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [{"certificate_chain": pem, "private_key": pem}],
    }
    if asked_of is not None:
        common["validation_context"] = {"trusted_ca": {"filename": str(asked_of)}}
    return {
        "@type": f"{_EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": common,
        "require_client_certificate": asked_of is not None,
    }


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "connect_timeout": "0.25s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
