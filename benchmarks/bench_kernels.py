"""Kernels from int8 genotypes against eigh of the result and one bare float32 product: seconds, ratios, peak memory.

usage: python benchmarks/bench_kernels.py [n,p ...]
default: n = 599, 1,940 and 5,000 with p = 1,279, 12,545 and 284,025; the last takes some minutes

The bare product is A @ B.T of two float32 matrices of 4,096 markers (fewer when there are fewer), multiplied up to p:
all the arithmetic a kernel needs when its symmetry is not used, and none of the conversion. A @ A.T, for which the
library computes one half only, is shown beside it. Genotypes are random int8 codes, filled block by block; times depend
on the sizes alone. Seconds are processor seconds of all threads together, which do not count what others use of the
machine, and the least of the repeats; OPENBLAS_NUM_THREADS=1 makes them the seconds of one core.
"""

import sys
import time

import numpy as np
from measure import machine, peak_bytes

from gp_literate.kernels import a_mat, euclidean_distance, marker_blocks, rr_kernel

SIZES = [(n, p) for n in (599, 1940, 5000) for p in (1279, 12_545, 284_025)]


def genotypes(n, p, seed=0):
    "(n, p) int8 codes -1/0/1, markers contiguous."
    rng = np.random.default_rng(seed)
    G = np.empty((p, n), np.int8)
    for s in marker_blocks(p):
        G[s] = rng.integers(-1, 2, G[s].shape, dtype=np.int8)
    return G.T


def least(task, repeats):
    "Fewest processor seconds of a call."
    times = []
    for _ in range(repeats):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return min(times)


def bare(G, repeats):
    "Seconds of (the product of two matrices, of one with itself) for all markers, from a slice of them."
    A = G[:, :4096].astype(np.float32)
    B, share = A.copy(), G.shape[1] / A.shape[1]
    A @ B.T
    return least(lambda: A @ B.T, repeats) * share, least(lambda: A @ A.T, repeats) * share


def row(n, p, name, seconds, gemm, eigh, peak=None):
    "One line of the table."
    memory = "" if peak is None else f"{peak / (n * p):>11.2f}{peak / (8 * n * n):>9.1f}"
    print(f"{n:>6,}{p:>9,} {name:<20}{seconds:>10.3f}{seconds / gemm:>8.2f}{seconds / eigh:>8.2f}{memory}", flush=True)


def main(sizes):
    print(machine())
    print(f"{'n':>6}{'p':>9} {'call':<20}{'seconds':>10}{'/ gemm':>8}{'/ eigh':>8}{'peak/int8':>11}{'/ n² f8':>9}")
    eigh = {}
    for n, p in sizes:
        flops = n * n * p
        repeats = 8 if flops < 1e11 else 4 if flops < 1e12 else 1
        G = genotypes(n, p)
        if n not in eigh:
            K = rr_kernel(G[:, :1279])
            eigh[n] = least(lambda K=K: np.linalg.eigh(K), 5 if n < 2000 else 2)
            del K
        gemm, symmetric = bare(G, 3)
        row(n, p, "bare product A B'", gemm, gemm, eigh[n])
        row(n, p, "bare product A A'", symmetric, gemm, eigh[n])
        row(n, p, "numpy.linalg.eigh", eigh[n], gemm, eigh[n])
        for kernel in (rr_kernel, a_mat, euclidean_distance):
            times = []
            task = lambda kernel=kernel, G=G, times=times: times.append(least(lambda: kernel(G), 1))  # noqa: E731
            peak = peak_bytes(task)  # the first call warms up, unless it is the only one
            for _ in range(repeats - 1):
                task()
            row(n, p, kernel.__name__, min(times), gemm, eigh[n], peak)


if __name__ == "__main__":
    main([tuple(int(x) for x in a.split(",")) for a in sys.argv[1:]] or SIZES)
