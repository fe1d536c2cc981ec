"""What a call over gRPC costs the server beside the same request over HTTP/1.1: CPU per request, of a
ready answer and of a computed one, in turns, medians and their ratios.

    python grpc_cost.py --binary FORETASTE --data DIR --output FILE

DIR is a data folder with a current bundle. Needs wrk and the package grpcio. The load generators
share the machine, so only the server's CPU time is compared, not rates; the client of gRPC sends
fewer a second, and a server with less to do at a time wakes up more often for the same work.
"""

import argparse
import json
import re
import statistics
import subprocess
import time
import urllib.request

import grpc

from measure import cpu_seconds, free_port, server, write

ROUNDS = 5
SECONDS = 3
TOGETHER = 8


def over_http(process, url, headers):
    """CPU in microseconds per request."""
    before = cpu_seconds(process.pid)
    command = ["wrk", "-t1", f"-c{TOGETHER}", f"-d{SECONDS}s", *headers, url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in said, said
    n = int(re.search(r"(\d+) requests in", said).group(1))
    return 1e6 * (cpu_seconds(process.pid) - before) / n


def over_grpc(process, call, message, metadata):
    """CPU in microseconds per request."""
    before, end, n = cpu_seconds(process.pid), time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        pending = [call.future(message, metadata=metadata) for _ in range(TOGETHER)]
        n += sum(len(one.result()) > 0 for one in pending)
    return 1e6 * (cpu_seconds(process.pid) - before) / n


def field(number, content):
    """A field of a message with a text or a message inside, shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def measure(process, base, channel, k):
    with urllib.request.urlopen(f"{base}/v1/users?limit=1") as response:
        user = json.load(response)["users"][0]["user_id"]
    settings = bytes([1 << 3, k]) + field(2, b"evaluation")
    message = field(1, user.encode()) + field(2, settings)
    call = channel.unary_unary("/foretaste.v1.Foretaste/Recommend")
    url = f"{base}/v1/recommend/{user}?k={k}&scene=evaluation"
    urllib.request.urlopen(url).read()
    kinds = {"ready": ([], []), "computed": (["-Hcache-control: no-cache"], [("cache-control", "no-cache")])}
    result = {}
    for kind, (headers, metadata) in kinds.items():
        rounds = [
            (over_grpc(process, call, message, metadata), over_http(process, url, headers))
            for _ in range(ROUNDS)
        ]
        result[kind] = {
            "grpc_cpu_us": round(statistics.median(r[0] for r in rounds), 1),
            "http_cpu_us": round(statistics.median(r[1] for r in rounds), 1),
            "ratio": round(statistics.median(r[0] / r[1] for r in rounds), 2),
        }
    return result | {"k": k, "rounds": ROUNDS, "seconds": SECONDS, "together": TOGETHER}


def main():
    parser = argparse.ArgumentParser()
    for name in ["binary", "data", "output"]:
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    port = free_port()
    serve = [arguments.binary, "--data", arguments.data, "-q", "serve", "--listen", "127.0.0.1:0"]
    serve += ["--grpc-listen", f"127.0.0.1:{port}"]
    with server(serve) as (process, base), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        result = measure(process, base, channel, 20)
    print(json.dumps(result))
    write(result, arguments.output)


if __name__ == "__main__":
    main()
