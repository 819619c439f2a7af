"""Empirical-Bayes thresholding against the part nothing can avoid: one exponential for each value.

usage: python benchmarks/bench_ebayes_threshold.py

`exponentials` is a compiled loop that takes expm1(x²/2) of every value. Noise with needles of size 5: one in a
thousand, and all (then every value needs a root of its own). Memory is beyond the values themselves.
"""

import numpy as np
from measure import machine, peak_bytes, seconds
from numba import njit

from gp_literate.ebayes_threshold import ebayes_rows, ebayes_threshold, threshold_vector


@njit(nogil=True)
def exponentials(x, out):
    for i in range(len(x)):
        out[i] = np.expm1(0.5 * x[i] * x[i])


def values(p, share, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(p)
    x[: int(p * share)] += 5 * rng.choice([-1, 1], int(p * share))
    return x


def cases(x, out):
    "What is timed, the bare loop first."
    return {
        "exponentials": lambda: exponentials(x, out),
        "threshold_vector (nothing checked)": lambda: threshold_vector(x, np.ones(1), 0.0, 0, True, out),
        "ebayes_threshold(x)": lambda: ebayes_threshold(x),
        "ebayes_threshold(x, sd=None)": lambda: ebayes_threshold(x, sd=None),
        'ebayes_threshold(x, rule="mean")': lambda: ebayes_threshold(x, rule="mean"),
        'ebayes_threshold(x, prior="laplace")': lambda: ebayes_threshold(x, prior="laplace"),
        "the same, a=None": lambda: ebayes_threshold(x, prior="laplace", a=None),
    }


def main():
    print(machine())
    print(f"{'p':>10}  {'needles':<12}{'call':<38}{'seconds':>9}{'ratio':>8}{'peak, bytes/p':>15}")
    for p in (10_000, 284_025, 1_000_000):
        for share, label in ((0.001, "1 in 1,000"), (1.0, "all")):
            bare = None
            for name, call in cases(values(p, share), np.empty(p)).items():
                took = seconds(call, repeats=3)
                bare = bare or took
                print(f"{p:>10,}  {label:<12}{name:<38}{took:>9.4f}{took / bare:>8.1f}{peak_bytes(call) / p:>15.0f}")
    X = np.array([values(284_025, 0.001, seed) for seed in range(11)])
    took = seconds(lambda: ebayes_rows(X), repeats=3)
    print(f"ebayes_rows, 11 × 284,025: {took:.3f} s, {took / 11:.4f} s a row")


if __name__ == "__main__":
    main()
