"""One AI-REML step with two kernels against one Cholesky factorisation and one matrix product of the same size.

usage: python benchmarks/bench_variance_components.py [n ...]      (default 599 1940 5000)

A step needs the inverse of one n × n matrix, so the ratios say what everything around it costs, and how the inverse by
halving compares with the general one. Kernels and phenotypes are simulated: times depend on the sizes alone; the number
of steps of a whole fit depends on the data.
"""

import sys

import numpy as np
from measure import machine, peak_bytes, seconds

from gp_literate.kernels import a_mat, euclidean_distance, gaussian_kernel
from gp_literate.variance_components import as_blocks, fit_variance_components, inverse_and_logdet, moments


def case(n, p):
    "(kernels, y): additive and Gaussian kernel of (n, p) int8 codes, phenotypes with variance from both and noise."
    rng = np.random.default_rng(n)
    G = rng.integers(-1, 2, (p, n)).astype(np.int8).T
    g = G @ rng.normal(size=p)
    kernels = {"additive": a_mat(G), "gaussian": gaussian_kernel(euclidean_distance(G), 0.3)}
    pairs = (G[:, :100].astype(float) * G[:, 100:200]) @ rng.normal(size=100)  # what the additive kernel cannot fit
    return kernels, g / g.std() + pairs / pairs.std() + rng.normal(size=n)


def main(sizes):
    print(machine())
    print(f"{'n':>6} {'call':<36}{'seconds':>9}{'products':>10}{'Cholesky':>10}{'peak MB':>9}{'in n² float64':>15}")
    for n in sizes:
        kernels, y = case(n, 2 * n + 81)
        H, Q = [as_blocks(K) for K in kernels.values()], np.full((n, 1), n**-0.5)
        V, rest, at = kernels["additive"] + np.eye(n), y - y.mean(), np.full(3, y.var() / 3)
        tasks = {
            "matrix product": lambda V=V, K=kernels["gaussian"]: V @ K,
            "numpy.linalg.cholesky": lambda V=V: np.linalg.cholesky(V),
            "numpy.linalg.inv": lambda V=V: np.linalg.inv(V),
            "inverse_and_logdet": lambda V=V: inverse_and_logdet(V),
            "one AI step (moments), 2 kernels": lambda H=H, Q=Q, at=at, rest=rest: moments(
                at, H, np.ones(len(rest)), Q, rest
            ),
        }
        times = {name: seconds(task, repeats=7 if n < 1000 else 3 if n < 3000 else 1) for name, task in tasks.items()}
        product, factor = list(times.values())[:2]
        for name, task in tasks.items():
            time, peak = times[name], peak_bytes(task)
            memory = f"{peak / 1e6:>9.1f}{peak / (8 * n * n):>15.1f}"
            print(f"{n:>6} {name:<36}{time:>9.3f}{time / product:>10.2f}{time / factor:>10.2f}{memory}", flush=True)
        if n < 3000:  # beyond, a whole fit is its number of steps times the step
            steps = len(fit_variance_components(y, kernels).history) - 1
            time = seconds(lambda y=y, kernels=kernels: fit_variance_components(y, kernels), repeats=1)
            print(
                f"{n:>6} {f'fit_variance_components, {steps} steps':<36}{time:>9.3f}{time / product:>10.2f}", flush=True
            )


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [599, 1940, 5000])
