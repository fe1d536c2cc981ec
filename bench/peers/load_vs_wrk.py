"""How fast `foretaste load` can send, beside wrk: both drive the same bare hyper server in turn, as
closed loops of 64 connections on one thread, and the medians of the rounds are compared. What one
request costs the generator in CPU is compared, too, because it does not depend on who else uses
the machine.

    cargo build --release -p foretaste -p foretaste-load --example hello_server
    python load_vs_wrk.py --binary FORETASTE --server HELLO_SERVER --output FILE

Needs wrk and nothing but the standard library.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import tempfile

from measure import scenario, server, write

CONNECTIONS = 64
SECONDS = 5
ROUNDS = 7
BODY_BYTES = 13

LOOP = f"[closed]\nusers = {CONNECTIONS}\nseconds = {SECONDS}"


def cpu_seconds_of(command):
    """Runs a command; its output and the CPU time it took, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return output.stdout, cpu


def by_wrk(url):
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    output, cpu = cpu_seconds_of(command)
    n = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    return {"rate_per_s": rate, "cpu_us_per_request": 1e6 * cpu / n}


def by_foretaste(binary, url, folder):
    command = [binary, "--data", folder, "--json", "--quiet", "load", "run", "--url", url]
    # The run is not valid by its own rules: at its limit the generator measures itself.
    output, cpu = cpu_seconds_of([*command, "--scenario", scenario(folder, LOOP)])
    result = json.loads(output)
    totals = result["totals"]
    assert totals["failed"] == 0, totals
    return {
        "rate_per_s": totals["achieved_per_s"],
        "cpu_us_per_request": 1e6 * cpu / totals["requests"],
    }


def medians(rounds):
    middle = lambda key: round(statistics.median(r[key] for r in rounds), 3)
    return {key: middle(key) for key in rounds[0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    wrk, ours = [], []
    bare = server([arguments.server, "1", str(BODY_BYTES)])
    with bare as (_, url), tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            wrk.append(by_wrk(url))
            ours.append(by_foretaste(arguments.binary, url, folder))
    share = [o["rate_per_s"] / w["rate_per_s"] for o, w in zip(ours, wrk)]
    result = {
        "what": f"closed loop, {CONNECTIONS} connections, 1 thread each, {SECONDS} s a round, "
        "bare hyper server on 1 thread of the same machine",
        "cores": os.cpu_count(),
        "wrk": medians(wrk),
        "foretaste_load": medians(ours),
        "share_of_wrk_rate": round(statistics.median(share), 3),
        "share_by_round": [round(s, 3) for s in share],
        "rounds": {"wrk": wrk, "foretaste_load": ours},
    }
    print(json.dumps({key: result[key] for key in result if key != "rounds"}, indent=1))
    write(result, arguments.output)


if __name__ == "__main__":
    main()
