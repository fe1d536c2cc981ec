"""What LZ4 and zstd leave of a bundle's files, one by one, and what unpacking costs.

    python bundle_space.py NAME=DIR... --output FILE

DIR is a data folder with a current bundle. Needs the programs `lz4` and `zstd` and nothing but the
standard library. Unpacking is the user time of the program on all files put together, the least of
five.
"""

import argparse
import json
import os
import resource
import subprocess
import tempfile

from measure import write

PACKERS = {"lz4": ["lz4", "-1"], "zstd": ["zstd", "-3"]}
ROUNDS = 5


def packed(packer, data):
    return subprocess.run([*PACKERS[packer], "-q", "-c"], input=data, stdout=-1, check=True).stdout


def unpacking_seconds(packer, path):
    def once():
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([packer, "-q", "-d", "-c", path], stdout=subprocess.DEVNULL, check=True)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    return round(min(once() for _ in range(ROUNDS)), 3)


def measured(data):
    root = os.path.join(data, "bundles")
    with open(os.path.join(root, "CURRENT")) as current:
        folder = os.path.join(root, current.read().strip())
    files, whole = {}, b""
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            content = file.read()
        left = {p: round(len(packed(p, content)) / max(len(content), 1), 3) for p in PACKERS}
        files[name] = {"bytes": len(content), **left}
        whole += content
    total = sum(file["bytes"] for file in files.values())
    share = lambda p: round(sum(f["bytes"] * f[p] for f in files.values()) / total, 3)
    result = {"bytes": total, **{p: share(p) for p in PACKERS}, "unpacking_s": {}, "files": files}
    with tempfile.TemporaryDirectory() as scratch:
        for packer in PACKERS:
            path = os.path.join(scratch, packer)
            with open(path, "wb") as out:
                out.write(packed(packer, whole))
            result["unpacking_s"][packer] = unpacking_seconds(packer, path)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundles", nargs="+", metavar="NAME=DIR")
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    named = (bundle.split("=", 1) for bundle in arguments.bundles)
    result = {name: measured(data) for name, data in named}
    write(result, arguments.output)
    for name, bundle in result.items():
        print(name, bundle["bytes"], {p: bundle[p] for p in PACKERS}, bundle["unpacking_s"])


if __name__ == "__main__":
    main()
