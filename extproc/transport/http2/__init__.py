"""An HTTP/2 server that speaks gRPC to Envoy and to the `archgw` command, as far as those two need it.

grpcio's asyncio server costs five times as much as everything that the filter does with a request. This one has no
thread beside the event loop, no queue between them, and one write a turn of the loop. Rooms:

- `frames`: frames as bytes (RFC 9113, section 6). Pure.
- `header_blocks`: HPACK (RFC 7541), and the headers that gRPC wants. Pure but for the decoder's table.
- `messages`: gRPC messages out of the bytes of a stream. Pure.
- `call`: one stream, one gRPC call.
- `connection`: what arrives from one peer, and what is written to it.
- `server`: the socket, and draining.

No TLS, no push, no priorities, no compression of messages: neither peer wants them. A peer that breaks the protocol
loses its connection with a GOAWAY that says why; Envoy then takes another connection.
"""
