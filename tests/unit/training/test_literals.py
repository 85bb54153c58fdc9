from training.literals import assigned, texts

SOURCE = """
import somewhere
A = "one"
B = [f"{A} two", A + " three", "-" * 3]
C = somewhere.read()
class K:
    D = (A, "four")
    E = [call()]
"""


def test_reads_literals_without_running_the_source() -> None:
    found = {(owner, name): value for owner, name, value in assigned(SOURCE)}
    assert found == {
        ("", "A"): "one",
        ("", "B"): ["one two", "one three", "---"],
        ("K", "D"): ["one", "four"],
    }


def test_texts_are_the_strings_of_a_list() -> None:
    assert texts(["a", 1, None, "b"]) == ["a", "b"]
    assert texts("a") == []
