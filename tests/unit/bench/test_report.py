"""The tables and ratios of the report."""

from __future__ import annotations

from bench import report
from bench.load import Load
from bench.report import Alone, Failure, Models, RoleLatency, Row, Served, Serving, Setting


def _row(name: str, p50: float, per_second: float, **memory: tuple[int, ...]) -> Row:
    loads = (Load(1, p50, p50, p50, 100, 1000), Load(32, 1, 1, 1, per_second, 1000))
    return Row(name, loads, memory)


def test_ratios_compare_the_latency_added_to_plain_envoy() -> None:
    rows = [
        _row(report.PLAIN, 0.25, 20_000, envoy=(60_000_000,)),
        _row(report.EGRESS, 1.25, 3_000, envoy=(60_000_000,), extproc=(70_000_000, 80_000_000)),
        _row(report.GRPC_AIO, 2.25, 2_000),
        _row(report.INGRESS, 12.0, 90),
        _row(report.LITELLM, 10.25, 200),
    ]

    text = "\n".join(report.ratios(rows, Models(guard=5.0, embed=2.0, both=8.0)))

    assert "| egress: added p50 at c=1, against LiteLLM's | 1/10.0 | at most 1/12 |" in text
    assert "| egress: req/s at c=32, against LiteLLM's | 15.0 times | at least 12 times |" in text
    assert "| egress: req/s at c=32, against grpcio's server | 1.50 times | at least 1.4 times |" in text
    assert "| egress: added p50 at c=1, against grpcio's server | 0.50 times | at most 0.7 times |" in text
    assert "| ingress: p50 at c=1, against the models alone | 1.50 times | at most 2 times |" in text
    assert "| largest filter worker | 80 MB | at most 120 MB |" in text
    assert "envoy 60; extproc 2 x 75" in report.table(rows)[3]


def test_unmeasured_rows_have_no_ratio() -> None:
    assert len(report.ratios([_row(report.DIRECT, 0.1, 1000)], None)) == 2


def test_remote_tables_show_the_added_latency() -> None:
    assert report.role_latencies([RoleLatency("guard", 1.0, 2.25)])[-1] == "| guard | 1.00 | 2.25 | 1.25 |"
    assert (
        report.failures([Failure("killed", 12.4, 9.5, 9.0, 1.21)])[-1] == "| killed | 12 | 9.50 | 9.00 | 0.50 | 1.2 |"
    )


def test_serving_table_compares_both_sides_of_each_round() -> None:
    # Other load on the machine in the second round affects both sides.
    rounds = [
        Serving(Alone(2, alone, 12.0), Served(Load(32, 300, 350, 400, served, 500), {"envoy": 1.0, "triton": 15.0}))
        for alone, served in ((100.0, 80.0), (50.0, 42.0), (100.0, 82.0))
    ]

    alone, served, ratio = report.serving(rounds)[2:]

    assert alone == "| the models alone, 2 processes | 100.0 |  |  | 12.0 |"
    assert served == "| the gateway, concurrency 32 | 80.0 | 300 | 400 | 16.0: envoy 1.0, triton 15.0 |"
    assert ratio.startswith("| ratio (goal: at least 0.80) | 0.82 (3 rounds: 0.80 to 0.84) |")


def test_tuning_table_has_a_line_for_each_setting() -> None:
    def setting(instances: int, p50: float) -> Setting:
        return Setting(instances, 1, "0us", (Load(1, p50, p50, 2 * p50, 1000 / p50, 100),))

    lines = report.tuning([setting(1, 10.0), setting(2, 20.0), setting(1, 14.0), setting(2, 20.0), setting(1, 12.0)])

    assert lines[2:] == ["| 1 | 1 | 0us | 83.3 | 12 / 24 |", "| 2 | 1 | 0us | 50.0 | 20 / 40 |"]
