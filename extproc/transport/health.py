"""The gRPC health service, which Envoy calls once a second.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

from typing import Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from extproc.transport.service import MethodError

CHECK: Final = "/grpc.health.v1.Health/Check"
NAME: Final = "archgw"


class Health:
    """`serving`: the worker accepts requests."""

    def __init__(self) -> None:
        self.serving = False

    async def check(self, request: bytes) -> bytes:
        if HealthCheckRequest.FromString(request).service != NAME:
            raise MethodError(grpc.StatusCode.NOT_FOUND, "no such service")
        status = HealthCheckResponse.SERVING if self.serving else HealthCheckResponse.NOT_SERVING
        answer: bytes = HealthCheckResponse(status=status).SerializeToString()
        return answer
