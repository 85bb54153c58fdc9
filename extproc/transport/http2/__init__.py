"""An HTTP/2 server for the gRPC of Envoy and of the `archgw` command.

grpcio's asyncio server takes five times as long as the filter's own work on a request. This server has no thread beside
the event loop, no queue, and one write for each turn of the loop.

- `frames`: encodes and decodes frames (RFC 9113, section 6). Pure.
- `header_blocks`: HPACK (RFC 7541) and gRPC's headers. Pure but for the decoder's table.
- `messages`: gRPC messages from the bytes of a stream. Pure.
- `call`: one stream, which is one gRPC call.
- `connection`: the frames of one peer, in and out.
- `server`: the socket, and draining.

It supports no TLS, push, priorities or message compression, since neither peer uses them. A peer that breaks the
protocol loses its connection with a GOAWAY that gives the reason; Envoy then opens another connection.
"""
