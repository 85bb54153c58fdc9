"""How Envoy's ext_proc streams reach the filter: gRPC over HTTP/2 on a unix socket, by one of two servers.

`http2` is ours and the default; `grpc_aio` is grpcio's asyncio server, the reference that the same tests hold.
`service` says what both of them serve.
"""
