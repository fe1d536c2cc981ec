"""Ours and the peer in turn, several rounds, medians and the ratio; writes JSON.

    python compare.py --data FOLDER_OF_DATA_SETS --fit FIT_BINARY --rounds 5 --output FILE

FOLDER_OF_DATA_SETS holds gowalla/ and ml-1m/ with train.txt and test.txt. FIT_BINARY is the example
`fit` of foretaste-train: `cargo build --release -p foretaste-train --example fit` prints its place
with --message-format=json, or look in target/release/examples. Run it from the workspace's root in
a virtual environment with `pip install implicit`.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# job: (our arguments, the peer's arguments)
ALS = "{f} 15 40 10 0"
JOBS = {
    "item-item cosine K=100": ("item-item cosine 100", "item-item --k 100"),
    "iALS 64 factors, 15 iterations": (
        "ials " + ALS.format(f=64),
        "als --factors 64 --alpha 40 --reg 10 --iterations 15",
    ),
    "iALS 128 factors, 15 iterations": (
        "ials " + ALS.format(f=128),
        "als --factors 128 --alpha 40 --reg 10 --iterations 15",
    ),
}


def ours(arguments, data_set, job):
    environment = {**os.environ, "FORETASTE_TEST_DATA": arguments.data, "THREADS": "2"}
    command = [arguments.fit, data_set, *job.split()]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds = float(re.search(r": ([0-9.]+) s \(", text.stdout).group(1))
    recall, ndcg = re.findall(r"Recall@20 ([0-9.]+) NDCG@20 ([0-9.]+)", text.stdout)[-1]
    return {"seconds": seconds, "recall@20": float(recall), "ndcg@20": float(ndcg)}


def peer(arguments, data_set, job):
    script = os.path.join(HERE, "implicit_peer.py")
    command = [sys.executable, script, os.path.join(arguments.data, data_set), *job.split()]
    text = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(text.stdout.strip().splitlines()[-1])


def machine():
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {"cpu": names[0], "cores": len(names), "system": platform.platform()}


def commit():
    text = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=HERE)
    return text.stdout.strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--fit", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    rows = []
    for data_set in ("gowalla", "ml-1m"):
        for name, (our_job, peer_job) in JOBS.items():
            mine, theirs = [], []
            for _ in range(arguments.rounds):
                mine.append(ours(arguments, data_set, our_job))
                theirs.append(peer(arguments, data_set, peer_job))
            median = lambda runs: statistics.median(r["seconds"] for r in runs)
            row = {
                "data": data_set,
                "job": name,
                "ours_seconds": median(mine),
                "peer_seconds": median(theirs),
                "peer_over_ours": round(median(theirs) / median(mine), 2),
                "ours_recall_ndcg": [mine[0]["recall@20"], mine[0]["ndcg@20"]],
                "peer_recall_ndcg": [theirs[0]["recall@20"], theirs[0]["ndcg@20"]],
                "runs": {"ours": mine, "peer": [t["seconds"] for t in theirs]},
            }
            rows.append(row)
            print(json.dumps({k: v for k, v in row.items() if k != "runs"}), flush=True)
    result = {"machine": machine(), "commit": commit(), "rounds": arguments.rounds, "rows": rows}
    with open(arguments.output, "w") as out:
        json.dump(result, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
