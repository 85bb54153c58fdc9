"""Header allowlists and their regular expressions."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.config.vendors import VENDORS
from controlplane.render.gateway_files import CREDENTIAL_HEADERS, FORGED_HEADERS
from controlplane.render.header_allowlists import (
    INGRESS_REQUEST,
    INGRESS_RESPONSE,
    provider_request,
    provider_response,
    regex_excluding,
)

NAMES = st.text("ab-*", max_size=6).filter(lambda name: name != "*" and "*" not in name[:-1])


def passes(name: str, names: tuple[str, ...]) -> bool:
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in names)


@given(st.lists(NAMES, max_size=6).map(tuple), st.text("abc-", max_size=7))
def test_expression_matches_exactly_the_unlisted_names(names: tuple[str, ...], name: str) -> None:
    assert bool(re.fullmatch(regex_excluding(names), name)) is not passes(name, names)


@pytest.mark.parametrize(
    "names",
    [INGRESS_REQUEST, INGRESS_RESPONSE, provider_request((), passthrough_auth=True)]
    + [provider_response(vendor.headers, passthrough_auth=False) for vendor in VENDORS.values()],
)
def test_expression_matches_names_that_differ_by_a_letter(names: tuple[str, ...]) -> None:
    others = regex_excluding(names)
    for each in names:
        name = each.replace("*", "x")
        assert not re.fullmatch(others, name)
        for other in (f"{name}s", name[:-1], f"x{name}", name.upper()):
            assert bool(re.fullmatch(others, other)) is not passes(other, names)


@pytest.mark.parametrize("vendor", VENDORS)
def test_vendor_lists_have_no_credential_or_gateway_headers(vendor: str) -> None:
    request = provider_request(VENDORS[vendor].headers, passthrough_auth=False)
    response = provider_response(VENDORS[vendor].headers, passthrough_auth=False)
    assert not any(passes(name, request) for name in (*CREDENTIAL_HEADERS, *FORGED_HEADERS, "openai-organization"))
    ours = (*FORGED_HEADERS, "x-archgw-edit", "x-envoy-x", "x-function-error-code", "x-prompt-guard-error-code")
    assert not any(passes(name, response) for name in (*ours, "set-cookie", "www-authenticate", "location", "alt-svc"))
