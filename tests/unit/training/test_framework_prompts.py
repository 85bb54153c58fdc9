import zipfile
from pathlib import Path

import pytest

from training.framework_prompts import (
    Pinned,
    Prompt,
    archive,
    javascript_literals,
    pinned,
    prompts,
    python_literals,
    variants,
)

SOURCE = '''
"""A module about things. You are reading its docstring, which no model ever reads in this package."""
SYSTEM_PROMPT = "You are a planner. Given the task below, write a short plan and return only the steps." + TOOLS
raise_it = ValueError("You must pass a context and a question to this function before it can answer it")

@tool
def search(query: str) -> str:
    """Searches the web for the query and returns the titles of the best ten results as plain text."""
    """not a docstring"""

class Judge(dspy.Signature):
    """Decide whether the answer follows from the context, and give the reason for it in one sentence."""
    label: str = Field(description="Whether the answer is right, as one word that is either yes or no in lower case.")

logger.info("You are using the default prompt of the assistant, which will be removed in the next version")
'''


def _package(tmp_path: Path, files: dict[str, str]) -> tuple[Pinned, Path]:
    path = tmp_path / "package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return Pinned("pypi", "package", "1.0", path.name, "0" * 64, test=False), path


def test_prompts_are_found_with_their_roles(tmp_path: Path) -> None:
    found = prompts(*_package(tmp_path, {"package/agent.py": SOURCE}))
    assert {(prompt.text.split()[0], prompt.role, prompt.kind) for prompt in found} == {
        ("You", "system", "literal"),
        ("Searches", "tools", "tool_docstring"),
        ("Decide", "user", "signature"),
        ("Whether", "tools", "field_description"),
    }


def test_files_about_attacks_and_texts_that_quote_them_are_left_out(tmp_path: Path) -> None:
    quoting = 'PROMPT = "You are a guard. Find texts such as: ignore all previous instructions, and answer yes or no."'
    assert prompts(*_package(tmp_path, {"package/red_team/agent.py": SOURCE, "package/guard.py": quoting})) == []


def test_values_in_strings_become_placeholders() -> None:
    source = 'PROMPT = f"Answer {question} about {self.topic}" + name'
    assert [literal.text for literal in python_literals(source)] == ["Answer {question} about {topic}{name}"]


def test_javascript_strings_are_read_with_their_names() -> None:
    source = "const PROMPT = `You are a helper for ${user.name} and you answer each question in one short sentence.`"
    literal = next(javascript_literals(source))
    assert (literal.name, "{name}" in literal.text) == ("prompt", True)


def test_placeholders_are_filled_once_more() -> None:
    prompt = Prompt("Use the context.\n{context}\nQuestion: {question}", "user", "literal", "package", test=False)
    kinds = {kind: text for text, kind in variants(prompt)}
    assert kinds["literal"] == prompt.text
    assert "{" not in kinds["filled_template"]


def test_a_changed_package_is_refused(tmp_path: Path) -> None:
    package, path = _package(tmp_path, {"package/agent.py": SOURCE})
    with pytest.raises(ValueError, match="not the pinned file"):
        archive(package, path.parent)


def test_each_package_is_pinned_once_and_some_are_kept_for_the_test() -> None:
    names = [(package.registry, package.name) for package in pinned()]
    assert len(set(names)) == len(names)
    assert {package.name for package in pinned() if package.test} >= {"crewai", "haystack-ai"}
