"""What is said of a request's costs, from calls at given moments (in milliseconds)."""

from __future__ import annotations

import re

import pytest

from extproc import request_stats, timing
from extproc.request_stats import ApiCall, ModelCall, RequestStats, Stage
from extproc.shared.filter_config import Place, Role

ENTRY = re.compile(r"[a-z]+;dur=\d+\.\d+(;[a-z]+=[a-z0-9.]+)*")


def model(
    role: Role, began: float, ended: float, *, compute: float | None = None, network: float = 0.0, reason: str = ""
) -> ModelCall:
    place = Place.REMOTE if reason else Place.LOCAL
    return ModelCall(role, place, began / 1000, ended / 1000, compute, network, reason)


def api(began: float, ended: float) -> ApiCall:
    return ApiCall(began / 1000, ended / 1000)


def said(ended: float, *calls: ModelCall | ApiCall, degraded: set[Stage] | None = None) -> dict[str, str]:
    """The notes of a decision that took from 0 to `ended`."""
    models = [call for call in calls if isinstance(call, ModelCall)]
    apis = [call for call in calls if isinstance(call, ApiCall)]
    return timing.dynamic_metadata(RequestStats(0.0, models, apis, degraded or set()), ended / 1000, header=True)


def test_a_request_that_asks_nobody_is_all_the_gateways_own_time() -> None:
    assert said(1.9) == {"filter_ms": "1.90", "timing": "filter;dur=1.90"}


def test_each_part_of_a_decision_is_told_apart() -> None:
    notes = said(
        400,
        model(Role.GUARD, 1, 18, compute=16.4, network=0.5),
        model(Role.FUNCTION, 20, 270, compute=240, network=1),
        api(280, 380),
    )
    assert notes == {
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
def test_what_runs_at_the_same_time_is_waited_for_once(order: int) -> None:
    # 10 to 30 and 20 to 60 overlap, 25 to 28 lies inside of both, 70 to 80 is apart.
    calls = [model(Role.EMBED, *times, compute=2) for times in ((10, 30), (20, 60), (25, 28), (70, 80))]
    notes = said(100, *calls[::order])
    assert (notes["filter_ms"], notes["models_ms"]) == ("40.0", "60.0")
    # Of the first call only the ten milliseconds before the second began: half of what it computed.
    assert (notes["compute_ms"], notes["queue_ms"]) == ("5.00", "55.0")
    assert "embed;dur=60.0;place=local;calls=4;queue=55.0;compute=5.00;" in notes["timing"]


def test_a_model_and_an_api_at_the_same_time_leave_the_rest_to_the_gateway() -> None:
    notes = said(100, model(Role.GUARD, 10, 50), api(40, 90), api(45, 60))
    assert (notes["filter_ms"], notes["models_ms"], notes["api_ms"]) == ("20.0", "40.0", "50.0")


def test_a_model_that_does_not_say_how_long_it_computed_has_no_queue_either() -> None:
    notes = said(30, model(Role.GUARD, 10, 20, network=0.4))
    assert notes["network_ms"] == "0.40"
    assert not {"queue_ms", "compute_ms"} & set(notes)
    assert "guard;dur=10.0;place=local;network=0.40" in notes["timing"]


def test_no_part_of_a_call_is_longer_than_the_call_whatever_a_server_says() -> None:
    notes = said(30, model(Role.GUARD, 10, 20, compute=1e9, network=3))
    assert (notes["compute_ms"], notes["queue_ms"], notes["network_ms"]) == ("10.0", "0.00", "0.00")


def test_failed_attempts_are_waited_for_and_named_and_have_no_parts() -> None:
    timeout = model(Role.GUARD, 0, 200, reason="timeout", network=0.5)
    passed_over = model(Role.EMBED, 200, 200, reason="unreachable")
    notes = said(230, timeout, passed_over, model(Role.GUARD, 200, 220, compute=18, network=1))
    assert (notes["models_ms"], notes["served"]) == ("220.0", "guard=local")
    assert notes["skipped"] == "guard@remote:timeout,embed@remote:unreachable"
    assert (notes["compute_ms"], notes["network_ms"]) == ("18.0", "1.00")
    assert "guard;dur=200.0;place=remote;error=timeout, " in notes["timing"]
    assert "embed;dur=0.00;place=remote;error=unreachable, " in notes["timing"]


def test_what_the_request_went_without_is_named_in_one_order() -> None:
    assert said(1, degraded={Stage.NLI, Stage.INTENT, Stage.GUARD})["degraded"] == "guard, intent, nli"


def test_the_header_stays_one_that_clients_can_read() -> None:
    attempts = [
        model(role, index, index + 1, reason=f"reason{index}")
        for index, role in enumerate((Role.GUARD, Role.TOXICITY) * 30)
    ]
    entries = said(100, *attempts, api(70, 80))["timing"].split(", ")
    assert len(entries) == 31
    assert (entries[0].split(";")[0], entries[-1]) == ("filter", "api;dur=10.0")
    assert all(ENTRY.fullmatch(entry) for entry in entries)


def test_without_the_option_there_is_no_header() -> None:
    assert "timing" not in timing.dynamic_metadata(RequestStats(), 1.0, header=False)


def test_work_that_belongs_to_no_request_costs_nobody() -> None:
    request_stats.record_degraded(Stage.INTENT)
    assert request_stats.current() is None
    with request_stats.collect() as outer:
        with request_stats.collect() as inner:
            request_stats.record_degraded(Stage.INTENT)
            assert request_stats.current() is inner
        assert request_stats.current() is outer
    assert (outer.degraded, inner.degraded) == (set(), {Stage.INTENT})
