"""Token counts and `usage` of the gateway's own answers."""

import pytest

from extproc.endpoints.usage import count_tokens, usage


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n\t", 0),
        ("What will the weather be in Paris for the next 3 days?", 13),
        ("def _foo(x): return x**2+1  # hello_world", 18),
        ("supercalifragilisticexpialidocious antidisestablishmentarianism", 19),
        ("Z\u00fcrich, na\u00efve caf\u00e9", 4),
        ("\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?", 15),
        ("\u3053\u3093\u306b\u3061\u306f\u4e16\u754c", 7),
    ],
)
def test_counts_tokens_like_the_embedding_model(text: str, count: int) -> None:
    """Expected counts: tokenizer of all-MiniLM-L6-v2, without its start and end tokens."""
    assert count_tokens(text) == count


@pytest.mark.parametrize("text", ["\U0001f642\U0001f642\U0001f642", "\u4321" * 3])
def test_counts_each_unknown_character_as_one_token(text: str) -> None:
    assert count_tokens(text) == 3


def test_scales_the_count_of_a_long_text() -> None:
    sentence = "The quick brown fox jumps over the lazy dog. "
    assert count_tokens(sentence * 100_000) == pytest.approx(100_000 * count_tokens(sentence), rel=0.01)


def test_counts_the_text_of_all_messages_as_prompt() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello there"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None},
    ]
    assert usage(messages, "Hi!") == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}  # type: ignore[arg-type]
