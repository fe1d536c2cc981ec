"""What a Redis that fails adds to the p99 of a server that shares its answers through it, and how soon
the server uses it again.

    python redis_faults.py --binary FORETASTE --data DIR --output FILE [--rounds 3] [--seconds 6]

DIR/bundles is copied for the server; redis-server is a private one. Requests arrive at a constant rate, for
users and numbers of items that hardly repeat, so most of them ask Redis and then compute. For each fault, in
turns with a healthy Redis: the fault begins in the middle of a run (`onset`), stays for a whole run
(`during`), and is mended. Added p99 is the median over the rounds of the difference to the healthy run just
before. The budget is `cache.redis.operation_ms`. As root, all three processes run under `chrt -f 1`, so that
neighbours on the machine count little.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

from measure import free_port, scenario, server, write

RATE = 100
BUDGET_MS = 8
CLIENTS = """[transport]
timeout_ms = 5000
connections = 256
[users]
zipf = 0.0
"""


def alone(command):
    """The command before all others on this machine, where that is allowed."""
    return ["chrt", "-f", "1", *command] if os.geteuid() == 0 else command


class Redis:
    """A private Redis at a fixed port, and what may happen to it."""

    def __init__(self):
        self.port = free_port()
        self.garbage = None
        self.start()

    def start(self):
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(alone(command), stdout=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait(10)

    def command(self, text):
        with socket.create_connection(("127.0.0.1", self.port)) as link:
            link.sendall(f"{text}\r\n".encode())
            assert link.recv(64).startswith(b"+OK"), text

    def fail(self, fault):
        match fault:
            case "killed":
                self.stop()
            case "hung":
                self.process.send_signal(signal.SIGSTOP)
            case "full":
                self.command("CONFIG SET maxmemory 1")
            case "replica":
                self.command("REPLICAOF 127.0.0.1 1")
            case "garbage":
                self.stop()
                self.garbage = Garbage(self.port)

    def mend(self, fault):
        match fault:
            case "killed":
                self.start()
            case "hung":
                self.process.send_signal(signal.SIGCONT)
            case "full":
                self.command("CONFIG SET maxmemory 0")
            case "replica":
                self.command("REPLICAOF NO ONE")
            case "garbage":
                self.garbage.stop()
                self.start()


class Garbage:
    """Answers whatever it is told with bytes that mean nothing."""

    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.links = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                link = self.listener.accept()[0]
                self.links.append(link)
                threading.Thread(target=self.talk, args=(link,), daemon=True).start()

    @staticmethod
    def talk(link):
        with contextlib.suppress(OSError):
            while link.recv(4096):
                link.sendall(b"\x00\xff?\r\n$-5\r\n")

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self.links:
            link.close()


def metric(url, name):
    with urllib.request.urlopen(f"{url}/metrics") as text:
        lines = text.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


class Bench:
    def __init__(self, args, url, folder, redis):
        self.args, self.url, self.folder, self.redis = args, url, folder, redis
        self.seed = 0

    def run(self, then=None):
        """A run of requests nobody has made before; `then` is done in its middle."""
        self.seed += 1
        rate = f"rate = {RATE}\narrivals = \"constant\"\nseconds = {self.args.seconds}\n"
        loop = f"seed = {self.seed}\n[open]\n{rate}{CLIENTS}"
        path = scenario(self.folder, loop, f'kind = "recommend"\nk = {5 + self.seed}')
        command = [self.args.binary, "load", "run", "--scenario", path, "--data", self.args.data]
        command += ["--from-bundle", "--url", self.url, "--json", "--quiet", "--output", self.folder]
        timer = threading.Timer(self.args.seconds / 2, then) if then else None
        if timer:
            timer.start()
        done = subprocess.run(alone(command), stdout=subprocess.PIPE, text=True)
        if timer:
            timer.join()
        report = json.loads(done.stdout)
        return {
            "p50_ms": report["latency"]["p50_ms"],
            "p99_ms": report["latency"]["p99_ms"],
            "max_ms": report["latency"]["max_ms"],
            "ok": report["totals"]["ok"],
            "requests": report["totals"]["requests"],
            "statuses": report["statuses"],
            "invalid_because": report["invalid_because"],
        }

    def seconds_until_shared(self):
        """How long after now new answers are put into Redis again."""
        name = 'foretaste_cache_stored_total{tier="redis"}'
        began, before = time.perf_counter(), metric(self.url, name)
        n = 0
        while metric(self.url, name) <= before:
            n += 1
            item = f"k=3&exclude=none-{self.seed}-{n}&reasons=true"
            path = f"/v1/recommend/{self.user(n)}?{item}"
            urllib.request.urlopen(self.url + path).read()
            time.sleep(0.02)
            assert time.perf_counter() - began < 60, "not used again"
        return time.perf_counter() - began

    def user(self, n):
        if not hasattr(self, "users"):
            with urllib.request.urlopen(f"{self.url}/v1/users?limit=100") as answer:
                self.users = [user["user_id"] for user in json.load(answer)["users"]]
        return self.users[(self.seed * 37 + n) % len(self.users)]

    def round(self, fault):
        self.seconds_until_shared()
        healthy = self.run()
        onset = self.run(lambda: self.redis.fail(fault))
        during = self.run()
        self.redis.mend(fault)
        recovery = self.seconds_until_shared()
        return {"healthy": healthy, "onset": onset, "during": during, "recovery_s": recovery}


def summary(rounds):
    added = lambda part: round(
        statistics.median(r[part]["p99_ms"] - r["healthy"]["p99_ms"] for r in rounds), 2
    )
    runs = [r[part] for r in rounds for part in ("healthy", "onset", "during")]
    return {
        "healthy_p99_ms": round(statistics.median(r["healthy"]["p99_ms"] for r in rounds), 2),
        "added_p99_ms": {"onset": added("onset"), "during": added("during")},
        "failed": sum(run["requests"] - run["ok"] for run in runs),
        "longest_recovery_s": round(max(r["recovery_s"] for r in rounds), 2),
        "rounds": rounds,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    args = parser.parse_args()
    redis = Redis()
    os.environ["FORETASTE__CACHE__REDIS__URLS"] = f'["redis://127.0.0.1:{redis.port}/"]'
    os.environ["FORETASTE__CACHE__REDIS__OPERATION_MS"] = str(BUDGET_MS)
    with contextlib.ExitStack() as stack:
        stack.callback(redis.stop)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        shutil.copytree(os.path.join(args.data, "bundles"), os.path.join(folder, "bundles"))
        command = [args.binary, "serve", "--data", folder, "--listen", "127.0.0.1:0"]
        url = stack.enter_context(server(alone(command)))[1]
        bench = Bench(args, url, folder, redis)
        bench.run()
        faults = {}
        for fault in ("killed", "hung", "full", "replica", "garbage"):
            faults[fault] = summary([bench.round(fault) for _ in range(args.rounds)])
            print(fault, {k: v for k, v in faults[fault].items() if k != "rounds"}, flush=True)
    result = {
        "requests_per_s": RATE,
        "budget_ms": BUDGET_MS,
        "faults": faults,
    }
    write(result, args.output)


if __name__ == "__main__":
    main()
