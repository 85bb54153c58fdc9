"""The timing of a request, from calls at given times (in milliseconds)."""

from __future__ import annotations

import re

import pytest

from extproc import request_stats, timing
from extproc.request_stats import ApiCall, ModelCall, RequestStats, Stage
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role

ENTRY = re.compile(r"[a-z]+;dur=\d+\.\d+(;[a-z]+=[a-z0-9.]+)*")


def model(
    role: Role, began: float, ended: float, *, compute: float | None = None, network: float = 0.0, reason: str = ""
) -> ModelCall:
    place = Place.REMOTE if reason else Place.LOCAL
    return ModelCall(role, place, began / 1000, ended / 1000, compute, network, reason)


def api(began: float, ended: float) -> ApiCall:
    return ApiCall(began / 1000, ended / 1000)


def metadata_of(ended: float, *calls: ModelCall | ApiCall, degraded: set[Stage] | None = None) -> dict[str, str]:
    """Returns the dynamic metadata of a decision from 0 to `ended`."""
    models = [call for call in calls if isinstance(call, ModelCall)]
    apis = [call for call in calls if isinstance(call, ApiCall)]
    return timing.dynamic_metadata(RequestStats(0.0, models, apis, degraded or set()), ended / 1000, header=True)


def test_request_without_calls_is_filter_time() -> None:
    assert metadata_of(1.9) == {"filter_ms": "1.90", "timing": "filter;dur=1.90"}


def test_reports_each_part_of_a_decision() -> None:
    metadata = metadata_of(
        400,
        model(Role.GUARD, 1, 18, compute=16.4, network=0.5),
        model(Role.FUNCTION, 20, 270, compute=240, network=1),
        api(280, 380),
    )
    assert metadata == {
        "filter_ms": "33.0",
        "models_ms": "267.0",
        "queue_ms": "9.10",
        "compute_ms": "256.4",
        "network_ms": "1.50",
        "api_ms": "100.0",
        "served": "guard=local,function=local",
        "timing": "filter;dur=33.0, guard;dur=17.0;place=local;queue=0.10;compute=16.4;network=0.50, "
        "function;dur=250.0;place=local;queue=9.00;compute=240.0;network=1.00, api;dur=100.0",
    }


@pytest.mark.parametrize("order", [1, -1])
def test_overlapping_calls_count_once(order: int) -> None:
    # 10 to 30 and 20 to 60 overlap, 25 to 28 lies inside of both, 70 to 80 is apart.
    calls = [model(Role.EMBED, *times, compute=2) for times in ((10, 30), (20, 60), (25, 28), (70, 80))]
    metadata = metadata_of(100, *calls[::order])
    assert (metadata["filter_ms"], metadata["models_ms"]) == ("40.0", "60.0")
    # Of the first call only the ten milliseconds before the second began: half of what it computed.
    assert (metadata["compute_ms"], metadata["queue_ms"]) == ("5.00", "55.0")
    assert "embed;dur=60.0;place=local;calls=4;queue=55.0;compute=5.00;" in metadata["timing"]


def test_overlapping_model_and_api_calls_are_not_filter_time() -> None:
    metadata = metadata_of(100, model(Role.GUARD, 10, 50), api(40, 90), api(45, 60))
    assert (metadata["filter_ms"], metadata["models_ms"], metadata["api_ms"]) == ("20.0", "40.0", "50.0")


def test_no_queue_time_without_a_compute_time() -> None:
    metadata = metadata_of(30, model(Role.GUARD, 10, 20, network=0.4))
    assert metadata["network_ms"] == "0.40"
    assert not {"queue_ms", "compute_ms"} & set(metadata)
    assert "guard;dur=10.0;place=local;network=0.40" in metadata["timing"]


def test_parts_are_capped_at_the_duration_of_the_call() -> None:
    metadata = metadata_of(30, model(Role.GUARD, 10, 20, compute=1e9, network=3))
    assert (metadata["compute_ms"], metadata["queue_ms"], metadata["network_ms"]) == ("10.0", "0.00", "0.00")


def test_failed_attempts_are_named_and_have_no_parts() -> None:
    timeout = model(Role.GUARD, 0, 200, reason="timeout", network=0.5)
    passed_over = model(Role.EMBED, 200, 200, reason="unreachable")
    metadata = metadata_of(230, timeout, passed_over, model(Role.GUARD, 200, 220, compute=18, network=1))
    assert (metadata["models_ms"], metadata["served"]) == ("220.0", "guard=local")
    assert metadata["skipped"] == "guard@remote:timeout,embed@remote:unreachable"
    assert (metadata["compute_ms"], metadata["network_ms"]) == ("18.0", "1.00")
    assert "guard;dur=200.0;place=remote;error=timeout, " in metadata["timing"]
    assert "embed;dur=0.00;place=remote;error=unreachable, " in metadata["timing"]


def test_degraded_stages_are_sorted() -> None:
    assert metadata_of(1, degraded={Stage.NLI, Stage.INTENT, Stage.GUARD})["degraded"] == "guard, intent, nli"


def test_header_is_limited_to_31_entries() -> None:
    attempts = [
        model(role, index, index + 1, reason=f"reason{index}")
        for index, role in enumerate((Role.GUARD, Role.TOXICITY) * 30)
    ]
    entries = metadata_of(100, *attempts, api(70, 80))["timing"].split(", ")
    assert len(entries) == 31
    assert (entries[0].split(";")[0], entries[-1]) == ("filter", "api;dur=10.0")
    assert all(ENTRY.fullmatch(entry) for entry in entries)


def test_no_header_without_the_option() -> None:
    assert "timing" not in timing.dynamic_metadata(RequestStats(), 1.0, header=False)


def test_background_work_is_not_recorded() -> None:
    request_stats.record_degraded(Stage.INTENT)
    assert request_stats.current() is None
    with request_stats.collect() as outer:
        with request_stats.collect() as inner:
            request_stats.record_degraded(Stage.INTENT)
            assert request_stats.current() is inner
        assert request_stats.current() is outer
    assert (outer.degraded, inner.degraded) == (set(), {Stage.INTENT})
