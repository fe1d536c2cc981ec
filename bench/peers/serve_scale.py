"""A server over a large bundle: time to ready, memory, uncached answers, events in batches.

    python serve_scale.py --binary FORETASTE --data DIR --users N --items N

DIR holds a trained store of `foretaste generate` (users u0.., items i0..). Starts and ends the
server itself. Prints one line of JSON.
"""

import argparse
import http.client
import json
import random
import threading
import time
import urllib.request

from measure import cpu_seconds, memory_mb, server

MEMORY = ("VmRSS", "RssAnon", "RssFile")


def wait_until_ready(url, began):
    while time.time() - began < 120:
        try:
            if urllib.request.urlopen(f"{url}/health/ready", timeout=2).status == 200:
                return time.time() - began
        except OSError:
            time.sleep(0.02)
    raise SystemExit("not ready within 120 s")


def answers(pid, address, users, n=4000):
    """Distinct users one after the other: nothing is in the cache."""
    connection, rng = http.client.HTTPConnection(address), random.Random(1)
    latencies, before = [], cpu_seconds(pid)
    for user in rng.sample(range(users), n):
        began = time.time()
        connection.request("GET", f"/v1/recommend/u{user}?k=20")
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        latencies.append(time.time() - began)
    latencies.sort()
    return {
        "cpu_us": round((cpu_seconds(pid) - before) / n * 1e6),
        "p50_ms": round(latencies[n // 2] * 1e3, 3),
        "p99_ms": round(latencies[n * 99 // 100] * 1e3, 3),
    }


def ingest(pid, address, users, items, batches=60, size=2000, clients=4):
    rng, run = random.Random(2), time.time_ns()
    event = lambda k, i: {
        "user": f"u{rng.randrange(min(users, 100_000))}",
        "item": f"i{rng.randrange(items)}",
        "kind": "view",
        "event_id": f"{run}-{k}-{i}",
    }
    bodies = [json.dumps([event(k, i) for i in range(size)]) for k in range(batches)]

    def send(mine):
        connection = http.client.HTTPConnection(address)
        for body in mine:
            connection.request("POST", "/v1/events", body, {"content-type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            assert response.status == 200, text[:200]

    before, began = cpu_seconds(pid), time.time()
    threads = [threading.Thread(target=send, args=(bodies[c::clients],)) for c in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    n = batches * size
    return {
        "events_per_s": round(n / (time.time() - began)),
        "events_per_cpu_s": round(n / (cpu_seconds(pid) - before)),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    arguments = parser.parse_args()
    command = [arguments.binary, "--data", arguments.data, "-q", "serve", "--listen", "127.0.0.1:0"]
    began = time.time()
    with server(command) as (process, url):
        pid, address = process.pid, url.split("//")[1]
        result = {"ready_s": round(wait_until_ready(url, began), 2)}
        result["memory_mb_at_start"] = memory_mb(pid, *MEMORY)
        result["uncached"] = answers(pid, address, arguments.users)
        result["ingest"] = ingest(pid, address, arguments.users, arguments.items)
        result["memory_mb_at_end"] = memory_mb(pid, *MEMORY)
        print(json.dumps(result))


if __name__ == "__main__":
    main()
