"""The `implicit` library (PyPI) doing one job on a lists-format data set; prints one JSON line.

    python implicit_peer.py FOLDER item-item --k 100
    python implicit_peer.py FOLDER als --factors 64 --alpha 40 --reg 10 --iterations 15
    python implicit_peer.py FOLDER fold-in --factors 64 --events 50
    python implicit_peer.py FOLDER recommend --factors 64 --k 20

FOLDER holds train.txt and test.txt (`user item item ...` a line). Only the fit (or the job that
is named) is timed, after one small warm-up of the library's thread pool.
"""

import argparse
import json
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender


def read_lists(path):
    users, items = [], []
    with open(path) as lines:
        for line in lines:
            ids = [int(word) for word in line.split()]
            users += ids[:1] * (len(ids) - 1)
            items += ids[1:]
    return np.array(users), np.array(items)


def load(folder):
    train = read_lists(os.path.join(folder, "train.txt"))
    test = read_lists(os.path.join(folder, "test.txt"))
    shape = tuple(int(max(a.max(), b.max())) + 1 for a, b in zip(train, test))

    def matrix(pair):
        m = sp.csr_matrix((np.ones(len(pair[0]), np.float32), pair), shape=shape)
        m.sum_duplicates()
        m.data[:] = 1
        return m

    return matrix(train), matrix(test)


def quality(ids, users, test, k=20):
    """Mean Recall@k and NDCG@k over users with a test item."""
    discount = 1 / np.log2(np.arange(2, k + 2))
    recalls, ndcgs = [], []
    for row, user in zip(ids, users):
        relevant = test.indices[test.indptr[user] : test.indptr[user + 1]]
        if len(relevant) == 0:
            continue
        hit = np.isin(row[:k], relevant)
        recalls.append(hit.sum() / len(relevant))
        ndcgs.append((hit * discount).sum() / discount[: min(k, len(relevant))].sum())
    return float(np.mean(recalls)), float(np.mean(ndcgs))


def als(arguments, train):
    model = AlternatingLeastSquares(
        factors=arguments.factors,
        alpha=arguments.alpha,
        regularization=arguments.reg,
        iterations=arguments.iterations,
        num_threads=arguments.threads,
        random_state=42,
    )
    start = time.perf_counter()
    model.fit(train, show_progress=False)
    return model, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("job", choices=["item-item", "als", "fold-in", "recommend"])
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--alpha", type=float, default=40)
    parser.add_argument("--reg", type=float, default=10)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--events", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    train, test = load(arguments.folder)
    users = np.flatnonzero(np.diff(test.indptr))
    result = {"peer": "implicit", **vars(arguments), "folder": os.path.basename(arguments.folder)}

    if arguments.job == "item-item":
        model = CosineRecommender(K=arguments.k, num_threads=arguments.threads)
        start = time.perf_counter()
        model.fit(train, show_progress=False)
        result["seconds"] = time.perf_counter() - start
    else:
        model, result["seconds"] = als(arguments, train)

    if arguments.job == "fold-in":
        degree = np.diff(train.indptr)
        near = np.argsort(np.abs(degree - arguments.events), kind="stable")[:500]
        start = time.perf_counter()
        for user in near:
            model.recalculate_user(int(user), train[user])
        result["seconds"] = (time.perf_counter() - start) / len(near)
    else:
        start = time.perf_counter()
        ids, _ = model.recommend(users, train[users], N=20, filter_already_liked_items=True)
        seconds = time.perf_counter() - start
        result["recall@20"], result["ndcg@20"] = quality(ids, users, test)
        if arguments.job == "recommend":
            result["seconds"] = seconds
            result["users"] = len(users)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
