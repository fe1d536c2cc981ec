"""What one user's answer costs the server alone and as part of a batch: CPU of the server process.

    python batch_cost.py --binary FORETASTE --data DIR --output FILE

DIR is a data folder with a current bundle. Computed: the cache is off. Ready: every answer is kept.
Singles and batches of 20 and 100 take turns; medians of the turns count.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import urllib.request

from measure import cpu_seconds, scenario, server, write

TURNS = 3
USERS = 100


def run(args, url, folder, request, seconds):
    """Requests that were answered by `foretaste load`."""
    users = f'[users]\nfile = "{folder}/users.txt"\nzipf = 0.0'
    loop = f"[closed]\nusers = 4\nseconds = {seconds}\n{users}"
    path = scenario(folder, loop, f"k = 20\n{request}")
    command = [args.binary, "load", "run", "--scenario", path, "--url", url]
    command += ["--json", "--quiet", "--output", folder]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    totals = json.loads(done.stdout)["totals"]
    assert totals["failed"] == 0, totals
    return totals["ok"]


def per_user_us(args, process, url, folder, batch):
    request = f'kind = "batch"\nusers = {batch}' if batch else 'kind = "recommend"'
    before = cpu_seconds(process.pid)
    answers = run(args, url, folder, request, args.seconds) * (batch or 1)
    return (cpu_seconds(process.pid) - before) / answers * 1e6


def measure(args, cache):
    os.environ["FORETASTE__CACHE__ENABLED"] = "true" if cache else "false"
    os.environ["FORETASTE__SERVE__QUEUE_TARGET_MS"] = "100000"
    os.environ["FORETASTE__SERVE__DEADLINE_MS"] = "100000"
    command = [args.binary, "serve", "--data", args.data, "--listen", "127.0.0.1:0"]
    sizes = [0, 20, 100]
    with tempfile.TemporaryDirectory() as folder, server(command) as (process, url):
        with open(os.path.join(folder, "users.txt"), "w") as out:
            out.write("\n".join(args.users))
        for size in sizes:
            per_user_us(args, process, url, folder, size)
        turns = [[per_user_us(args, process, url, folder, s) for s in sizes] for _ in range(TURNS)]
    single, *batches = (statistics.median(column) for column in zip(*turns))
    return {
        "single_us": round(single, 1),
        "batch_us_per_user": {str(s): round(b, 1) for s, b in zip(sizes[1:], batches)},
        "times_cheaper": {str(s): round(single / b, 2) for s, b in zip(sizes[1:], batches)},
        "turns_us": [[round(v, 1) for v in turn] for turn in turns],
    }


def known_users(args):
    """Ids of users of the current bundle."""
    command = [args.binary, "serve", "--data", args.data, "--listen", "127.0.0.1:0"]
    with server(command) as (_, url):
        with urllib.request.urlopen(f"{url}/v1/users?limit={USERS}") as listed:
            return [user["user_id"] for user in json.load(listed)["users"]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--seconds", type=int, default=5)
    args = parser.parse_args()
    args.users = known_users(args)
    result = {
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "computed": measure(args, cache=False),
        "ready": measure(args, cache=True),
    }
    write(result, args.output)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
