"""YAML syntax: refused files, scalars, and positions."""

import pytest

from controlplane.config.yaml_parser import MAX_BYTES, parse
from controlplane.config.yaml_tree import MapNode, Mark, key_mark, plain, value_mark


def tree(text: str) -> MapNode:
    root, findings = parse(text.encode())
    assert root is not None
    assert findings == ()
    return root


def faults(content: str | bytes) -> list[str]:
    _, findings = parse(content.encode() if isinstance(content, str) else content)
    return [f"{finding.mark.line}:{finding.mark.column}: {finding.message}" for finding in findings]


def test_positions_count_from_one() -> None:
    root = tree("a: 1\nlist:\n  - x: 2\n    y: 3\n")
    assert value_mark(root, ("a",)) == Mark(1, 4)
    assert key_mark(root, ("a",)) == Mark(1, 1)
    assert value_mark(root, ("list", 0, "y")) == Mark(4, 8)
    assert key_mark(root, ("list", 0)) == Mark(3, 5)


def test_missing_key_has_the_position_of_its_parent() -> None:
    root = tree("outer:\n  inner: {a: 1}\n")
    assert value_mark(root, ("outer", "inner", "gone")) == Mark(2, 3)


@pytest.mark.parametrize("text", ["yes", "on", "No", "1:30", "2024-01-01", "0x10", "1_000", ".inf", ".nan", "9" * 5000])
def test_yaml_1_1_scalars_stay_text(text: str) -> None:
    assert plain(tree(f"key: {text}")) == {"key": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("FALSE", False), ("12", 12), ("-3", -3), ("0.5", 0.5), (".5", 0.5), ("1e3", 1000.0), ("~", None)],
)
def test_scalars_of_yaml_1_2_are_values(text: str, value: object) -> None:
    assert plain(tree(f"key: {text}")) == {"key": value}


def test_quoted_scalars_are_text() -> None:
    assert plain(tree("a: \"true\"\nb: '12'\nc: ''\n")) == {"a": "true", "b": "12", "c": ""}


def test_keys_are_always_text() -> None:
    assert plain(tree("on: a\n1: b\ntrue: c\n")) == {"on": "a", "1": "b", "true": "c"}


def test_aliases_and_merges_work() -> None:
    root = tree("base: &b {x: 1, y: 2}\nused: *b\nmerged:\n  <<: *b\n  y: 3\n")
    assert plain(root) == {"base": {"x": 1, "y": 2}, "used": {"x": 1, "y": 2}, "merged": {"x": 1, "y": 3}}


def test_refuses_billion_laughs() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (fault,) = faults("\n".join(lines))
    assert fault.endswith("the aliases expand to more than 50000 values")


def test_an_alias_of_itself_is_refused() -> None:
    assert faults("a: &a [1, *a]") == ["1:4: an alias that contains itself"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(opening: str) -> None:
    (fault,) = faults(f"key:\n  {opening * 500}")
    assert "nested more than 32 levels deep" in fault


def test_deep_nesting_by_way_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 x"] + [f"a{n}: &a{n} {'[' * 25}*a{n - 1}{']' * 25}" for n in range(1, 60)]
    (fault,) = faults("\n".join(lines))
    assert fault.endswith("nested more than 32 levels deep, by way of aliases")


def test_reports_every_duplicate_key() -> None:
    assert faults("a: 1\nb: 2\na: 3\nc: {d: 1, d: 2}\n") == [
        '3:1: key "a" is here twice',
        '4:11: key "d" is here twice',
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "1:1: the file is empty"),
        (b"# only a comment\n", "1:1: the file is empty"),
        (b"- a\n- b\n", "1:1: the file is not a mapping of keys"),
        (b"just text", "1:1: the file is not a mapping of keys"),
        (b"a: 1\nb: caf\xe9\n", "2:7: the file is not UTF-8 text: byte 0xE9"),
        ("a: 1\n".encode("utf-16"), "1:1: the file is UTF-16"),
        ("a: 1\n".encode("utf-16-le"), "1:1: the file is UTF-16"),
        ("a: 1\n".encode("utf-32"), "1:1: the file is UTF-32"),
        (b"a: 1\nb: x\0\n", "2:5: a NUL character"),
        (b"a: 1\nb: \x07\n", "2:4: a character that YAML does not allow"),
        (b"a:\n\tb: 1\n", "2:1: a tab where YAML allows only spaces"),
        (b"a: 1\n---\nb: 2\n", "2:1: a second YAML document begins here"),
        (b"a: b: c\n", "1:5: a `:` is not allowed here"),
        (b"a: !!python/object/apply:os.system [x]\n", None),
        (b"a: !mine 1\n", '1:4: YAML tag "!mine" has no meaning here'),
        (b"? [a, b]\n: 1\n", "1:3: a key that is not text"),
        (b'a: "\\ud800"\n', "1:4: half a surrogate pair, which is no character"),
        (b"x" * (MAX_BYTES + 1), f"1:1: the file is too large: {MAX_BYTES + 1} bytes, at most {MAX_BYTES}"),
    ],
)
def test_each_kind_of_invalid_file_has_its_own_message(content: bytes, fault: str | None) -> None:
    (found,) = faults(content)
    assert found == fault if fault else "has no meaning here" in found


def test_accepts_byte_order_mark() -> None:
    root, findings = parse(b"\xef\xbb\xbfa: 1\n")
    assert root is not None
    assert (plain(root), findings) == ({"a": 1}, ())


def test_other_syntax_errors_keep_message_and_position_of_the_parser() -> None:
    (fault,) = faults("a: [1, 2\nb: 3\n")
    assert fault.startswith("2:2: not valid YAML: ")
