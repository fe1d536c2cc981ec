"""What packing leaves of bundles and published features, and what loading packed ones costs.

    python packed_cost.py --binary FORETASTE NAME=DIR... --output FILE
        [--opener READ_COST --features PLAIN PACKED] [--rounds 9]

DIR is a data folder with a current bundle, of which copies are made, one of them packed. PLAIN and
PACKED are folders to which `foretaste features publish` wrote the same sets in either form
(serve.features.packed); READ_COST is the example of that name of foretaste-online. A load is the whole
run of `foretaste bundle verify`, which opens and checks as a server does, or READ_COST's opening of all
sets. Plain and packed are loaded in turn: warm, and cold after the system has dropped what it holds of
files (needs root). Times are medians; ratios are those of the medians.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from measure import write

ROUNDS = 9


def size(folder):
    paths = (os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
    return sum(os.path.getsize(path) for path in paths)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as drop:
        drop.write("1")


def in_turn(loads, rounds):
    """Loads by name -> medians of seconds, cold and warm."""
    result = {}
    for state in ("cold", "warm"):
        seconds = {name: [] for name in loads}
        for _ in range(rounds):
            for name, load in loads.items():
                if state == "cold":
                    drop_caches()
                seconds[name].append(load())
        medians = {name: statistics.median(all) for name, all in seconds.items()}
        result[state] = {
            **{f"{name}_s": round(median, 4) for name, median in medians.items()},
            "packed_over_plain": round(medians["packed"] / medians["plain"], 3),
            "raw_s": {name: [round(s, 4) for s in all] for name, all in seconds.items()},
        }
    return result


def compared(plain, packed, loads, rounds):
    bytes = {"plain": size(plain), "packed": size(packed)}
    return {
        "bytes": bytes,
        "smaller_by": round(1 - bytes["packed"] / bytes["plain"], 3),
        "loading": in_turn(loads, rounds),
    }


def bundle(binary, data, rounds):
    root = os.path.join(data, "bundles")
    with open(os.path.join(root, "CURRENT")) as current:
        id = current.read().strip()
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(data))) as scratch:
        command = {}
        for form in ("plain", "packed"):
            copy = os.path.join(scratch, form)
            shutil.copytree(os.path.join(root, id), os.path.join(copy, "bundles", id))
            command[form] = [binary, "--data", copy, "--quiet", "bundle"]
        began = time.perf_counter()
        subprocess.run([*command["packed"], "pack", id], check=True, stdout=subprocess.DEVNULL)
        packing = time.perf_counter() - began

        def load(form):
            def run():
                began = time.perf_counter()
                subprocess.run([*command[form], "verify", id], check=True, stdout=subprocess.DEVNULL)
                return time.perf_counter() - began

            return run

        folders = (os.path.join(scratch, form, "bundles", id) for form in command)
        result = compared(*folders, {form: load(form) for form in command}, rounds)
        return {"packing_s": round(packing, 2), **result}


def features(opener, folders, rounds):
    def load(folder):
        def run():
            # What it prints after the opening is of no interest, nor whether the sets are its own.
            said = subprocess.run([opener, folder], capture_output=True, text=True).stdout
            return float(re.search(r"cpu, ([\d.]+) wall", said).group(1))

        return run

    loads = {form: load(folder) for form, folder in zip(("plain", "packed"), folders)}
    return compared(*folders, loads, rounds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundles", nargs="*", metavar="NAME=DIR")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--opener")
    parser.add_argument("--features", nargs=2, metavar=("PLAIN", "PACKED"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    result = {}
    for name, data in (named.split("=", 1) for named in args.bundles):
        result[name] = bundle(args.binary, data, args.rounds)
    if args.features:
        result["features"] = features(args.opener, args.features, args.rounds)
    write(result, args.output)
    for name, found in result.items():
        ratios = {state: took["packed_over_plain"] for state, took in found["loading"].items()}
        print(name, found["bytes"], "smaller by", found["smaller_by"], "loading", ratios)


if __name__ == "__main__":
    main()
