"""Vector search beside its peers: ours, hnswlib, Faiss HNSW and Faiss IVF on the same vectors.

    python ann_peers.py OURS FOLDER... [--to FILE]

OURS is the built example `ann` of foretaste-bundle; a FOLDER holds items.f32, queries.f32 and
shape.json as `ann export` writes them. All searches are by inner product on one thread; a figure is
queries per second of processor time (the machine may be busy), the best of five rounds, at the
least breadth of search whose recall@50 is 0.95 or more. Peers take all queries in one call, which
spares them the cost of Python; they and ours run in turn.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"

import faiss
import hnswlib
import numpy as np

from measure import write

K, ENOUGH, ROUNDS = 50, 0.95, 5
LINKS, CONSTRUCTION = 32, 200
BREADTHS = [50, 60, 80, 100, 120, 160, 240, 390, 600, 1000, 1600]
PROBES = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]


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


def sweep(search, setter, settings, queries, best):
    """The figures at growing breadths, up to the first with enough recall."""
    figures = []
    for setting in settings:
        setter(setting)
        seconds = []
        for _ in range(ROUNDS):
            began = time.process_time()
            found = search(queries)
            seconds.append(time.process_time() - began)
        hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, best))
        recall = round(hits / best.size, 4)
        qps = round(len(queries) / min(seconds))
        figures.append({"breadth": setting, "recall": recall, "qps": qps})
        if recall >= ENOUGH:
            break
    return figures


def built(build):
    began = time.process_time()
    index = build()
    return index, round(time.process_time() - began, 1)


def hnswlib_index(items):
    index = hnswlib.Index("ip", items.shape[1])
    index.init_index(len(items), M=LINKS, ef_construction=CONSTRUCTION, random_seed=1)
    index.set_num_threads(1)
    index.add_items(items)
    return index


def faiss_graph(items):
    index = faiss.IndexHNSWFlat(items.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = CONSTRUCTION
    index.add(items)
    return index


def faiss_lists(items):
    name = f"IVF{int(4 * len(items) ** 0.5)},Flat"
    index = faiss.index_factory(items.shape[1], name, faiss.METRIC_INNER_PRODUCT)
    index.train(items)
    index.add(items)
    return index


def faiss_bytes(index):
    with tempfile.NamedTemporaryFile() as file:
        faiss.write_index(index, file.name)
        return os.path.getsize(file.name)


def compare(ours, folder):
    items, queries = load(folder)
    best = truth(items, queries)
    faiss.omp_set_num_threads(1)
    peers = {}

    def peer(name, build, search, setter, settings, size):
        index, cpu = built(lambda: build(items))
        figures = sweep(search(index), setter(index), settings, queries, best)
        peers[name] = {"build_cpu_s": cpu, "bytes": size(index), "figures": figures}

    def by_faiss(index):
        return lambda q: index.search(q, K)[1]

    def probes(index):
        return lambda n: setattr(index, "nprobe", n)

    def breadth(index):
        return lambda n: setattr(index.hnsw, "efSearch", n)

    def own():
        text = subprocess.run([ours, "measure", folder], check=True, capture_output=True).stdout
        return json.loads(text)

    first = own()
    peer("hnswlib", hnswlib_index, lambda i: lambda q: i.knn_query(q, K)[0],
         lambda i: i.set_ef, BREADTHS, lambda i: i.index_file_size())
    peer("faiss_hnsw", faiss_graph, by_faiss, breadth, BREADTHS, faiss_bytes)
    peer("faiss_ivf", faiss_lists, by_faiss, probes, PROBES, faiss_bytes)
    return {"folder": os.path.basename(folder), "ours": [first, own()], "peers": peers}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("ours")
    arguments.add_argument("folders", nargs="+")
    arguments.add_argument("--to")
    arguments = arguments.parse_args()
    results = []
    for folder in arguments.folders:
        results.append(compare(arguments.ours, folder.rstrip("/")))
        print(json.dumps(results[-1]), flush=True)
        if arguments.to:
            write({"k": K, "links_of_peers": LINKS, "runs": results}, arguments.to)


if __name__ == "__main__":
    main()
