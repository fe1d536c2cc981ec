"""What is left of a server's answers when three times as much is asked of it as it can give, and how
soon it is itself again.

    python overload.py --binary FORETASTE --data DIR --output FILE [--seconds 60]

DIR is a data folder with a current bundle. The cache is off, so every answer is computed. Peak is the
most whole answers per second that a closed loop of 4, 8 or 16 users gets; then comes an open loop of
three times that rate, then one of half the peak, second by second. The generator has the last core
for itself and the server the others, in the closed loop as in the open one: what three times the load
costs to offer would else be missing from what answers. As root the generator runs under `chrt -f 1`.
"""

import argparse
import json
import os
import subprocess
import tempfile

from measure import cpu_seconds, scenario, server, write

CLIENTS = """[transport]
timeout_ms = 1000
connections = 2048
[users]
zipf = 0.0"""


def run(binary, data, url, loop, folder):
    """The report of one run of `foretaste load`."""
    path = scenario(folder, f"{loop}\n{CLIENTS}", 'kind = "recommend"\nk = 20')
    command = [binary, "load", "run", "--scenario", path, "--data", data, "--from-bundle"]
    command += ["--url", url, "--json", "--quiet", "--output", folder]
    if os.geteuid() == 0:
        command = ["chrt", "-f", "1", *command]
    command = ["taskset", "-c", str(os.cpu_count() - 1), *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def closed(users, seconds):
    return f"[closed]\nusers = {users}\nseconds = {seconds}"


def opened(rate, seconds):
    return f"[open]\nrate = {rate:.0f}\nseconds = {seconds}"


def row(report):
    """Good answers per second of a run, whole ones apart, and what users waited."""
    good, slates = report["totals"]["ok"], report["slates"]
    seconds = report["seconds"]
    return {
        "offered_per_s": round(report["totals"]["requests"] / seconds, 1),
        "good_per_s": round(good / seconds, 1),
        "whole_per_s": round((good - slates["degraded"]) / seconds, 1),
        "statuses": report["statuses"],
        "failures": report["failures"],
        "p50_ms": report["latency"]["p50_ms"],
        "p99_ms": report["latency"]["p99_ms"],
        "invalid_because": report["invalid_because"],
    }


def recovered_after(report):
    """The first second from which on nothing failed any more."""
    bad = [w["second"] for w in report["windows"] if w["failed"]]
    return max(bad) + 1 if bad else 0


def measure(args, process, url, folder):
    ask = lambda loop: run(args.binary, args.data, url, loop, folder)
    ask(closed(8, 3))
    peaks = [row(ask(closed(users, args.peak_seconds))) for users in (4, 8, 16)]
    peak = max(p["good_per_s"] for p in peaks)
    before = cpu_seconds(process.pid)
    flood = ask(opened(3 * peak, args.seconds))
    cpu = cpu_seconds(process.pid) - before
    after = ask(opened(peak / 2, 15))
    return {
        "peaks": peaks,
        "peak_per_s": peak,
        "flood": {**row(flood), "server_cpu_seconds": round(cpu, 1)},
        "goodput_share": round(row(flood)["good_per_s"] / peak, 3),
        "after": {**row(after), "recovered_after_s": recovered_after(after)},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--peak-seconds", type=int, default=10)
    args = parser.parse_args()
    os.environ["FORETASTE__CACHE__ENABLED"] = "false"
    command = ["taskset", "-c", f"0-{max(os.cpu_count() - 2, 0)}"]
    command += [args.binary, "serve", "--data", args.data, "--listen", "127.0.0.1:0"]
    with tempfile.TemporaryDirectory() as folder, server(command) as (process, url):
        result = measure(args, process, url, folder)
    write(result, args.output)
    print(json.dumps({k: result[k] for k in ("peak_per_s", "goodput_share", "after")}, indent=1))


if __name__ == "__main__":
    main()
