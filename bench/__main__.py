"""`python -m bench`: runs the benchmarks; the report goes to stdout, progress to stderr."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from bench import envoys, gateway, heavy, litellm, load, machine, memory, model_latency, report, requirements, serving
from bench.load import CONCURRENCIES, BenchError, Load
from bench.processes import descendants, free_ports, resident, running
from bench.report import Row

_WORK: Final = Path(__file__).with_name(".work")
_ROWS: Final = ("direct", "plain", "egress", "grpc_aio", "ingress", "litellm", "models")
# Run alone and only on request: they take minutes, and `remote` needs the dependencies of the tests.
_REMOTE, _SERVING, _TUNING, _HEAVY = _ALONE = ("remote", "serving", "tuning", "heavy")
# LiteLLM's imports take half a minute on two slow cores.
_LITELLM_SECONDS: Final = 180.0
_ENVOY_SECONDS: Final = 10.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure archgw beside plain Envoy and LiteLLM.")
    parser.add_argument(
        "--rows", default=",".join(_ROWS), help=f"some of {','.join(_ROWS)}; or one of {','.join(_ALONE)}"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load (default 8)")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds of load before each path is measured")
    parser.add_argument("--memory", action="store_true", help="instead: the workers' memory over 100,000 requests")
    parser.add_argument("--requests", type=int, default=100_000, help="number of requests with --memory")
    parser.add_argument("--check", action="store_true", help="only check that the rows' requirements are installed")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of serving and of tuning (default 5)")
    arguments = parser.parse_args()
    arguments.rows = arguments.rows.split(",")
    if (unknown := set(arguments.rows) - set(_ROWS)) and not (len(arguments.rows) == 1 and unknown <= set(_ALONE)):
        parser.error(f"unknown rows, or rows that run alone: {', '.join(sorted(unknown))}")
    return arguments


class Bench:
    """One run: its folder, the seconds of each load, and those of the warm-up."""

    def __init__(self, scratch: Path, seconds: float, warm_up: float) -> None:
        self._scratch = scratch
        self._seconds = seconds
        self._warm_up = warm_up

    def loads(self, name: str, url: str) -> tuple[Load, ...]:
        body_file = self._scratch / "body.json"
        load.run(url, max(CONCURRENCIES), self._warm_up, body_file)
        taken = []
        for concurrency in CONCURRENCIES:
            _progress(f"{name}, concurrency {concurrency}")
            taken.append(load.run(url, concurrency, self._seconds, body_file))
        return tuple(taken)

    @contextlib.contextmanager
    def envoy(self, name: str, config: str, port: int, concurrency: int) -> Iterator[tuple[str, int]]:
        """Starts an Envoy. Yields the URL of its chat completions and its pid once it answers."""
        file = self._scratch / f"{name}.yaml"
        file.write_text(config)
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        log = self._scratch / f"{name}.log"
        with running(envoys.argv(file, concurrency), log, ready=lambda: load.check(url), seconds=_ENVOY_SECONDS) as pid:
            yield url, pid

    @contextlib.contextmanager
    def litellm(self, upstream: int) -> Iterator[tuple[str, int]]:
        _progress(f"starting LiteLLM {litellm.VERSION}")
        command = litellm.install(_WORK)
        [port] = free_ports(1)
        file = self._scratch / "litellm.yaml"
        file.write_text(litellm.config(upstream))
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        argv = litellm.argv(command, file, port)
        log = self._scratch / "litellm.log"

        def ready() -> None:
            if litellm.started_workers(log) < litellm.WORKERS:
                raise OSError("not all workers have started")
            load.check(url)

        with running(argv, log, ready=ready, seconds=_LITELLM_SECONDS, env=litellm.ENVIRONMENT) as pid:
            yield url, pid

    def rows(self, selected: list[str]) -> Iterator[Row]:
        """Measures one row after the other, so that only wrk and the upstream run beside it."""
        upstream, plain = free_ports(2)
        with self.envoy("upstream", envoys.mock_upstream(upstream), upstream, concurrency=1) as (direct_url, _):
            if "direct" in selected:
                yield Row(report.DIRECT, self.loads(report.DIRECT, direct_url))
            if "plain" in selected:
                config = envoys.plain_proxy(plain, upstream)
                with self.envoy("plain", config, plain, machine.cores()) as (plain_url, pid):
                    yield self._row(report.PLAIN, plain_url, lambda: {"envoy": (resident(pid),)})
            if {"egress", "ingress"} & set(selected):
                _progress("starting archgw")
                with gateway.started(self._scratch / "archgw", upstream) as running_gateway:
                    if "egress" in selected:
                        yield self._row(report.EGRESS, running_gateway.egress, running_gateway.memory)
                    if "ingress" in selected:
                        yield self._row(report.INGRESS, running_gateway.ingress, running_gateway.memory)
            if "grpc_aio" in selected:
                _progress("starting archgw on grpcio's server")
                overrides = {"filter_transport": "grpc_aio"}
                with gateway.started(self._scratch / "grpc_aio", upstream, overrides=overrides) as running_gateway:
                    yield self._row(report.GRPC_AIO, running_gateway.egress, running_gateway.memory)
            if "litellm" in selected:
                with self.litellm(upstream) as (litellm_url, pid):
                    yield self._row(report.LITELLM, litellm_url, lambda: _tree(pid))

    def _row(self, name: str, url: str, sizes: Callable[[], Mapping[str, tuple[int, ...]]]) -> Row:
        loads = self.loads(name, url)
        return Row(name, loads, sizes())


def _tree(pid: int) -> dict[str, tuple[int, ...]]:
    """Returns the memory of the workers and of the parent, which includes small helper processes."""
    parent, *others = descendants(pid)
    sizes = [resident(one) for one in others]
    workers = tuple(sorted(sizes, reverse=True)[: litellm.WORKERS])
    return {"worker": workers, "parent": (resident(parent) + sum(sizes) - sum(workers),)}


def _progress(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _run(arguments: argparse.Namespace, scratch: Path) -> None:
    bench = Bench(scratch, arguments.seconds, arguments.warm_up)
    about = machine.describe()
    if arguments.rows == [_REMOTE]:
        from bench import remote  # noqa: PLC0415 - without the extra `test` the other rows can be measured all the same

        print("\n".join([*about, "", *remote.measure(scratch, _progress)]))
        return
    if arguments.rows in ([_SERVING], [_TUNING]):
        print("\n".join([*about, "", *_serving(arguments, bench, scratch)]))
        return
    if arguments.rows == [_HEAVY]:
        [port] = free_ports(1)
        with bench.envoy("upstream", envoys.mock_upstream(port), port, concurrency=1):
            print("\n".join([*about, "", *heavy.measure(scratch, port, arguments.seconds, _progress)]))
        return
    if arguments.memory:
        [upstream] = free_ports(1)
        with (
            bench.envoy("upstream", envoys.mock_upstream(upstream), upstream, concurrency=1),
            gateway.started(scratch / "archgw", upstream) as running_gateway,
        ):
            measured = memory.measure(running_gateway, arguments.requests, scratch / "body.json", _progress)
        print("\n".join([*about, "", *memory.table(measured)]))
        return
    direct = None
    if "models" in arguments.rows:
        _progress("models, called directly")
        direct = model_latency.measure(load.PROMPT)
    rows = list(bench.rows(arguments.rows))
    print("\n".join(about))
    if rows:
        print("\n".join(["", *report.table(rows)]))
    print("\n".join(["", *report.ratios(rows, direct)]))


def _serving(arguments: argparse.Namespace, bench: Bench, scratch: Path) -> list[str]:
    [port] = free_ports(1)
    with bench.envoy("upstream", envoys.mock_upstream(port), port, concurrency=1) as (_, pid):
        given = (scratch, serving.Upstream(port, pid), arguments.seconds, arguments.rounds, _progress)
        if arguments.rows == [_SERVING]:
            return report.serving(serving.compare(*given))
        return report.tuning(serving.tune(*given))


def main() -> int:
    arguments = _arguments()
    # SIGTERM, too, stops the processes that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="archgw-bench-") as scratch:
        try:
            requirements.check(arguments.rows, _WORK)
            if not arguments.check:
                _run(arguments, Path(scratch))
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2 if isinstance(error, requirements.Missing) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
