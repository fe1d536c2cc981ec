"""What one server sustains: the highest rate at which 99 of 100 answers come within 10 and 100 ms, what
users wait at half of it, cold and warm, with the cache and without, and while bundles are swapped.

    python figures.py --binary FORETASTE --data DIR --output FILE [--seconds 20] [--try-seconds 5]

DIR is a data folder with a current bundle and at least one other bundle that may go live. Users come
by Zipf's law (exponent 1) from the bundle, one scene, 20 items. The server has all cores but the last,
which the generator has. Latencies count from the moment at which a request was meant to be sent.
"""

import argparse
import json
import os
import subprocess
import tempfile
import threading
import urllib.request

from measure import cpu_seconds, memory_mb, scenario, server, write

GOALS_MS = (10, 100)
SWAP_SECONDS = 10
COLD_SECONDS = 5


class Load:
    """`foretaste load` against one server, on the last core."""

    def __init__(self, args, url, folder):
        self.args, self.url, self.folder = args, url, folder

    def __call__(self, task, loop, *options):
        path = scenario(self.folder, f"{loop}\n[users]\nzipf = 1.0", 'kind = "recommend"\nk = 20')
        command = [self.args.binary, "load", task, "--scenario", path, "--data", self.args.data]
        command += ["--from-bundle", "--url", self.url, "--json", "--quiet"]
        command += ["--output", self.folder, *map(str, options)]
        command = ["taskset", "-c", str(os.cpu_count() - 1), *command]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)

    def at(self, rate, seconds):
        return self("run", f"[open]\nrate = {rate:.0f}\nseconds = {seconds}")


def waits(report):
    """What users waited in a run, and whether its figures count."""
    names = ("p50_ms", "p90_ms", "p99_ms", "p999_ms")
    totals = report["totals"]
    return {
        "rate": round(totals["offered_per_s"]),
        "failed": totals["failed"],
        **{name: report["latency"][name] for name in names},
        "invalid_because": report["invalid_because"],
    }


def sustained(load, goal_ms, args):
    """The highest rate within the goal, and what bounded the search."""
    options = ("--p99-ms", goal_ms, "--seconds", args.try_seconds, "--start", 500)
    found = load("find-max", "[open]\nrate = 500", *options, "--confirmations", 1, "--precision", 0.08)
    return found["finding"]["rate"], found["bounded_by"]


def swaps(url, stop):
    """Lets another bundle go live every ten seconds. Returns how often it did."""
    admin = f"{url}/v1/admin/bundles"
    with urllib.request.urlopen(admin) as response:
        bundles = json.load(response)["bundles"]
    n = 0
    while not stop.wait(SWAP_SECONDS):
        n += 1
        body = json.dumps({"id": bundles[n % 2]}).encode()
        request = urllib.request.Request(f"{admin}:promote", body)
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
    return n


def swapping(load, rate, seconds):
    """A run during which bundles are swapped."""
    stop, done = threading.Event(), []
    thread = threading.Thread(target=lambda: done.append(swaps(load.url, stop)))
    thread.start()
    report = load.at(rate, seconds)
    stop.set()
    thread.join()
    return {**waits(report), "swaps": done[0]}


def measure(args, process, load):
    cold = waits(load.at(100, COLD_SECONDS))
    load.at(1000, 5)
    result = {"cold": cold}
    for goal in GOALS_MS:
        rate, bound = sustained(load, goal, args)
        before = cpu_seconds(process.pid)
        at_half = load.at(rate / 2, args.seconds)
        cpu = cpu_seconds(process.pid) - before
        result[f"p99_within_{goal}_ms"] = {
            "sustained_per_s": round(rate),
            "bounded_by": bound,
            "at_half": waits(at_half),
            "cpu_us_per_request": round(1e6 * cpu / at_half["totals"]["requests"], 1),
        }
    half = result[f"p99_within_{GOALS_MS[0]}_ms"]["sustained_per_s"] / 2
    result["at_half_with_swaps"] = swapping(load, half, max(args.seconds, 3 * SWAP_SECONDS))
    return result | {"memory_mb": memory_mb(process.pid, "VmRSS", "RssAnon", "RssFile")}


def main():
    parser = argparse.ArgumentParser()
    for name in ("binary", "data", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--try-seconds", type=int, default=5)
    args = parser.parse_args()
    result = {}
    for cache in ("true", "false"):
        os.environ["FORETASTE__CACHE__ENABLED"] = cache
        command = ["taskset", "-c", f"0-{max(os.cpu_count() - 2, 0)}"]
        command += [args.binary, "serve", "--data", args.data, "--listen", "127.0.0.1:0"]
        with tempfile.TemporaryDirectory() as folder, server(command) as (process, url):
            name = "with_cache" if cache == "true" else "without_cache"
            result[name] = measure(args, process, Load(args, url, folder))
            print(json.dumps({name: result[name]}), flush=True)
    write(result, args.output)


if __name__ == "__main__":
    main()
