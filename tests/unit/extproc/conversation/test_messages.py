"""Texts of messages, and text appended to one."""

from extproc.conversation.messages import append_text, texts
from extproc.shared.filter_config import JsonValue


def test_returns_the_texts_of_a_string_and_of_every_part() -> None:
    assert texts({"role": "user", "content": "a"}) == ["a"]
    assert texts({"role": "user", "content": None}) == []
    parts: list[JsonValue] = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {}},
        {"type": "new_kind", "text": "b"},
    ]
    assert texts({"role": "user", "content": parts}) == ["a", "b"]


def test_the_refusal_is_the_text_of_an_assistant_without_content() -> None:
    contents: list[JsonValue] = [None, "", [{"type": "refusal", "refusal": "no"}]]
    for content in contents:
        assert texts({"role": "assistant", "content": content, "refusal": "no"}) == ["no"]
    assert texts({"role": "assistant", "content": "yes", "refusal": "no"}) == ["yes"]
    assert texts({"role": "assistant", "content": None, "refusal": None}) == []


def test_appends_text_to_a_string_and_to_parts() -> None:
    assert append_text({"role": "user", "content": "a"}, "b")["content"] == "ab"
    assert append_text({"role": "user", "content": None}, "b")["content"] == "b"
    appended = append_text({"role": "user", "content": [{"type": "text", "text": "a"}]}, "b")
    assert appended["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
