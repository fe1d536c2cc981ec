"""Vector search beside its peers: ours, hnswlib, Faiss HNSW and Faiss IVF on the same vectors.

    python ann_peers.py OURS FOLDER... [--keep DIR] [--to FILE]

OURS is the built example `ann` of foretaste-bundle; a FOLDER holds items.f32, queries.f32 and
shape.json as `ann export` and ann_vectors.py write them. All searches are by inner product on one
thread. For each index the least breadth of search is looked for whose recall@50 is 0.95 or more; at
that breadth all indexes search in turn, and a figure is the median over the rounds of queries per
second of processor time (the machine may be busy: its load is recorded). Peers take all queries in
one call, which spares them the cost of Python. Built indexes stay in the folder of --keep.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"

import faiss
import hnswlib
import numpy as np

from measure import write

K, ENOUGH, ROUNDS = 50, 0.95, 7
LINKS, CONSTRUCTION = 32, 200
BREADTHS = [50, 60, 70, 80, 90, 100, 120, 140, 160, 200, 240, 300, 390, 500, 600, 800, 1000, 1600]
PROBES = [4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 80, 96, 128, 160, 192, 256, 384, 512]


def load(folder):
    with open(os.path.join(folder, "shape.json")) as shape:
        shape = json.load(shape)

    def rows(name):
        return np.fromfile(os.path.join(folder, name), np.float32).reshape(-1, shape["dims"])

    return rows("items.f32"), rows("queries.f32")


def truth(items, queries):
    flat = faiss.IndexFlatIP(items.shape[1])
    flat.add(items)
    return flat.search(queries, K)[1]


class Hnswlib:
    settings = BREADTHS

    def build(self, items):
        self.index = hnswlib.Index("ip", items.shape[1])
        self.index.init_index(len(items), M=LINKS, ef_construction=CONSTRUCTION, random_seed=1)
        self.index.set_num_threads(1)
        self.index.add_items(items)
        return self

    def save(self, path):
        self.index.save_index(path)

    def open(self, path, dims):
        self.index = hnswlib.Index("ip", dims)
        self.index.load_index(path)
        self.index.set_num_threads(1)
        return self

    def search(self, queries, breadth):
        self.index.set_ef(breadth)
        return self.index.knn_query(queries, K)[0]


class Faiss:
    def save(self, path):
        faiss.write_index(self.index, path)

    def open(self, path, _dims):
        self.index = faiss.read_index(path)
        return self


class FaissGraph(Faiss):
    settings = BREADTHS

    def build(self, items):
        self.index = faiss.IndexHNSWFlat(items.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = CONSTRUCTION
        self.index.add(items)
        return self

    def search(self, queries, breadth):
        self.index.hnsw.efSearch = breadth
        return self.index.search(queries, K)[1]


class FaissLists(Faiss):
    settings = PROBES

    def build(self, items):
        name = f"IVF{int(4 * len(items) ** 0.5)},Flat"
        self.index = faiss.index_factory(items.shape[1], name, faiss.METRIC_INNER_PRODUCT)
        self.index.train(items)
        self.index.add(items)
        return self

    def search(self, queries, probes):
        self.index.nprobe = probes
        return self.index.search(queries, K)[1]


PEERS = {"hnswlib": Hnswlib, "faiss_hnsw": FaissGraph, "faiss_ivf": FaissLists}


def opened(name, items, path):
    """The index of a peer, built and kept at the path where it is not there yet."""
    if not os.path.exists(path + ".json"):
        began, began_cpu = time.monotonic(), time.process_time()
        index = PEERS[name]().build(items)
        cpu, wall = time.process_time() - began_cpu, time.monotonic() - began
        index.save(path)
        size = os.path.getsize(path)
        figures = {"build_cpu_s": round(cpu, 1), "build_s": round(wall, 1), "bytes": size}
        write(figures, path + ".json")
        return index
    return PEERS[name]().open(path, items.shape[1])


def recall_of(found, best):
    return round(sum(len(np.intersect1d(a, b)) for a, b in zip(found, best)) / best.size, 4)


def enough(index, queries, best):
    """Recalls at growing breadths, up to the first that is enough."""
    recalls = []
    for setting in index.settings:
        recalls.append([setting, recall_of(index.search(queries, setting), best)])
        if recalls[-1][1] >= ENOUGH:
            break
    return recalls


def own(ours, task, *paths):
    text = subprocess.run([ours, task, *paths], check=True, capture_output=True).stdout
    return json.loads(text)


def compare(ours, folder, keep):
    items, queries = load(folder)
    name = os.path.basename(folder)
    best = truth(items, queries)
    faiss.omp_set_num_threads(1)
    bundle = os.path.join(keep, name + "-ours")
    if not os.path.exists(bundle + ".json"):
        write(own(ours, "build", folder, bundle), bundle + ".json")
    figures = {"ours": json.load(open(bundle + ".json")) | own(ours, "recall", folder, bundle)}
    indexes = {}
    for peer in PEERS:
        path = os.path.join(keep, f"{name}-{peer}")
        indexes[peer] = opened(peer, items, path)
        recalls = enough(indexes[peer], queries, best)
        figures[peer] = json.load(open(path + ".json")) | {"recalls": recalls}
    all_qps = {peer: [] for peer in figures}
    scans, loads = [], []
    for _ in range(ROUNDS):
        breadth = str(figures["ours"]["recalls"][-1][0])
        qps = own(ours, "time", folder, bundle, breadth, "0")
        all_qps["ours"].append(qps[breadth])
        scans.append(qps["0"])
        for peer, index in indexes.items():
            breadth = figures[peer]["recalls"][-1][0]
            began = time.process_time()
            index.search(queries, breadth)
            all_qps[peer].append(round(len(queries) / (time.process_time() - began)))
        loads.append(os.getloadavg()[0])
    for peer, qps in all_qps.items():
        figures[peer] |= {"qps": statistics.median(qps), "qps_of_rounds": qps}
    figures["ours"]["scan_qps"] = statistics.median(scans)
    return {"folder": name, "items": items.shape, "load": loads, "indexes": figures}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("ours")
    arguments.add_argument("folders", nargs="+")
    arguments.add_argument("--keep")
    arguments.add_argument("--to")
    arguments = arguments.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as passing:
        for folder in arguments.folders:
            results.append(compare(arguments.ours, folder.rstrip("/"), arguments.keep or passing))
            print(json.dumps(results[-1]), flush=True)
            if arguments.to:
                write({"k": K, "links_of_peers": LINKS, "runs": results}, arguments.to)


if __name__ == "__main__":
    main()
