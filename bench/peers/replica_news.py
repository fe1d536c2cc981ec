"""How long after its acknowledgement an event that one replica was told counts in another's answers.

    python replica_news.py --binary FORETASTE --data DIR --output FILE [--events 50]

DIR/bundles is copied for each of two servers; a private redis-server is started between them. Each event
is an order of the first item that the second server recommends to the user: it has arrived when that
item is gone from the second server's answer.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

from measure import server, write

REDIS_PORT = 18_240


def get(url, path):
    with urllib.request.urlopen(url + path) as answer:
        return json.load(answer)


def tell(url, event):
    body = json.dumps(event).encode()
    head = {"content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/v1/events", body, head)).read()


def items(url, user):
    return [item["item_id"] for item in get(url, f"/v1/recommend/{user}?k=5")["items"]]


def arrival_ms(a, b, user):
    first = items(b, user)[0]
    tell(a, {"user": user, "item": first, "kind": "order"})
    told = time.perf_counter()
    while first in items(b, user):
        time.sleep(0.002)
    return (time.perf_counter() - told) * 1e3


@contextlib.contextmanager
def redis():
    command = ["redis-server", "--port", str(REDIS_PORT), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def replica(stack, binary, data):
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    shutil.copytree(os.path.join(data, "bundles"), os.path.join(folder, "bundles"))
    command = [binary, "serve", "--data", folder, "--listen", "127.0.0.1:0"]
    return stack.enter_context(server(command))[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--events", type=int, default=50)
    args = parser.parse_args()
    os.environ["FORETASTE__CACHE__REDIS__URLS"] = f'["redis://127.0.0.1:{REDIS_PORT}/"]'
    with contextlib.ExitStack() as stack:
        stack.enter_context(redis())
        a, b = (replica(stack, args.binary, args.data) for _ in range(2))
        users = [user["user_id"] for user in get(a, "/v1/users?limit=100")["users"]]
        arrivals = sorted(arrival_ms(a, b, users[n % 100]) for n in range(args.events))
    result = {
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "events": args.events,
        "median_ms": round(arrivals[len(arrivals) // 2], 1),
        "longest_ms": round(arrivals[-1], 1),
    }
    write(result, args.output)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
