"""Which provider answers."""

import pytest

from extproc.contract import Provider, Wire
from extproc.errors import ModelNotFound
from extproc.providers.choice import choose


def provider(name: str, model: str, *, default: bool = False) -> Provider:
    return Provider(name=name, model=model, wire=Wire.OPENAI, cluster=f"provider_{name}", default=default)


PROVIDERS = [
    provider("openai", "gpt-4o"),
    provider("azure", "gpt-4o"),
    provider("mistral", "large", default=True),
]


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
def test_the_hint_counts_before_the_model_and_the_model_before_the_default(
    hint: str | None, model: str | None, chosen: str
) -> None:
    assert choose(PROVIDERS, hint=hint, model=model).name == chosen


def test_an_unknown_hint_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ModelNotFound, match=r"Valid ones: azure, gpt-4o, large, mistral, openai\."):
        choose(PROVIDERS, hint="nope", model="gpt-4o")


def test_without_a_default_an_unknown_model_is_refused() -> None:
    with pytest.raises(ModelNotFound):
        choose(PROVIDERS[:2], hint=None, model="unheard-of")
    with pytest.raises(ModelNotFound):
        choose(PROVIDERS[:2], hint="default", model=None)


def test_of_providers_that_share_a_model_the_default_one_answers() -> None:
    shared = [provider("a", "m"), provider("b", "m", default=True)]
    assert choose(shared, hint=None, model="m").name == "b"
