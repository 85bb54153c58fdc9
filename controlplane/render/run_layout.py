"""Where each file of one gateway lies under its run directory. Names only: nothing is created or read here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunLayout:
    """The paths of one run directory.

    run_dir/            0700
    ├── envoy/          bootstrap.yaml and the xDS files
    ├── secrets/        0700; one SDS file of mode 0600 a provider key or header; removed by `down`
    ├── filter.json     the filter configuration
    ├── models/         Triton's model repository
    ├── backends/       Triton's backend directory
    ├── sockets/        the unix sockets of Envoy, the filter and the supervisor, and the lock of whoever repairs Triton
    ├── triton/         0700; Triton's unix sockets, its only ones
    ├── tls/            certificates that Envoy in a container reads
    ├── logs/
    ├── supervisor.json, or compose.yaml where the parts run in containers
    └── state.json      what runs: mode, configuration file, ports, since when
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
        """Triton ends the name of this socket with a port, as if it were a host."""
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
    def repair_lock(self) -> Path:
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
        """The file that the supervisor's own output goes to. It stays empty unless the supervisor cannot start."""
        return self.logs / "supervisor.out"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def shared_memory_prefix(self) -> str:
        """What the names of this gateway's files in /dev/shm begin with. A killed server leaves them behind."""
        return f"archgw-{hashlib.sha256(bytes(self.root)).hexdigest()[:12]}-"
