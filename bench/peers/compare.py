"""Ours and the peer in turn, several rounds, medians and ratios; writes JSON after every row.

    python compare.py --data FOLDER_OF_DATA_SETS --bin FOLDER_OF_EXAMPLES --bundles FOLDER \
        --rounds 5 --output FILE

FOLDER_OF_DATA_SETS holds gowalla/ and ml-1m/ with train.txt and test.txt. FOLDER_OF_EXAMPLES is
target/release/examples after

    cargo build --release -p foretaste-train --example fit -p foretaste-bundle --example kernels \
        -p foretaste-evaluate --example all_users

--bundles holds data folders `gowalla-fast` and `ml-1m-fast`, made by `foretaste --data DIR import
--format lists train.txt` and `foretaste --data DIR train --profile fast`. Run it from the
workspace's root in a virtual environment with `pip install implicit`.

Times are wall seconds with 2 threads; processor seconds stand beside them, because they are what
remains comparable on a machine that does other work at the same time. `bound` is what the job must
touch or compute at the least, on paper, for gowalla / ml-1m.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys

from measure import write

HERE = os.path.dirname(os.path.abspath(__file__))
ALS = "--alpha 40 --reg 10 --iterations 15"
# An observation weighs alpha - 1 in implicit and alpha here; the start of short vectors is ours.
IALS = "{f} 15 39 10 0 0 0 42 0.0113"

# job: (our arguments, the peer's, the bound)
JOBS = {
    "item-item cosine K=100": (
        "fit item-item cosine 100",
        "item-item --k 100",
        "sum of d_u^2 multiply-adds: 63 M / 250 M, 0.06 / 0.25 core s at 1 G scattered adds/s",
    ),
    "item-item normalised K=100; peer: cosine": (
        "fit item-item normalised 100 0.5 0.5 0.5",
        "item-item --k 100",
        "as above",
    ),
    "iALS 64 factors, 15 iterations": (
        "fit ials " + IALS.format(f=64),
        "als --factors 64 " + ALS,
        "(s+1) (2 (users + items) k^2 + 8 nnz k) flops an iteration, s = 3: 59 / 29 Gflop in all, "
        "0.6 / 0.3 core s at 100 Gflop/s",
    ),
    "iALS 128 factors, 15 iterations": (
        "fit ials " + IALS.format(f=128),
        "als --factors 128 " + ALS,
        "as above: 189 / 68 Gflop, 1.9 / 0.7 core s at 100 Gflop/s",
    ),
    "fold-in of one user, 64 factors, 50 events": (
        "kernels fold-in",
        "fold-in --factors 64 --events 50 " + ALS,
        "0.29 Mflop to build and factor 64 x 64: 3 us at 100 Gflop/s",
    ),
    "top-20 for all users, our blend; peer: ALS 64": (
        "all_users",
        "recommend --factors 64 " + ALS,
        "users x items x 64 multiply-adds of bytes: 78 / 1.4 G, 0.4 / 0.01 core s at 200 G/s",
    ),
    "top-20 for all users, our blend; peer: ALS 64 and item-item K=100, not merged": (
        "all_users",
        "recommend-both --k 100 --factors 64 " + ALS,
        "that and nnz x K scattered adds of the sparse channel: 160 / 320 M, 0.2 / 0.3 core s",
    ),
}


def run_ours(arguments, data_set, job):
    program, *rest = job.split()
    environment = {**os.environ, "FORETASTE_TEST_DATA": arguments.data, "THREADS": "2"}
    given = {"fit": [data_set, *rest], "kernels": rest}
    given["all_users"] = [os.path.join(arguments.bundles, f"{data_set}-fast"), "2"]
    command = [os.path.join(arguments.bin, program), *given[program]]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return text.stdout


def ours(arguments, data_set, job):
    text = run_ours(arguments, data_set, job)
    if job.startswith("all_users"):
        found = json.loads(text.strip().splitlines()[-1])
        return {key: found[key] for key in ("seconds", "cpu_seconds", "users", "channels")}
    if job.startswith("kernels"):
        us = float(re.search(r"fold-in, 64 dims, 50 events +([0-9.]+)", text).group(1))
        return {"seconds": us / 1e6, "cpu_seconds": us / 1e6}
    wall, cpu = re.search(r": ([0-9.]+) s \(([0-9.]+) s of", text).groups()
    pairs = re.findall(r"Recall@20 ([0-9.]+) NDCG@20 ([0-9.]+)", text)
    result = {"seconds": float(wall), "cpu_seconds": float(cpu)}
    result["recall@20"], result["ndcg@20"] = map(float, pairs[0])
    if len(pairs) > 1:
        result["folded_recall@20"], result["folded_ndcg@20"] = map(float, pairs[1])
    return result


def peer(arguments, data_set, job):
    script = os.path.join(HERE, "implicit_peer.py")
    command = [sys.executable, script, os.path.join(arguments.data, data_set), *job.split()]
    text = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(text.stdout.strip().splitlines()[-1])


def machine():
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {"cpu": names[0], "cores": len(names), "system": platform.platform()}


def compared(data_set, name, bound, mine, theirs):
    median = lambda runs, key: statistics.median(r[key] for r in runs)
    row = {"data": data_set, "job": name, "bound": bound, "load_1min": round(os.getloadavg()[0], 1)}
    for key, short in (("seconds", "wall"), ("cpu_seconds", "cpu")):
        row[f"ours_{key}"], row[f"peer_{key}"] = median(mine, key), median(theirs, key)
        ratio = row[f"peer_{key}"] / max(row[f"ours_{key}"], 1e-9)
        row[f"peer_over_ours_{short}"] = round(ratio, 2)
    figures = ("recall@20", "ndcg@20", "folded_recall@20", "folded_ndcg@20", "channels")
    for who, run in (("ours", mine[0]), ("peer", theirs[0])):
        row[f"{who}_figures"] = {key: run[key] for key in figures if key in run}
    times = lambda runs: [[r["seconds"], r["cpu_seconds"]] for r in runs]
    row["runs"] = {"ours": times(mine), "peer": times(theirs)}
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--bundles", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    result = {"machine": machine(), "rounds": arguments.rounds, "rows": []}
    for name, (our_job, peer_job, bound) in JOBS.items():
        if arguments.only not in name:
            continue
        for data_set in ("gowalla", "ml-1m"):
            mine, theirs = [], []
            for _ in range(arguments.rounds):
                mine.append(ours(arguments, data_set, our_job))
                theirs.append(peer(arguments, data_set, peer_job))
            row = compared(data_set, name, bound, mine, theirs)
            result["rows"].append(row)
            print(json.dumps({k: v for k, v in row.items() if k != "runs"}), flush=True)
            write(result, arguments.output)


if __name__ == "__main__":
    main()
