"""Round trips over the admin socket with 50 clients connected: `status` of a running daemon.

    python -m benchmarks.admin_socket [SECONDS]

Paced: each client calls 20 times a second. Closed loop: each calls again as soon as it has its answer, so that
the latency is the queue's. Beside them, in the same run: one client alone, which is the bare round trip.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

from benchmarks import running

_CLIENTS = 50
_REQUEST = b'{"jsonrpc":"2.0","id":1,"method":"status","params":{}}\n'


async def client(socket: Path, until: float, interval: float | None, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    due = time.perf_counter()
    while time.perf_counter() < until:
        if interval is not None:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += interval
        began = time.perf_counter()
        writer.write(_REQUEST)
        answer = await reader.readline()
        latencies.append(time.perf_counter() - began)
        assert b'"result"' in answer, answer
    writer.close()


async def load(socket: Path, seconds: float, clients: int, interval: float | None) -> list[float]:
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            # Spread over the interval, as independent clients are.
            await asyncio.sleep((interval or 0.0) / clients)
            group.create_task(client(socket, until, interval, latencies), name=f"client {number}")
    return latencies


def report(name: str, latencies: list[float], seconds: float) -> None:
    cuts = statistics.quantiles(latencies, n=1000)
    print(
        f"{name}: {len(latencies) / seconds:,.0f} calls/s, median {statistics.median(latencies) * 1000:.2f} ms,"
        f" p99 {cuts[989] * 1000:.2f} ms, p99.9 {cuts[998] * 1000:.2f} ms"
    )


def main(seconds: float) -> None:
    with running.directory() as path:
        bibd = running.start(path / "d")
        socket = path / "d" / "admin.sock"
        for name, clients, interval in (
            ("1 client, closed loop", 1, None),
            (f"{_CLIENTS} clients, 20 calls/s each", _CLIENTS, 0.05),
            (f"{_CLIENTS} clients, closed loop", _CLIENTS, None),
        ):
            report(name, asyncio.run(load(socket, seconds, clients, interval)), seconds)
        running.stop(bibd)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
