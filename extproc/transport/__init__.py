"""The gRPC servers that Envoy's ext_proc streams reach over a unix socket.

`http2` is our own server and the default. `grpc_aio` is grpcio's asyncio server, the reference; the same tests run
against both. `service` is the interface between them and the filter.
"""
