"""What a cached /v1/recommend costs the server beside a bare hyper server that sends as many
bytes: CPU per request of each process under the same wrk load, in turns, medians and their ratio.

    python cached_cost.py --binary FORETASTE --hyper BARE_HYPER --data DIR --output FILE

DIR is a data folder with a current bundle; BARE_HYPER is foretaste-serve's example of that name.
Needs wrk and nothing but the standard library. The load generator shares the machine, so only
CPU time is compared, not rates.
"""

import argparse
import json
import re
import statistics
import subprocess
import urllib.request

from measure import cpu_seconds, server, write

ROUNDS = 5
SECONDS = 3
CONNECTIONS = 32


def load(process, url):
    """CPU in microseconds per request, and requests per second."""
    before = cpu_seconds(process.pid)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in said, said
    n = int(re.search(r"(\d+) requests in", said).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1))
    return 1e6 * (cpu_seconds(process.pid) - before) / n, rate


def main():
    parser = argparse.ArgumentParser()
    for name in ["binary", "hyper", "data", "output"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--k", default="10")
    arguments = parser.parse_args()
    serve = [arguments.binary, "--data", arguments.data, "-q", "serve", "--listen", "127.0.0.1:0"]
    with server(serve) as (ours, base):
        with urllib.request.urlopen(f"{base}/v1/users?limit=1") as response:
            user = json.load(response)["users"][0]["user_id"]
        url = f"{base}/v1/recommend/{user}?k={arguments.k}&scene=evaluation"
        size = len(urllib.request.urlopen(url).read())
        with urllib.request.urlopen(url) as response:
            assert response.headers["x-cache"] == "HIT", response.headers
        with server([arguments.hyper, str(size)]) as (peer, bare):
            load(ours, url), load(peer, bare)
            rounds = [(load(ours, url), load(peer, bare)) for _ in range(ROUNDS)]
    result = {
        "body_bytes": size,
        "cached_cpu_us": round(statistics.median(r[0][0] for r in rounds), 2),
        "hyper_cpu_us": round(statistics.median(r[1][0] for r in rounds), 2),
        "ratio": round(statistics.median(r[0][0] / r[1][0] for r in rounds), 3),
        "cached_rate_per_s": round(statistics.median(r[0][1] for r in rounds)),
        "hyper_rate_per_s": round(statistics.median(r[1][1] for r in rounds)),
        "rounds": ROUNDS,
        "seconds": SECONDS,
        "connections": CONNECTIONS,
    }
    print(json.dumps(result))
    write(result, arguments.output)


if __name__ == "__main__":
    main()
