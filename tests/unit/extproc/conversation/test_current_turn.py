"""The current turn of a conversation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.current_turn import AnsweredClarification, CurrentTurn, read
from extproc.shared.filter_config import Parameter, ParameterType
from tests.unit.extproc.fakes import target


def _parameter(name: str) -> Parameter:
    return Parameter(name=name, type=ParameterType.STR, description=name, required=True)


WEATHER = target("weather", _parameter("city"), _parameter("days"))
MONEY = target("money", _parameter("currency"))
TARGETS = (WEATHER, MONEY)


def user(text: object) -> dict[str, Any]:
    return {"role": "user", "content": text}


def asks(names: str, **fields: str) -> dict[str, Any]:
    return {"role": "assistant", "content": f"Could you provide the following details {names} ?", **fields}


CHAT = {"role": "assistant", "content": "Hello!", "model": "gpt-4o"}


def test_turn_is_all_user_messages_after_the_last_assistant_message() -> None:
    turn = read([user("old"), CHAT, user("weather in Seattle"), user([{"type": "text", "text": "now"}])], TARGETS)
    assert (turn.initial_prompt, turn.is_answer) == ("weather in Seattle\nnow", False)
    assert turn.user_text == turn.latest_text == turn.initial_prompt


@pytest.mark.parametrize("fields", [{}, {"model": "Arch-Function"}, {"model": "gpt-4o"}])
def test_question_is_recognised_by_text_with_any_model(fields: dict[str, str]) -> None:
    turn = read([user("hi"), CHAT, user("weather in Seattle"), asks("days", **fields), user("five")], TARGETS)
    assert turn.initial_prompt == "weather in Seattle"
    assert turn.clarifications == (AnsweredClarification(("days",), "five"),)
    assert turn.pending_targets == ("weather",)
    assert turn.user_text == "weather in Seattle\nfive"
    assert [message["role"] for message in turn.dialogue] == ["user", "assistant", "user"]


def test_dialogue_starts_at_the_initial_prompt() -> None:
    messages = [user("weather"), asks("city, days"), user("Seattle"), asks("days"), user("five")]
    turn = read([user("hi"), CHAT, *messages], TARGETS)
    assert turn.clarifications == (
        AnsweredClarification(("city", "days"), "Seattle"),
        AnsweredClarification(("days",), "five"),
    )
    assert turn.latest_text == "five"


def test_dialogue_starts_where_the_target_changed() -> None:
    messages = [user("weather"), asks("days"), user("no, exchange money"), asks("currency"), user("yen")]
    turn = read(messages, TARGETS)
    assert (turn.initial_prompt, turn.pending_targets) == ("no, exchange money", ("money",))


@pytest.mark.parametrize(
    "text",
    [
        "Could you provide the following details size ?",
        "Could you provide the following details days, currency ?",
        "Could you provide the following details days?",
        "Sure. Could you provide the following details days ?",
        "Could you provide the following details  ?",
    ],
)
def test_other_text_is_no_question(text: str) -> None:
    turn = read([user("weather"), {"role": "assistant", "content": text}, user("five")], TARGETS)
    assert not turn.is_answer
    assert turn.initial_prompt == "five"


def test_question_about_several_targets_is_recognised_by_model() -> None:
    turn = read([user("x"), asks("days, currency", model="Arch-Function"), user("five")], TARGETS)
    assert turn.pending_targets == ("weather", "money")


def test_api_answer_with_gateway_model_is_no_question() -> None:
    answer = {"role": "assistant", "model": "Arch-Function", "content": "20 degrees ?"}
    assert not read([user("weather"), answer, user("and tomorrow")], TARGETS).is_answer


def test_changed_question_is_recognised_by_state() -> None:
    state: dict[str, Any] = {"target": "weather", "missing": ["days"]}
    changed = {"role": "assistant", "content": "Bitte noch: days"}
    turn = read([user("weather"), changed, user("five")], TARGETS, state)
    assert (turn.pending_targets, turn.clarifications) == (("weather",), (AnsweredClarification(("days",), "five"),))


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"target": "weather"},
        {"target": 1, "missing": ["days"]},
        {"target": "gone", "missing": ["days"]},
        {"target": "weather", "missing": "days"},
        {"target": "weather", "missing": [{}, None]},
        {"target": "weather", "missing": ["currency"]},
    ],
)
def test_invalid_state_is_ignored(state: dict[str, Any]) -> None:
    assert not read([user("weather"), CHAT, user("five")], TARGETS, state).is_answer


def test_outdated_state_is_ignored() -> None:
    state: dict[str, Any] = {"target": "weather", "missing": ["days"]}
    assert not read([user("weather"), CHAT, user("five")], TARGETS, state).is_answer


def test_tool_and_system_messages_do_not_end_a_turn() -> None:
    turn = read([{"role": "system", "content": "s"}, CHAT, {"role": "tool", "content": "t"}, user("now")], TARGETS)
    assert turn.initial_prompt == "now"


def test_question_sent_back_as_refusal_is_recognised() -> None:
    question = {"role": "assistant", "content": None, "refusal": asks("days")["content"]}
    assert read([user("weather"), question, user("five")], TARGETS).latest_text == "five"


@pytest.mark.parametrize(
    "messages",
    [
        [CHAT],
        [user("x"), CHAT],
        [user("x"), CHAT, {"role": "system", "content": "s"}],
        [{"role": "system", "content": "s"}],
        [{"role": "developer", "content": "s"}],
        [{"role": "tool", "content": "t"}],
        [user("x"), CHAT, {"role": "tool", "content": "42"}],
        [user("x"), CHAT, {"role": "function", "name": "f", "content": "42"}],
    ],
)
def test_turn_is_empty_unless_a_user_speaks_last(messages: list[dict[str, Any]]) -> None:
    assert read(messages, TARGETS) == CurrentTurn()


MESSAGES = st.lists(
    st.one_of(
        st.sampled_from(["five", "", "weather"]).map(user),
        st.sampled_from(["days", "city, days", "currency", "size"]).map(asks),
        st.just(asks("days", model="Arch-Function")),
        st.just(CHAT),
        st.just({"role": "tool", "content": "t"}),
        st.just({"role": "system", "content": "s"}),
    ),
    max_size=8,
)


@given(MESSAGES)
def test_any_turn_holds_the_last_user_texts(messages: list[dict[str, Any]]) -> None:
    turn = read(messages, TARGETS)
    if turn.is_empty:
        return
    user_texts = [message["content"] for message in messages if message["role"] == "user"]
    assert "\n".join(user_texts).endswith(turn.user_text)
    assert bool(turn.pending_targets) == turn.is_answer
    assert turn.dialogue[0]["role"] == "user"
