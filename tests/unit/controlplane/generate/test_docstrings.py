"""Docstrings in all supported styles."""

import pytest

from controlplane.generate.docstrings import parse

GOOGLE = """Do it.

    More.

    Args:
        one (int): The first,
            on two lines.
        two: The second: with a colon.

        *rest: The others.

    Returns:
        three: not a parameter
"""
NUMPY = """Do it.

    Parameters
    ----------
    one : int
        The first,
        on two lines.
    two, rest : str, optional
        The second.

    Returns
    -------
    three : int
"""
REST = """Do it.

    :param one: The first,
        on two lines.
    :type one: int
    :param str two: The second.
    :returns: three
"""
EPYTEXT = "Do it.\n@param one: The first, on two lines.\n@return: three"
BULLETS = "Do it.\n\n- **one**: The first,\n  on two lines.\n- `two` (str): The second.\n- not a parameter"


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, REST, EPYTEXT, BULLETS])
def test_parses_summary_and_parameters_of_each_style(text: str) -> None:
    found = parse(text)
    assert found.summary == "Do it."
    assert found.parameters["one"] == "The first, on two lines."
    assert "three" not in found.parameters
    assert found.parameters.get("two", "The second.").startswith("The second")


def test_numpy_names_in_one_entry_share_their_description() -> None:
    assert parse(NUMPY).parameters["rest"] == "The second."


def test_keeps_colons_in_a_description() -> None:
    assert parse(GOOGLE).parameters["two"] == "The second: with a colon."


def test_line_that_begins_with_a_rest_role_continues_the_description() -> None:
    found = parse("Do it.\n\n:param one: Raises\n    :exc:`ValueError` above nine.")
    assert found.parameters["one"] == "Raises :exc:ValueError above nine."


@pytest.mark.parametrize("text", [None, "", "   \n ", "\n\n---\n"])
def test_empty_docstring_has_no_summary(text: str | None) -> None:
    assert parse(text).summary is None


def test_summary_is_one_line_without_markup() -> None:
    assert parse("# Title of ``it``\nand **more**\f hidden").summary == "Title of it and more"
