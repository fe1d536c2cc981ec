"""What one uncached /v1/recommend costs the server: CPU per request, and latency at half of the
maximum rate from the intended time of each request (open loop).

    python serve_cost.py --binary FORETASTE --data DIR --output FILE

DIR is a data folder with a current bundle. Needs nothing but the standard library. The client
shares the machine with the server, so the maximum rate is a lower bound.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import time

from measure import cpu_seconds, memory_mb, server, write

CONNECTIONS = 8


async def ask(reader, writer, user):
    head = f"GET /v1/recommend/{user}?k=20&scene=evaluation HTTP/1.1\r\nhost: localhost\r\n\r\n"
    writer.write(head.encode())
    header = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in header.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)
    assert header.startswith(b"HTTP/1.1 200"), header


async def closed_loop(port, users, n):
    """`CONNECTIONS` clients, each asking again as soon as it has its answer."""
    rest = iter(range(n))

    async def client():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in rest:
            await ask(reader, writer, random.choice(users))
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return n / (time.perf_counter() - start)


async def open_loop(port, users, rate, seconds):
    """A fixed schedule; latency counts from when a request was meant to be sent."""
    queue = asyncio.Queue()
    latencies = []

    async def client():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (intended := await queue.get()) is not None:
            await ask(reader, writer, random.choice(users))
            latencies.append(time.perf_counter() - intended)
        writer.close()

    clients = [asyncio.create_task(client()) for _ in range(4 * CONNECTIONS)]
    start = time.perf_counter()
    for i in range(int(rate * seconds)):
        intended = start + i / rate
        delay = intended - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        queue.put_nowait(intended)
    for _ in clients:
        queue.put_nowait(None)
    await asyncio.gather(*clients)
    return sorted(latencies)


async def measure(pid, port, users):
    await closed_loop(port, users, 500)
    rates, costs = [], []
    for _ in range(3):
        before, n = cpu_seconds(pid), 3000
        rates.append(await closed_loop(port, users, n))
        costs.append(1e3 * (cpu_seconds(pid) - before) / n)
    rate = statistics.median(rates) / 2
    latencies = await open_loop(port, users, rate, 10)
    at = lambda q: round(1e3 * latencies[min(len(latencies) - 1, int(q * len(latencies)))], 3)
    return {
        "cpu_ms_per_request": round(statistics.median(costs), 4),
        "max_rate_per_s": round(statistics.median(rates)),
        "open_loop_rate_per_s": round(rate),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "p999_ms": at(0.999),
        "rss_mb": memory_mb(pid, "VmRSS")["VmRSS"],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    lists = os.path.join(arguments.data, "lists.tmp")
    recommend = ["recommend", "--all-users", "--scene", "evaluation", "--output", lists]
    base = [arguments.binary, "--data", arguments.data, "-q"]
    subprocess.run([*base, *recommend], check=True, stdout=subprocess.DEVNULL)
    with open(lists) as lines:
        users = [line.split(" ", 1)[0] for line in lines]
    os.remove(lists)
    uncached = ["env", "FORETASTE__CACHE__ENABLED=false"]
    with server([*uncached, *base, "serve", "--listen", "127.0.0.1:0"]) as (process, url):
        random.seed(1)
        result = asyncio.run(measure(process.pid, int(url.rsplit(":", 1)[1]), users))
    print(json.dumps(result))
    write(result, arguments.output)


if __name__ == "__main__":
    main()
