"""The choice of a provider by hint, by model and by default."""

import pytest

from extproc.decision import HttpRequest
from extproc.errors import ModelNotFound
from extproc.providers.routing import HINT, ProviderChoice, ProviderRouter
from extproc.shared.filter_config import Provider, Schema, UnknownModel


def provider(name: str, model: str, *, default: bool = False) -> Provider:
    return Provider(name=name, model=model, schema=Schema.OPENAI, cluster=f"provider_{name}", default=default)


def choose(
    providers: tuple[Provider, ...],
    *,
    hint: str | None = None,
    model: str | None = None,
    unknown: UnknownModel = UnknownModel.DEFAULT,
) -> ProviderChoice:
    headers = {} if hint is None else {HINT: hint}
    request = HttpRequest("egress", "POST", "/v1/chat/completions", headers, b"", "id")
    return ProviderRouter(providers, unknown).choose(request, model)


PROVIDERS = (
    provider("openai", "gpt-4o"),
    provider("azure", "gpt-4o"),
    provider("mistral", "large", default=True),
)


@pytest.mark.parametrize(
    ("hint", "model", "chosen"),
    [
        ("azure", "large", "azure"),
        ("gpt-4o", None, "openai"),
        ("default", "gpt-4o", "mistral"),
        (None, "azure", "azure"),
        (None, "gpt-4o", "openai"),
        (None, "unheard-of", "mistral"),
        (None, None, "mistral"),
    ],
)
def test_chooses_by_hint_then_by_model_then_the_default(hint: str | None, model: str | None, chosen: str) -> None:
    assert choose(PROVIDERS, hint=hint, model=model).provider.name == chosen


def test_refuses_an_unknown_hint_and_lists_the_valid_ones() -> None:
    with pytest.raises(ModelNotFound, match=r"Valid ones: azure, gpt-4o, large, mistral, openai\."):
        choose(PROVIDERS, hint="nope", model="gpt-4o")


def test_refuses_an_unknown_model_if_there_is_no_default() -> None:
    with pytest.raises(ModelNotFound):
        choose(PROVIDERS[:2], model="unheard-of")
    with pytest.raises(ModelNotFound):
        choose(PROVIDERS[:2], hint="default")


def test_chooses_the_default_of_providers_that_share_a_model() -> None:
    shared = (provider("a", "m"), provider("b", "m", default=True))
    assert choose(shared, model="m").provider.name == "b"


def test_the_access_log_names_an_unknown_model() -> None:
    assert choose(PROVIDERS, model="gpt-5").dynamic_metadata == {"unknown_model": "gpt-5"}
    for known in ("gpt-4o", "azure", "", None):
        assert choose(PROVIDERS, model=known).dynamic_metadata == {}
    assert choose(PROVIDERS, model="gpt-5", hint="azure").dynamic_metadata == {}


def test_a_logged_model_name_is_short_and_printable() -> None:
    logged = choose(PROVIDERS, model="a\r\nb\x00 \ud800é" + "x" * 10_000).dynamic_metadata["unknown_model"]
    assert logged == "a?b?" + "x" * 56


def test_refuses_an_unknown_model_if_configured_so() -> None:
    with pytest.raises(ModelNotFound, match=r"Valid ones: azure, gpt-4o, large, mistral, openai\.") as caught:
        choose(PROVIDERS, model="gpt-5", unknown=UnknownModel.ERROR)
    assert "gpt-5" not in caught.value.message
    for known, chosen in (("azure", "azure"), (None, "mistral"), ("", "mistral")):
        assert choose(PROVIDERS, model=known, unknown=UnknownModel.ERROR).provider.name == chosen
    assert choose(PROVIDERS, model="x", hint="default", unknown=UnknownModel.ERROR).provider.name == "mistral"
