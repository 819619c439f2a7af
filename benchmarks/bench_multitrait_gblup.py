"""One step of the multi-trait likelihood against inverting the full covariance of all records.

usage: python benchmarks/bench_multitrait_gblup.py [n ...]      (default 599 1500)

A step gives the likelihood, its slope and the average information. The full covariance has a row for each record there
is; a program that does not rotate needs its Cholesky factor and inverse in every step. `gaps` is the share of missing
records. Kernels and records are simulated: times depend on the sizes alone, the number of steps on the data.
"""

import sys

import numpy as np
from measure import machine, peak_bytes, seconds

from gp_literate.kernels import a_mat
from gp_literate.mixed_model import one_thread
from gp_literate.trait_covariances import (
    canonical_shares,
    default_start,
    evaluate,
    multitrait_reml,
    prepare,
    trait_input,
)
from gp_literate.variance_components import inverse_and_logdet


def case(n, T, gaps):
    "(Y, K): T correlated traits of n lines, kernel of 2n markers."
    rng = np.random.default_rng(n + T)
    G = rng.integers(-1, 2, (2 * n, n)).astype(np.int8).T
    shared = rng.normal(size=(2 * n, 1)) + rng.normal(size=(2 * n, T))
    g = G @ shared
    Y = g / g.std(axis=0) + rng.normal(size=(n, 1)) * 0.3 + rng.normal(size=(n, T))
    Y[rng.random((n, T)) < gaps] = np.nan
    return Y, a_mat(G)


def main(sizes):
    print(machine())
    head = f"{'n':>6}{'traits':>7}{'gaps':>6}{'step s':>10}{'inverse s':>12}{'ratio':>8}"
    print(head + f"{'step MB':>9}{'fit s':>8}{'steps':>7}{'of it eigh s':>14}")
    for n in sizes:
        for T, gaps in ((1, 0.0), (2, 0.0), (4, 0.0), (8, 0.0), (2, 0.1), (2, 0.45), (4, 0.7)):
            Y, K = case(n, T, gaps)
            prepared = prepare(trait_input(Y, K))
            at = canonical_shares(*default_start(prepared.given, "REML", prepared.size))

            def step(at=at, data=prepared.data):
                with one_thread():
                    return evaluate(at, data)

            seen = ~np.isnan(Y).T.ravel()

            def dense(seen=seen, K=K, T=T):
                with one_thread():
                    V = np.kron(np.eye(T) + 0.5, K) + np.eye(T * len(K))
                    return inverse_and_logdet(V[np.ix_(seen, seen)])

            full = seconds(dense, 3 if n * T < 3000 else 1) if n * T <= 5000 else np.nan  # beyond, gigabytes
            own, peak = seconds(step), peak_bytes(step)
            fit = multitrait_reml(Y, K)
            whole = seconds(lambda Y=Y, K=K: multitrait_reml(Y, K), 1)
            eigh = seconds(lambda K=K: np.linalg.eigh(K), 1)
            row = f"{n:>6}{T:>7}{gaps:>6.2f}{own:>10.4f}{full:>12.3f}{full / own:>8.1f}{peak / 1e6:>9.1f}"
            print(f"{row}{whole:>8.2f}{len(fit.history) - 1:>7}{eigh:>14.2f}", flush=True)


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [599, 1500])
