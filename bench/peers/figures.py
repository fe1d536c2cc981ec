"""What one server sustains: the highest rate at which 99 of 100 answers come within 10 and 100 ms, what
users wait at half of it, cold and warm, with the cache and without, and while bundles are swapped.

    python figures.py --binary FORETASTE --data DIR --output FILE [--seconds 15] [--try-seconds 5]
        [--swaps-at RATE]

DIR is a data folder with a current bundle and at least one other bundle that may go live. Users come by
Zipf's law (exponent 1) from the bundle, one scene, 20 items. With --swaps-at only the waits at that rate
are measured, with the cache, plain and while bundles are swapped. The server has all cores but the last,
which the generator has; it never sleeps. Latencies count from the moment at which a request was meant to
be sent, so where the machine takes the generator's core away for a while, the figures are upper bounds of
what users wait and lower bounds of rates: its own delay stands beside each.
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
# A virtual core may be gone for some milliseconds; see above.
LIMITS = "[limits]\ngenerator_lag_ms = 20.0"
ROUNDS = 3
WARM_UP_RATE = 2500
WARM_UP_REQUESTS = 100_000
SWAP_SECONDS = 10
COLD_SECONDS = 5


class Load:
    """`foretaste load` against one server, on the last core."""

    def __init__(self, args, url, folder, is_cached):
        self.args, self.url, self.folder, self.is_cached = args, url, folder, is_cached

    def __call__(self, task, loop, *options):
        path = scenario(self.folder, f"{loop}\n{LIMITS}\n[users]\nzipf = 1.0", 'kind = "recommend"\nk = 20')
        command = [self.args.binary, "load", task, "--scenario", path, "--data", self.args.data]
        command += ["--from-bundle", "--url", self.url, "--json", "--quiet", "--spin"]
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
        "generator_lag_p99_ms": report["generator"]["lag"]["p99_ms"],
        "invalid_because": report["invalid_because"],
    }


def sustained(load, goal_ms, args):
    """The highest rate within the goal, what bounded the search, and its tries."""
    options = ("--p99-ms", goal_ms, "--seconds", args.try_seconds, "--start", 500)
    found = load("find-max", "[open]\nrate = 500", *options, "--confirmations", 1, "--precision", 0.08)
    tries = [[round(p["rate"]), p["p99_ms"], p["is_held"], p["is_valid"]] for p in found["probes"]]
    rate = round(found["finding"]["rate"])
    return {"sustained_per_s": rate, "bounded_by": found["bounded_by"], "tries": tries}


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


def median_of(rounds):
    """The round whose 99th percentile is the median."""
    return sorted(rounds, key=lambda waited: waited["p99_ms"])[len(rounds) // 2]


def warm_up(load):
    """As many requests as it takes until most answers are those of users who were there before."""
    load.at(WARM_UP_RATE, WARM_UP_REQUESTS / WARM_UP_RATE)


def half_rate(args, process, load, rate):
    """Runs at half of a rate, plain and with swaps in turn; a swap empties the cache."""
    plain, swapped, cpu, n = [], [], 0.0, 0
    for _ in range(ROUNDS):
        if plain and load.is_cached:
            warm_up(load)
        before = cpu_seconds(process.pid)
        report = load.at(rate / 2, args.seconds)
        cpu, n = cpu + cpu_seconds(process.pid) - before, n + report["totals"]["requests"]
        plain.append(waits(report))
        swapped.append(swapping(load, rate / 2, max(args.seconds, 2.5 * SWAP_SECONDS)))
    steps = [s["p99_ms"] / p["p99_ms"] for s, p in zip(swapped, plain)]
    return {
        "cpu_us_per_request": round(1e6 * cpu / n, 1),
        "plain": median_of(plain),
        "with_swaps": median_of(swapped),
        "cache": report["cache"],
        "p99_step_with_swaps": [round(step, 3) for step in steps],
    }


def measure(args, process, load):
    if args.swaps_at:
        warm_up(load)
        return half_rate(args, process, load, 2 * args.swaps_at)
    cold = waits(load.at(100, COLD_SECONDS))
    if load.is_cached:
        warm_up(load)
    result = {"cold": cold}
    for goal in GOALS_MS:
        result[f"p99_within_{goal}_ms"] = sustained(load, goal, args)
    rate = result[f"p99_within_{GOALS_MS[0]}_ms"]["sustained_per_s"]
    result["at_half"] = half_rate(args, process, load, rate)
    return result | {"memory_mb": memory_mb(process.pid, "VmRSS", "RssAnon", "RssFile")}


def main():
    parser = argparse.ArgumentParser()
    for name in ("binary", "data", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--try-seconds", type=int, default=5)
    parser.add_argument("--swaps-at", type=int, metavar="RATE")
    args = parser.parse_args()
    result = {}
    for cache in ("true",) if args.swaps_at else ("true", "false"):
        os.environ["FORETASTE__CACHE__ENABLED"] = cache
        command = ["taskset", "-c", f"0-{max(os.cpu_count() - 2, 0)}"]
        command += [args.binary, "serve", "--data", args.data, "--listen", "127.0.0.1:0"]
        with tempfile.TemporaryDirectory() as folder, server(command) as (process, url):
            is_cached = cache == "true"
            name = "with_cache" if is_cached else "without_cache"
            result[name] = measure(args, process, Load(args, url, folder, is_cached))
            print(json.dumps({name: result[name]}), flush=True)
    write(result, args.output)


if __name__ == "__main__":
    main()
