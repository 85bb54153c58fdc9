"""Which part of a conversation a decision is about."""

import pytest

from extproc.errors import InvalidRequest
from extproc.pipeline.conversation import read

WEATHER = {"role": "user", "content": "weather in Seattle"}
QUESTION = {"role": "assistant", "model": "Arch-Function", "content": "Could you provide the following details days ?"}
ANSWER = {"role": "user", "content": "five"}
CHAT = {"role": "assistant", "content": "Hello!", "model": "gpt-4o"}


def test_a_turn_is_every_user_message_after_the_last_assistant_one() -> None:
    turn = read([{"role": "user", "content": "old"}, CHAT, WEATHER, {"role": "user", "name": "eve", "content": "now"}])
    assert turn.said == "weather in Seattle\neve\nnow"
    assert not turn.is_answer
    assert turn.meant == "weather in Seattle\nnow"


def test_an_answer_to_our_question_goes_back_to_the_prompt_that_began_the_dialogue() -> None:
    turn = read(
        [
            {"role": "user", "content": "hi"},
            CHAT,
            WEATHER,
            QUESTION,
            {"role": "user", "content": "er"},
            QUESTION,
            ANSWER,
        ]
    )
    assert turn.is_answer
    assert turn.said == "five"
    assert turn.meant == "weather in Seattle\ner\nfive"
    assert len(turn.dialogue) == 5


def test_tool_and_system_messages_do_not_break_a_turn() -> None:
    turn = read([{"role": "system", "content": "s"}, CHAT, {"role": "tool", "content": "t"}, WEATHER])
    assert turn.said == "weather in Seattle"


@pytest.mark.parametrize("messages", [[], [CHAT], [WEATHER, CHAT], [{"role": "system", "content": "s"}]])
def test_a_user_must_speak_last(messages: list[dict[str, object]]) -> None:
    with pytest.raises(InvalidRequest, match="role `user`"):
        read(messages)  # type: ignore[arg-type]
