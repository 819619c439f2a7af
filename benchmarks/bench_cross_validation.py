"""The cross-validation behind Endelman's Table 2: ten folds of wheat, GAUSS with θ by REML, and RR.

usage: python benchmarks/bench_cross_validation.py

Ten folds × ten values of θ are a hundred eigendecompositions of 539 lines, and nothing can be faster than those. They
are timed bare, on one thread as in the folds, and the ratio says what everything else costs. Uses the wheat markers
where they can be had, otherwise a simulated set of the same size.
"""

import os

import numpy as np
from bench_crosses import markers
from measure import machine, peak_bytes, seconds
from threadpoolctl import threadpool_limits

from gp_literate.kernels import euclidean_distance, gaussian_kernel
from gp_literate.mixed_model import RRBLUP, KernelBLUP
from gp_literate.validation import cross_validate_methods, given_folds


def decompositions(D, splits):
    "The hundred eigendecompositions and nothing else."
    for split in splits:
        train = D[np.ix_(split.train, split.train)]
        for theta in np.arange(1, 11) / 10:
            np.linalg.eigh(gaussian_kernel(train, theta))


def main():
    G, source = markers()
    rng = np.random.default_rng(1)
    y = G @ rng.normal(size=G.shape[1])
    y = y / y.std() + rng.normal(size=len(y))
    splits = given_folds(np.arange(len(y)) % 10 + 1)
    D = euclidean_distance(G)
    with threadpool_limits(1):
        bare = seconds(lambda: decompositions(D, splits), repeats=3)
    print(machine())
    print(f"{source} markers, {G.shape[0]} lines × {G.shape[1]} markers, simulated phenotypes, ten folds")
    print(f"{'call':<44}{'seconds':>9}{'ratio':>8}{'peak MB':>9}")
    print(f"{'100 eigendecompositions, one thread':<44}{bare:>9.2f}{1:>8.2f}")
    for n_jobs in (1, os.cpu_count()):
        for name, model in {"GAUSS": KernelBLUP("gaussian", refine_theta=False), "RR": RRBLUP()}.items():
            task = lambda m=model, j=n_jobs: cross_validate_methods({"m": m}, G, y, splits, n_jobs=j)  # noqa: E731
            time, peak = seconds(task, repeats=3), peak_bytes(task)
            memory = f"{peak / 1e6:>9.1f}" if n_jobs == 1 else f"{'':>9}"
            print(f"{f'cross_validate_methods, {name}, n_jobs={n_jobs}':<44}{time:>9.2f}{time / bare:>8.2f}{memory}")


if __name__ == "__main__":
    main()
