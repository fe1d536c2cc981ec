"""Full and incremental extraction beside connectorx, on private servers that this script starts.

Needs connectorx and pyarrow, mariadbd, postgres 15 and a release build:
    python bench/peers/extract_peers.py target/release/foretaste --rows 5000000 --out result.json
Both sides read the same table in turn. Ours goes into the store (event log, Parquet, and the row
table that later passes compare with); connectorx reads into Arrow, which is written as Parquet.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import measure

POSTGRES = "/usr/lib/postgresql/15/bin"
CONFIG = """[[source]]
name = "shop"
url_env = "SHOP_URL"
statement_timeout_s = 3600
[[source.tables]]
table = "ev"
entity = "events"
kind = "order"
id = ["id"]
watermark = "ts"
settle_s = 0
fields = { user = "who", item = "sku", time = "ts", value = "qty" }
"""
PEER = """
import connectorx, pyarrow.parquet, sys
sql = "SELECT id, ts, who, sku, qty FROM ev"
table = connectorx.read_sql(sys.argv[1], sql, return_type="arrow")
pyarrow.parquet.write_table(table, sys.argv[2], compression="zstd")
"""


class Server:
    """One database server in a folder of its own."""

    def __init__(self, kind, folder):
        self.kind, self.folder, self.port = kind, folder, measure.free_port()
        data = os.path.join(folder, "data")
        if kind == "postgres":
            shutil.chown(folder, "postgres")
            self.call(f"{POSTGRES}/initdb", "-A", "trust", "-U", "postgres", "-D", data)
            command = [f"{POSTGRES}/postgres", "-D", data, "-p", str(self.port), "-k", folder]
            command += ["-c", "shared_buffers=1GB", "-c", "max_wal_size=4GB"]
            self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        else:
            temporary = os.path.join(folder, "tmp")
            os.mkdir(temporary)
            os.environ["TMPDIR"] = temporary
            self.call("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
                      "--auth-root-authentication-method=normal")
            command = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}",
                       f"--port={self.port}", f"--socket={folder}/s.sock", "--skip-log-bin",
                       "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=1G",
                       "--innodb-log-file-size=1G"]
            self.url = f"mysql://root@127.0.0.1:{self.port}/test"
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self.as_user(command), stdout=quiet, stderr=quiet, cwd="/")
        while self.sql("SELECT 1", check=False).returncode != 0:
            time.sleep(0.2)

    def as_user(self, command):
        if self.kind != "postgres" or os.getuid() != 0:
            return command
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", *command]

    def call(self, *command):
        subprocess.run(self.as_user(list(command)), check=True, capture_output=True, cwd="/")

    def sql(self, text, check=True):
        if self.kind == "postgres":
            command = ["psql", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", self.url, "-c", text]
        else:
            command = ["mariadb", "--no-defaults", "-N", "-h127.0.0.1", f"-P{self.port}", "-uroot",
                       "test", "-e", text]
        return subprocess.run(command, check=check, capture_output=True, text=True, cwd="/")

    def cpu_s(self):
        """Processor seconds so far, with those of its processes that have ended."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            ticks = stat.read().rsplit(")", 1)[1].split()[11:15]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def insert(self, first, last, ago_s):
        """Rows with these numbers, a millisecond apart, the last one `ago_s` ago."""
        if self.kind == "postgres":
            self.sql(f"""INSERT INTO ev SELECT n, now() - interval '{ago_s} s'
                - (({last} - n) || ' ms')::interval, 'user-' || n % 100003, 'sku-' || n % 5003,
                1 + n % 3 FROM generate_series({first}, {last}) n""")
        else:
            self.sql(f"""INSERT INTO ev SELECT seq, UTC_TIMESTAMP(6) - INTERVAL {ago_s} SECOND
                - INTERVAL ({last} - seq) * 1000 MICROSECOND, CONCAT('user-', seq % 100003),
                CONCAT('sku-', seq % 5003), 1 + seq % 3 FROM seq_{first}_to_{last}""")

    def fill(self, rows):
        moment = "timestamptz" if self.kind == "postgres" else "datetime(6)"
        self.sql(f"""CREATE TABLE ev (id bigint PRIMARY KEY, ts {moment} NOT NULL,
            who varchar(50) NOT NULL, sku varchar(50) NOT NULL, qty int NOT NULL)""")
        # Nothing of this lies in the lookback of the incremental pass.
        self.insert(1, rows, 3600)
        self.sql("CREATE INDEX ev_ts ON ev (ts, id)")
        self.sql("ANALYZE ev" if self.kind == "postgres" else "ANALYZE TABLE ev")


def timed(command, environment=None):
    """Wall and processor seconds, and the largest resident set, of a process."""
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{command} ended with {status}")
    return {
        "seconds": round(time.monotonic() - began, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "rss_mb": round(usage.ru_maxrss * 1024 / 1e6, 1),
    }


def on_server(server, command, environment=None):
    """As `timed`, with the server's processor seconds and the load before."""
    load, before = os.getloadavg()[0], server.cpu_s()
    run = timed(command, environment)
    time.sleep(0.2)  # A process of the server ends a little after its client.
    return {**run, "server_cpu_s": round(server.cpu_s() - before, 2), "load_average": round(load, 1)}


def median(runs, key):
    return sorted(run[key] for run in runs)[len(runs) // 2]


def on(kind, arguments, folder):
    server = Server(kind, folder)
    try:
        server.fill(arguments.rows)
        ours, theirs = [], []
        data = os.path.join(arguments.folder, f"{kind}-store")
        environment = {**os.environ, "SHOP_URL": server.url}
        extract = [arguments.binary, "--data", data, "-q", "extract", "--once"]
        for _ in range(arguments.rounds):
            shutil.rmtree(data, ignore_errors=True)
            os.mkdir(data)
            with open(os.path.join(data, "foretaste.toml"), "w") as out:
                out.write(CONFIG)
            ours.append(on_server(server, extract, environment))
            parquet = os.path.join(arguments.folder, "peer.parquet")
            url = server.url.replace("postgres://", "postgresql://")
            theirs.append(on_server(server, [sys.executable, "-c", PEER, url, parquet]))
        nothing = timed(extract, environment)
        server.insert(arguments.rows + 1, arguments.rows + 10_000, 0)
        incremental = timed(extract, environment)
        rates = [round(arguments.rows / median(runs, "seconds")) for runs in (ours, theirs)]
        return {
            "server": server.sql("SELECT version()").stdout.strip(),
            "ours": ours,
            "connectorx": theirs,
            "rows_per_s": rates,
            "ratio": round(rates[0] / rates[1], 3),
            "pass_without_news": nothing,
            "pass_with_10000_new_rows": incremental,
        }
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", nargs="+", default=["mariadb", "postgres"])
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    arguments.binary = os.path.abspath(arguments.binary)
    result = {"rows": arguments.rows, "cores": os.cpu_count()}
    with contextlib.ExitStack() as stack:
        arguments.folder = stack.enter_context(tempfile.TemporaryDirectory())
        for kind in arguments.servers:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            result[kind] = on(kind, arguments, folder)
            print(json.dumps(result[kind], indent=1))
    measure.write(result, arguments.out)


if __name__ == "__main__":
    main()
