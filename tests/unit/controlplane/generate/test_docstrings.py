"""Docstrings in the styles in use."""

import pytest

from controlplane.generate.docstrings import read

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
def test_every_style_gives_the_summary_and_the_parameters(text: str) -> None:
    found = read(text)
    assert found.summary == "Do it."
    assert found.parameters["one"] == "The first, on two lines."
    assert "three" not in found.parameters
    assert found.parameters.get("two", "The second.").startswith("The second")


def test_several_names_of_numpy_share_their_text() -> None:
    assert read(NUMPY).parameters["rest"] == "The second."


def test_a_colon_in_the_text_stays() -> None:
    assert read(GOOGLE).parameters["two"] == "The second: with a colon."


@pytest.mark.parametrize("text", [None, "", "   \n ", "\n\n---\n"])
def test_nothing_says_nothing(text: str | None) -> None:
    assert read(text).summary is None


def test_the_summary_is_one_line_without_marks() -> None:
    assert read("# Title of ``it``\nand **more**\f hidden").summary == "Title of it and more"
