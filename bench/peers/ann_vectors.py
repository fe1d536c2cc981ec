"""Vectors like the factors of a large catalogue, for ann_peers.py: made from a seed, the same anywhere.

    python ann_vectors.py FOLDER [--items N] [--dims D] [--seed S]

What is taken after: factors of gowalla's 40,981 items in 64 dimensions. There an item's 10th, 50th
and 200th nearest have cosines of 0.89, 0.85 and 0.76, lengths are log-normal (sigma 0.31) with a
heavier tail, all dimensions count about the same, and what users are answered is mostly long.

Groups hold 300 items on average (sizes by Zipf, exponent 0.6), and 30 of them share a theme. An item
is the middle of its group, for one in four with a part of another's, and noise; its length is
log-normal with a tail by Student's t. A user has one to four interests and is the mean of 10 to 40
items of them, long ones more often, with noise. Writes items.f32, queries.f32 (2,000) and shape.json.
"""

import argparse
import json
import os

import numpy as np

N_QUERIES, PER_GROUP, PER_THEME = 2000, 300, 30
CHUNK = 100_000


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def groups(random, n_items, dims):
    """Middles of the groups, and the group of each item, ascending."""
    n = max(n_items // PER_GROUP, 1)
    themes = unit(random.standard_normal((n // PER_THEME + 1, dims)))
    own = unit(random.standard_normal((n, dims)))
    middles = unit(0.5 * themes[np.arange(n) // PER_THEME] + own)
    share = np.arange(1, n + 1) ** -0.6
    share = random.permutation(share / share.sum())
    return middles, np.sort(random.choice(n, n_items, p=share))


def items_of(random, middles, of):
    """Items of the groups `of`, a chunk at a time: each in the precision that it is stored in."""
    for start in range(0, len(of), CHUNK):
        group = of[start:start + CHUNK]
        n, dims = len(group), middles.shape[1]
        other = middles[random.integers(len(middles), size=n)]
        part = np.where(random.random(n) < 0.25, random.uniform(0.1, 0.7, n), 0)[:, None]
        noise = random.standard_normal((n, dims)) * (random.uniform(0.2, 0.55, n) / dims**0.5)[:, None]
        tail = np.clip(random.standard_t(6, n), -6, 6)
        length = 0.55 * np.exp(0.28 * tail)[:, None]
        yield (length * unit(middles[group] + part * other + noise)).astype(np.float32)


def users(random, items, of, n_groups):
    """Vectors of users: means of items of some groups, and noise."""
    first = np.searchsorted(of, np.arange(n_groups + 1))
    filled = np.flatnonzero(np.diff(first))
    lengths = np.linalg.norm(items, axis=1)
    for _ in range(N_QUERIES):
        interests = random.choice(filled, random.integers(1, 5), replace=False)
        history = []
        for at in random.choice(interests, random.integers(10, 41)):
            some = random.integers(first[at], first[at + 1], 4)
            history.append(items[some[np.argmax(lengths[some])]])
        mean = np.mean(history, axis=0)
        noise = random.standard_normal(len(mean)) * 0.1 * np.linalg.norm(mean) / len(mean) ** 0.5
        yield (mean + noise).astype(np.float32)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder")
    arguments.add_argument("--items", type=int, default=1_000_000)
    arguments.add_argument("--dims", type=int, default=64)
    arguments.add_argument("--seed", type=int, default=1)
    arguments = arguments.parse_args()
    random = np.random.default_rng(arguments.seed)
    middles, of = groups(random, arguments.items, arguments.dims)
    items = np.concatenate(list(items_of(random, middles, of)))
    queries = np.stack(list(users(random, items, of, len(middles))))
    # Neighbours in the file are no neighbours in space.
    items = items[random.permutation(len(items))]
    os.makedirs(arguments.folder, exist_ok=True)
    items.tofile(os.path.join(arguments.folder, "items.f32"))
    queries.tofile(os.path.join(arguments.folder, "queries.f32"))
    shape = {"n_items": len(items), "dims": arguments.dims, "n_queries": len(queries)}
    with open(os.path.join(arguments.folder, "shape.json"), "w") as out:
        json.dump(shape, out)


if __name__ == "__main__":
    main()
