"""Event streams, however the network cuts them."""

import pytest

from extproc.apis.sse import DONE, EventDecoder, event

STREAM = (
    b'data: {"a":1}\n\ndata:{"b":"\xc3\xa9"}\r\n\r\n: comment\n\nevent: x\ndata: one\ndata: two\n\n'
    b"data: 3\r\ndata: 4\r\n\r\ndata: [DONE]\n\n"
)
EVENTS = [b'{"a":1}', b'{"b":"\xc3\xa9"}', b"one\ntwo", b"3\n4", b"[DONE]"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, len(STREAM)])
def test_events_are_the_same_for_every_way_the_stream_is_cut(size: int) -> None:
    decoder = EventDecoder()
    events = [e for start in range(0, len(STREAM), size) for e in decoder.feed(STREAM[start : start + size])]
    assert events + decoder.flush() == EVENTS


def test_an_event_without_its_closing_blank_line_comes_out_at_the_end() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\n\ndata: b") == [b"a"]
    assert decoder.flush() == [b"b"]
    assert decoder.flush() == []


def test_a_carriage_return_alone_ends_a_line() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\r\rdata: b\r\r") + decoder.flush() == [b"a", b"b"]


def test_framing_is_read_back_as_it_was() -> None:
    decoder = EventDecoder()
    assert decoder.feed(event(b'{"x":1}') + DONE) == [b'{"x":1}', b"[DONE]"]
