"""What a server that stands still for 2 s looks like: SIGSTOP and SIGCONT in a run of 10 s, once in
an open loop of 200 requests a second, once in a closed loop of one user.

    cargo build --release -p foretaste -p foretaste-load --example hello_server
    python load_stall.py --binary FORETASTE --server HELLO_SERVER --output FILE

Needs nothing but the standard library.
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import threading
import time

from measure import scenario, server, write

SECONDS = 10
STALL_AFTER = 4
STALL = 2

LOOPS = {
    "open_200_per_s": f'[open]\nrate = 200\narrivals = "constant"\nseconds = {SECONDS}\n',
    "closed_1_user": f"[closed]\nusers = 1\nseconds = {SECONDS}\nthink_ms = 5\n",
}


def stall(pid):
    time.sleep(STALL_AFTER)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STALL)
    os.kill(pid, signal.SIGCONT)


def measure(binary, pid, url, loop, folder):
    command = [binary, "--data", folder, "--json", "--quiet", "load", "run", "--url", url]
    command += ["--scenario", scenario(folder, loop)]
    stopper = threading.Thread(target=stall, args=(pid,))
    stopper.start()
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    stopper.join()
    result = json.loads(output.stdout)
    keys = ("count", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
    return {key: result["latency"][key] for key in keys} | {
        "lag_p99_ms": result["generator"]["lag"]["p99_ms"],
        "invalid_because": result["invalid_because"],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    result = {"what": f"server stopped for {STALL} s in a run of {SECONDS} s"}
    with server([arguments.server]) as (process, url), tempfile.TemporaryDirectory() as folder:
        for name, loop in LOOPS.items():
            result[name] = measure(arguments.binary, process.pid, url, loop, folder)
    print(json.dumps(result, indent=1))
    write(result, arguments.output)


if __name__ == "__main__":
    main()
