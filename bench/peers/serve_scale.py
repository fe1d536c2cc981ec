"""A server over a large bundle: time to ready, memory, uncached answers, events in batches.

    python serve_scale.py --binary FORETASTE --data DIR --users N --items N

DIR holds a trained store of `foretaste generate` (users u0.., items i0..). Starts and ends the
server itself. Prints one line of JSON.
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import threading
import time
import urllib.request

PORT = 18099
TICKS = os.sysconf("SC_CLK_TCK")


def memory(pid):
    with open(f"/proc/{pid}/status") as lines:
        fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) // 1024 for name in ("VmRSS", "RssAnon", "RssFile")}


def cpu(pid):
    with open(f"/proc/{pid}/stat") as text:
        fields = text.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def wait_until_ready():
    began = time.time()
    while time.time() - began < 120:
        try:
            if urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health/ready", timeout=2).status == 200:
                return time.time() - began
        except OSError:
            time.sleep(0.02)
    raise SystemExit("not ready within 120 s")


def answers(pid, users, n=4000):
    """Distinct users one after the other: nothing is in the cache."""
    connection, rng, latencies, before = http.client.HTTPConnection("127.0.0.1", PORT), random.Random(1), [], cpu(pid)
    for user in rng.sample(range(users), n):
        began = time.time()
        connection.request("GET", f"/v1/recommend/u{user}?k=20")
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        latencies.append(time.time() - began)
    latencies.sort()
    return {
        "cpu_us": round((cpu(pid) - before) / n * 1e6),
        "p50_ms": round(latencies[n // 2] * 1e3, 3),
        "p99_ms": round(latencies[n * 99 // 100] * 1e3, 3),
    }


def ingest(pid, users, items, batches=60, size=2000, clients=4):
    rng, run = random.Random(2), time.time_ns()
    event = lambda k, i: {
        "user": f"u{rng.randrange(min(users, 100_000))}",
        "item": f"i{rng.randrange(items)}",
        "kind": "view",
        "event_id": f"{run}-{k}-{i}",
    }
    bodies = [json.dumps([event(k, i) for i in range(size)]) for k in range(batches)]

    def send(mine):
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        for body in mine:
            connection.request("POST", "/v1/events", body, {"content-type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            assert response.status == 200, text[:200]

    before, began = cpu(pid), time.time()
    threads = [threading.Thread(target=send, args=(bodies[c::clients],)) for c in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    n = batches * size
    return {"events_per_s": round(n / (time.time() - began)), "events_per_cpu_s": round(n / (cpu(pid) - before))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    arguments = parser.parse_args()
    command = [arguments.binary, "--data", arguments.data, "serve", "--listen", f"127.0.0.1:{PORT}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        result = {"ready_s": round(wait_until_ready(), 2), "memory_mb_at_start": memory(server.pid)}
        result["uncached"] = answers(server.pid, arguments.users)
        result["ingest"] = ingest(server.pid, arguments.users, arguments.items)
        result["memory_mb_at_end"] = memory(server.pid)
        print(json.dumps(result))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
