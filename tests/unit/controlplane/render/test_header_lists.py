"""A list of names becomes the expression of every other name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.config.vendors import VENDORS
from controlplane.render.files import CREDENTIAL_HEADERS, FORGED_HEADERS
from controlplane.render.header_lists import (
    INGRESS_REQUEST,
    INGRESS_RESPONSE,
    anything_but,
    provider_request,
    provider_response,
)

NAMES = st.text("ab-*", max_size=6).filter(lambda name: name != "*" and "*" not in name[:-1])


def passes(name: str, names: tuple[str, ...]) -> bool:
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in names)


@given(st.lists(NAMES, max_size=6).map(tuple), st.text("abc-", max_size=7))
def test_what_is_not_on_the_list_matches_and_nothing_else(names: tuple[str, ...], name: str) -> None:
    assert bool(re.fullmatch(anything_but(names), name)) is not passes(name, names)


@pytest.mark.parametrize(
    "names",
    [INGRESS_REQUEST, INGRESS_RESPONSE, provider_request((), passthrough_auth=True)]
    + [provider_response(vendor.headers, passthrough_auth=False) for vendor in VENDORS.values()],
)
def test_a_name_with_a_letter_more_or_less_is_another(names: tuple[str, ...]) -> None:
    others = anything_but(names)
    for each in names:
        name = each.replace("*", "x")
        assert not re.fullmatch(others, name)
        for other in (f"{name}s", name[:-1], f"x{name}", name.upper()):
            assert bool(re.fullmatch(others, other)) is not passes(other, names)


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_vendor_gets_credentials_that_are_not_its_own_or_speaks_for_the_gateway(vendor: str) -> None:
    request = provider_request(VENDORS[vendor].headers, passthrough_auth=False)
    response = provider_response(VENDORS[vendor].headers, passthrough_auth=False)
    assert not any(passes(name, request) for name in (*CREDENTIAL_HEADERS, *FORGED_HEADERS, "openai-organization"))
    ours = (*FORGED_HEADERS, "x-archgw-edit", "x-envoy-x", "x-function-error-code", "x-prompt-guard-error-code")
    assert not any(passes(name, response) for name in (*ours, "set-cookie", "www-authenticate", "location", "alt-svc"))
