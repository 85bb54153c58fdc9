"""The paths of a gateway's files in its run directory. Names only: nothing is created or read here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunLayout:
    """The paths of one run directory.

    run_dir/            0700
    ├── envoy/          bootstrap.yaml and the xDS files
    ├── secrets/        0700; one SDS file of mode 0600 per provider key or header; removed by `down`
    ├── filter.json     the filter configuration
    ├── models/         Triton's model repository
    ├── backends/       Triton's backend directory
    ├── sockets/        the unix sockets of Envoy, the filter and the supervisor; the lock for reloading Triton's models
    ├── triton/         0700; Triton's unix sockets
    ├── tls/            certificates that Envoy in a container reads
    ├── logs/
    ├── supervisor.json, or compose.yaml if the services run in containers
    └── state.json      the running gateway: mode, configuration file, ports, start time
    """

    root: Path

    @property
    def envoy(self) -> Path:
        return self.root / "envoy"

    @property
    def bootstrap(self) -> Path:
        return self.envoy / "bootstrap.yaml"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def filter_config(self) -> Path:
        return self.root / "filter.json"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def backends(self) -> Path:
        return self.root / "backends"

    @property
    def sockets(self) -> Path:
        return self.root / "sockets"

    def worker_socket(self, index: int) -> Path:
        return self.sockets / f"extproc-{index}.sock"

    @property
    def internal_socket(self) -> Path:
        return self.sockets / "internal.sock"

    @property
    def admin_socket(self) -> Path:
        return self.sockets / "admin.sock"

    @property
    def triton_sockets(self) -> Path:
        return self.root / "triton"

    @property
    def triton_http(self) -> Path:
        return self.triton_sockets / "http"

    @property
    def triton_grpc(self) -> Path:
        """Triton appends a port to the name of this socket, as to a host name."""
        return self.triton_sockets / "grpc:8001"

    @property
    def supervisor_socket(self) -> Path:
        return self.sockets / "supervisor.sock"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def compose(self) -> Path:
        return self.root / "compose.yaml"

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.yaml"

    @property
    def salt(self) -> Path:
        return self.root / "salt"

    @property
    def reload_lock(self) -> Path:
        return self.sockets / "triton-repair.lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def access_log(self) -> Path:
        return self.logs / "access.log"

    @property
    def supervisor_plan(self) -> Path:
        return self.root / "supervisor.json"

    @property
    def supervisor_output(self) -> Path:
        """File for the supervisor's own output. It stays empty unless the supervisor cannot start."""
        return self.logs / "supervisor.out"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def shared_memory_prefix(self) -> str:
        """Prefix of this gateway's files in /dev/shm. A killed Triton leaves them behind."""
        return f"archgw-{hashlib.sha256(bytes(self.root)).hexdigest()[:12]}-"
