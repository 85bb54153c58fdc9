"""Event streams, cut anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.codecs.sse import DONE, EventDecoder, begins, event, payload, split

STREAM = (
    b'data: {"a":1}\n\ndata:{"b":"\xc3\xa9"}\r\n\r\n: comment\n\nevent: x\ndata: one\ndata: two\n\n'
    b"data: 3\r\ndata: 4\r\n\r\ndata: [DONE]\n\n"
)
EVENTS = [b'{"a":1}', b'{"b":"\xc3\xa9"}', b"one\ntwo", b"3\n4", b"[DONE]"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, len(STREAM)])
def test_decodes_the_same_events_for_all_cuts(size: int) -> None:
    decoder = EventDecoder()
    events = [e for start in range(0, len(STREAM), size) for e in decoder.feed(STREAM[start : start + size])]
    assert events + decoder.flush() == EVENTS


@pytest.mark.parametrize(
    "chunk", [b"data: {}\n\n", b"data:", b": hi\n\n", b"\r\nevent: x", b"\xef\xbb\xbfid: 1", b"retry:1"]
)
def test_recognises_a_stream_by_its_beginning(chunk: bytes) -> None:
    assert begins(chunk)


@pytest.mark.parametrize("chunk", [b"", b'{"data": 1}', b"<html>", b"[1]", b"database", b"da"])
def test_recognises_no_stream_in_other_bodies(chunk: bytes) -> None:
    assert not begins(chunk)


def test_flush_returns_an_event_without_its_closing_blank_line() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\n\ndata: b") == [b"a"]
    assert decoder.flush() == [b"b"]
    assert decoder.flush() == []


def test_a_carriage_return_alone_ends_a_line() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\r\rdata: b\r\r") + decoder.flush() == [b"a", b"b"]


def test_decodes_an_encoded_event() -> None:
    decoder = EventDecoder()
    assert decoder.feed(event(b'{"x":1}') + DONE) == [b'{"x":1}', b"[DONE]"]


def test_split_keeps_the_bytes_of_events() -> None:
    *events, rest = split(STREAM + b"data: half\n")
    assert (b"".join(events), rest) == (STREAM, b"data: half\n")
    assert [payload(each) for each in events] == [*EVENTS[:2], None, *EVENTS[2:]]
    assert payload(rest) == b"half"


LINES = st.binary(max_size=12).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
PAYLOADS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=5)
CUTS = st.lists(st.integers(0, 500), max_size=20)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:stop] for start, stop in pairwise(borders)]


@given(payloads=PAYLOADS, cuts=CUTS, line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]), closed=st.booleans())
def test_decodes_all_encoded_payloads_for_all_cuts(
    payloads: list[list[bytes]], cuts: list[int], line_end: bytes, closed: bool
) -> None:
    framed = [b"".join(b"data: " + line + line_end for line in lines) for lines in payloads]
    stream = line_end.join(framed) + (line_end if closed else b"")
    decoder = EventDecoder()
    events = [found for piece in pieces(stream, cuts) for found in decoder.feed(piece)]
    assert events + decoder.flush() == [b"\n".join(lines) for lines in payloads]


@given(stream=st.binary(max_size=200), cuts=CUTS)
def test_any_bytes_decode_to_the_same_events_for_all_cuts(stream: bytes, cuts: list[int]) -> None:
    whole, cut = EventDecoder(), EventDecoder()
    events = [found for piece in pieces(stream, cuts) for found in cut.feed(piece)]
    assert events + cut.flush() == whole.feed(stream) + whole.flush()
