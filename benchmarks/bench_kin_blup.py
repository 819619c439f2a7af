"""kin_blup on repeated records against the bare eigendecompositions it cannot avoid: seconds, ratio, peak memory.

usage: python benchmarks/bench_kin_blup.py [lines:records ...]      (default 599:4 5000:2)

Every line has the given number of records, over two environments. One kernel costs one decomposition of the size of the
lines; a grid of ten values of θ costs ten. Phenotypes and markers are simulated: times depend on the sizes alone.
"""

import sys
import time
import warnings

import numpy as np
import pandas as pd
from measure import machine, peak_bytes, seconds

from gp_literate.kernels import a_mat, euclidean_distance
from gp_literate.kin_blup import kin_blup


def case(n, repeats):
    "(table, A, D): repeated records of n lines, their kernel and their distance as DataFrames."
    rng = np.random.default_rng(n)
    G = rng.integers(-1, 2, (2 * n + 81, n)).astype(np.int8).T
    ids = [f"line{i}" for i in range(n)]
    g = G[:, :300] @ rng.normal(size=300)
    table = pd.DataFrame({"line": np.repeat(ids, repeats), "env": np.tile(np.arange(repeats) % 2, n)})
    table["y"] = np.repeat(g / g.std(), repeats) + table.env + rng.normal(size=len(table))
    return table, pd.DataFrame(a_mat(G), ids, ids), pd.DataFrame(euclidean_distance(G), ids, ids)


def main(sizes):
    warnings.filterwarnings("ignore", message="θ = ")  # on the end of the grid: these markers are additive
    print(machine())
    print(f"{'lines':>6} {'records':>8} {'call':<44}{'seconds':>9}{'ratio':>8}{'peak MB':>9}{'in m² float64':>15}")
    for n, repeats in sizes:
        table, A, D = case(n, repeats)
        grid, call = (
            D.to_numpy().max() * np.arange(1, 11) / 10,
            {"data": table, "geno": "line", "pheno": "y", "fixed": "env"},
        )
        tasks = {
            "numpy.linalg.eigh, once": lambda A=A: np.linalg.eigh(A.to_numpy()),
            "kin_blup(K=A)": lambda c=call, A=A: kin_blup(**c, K=A),
            "kin_blup(K=A, pev=True)": lambda c=call, A=A: kin_blup(**c, K=A, pev=True),
            "kin_blup(K=A), twice the records": lambda c=call, A=A: kin_blup(
                **c | {"data": pd.concat([c["data"]] * 2)}, K=A
            ),
            "kin_blup(K=D, gauss=True), 10 θ": lambda c=call, D=D, t=grid: kin_blup(**c, K=D, gauss=True, theta_grid=t),
        }
        bare = None
        for name, task in tasks.items():
            elapsed, peak = measured(task, repeats=5 if n < 1000 else 0)
            bare = bare or elapsed
            memory = f"{peak / 1e6:>9.1f}{peak / (8 * n * n):>15.1f}"
            print(f"{n:>6} {len(table):>8} {name:<44}{elapsed:>9.3f}{elapsed / bare:>8.2f}{memory}", flush=True)


def measured(task, repeats):
    "(seconds, peak bytes): median of some calls after a warm-up, or with 0 repeats of the one call that is measured."
    times = []

    def timed():
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)

    peak = peak_bytes(timed)
    return (seconds(task, repeats) if repeats else times[0]), peak


if __name__ == "__main__":
    main([tuple(map(int, a.split(":"))) for a in sys.argv[1:]] or [(599, 4), (5000, 2)])
