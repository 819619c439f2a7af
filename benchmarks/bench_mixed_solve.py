"""mixed_solve against one bare eigendecomposition of the same size: seconds, ratio, peak memory.

usage: python benchmarks/bench_mixed_solve.py [n ...]      (default 599 1500 3000)

The decomposition is the part that cannot be avoided, so the ratio says what everything around it costs. Phenotypes and
markers are simulated: times depend on the sizes alone.
"""

import sys

import numpy as np
import scipy.linalg as sla
from measure import machine, peak_bytes, seconds

from gp_literate.kernels import rr_kernel
from gp_literate.mixed_model import mixed_solve


def case(n, p):
    "(G, K, y): (n, p) int8 codes, their kernel, phenotypes with a heritability of one half."
    rng = np.random.default_rng(n)
    G = rng.integers(-1, 2, (p, n)).astype(np.int8).T
    g = G @ rng.normal(size=p)
    return G, rr_kernel(G), g / g.std() + rng.normal(size=n)


def main(sizes):
    print(machine())
    print(f"{'n':>6} {'p':>7} {'call':<34}{'seconds':>9}{'ratio':>8}{'peak MB':>9}{'in n² float64':>15}")
    for n in sizes:
        p = 2 * n + 81  # 1,279 markers for 599 lines, as the wheat data
        G, K, y = case(n, p)
        tasks = {
            "scipy.linalg.eigh(K), driver evd": lambda K=K: sla.eigh(K, driver="evd", check_finite=False),
            "mixed_solve(y, K=K)": lambda K=K, y=y: mixed_solve(y, K=K),
            "mixed_solve(y, K=K, se=True)": lambda K=K, y=y: mixed_solve(y, K=K, se=True),
            "mixed_solve(y, K=K, method='ML')": lambda K=K, y=y: mixed_solve(y, K=K, method="ML"),
            "mixed_solve(y, Z=G), all markers": lambda G=G, y=y: mixed_solve(y, Z=G),
            "mixed_solve(y, Z=G[:, :100])": lambda G=G, y=y: mixed_solve(y, Z=G[:, :100]),
        }
        bare = None
        for name, task in tasks.items():
            time, peak = seconds(task, repeats=7 if n < 1000 else 3), peak_bytes(task)
            bare = bare or time
            memory = f"{peak / 1e6:>9.1f}{peak / (8 * n * n):>15.1f}"
            print(f"{n:>6} {p:>7} {name:<34}{time:>9.3f}{time / bare:>8.2f}{memory}")


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [599, 1500, 3000])
