"""The sections and tables of docs/quality.md."""

from evaluation.report import Section, replaced, table
from evaluation.roc import auc


def test_section_replaces_the_one_of_the_same_name() -> None:
    once = replaced("# Quality\n", Section("a", "A", "first"), "today")
    both = replaced(once, Section("b", "B", "other"), "today")
    again = replaced(both, Section("a", "A", "second"), "later")
    assert "first" not in again
    assert again.index("second") < again.index("other")
    assert again.startswith("# Quality\n\n<!-- a -->\n## A\n\nsecond\n\nlater\n<!-- /a -->\n")


def test_floats_are_shown_with_three_digits() -> None:
    assert table(["a", "b"], [["x", 0.5], ["y", 3]]) == "| a | b |\n| --- | --- |\n| x | 0.500 |\n| y | 3 |"


def test_auc_is_the_probability_of_a_higher_positive_score() -> None:
    assert auc([3.0, 2.0], [1.0, 2.0]) == 0.875
