"""The `implicit` library (PyPI) doing one job on a lists-format data set; prints one JSON line.

    python implicit_peer.py FOLDER item-item --k 100
    python implicit_peer.py FOLDER als --factors 64 --alpha 40 --reg 10 --iterations 15
    python implicit_peer.py FOLDER fold-in --factors 64 --events 50
    python implicit_peer.py FOLDER recommend --factors 64
    python implicit_peer.py FOLDER recommend-both --k 100 --factors 64

FOLDER holds train.txt and test.txt (`user item item ...` a line). Only the fit (or the job that is
named) is timed: wall seconds and the processor seconds of all threads. A job `als` is judged twice:
with the users as they were trained, and with every user solved anew from the final items
(`recalculate_user`), which is what a server that folds users in does.
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


class Timer:
    """Wall and processor seconds of a `with` block."""

    def __enter__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu


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
        random_state=arguments.seed,
    )
    with Timer() as timer:
        model.fit(train, show_progress=False)
    return model, timer


def item_item(arguments, train):
    model = CosineRecommender(K=arguments.k, num_threads=arguments.threads)
    with Timer() as timer:
        model.fit(train, show_progress=False)
    return model, timer


def fold_in(arguments, model, train):
    """One call a user, as a request would need it; one thread, because a team costs more to wake."""
    model.num_threads = 1
    degree = np.diff(train.indptr)
    near = np.argsort(np.abs(degree - arguments.events), kind="stable")[:500]
    rows = [train[user] for user in near]
    model.recalculate_user(int(near[0]), rows[0])
    with Timer() as timer:
        for user, row in zip(near, rows):
            model.recalculate_user(int(user), row)
    return timer.wall / len(near), timer.cpu / len(near)


def recommend(model, users, train):
    with Timer() as timer:
        ids, _ = model.recommend(users, train[users], N=20, filter_already_liked_items=True)
    return ids, timer


def both(arguments, train, users):
    """The two lists of every user that a blend of two kinds of models would have to merge."""
    models = [als(arguments, train)[0], item_item(arguments, train)[0]]
    timers = [recommend(model, users, train)[1] for model in models]
    return sum(timer.wall for timer in timers), sum(timer.cpu for timer in timers)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    jobs = ["item-item", "als", "fold-in", "recommend", "recommend-both"]
    parser.add_argument("job", choices=jobs)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--alpha", type=float, default=40)
    parser.add_argument("--reg", type=float, default=10)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--events", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    train, test = load(arguments.folder)
    users = np.flatnonzero(np.diff(train.indptr))
    result = {"peer": "implicit", **vars(arguments), "folder": os.path.basename(arguments.folder)}

    if arguments.job == "recommend-both":
        result["seconds"], result["cpu_seconds"] = both(arguments, train, users)
        print(json.dumps(result | {"users": len(users)}))
        return
    model, timer = (item_item if arguments.job == "item-item" else als)(arguments, train)
    result["seconds"], result["cpu_seconds"] = timer.wall, timer.cpu
    if arguments.job == "fold-in":
        result["seconds"], result["cpu_seconds"] = fold_in(arguments, model, train)
    else:
        ids, timer = recommend(model, users, train)
        result["recall@20"], result["ndcg@20"] = quality(ids, users, test)
        if arguments.job.startswith("recommend"):
            result["seconds"], result["cpu_seconds"] = timer.wall, timer.cpu
            result["users"] = len(users)
        if arguments.job == "als":
            model.user_factors[users] = model.recalculate_user(users, train[users])
            ids, _ = recommend(model, users, train)
            result["folded_recall@20"], result["folded_ndcg@20"] = quality(ids, users, test)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
