import pytest

from triton_models.guard.windows import windows


def by_word(text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for word in text.split(" "):
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans


def by_character(text: str) -> list[tuple[int, int]]:
    return [(index, index + 1) for index in range(len(text))]


def test_a_short_text_is_its_own_window() -> None:
    assert list(windows("one two", by_word, 4, 1)) == ["one two"]
    assert list(windows("", by_word, 4, 1)) == [""]


def test_windows_share_their_overlap() -> None:
    assert list(windows("a b c d e f g", by_word, 4, 1)) == ["a b c d ", "d e f g"]


@pytest.mark.parametrize("length", [5, 17, 100, 101, 102, 103])
def test_no_character_is_left_out(length: int) -> None:
    text = " ".join(f"w{index}" for index in range(length))
    end = 0
    for window in windows(text, by_word, 5, 2):
        start = text.index(window)
        assert start <= end
        end = start + len(window)
    assert end == len(text)


def test_every_phrase_of_the_overlap_length_is_in_one_window() -> None:
    text = " ".join(f"w{index:03d}" for index in range(60))
    cut = list(windows(text, by_word, 8, 3))
    for index in range(58):
        phrase = " ".join(f"w{index + offset:03d}" for offset in range(3))
        assert any(phrase in window for window in cut)


def test_text_without_tokens_is_still_judged() -> None:
    assert list(windows("   ", lambda _: [], 4, 1)) == ["   "]


def test_slice_with_more_tokens_than_expected_is_halved() -> None:
    def grows(text: str) -> list[tuple[int, int]]:
        return by_word(text) if " " in text.strip() else by_character(text)

    text = "x" * 30 + " " + "y" * 30
    assert all(len(window) <= 31 for window in windows(text, grows, 1, 0))
    assert "".join(windows(text, grows, 1, 0)) == text


def test_an_overlap_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than its overlap"):
        list(windows("a b c", by_word, 2, 2))
