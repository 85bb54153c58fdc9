"""JSON bodies in any encoding, and errors that say what is wrong with them."""

import json

import pytest

from extproc.codecs.json_values import decode_request
from extproc.errors import InvalidRequest

NAMES = ("messages", "model")


def body(**fields: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}).encode()


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (body(user="\ud800"), "escapes half of a surrogate pair"),
        (body(messages=[{"role": "user", "content": "\ude00 and more of it"}]), "escapes half of a surrogate pair"),
        (b'{"messages":[{"role":"user","content":"\\ud83d"}]}', "escapes half of a surrogate pair"),
        (body(tools=[{"\udfff": 1}]), "escapes half of a surrogate pair"),
        ('{"user":"\ud800"}'.encode(errors="surrogatepass"), "half of a surrogate pair (byte 9)"),
        (b'{"user":"\xff"}', "not UTF-8 (byte 9)"),
        (b"\xef\xbb\xbf" + body(), "byte order mark"),
        (body().decode().encode("utf-16"), "UTF-16"),
        (body().decode().encode("utf-16-be"), "UTF-16"),
        (body().decode().encode("utf-32"), "UTF-32"),
        (body().decode().encode("utf-32-le"), "UTF-32"),
        # Cut off, and with a whole pair in it.
        (body(user="\N{GRINNING FACE}")[:-1], "truncated"),
    ],
)
def test_names_the_encoding_of_a_body_that_is_not_utf_8(raw: bytes, named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_request(raw, NAMES)
    assert named in caught.value.message


@pytest.mark.parametrize("value", [b'"\\\\ud800"', b'"\\ud83d\\ude00"', b'["\\ud83d\\ude00", 1e999]'])
def test_accepts_text_that_only_looks_like_half_a_surrogate_pair(value: bytes) -> None:
    raw = b'{"messages":[{"role":"user","content":"hi"}],"user":' + value + b"}"
    assert bytes(decode_request(raw, NAMES)[0]["user"]) == value


def test_an_error_message_never_quotes_the_request() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_request(b'{"messages": [{"role": "user", "content": "my secret"]}', NAMES)
    assert "secret" not in caught.value.message
