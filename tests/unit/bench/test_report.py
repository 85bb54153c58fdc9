"""The ratios are those that the goals are stated in."""

from __future__ import annotations

from bench import report
from bench.load import Load
from bench.report import Failure, Models, Row, Way


def _row(name: str, p50: float, per_second: float, **memory: tuple[int, ...]) -> Row:
    loads = (Load(1, p50, p50, p50, 100, 1000), Load(32, 1, 1, 1, per_second, 1000))
    return Row(name, loads, memory)


def test_ratios_compare_what_is_added_to_plain_envoy() -> None:
    rows = [
        _row(report.PLAIN, 0.25, 20_000, envoy=(60_000_000,)),
        _row(report.EGRESS, 1.25, 3_000, envoy=(60_000_000,), extproc=(70_000_000, 80_000_000)),
        _row(report.INGRESS, 12.0, 90),
        _row(report.LITELLM, 10.25, 200),
    ]

    text = "\n".join(report.ratios(rows, Models(guard=5.0, embed=2.0, both=8.0)))

    assert "| egress: added p50 at c=1, against LiteLLM's | 1/10.0 | at most 1/8 |" in text
    assert "| egress: req/s at c=32, against LiteLLM's | 15.0 times | at least 10 times |" in text
    assert "| ingress: p50 at c=1, against the models alone | 1.50 times | at most 2 times |" in text
    assert "| largest filter worker | 80 MB | at most 120 MB |" in text
    assert "envoy 60; extproc 2 x 75" in report.table(rows)[3]


def test_rows_that_were_not_measured_make_no_ratio() -> None:
    assert len(report.ratios([_row(report.DIRECT, 0.1, 1000)], None)) == 2


def test_a_remote_is_said_by_what_it_adds() -> None:
    assert report.ways([Way("guard", 1.0, 2.25)])[-1] == "| guard | 1.00 | 2.25 | 1.25 |"
    assert (
        report.failures([Failure("killed", 12.4, 9.5, 9.0, 1.21)])[-1] == "| killed | 12 | 9.50 | 9.00 | 0.50 | 1.2 |"
    )
