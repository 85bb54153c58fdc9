"""`$NAME`: the fields where it is replaced, its sources, and errors."""

import pytest

from controlplane.config.providers import Provider
from controlplane.errors import ConfigError
from tests.unit.controlplane.config.files import PROVIDER, Folder

HOSTED = """\
version: v1
llm_providers:
  - {name: gpt, provider: openai, model: m, access_key: KEY}
"""
SECRET = "sk-very-secret-0123456789"


def provider(folder: Folder, text: str, environ: dict[str, str]) -> Provider:
    return folder.load(text, environ).config.llm_providers[0]


def key(folder: Folder, written: str, environ: dict[str, str]) -> str:
    found = provider(folder, HOSTED.replace("KEY", written), environ).access_key
    assert found is not None
    return found.get_secret_value()


@pytest.mark.parametrize("written", ["$OPENAI_KEY", "${OPENAI_KEY}", "'$OPENAI_KEY'"])
def test_a_key_comes_from_the_environment(folder: Folder, written: str) -> None:
    assert key(folder, f'"{written}"'.replace("\"'", "'").replace("'\"", "'"), {"OPENAI_KEY": SECRET}) == SECRET


def test_a_key_comes_from_dotenv_beside_the_file(folder: Folder) -> None:
    (folder.path / ".env").write_text(f"OPENAI_KEY='{SECRET}'\n")
    assert key(folder, "$OPENAI_KEY", {}) == SECRET


def test_the_process_environment_wins_over_dotenv(folder: Folder) -> None:
    (folder.path / ".env").write_text("OPENAI_KEY=from-dotenv\n")
    assert key(folder, "$OPENAI_KEY", {"OPENAI_KEY": "from-process"}) == "from-process"


def test_dotenv_values_are_literal(folder: Folder) -> None:
    (folder.path / ".env").write_text("OPENAI_KEY=a${HOME}b$c\n")
    assert key(folder, "$OPENAI_KEY", {"HOME": "/root"}) == "a${HOME}b$c"


def test_environment_values_are_not_expanded_again(folder: Folder) -> None:
    assert key(folder, "$A", {"A": "$B", "B": "other"}) == "$B"


def test_two_dollars_are_a_literal_dollar(folder: Folder) -> None:
    assert key(folder, "a$$b", {}) == "a$b"


def test_dollar_without_name_is_literal(folder: Folder) -> None:
    assert key(folder, "a$-b$", {}) == "a$-b$"


def test_urls_and_hosts_accept_references(folder: Folder) -> None:
    text = """\
    version: v1
    endpoints:
      one: {endpoint: $API_HOST}
      two: {endpoint: ["${API_HOST}", "b:1"]}
    llm_providers:
      - {name: own, provider: openai_compatible, model: m, base_url: "http://$API_HOST:8000/v1"}
    prompt_targets:
      - {name: a, description: d, endpoint: {name: one}}
      - {name: b, description: d, endpoint: {name: two}}
    tracing: {collector: $COLLECTOR}
    """
    config = folder.load(text, {"API_HOST": "api.internal", "COLLECTOR": "http://otel:4317"}).config
    assert config.endpoints["one"].endpoint[0].host == "api.internal"
    assert config.endpoints["two"].endpoint[0].host == "api.internal"
    url = config.llm_providers[0].base_url
    assert url is not None
    assert (url.host, url.port) == ("api.internal", 8000)
    assert config.tracing is not None
    assert config.tracing.collector.host == "otel"


def test_dollar_in_other_fields_is_text(folder: Folder) -> None:
    text = f"version: v1\nsystem_prompt: It costs $HOME or ${{PRICE}}, $$.\n{PROVIDER}"
    assert folder.load(text, {"HOME": "/root"}).config.system_prompt == "It costs $HOME or ${PRICE}, $$."


def test_missing_variable_hint_names_environment_and_dotenv(folder: Folder) -> None:
    text = HOSTED.replace("KEY", "$OPENAI_KEY")
    assert folder.problems(text) == ["3:57: environment variable OPENAI_KEY is not set"]
    (hint,) = folder.hints(text)
    assert hint is not None
    assert "environment of archgw" in hint
    assert str(folder.path / ".env") in hint


def test_refuses_empty_variable(folder: Folder) -> None:
    (folder.path / ".env").write_text("OPENAI_KEY=from-dotenv\n")
    text = HOSTED.replace("KEY", "$OPENAI_KEY")
    assert folder.problems(text, {"OPENAI_KEY": ""}) == ["3:57: environment variable OPENAI_KEY is empty"]


@pytest.mark.parametrize("written", ["${}", "${a b}", "${1A}", "${A:-default}"])
def test_refuses_braces_without_name(folder: Folder, written: str) -> None:
    text = HOSTED.replace("KEY", f'"{written}"')
    assert folder.problems(text) == ["3:57: `${...}` holds no name of a variable"]


@pytest.mark.parametrize(
    "value", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\x00", f"{SECRET} x", "schlüssel", SECRET * 999]
)
def test_refuses_key_that_no_header_can_carry_without_quoting_it(folder: Folder, value: str) -> None:
    text = HOSTED.replace("KEY", "$OPENAI_KEY")
    (problem,) = folder.problems(text, {"OPENAI_KEY": value})
    assert problem.startswith("3:57: access_key: the key cannot travel in a header")
    assert SECRET not in problem


def test_refuses_environment_value_that_is_not_utf8(folder: Folder) -> None:
    text = HOSTED.replace("KEY", "$OPENAI_KEY")
    assert folder.problems(text, {"OPENAI_KEY": "\udcff"}) == ["3:57: environment variable OPENAI_KEY is not text"]


@pytest.mark.parametrize(
    "fault", ["model: m", "provider: mistake", "passthrough_auth: 3", "zzz: 1", f"base_url: 'https://u:{SECRET}@h/v1'"]
)
def test_no_error_message_holds_a_secret(folder: Folder, fault: str) -> None:
    text = f"""\
    version: v1
    llm_providers:
      - name: a
        access_key: $OPENAI_KEY
        {fault}
    """
    folder.write(text)
    problems = "\n".join(folder.problems_as_written({"OPENAI_KEY": SECRET}))
    assert problems
    assert SECRET not in problems


def test_invalid_key_is_not_quoted(folder: Folder) -> None:
    (problem,) = folder.problems(HOSTED.replace("KEY", f"[{SECRET}]"))
    assert problem == "3:57: access_key: expected the key as text"


def test_repr_of_configuration_hides_keys(folder: Folder) -> None:
    loaded = folder.load(HOSTED.replace("KEY", "$OPENAI_KEY"), {"OPENAI_KEY": SECRET})
    assert SECRET not in repr(loaded)
    assert SECRET not in str(loaded.config.model_dump())


def test_warns_of_plain_text_key_without_showing_it(folder: Folder) -> None:
    loaded = folder.load(HOSTED.replace("KEY", SECRET))
    (warning,) = loaded.warnings
    assert (warning.line, warning.column, warning.message) == (3, 57, "a key in plain text")
    assert SECRET not in str(warning)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"A=1\nB=\xff\xfe\n", "2:3: the file is not UTF-8 text"),
        ("A=1\n".encode("utf-16"), "1:1: the file is UTF-16"),
        ("A=1\n".encode("utf-16-le"), "1:1: the file is UTF-16"),
        (b"A=1\nB=x\0y\n", "2:4: a NUL character"),
    ],
)
def test_binary_dotenv_is_reported_with_its_line(folder: Folder, content: bytes, named: str) -> None:
    (folder.path / ".env").write_bytes(content)
    folder.write(HOSTED.replace("KEY", "$OPENAI_KEY"))
    with pytest.raises(ConfigError, match=rf"\.env:{named}"):
        folder.load(HOSTED)


def test_dotenv_may_have_byte_order_mark(folder: Folder) -> None:
    (folder.path / ".env").write_bytes(b"\xef\xbb\xbfOPENAI_KEY=sk-1\n")
    key = folder.load(HOSTED.replace("KEY", "$OPENAI_KEY")).config.llm_providers[0].access_key
    assert key is not None
    assert key.get_secret_value() == "sk-1"
