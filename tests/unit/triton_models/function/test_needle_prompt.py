"""The text that Needle reads of a conversation."""

from triton_models.function.needle_prompt import compose_prompt, parameter_names
from triton_models.function.request import MAX_CHARACTERS, Message

QUESTION = "Could you provide the following details days ?"


def messages(*texts: str) -> list[Message]:
    return [Message(("user", "assistant")[index % 2], text) for index, text in enumerate(texts)]


def test_single_request_is_unchanged() -> None:
    assert compose_prompt(messages("weather in Seattle"), ["location", "days"]) == "weather in Seattle"


def test_answer_is_labelled_with_the_requested_name() -> None:
    text = compose_prompt(messages("weather in Seattle", QUESTION, "5"), ["location", "days"])
    assert text == "weather in Seattle\ndays: 5"


def test_name_requested_twice_labels_its_last_answer() -> None:
    dialogue = messages("weather", "Could you provide the following details location, days ?", "Oslo", QUESTION, "two")
    assert compose_prompt(dialogue, ["location", "days"]) == "weather\nlocation: Oslo\ndays: two"


def test_messages_before_another_answer_are_dropped() -> None:
    assert (
        compose_prompt(messages("weather in Rome for 2 days", "It is sunny.", "and in Oslo?"), ["days"])
        == "and in Oslo?"
    )


def test_finds_a_name_of_several_words() -> None:
    dialogue = messages("onboard Ann", "What is the start date?", "Monday")
    assert compose_prompt(dialogue, ["start_date"]) == "onboard Ann\nstart_date: Monday"


def test_name_inside_a_word_is_not_requested() -> None:
    assert compose_prompt(messages("hi", "How are your holidays?", "good"), ["days"]) == "good"


def test_ignores_other_roles_and_trailing_answers() -> None:
    dialogue = [Message("system", "days?"), *messages("weather in Oslo", "one moment")]
    assert compose_prompt(dialogue, ["days"]) == "weather in Oslo"
    assert compose_prompt([], ["days"]) == ""


def test_long_text_keeps_both_ends() -> None:
    text = compose_prompt(messages("begin " + "x" * 5000 + " end"), [])
    assert len(text) <= MAX_CHARACTERS
    assert text.startswith("begin ")
    assert text.endswith(" end")


def test_parameter_names_have_no_duplicates() -> None:
    schemas: list[dict[str, object]] = [{"properties": {"a": {}, "b": {}}}, {"properties": {"b": {}}}, {}]
    assert parameter_names(schemas) == ["a", "b"]
