"""Instructions that one answer of the pipeline takes, a figure that other work on the machine does
not change: the example `requests` counted by valgrind (which runs the AVX2 code) with two numbers of
requests, the difference by request.

    cargo build --release -p foretaste-pipeline --example requests
    python instructions.py --example REQUESTS --bundles NAME=DIR --bundles NAME=DIR --output FILE
    python instructions.py --example REQUESTS --bundles NAME=DIR --baseline FILE

With --baseline it writes nothing, and fails when an answer takes a tenth more than there.
"""

import argparse
import json
import os
import re
import subprocess
import sys

from measure import write

FEW, MANY = 100, 500
MOST = 1.1


def counted(example, bundles, n):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [example, os.path.join(bundles, "bundles"), str(n)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return int(re.search(r"Collected : (\d+)", said)[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--example", required=True)
    parser.add_argument("--bundles", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--baseline")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    result = {}
    for named in arguments.bundles:
        name, folder = named.split("=", 1)
        few, many = (counted(arguments.example, folder, n) for n in (FEW, MANY))
        result[name] = round((many - few) / (MANY - FEW))
        print(f"{name}: {result[name]:,} instructions an answer", flush=True)
    if arguments.output:
        write({"what": "instructions an answer, valgrind", **result}, arguments.output)
    if arguments.baseline:
        with open(arguments.baseline) as text:
            before = json.load(text)
        worse = [name for name, now in result.items() if now > MOST * before[name]]
        sys.exit(f"more than a tenth above the baseline: {', '.join(worse)}" if worse else 0)


if __name__ == "__main__":
    main()
