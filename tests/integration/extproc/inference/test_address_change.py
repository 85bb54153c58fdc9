"""A Triton behind a name whose address changes, as a container's does with every container."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from extproc.inference.call_failures import CallFailed
from extproc.inference.kserve_grpc import KServeGrpcClient
from extproc.shared.filter_config import Server
from tests.unit.extproc.inference.servers import FakeTriton, serving

# Longer than this may be valid whatever the network says: what Docker's own DNS says of its containers.
_TTL_S = 600
_A = 1


@dataclass
class Names(asyncio.DatagramProtocol):
    """A DNS server to which every name has one address, of IP version 4."""

    address: str = "127.0.0.1"
    port: int = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(0, 12) + 5
        (kind,) = struct.unpack("!H", data[end - 4 : end - 2])
        # 0xC00C: the name of the question, which begins after the header of 12 bytes.
        record = struct.pack("!HHHIH", 0xC00C, _A, 1, _TTL_S, 4) + ipaddress.ip_address(self.address).packed
        records = [record] if kind == _A else []
        header = data[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0)
        self._transport.sendto(header + data[12:end] + b"".join(records), addr)


@asynccontextmanager
async def naming() -> AsyncIterator[Names]:
    transport, names = await asyncio.get_running_loop().create_datagram_endpoint(Names, ("127.0.0.1", 0))
    try:
        yield names
    finally:
        transport.close()


async def is_live(client: KServeGrpcClient, within_s: float) -> bool:
    """Returns True as soon as the server answers, False if it does not within the time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            await client.server_live(1.0)
        except CallFailed:
            await asyncio.sleep(0.1)
        else:
            return True
    return False


async def test_reconnects_to_a_triton_with_a_new_address_within_seconds() -> None:
    async with naming() as names:
        async with serving(FakeTriton()) as before:
            port = before.address.rpartition(":")[2]
            client = KServeGrpcClient(Server(address=f"dns://127.0.0.1:{names.port}/triton.test:{port}"))
            await client.server_live(5.0)
        names.address = "127.0.0.2"
        async with serving(FakeTriton(), f"127.0.0.2:{port}"):
            assert await is_live(client, within_s=10.0)
        await client.close()
