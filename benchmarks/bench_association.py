"""Markers tested per second by `gwas`, against the bare product U'G and a loop of statsmodels regressions.

usage: python benchmarks/bench_association.py [n,p ...]      (default 413,36901 1814,10346 2000,100000)

The sizes are those of the rice panel, of the mice, and a synthetic panel. Genotypes are random int8 codes without
missing calls ("5 % missing" hides some), the kernel is given, and phenotypes have a heritability of one half: times
depend on the sizes alone. The rotation U'G is what a mixed model cannot avoid; the ratio to it says what everything
else costs. It is taken of processor seconds, which a busy machine disturbs less than the time of day. One-off work
(decomposition, variance components) is part of the times of gwas, and shown by itself. The loop over statsmodels runs
on 300 markers and is scaled up. The largest size is measured once, without the calls that vary the others.
"""

import sys
import time

import numpy as np
import pandas as pd
import statsmodels.api as sm
from measure import machine, peak_bytes

from gp_literate.genotypes import Population
from gp_literate.gwas import block_size, gwas
from gp_literate.kernels import cross_product


def case(n, p):
    "(population, kernel, phenotypes) of n lines and p markers."
    rng = np.random.default_rng(n)
    frequency = rng.uniform(0.1, 0.9, (p, 1))
    strands = [rng.random((p, n), np.float32) < frequency for _ in range(2)]
    dosage = (strands[0].astype(np.int8) + strands[1]).T
    pop = Population.from_array(dosage)
    mean = dosage.mean(axis=0)
    K = cross_product(dosage, center=mean) / dosage.var(axis=0).sum()
    g = (dosage[:, :2000] - mean[:2000]) @ rng.normal(size=2000)
    y = pd.Series(g / g.std() + rng.normal(size=n), pop.sample_id)
    return pop, pd.DataFrame(K, pop.sample_id, pop.sample_id), y


def with_missing(pop, share=0.05):
    "The same population with calls hidden at random."
    calls = pop.dosage.copy()
    calls[np.random.default_rng(0).random(calls.shape, np.float32) < share] = -1
    return Population.from_array(calls, missing=-1)


def rotate_all(pop, U):
    "U'G alone, block by block, from int8."
    calls, size = pop.ds.call_dosage.to_numpy(), block_size(len(U))
    for start in range(0, len(calls), size):
        calls[start : start + size].astype(float) @ U


def loop(pop, y, markers=300):
    "statsmodels' regression, marker by marker."
    for g in pop.dosage[:, :markers].T:
        sm.OLS(y.to_numpy(), np.column_stack([np.ones(len(y)), g])).fit().t_test([0, 1])


def clock(task):
    "(seconds, processor seconds) of a call."
    start, busy = time.perf_counter(), time.process_time()
    task()
    return time.perf_counter() - start, time.process_time() - busy


def tasks_of(pop, holes, K, y):
    "What is measured: name -> call; a number in the name says that only so many markers are tested."
    U, few, some = np.linalg.eigh(K.to_numpy())[1], pop.sel(variants=slice(0, 64)), holes.sel(variants=slice(0, 1000))
    return {
        "U'G alone": lambda: rotate_all(pop, U),
        "gwas, P3D": lambda: gwas(y, pop, K=K),
        "gwas, P3D, n_jobs=2": lambda: gwas(y, pop, K=K, n_jobs=2),
        "gwas, exact": lambda: gwas(y, pop, K=K, p3d=False),
        "gwas, exact, n_jobs=2": lambda: gwas(y, pop, K=K, p3d=False, n_jobs=2),
        "gwas, P3D, 5 % missing, mean": lambda: gwas(y, holes, K=K, missing="mean"),
        "gwas, P3D, 5 % missing, drop (1000)": lambda: gwas(y, some, K=K),
        "gwas, least squares": lambda: gwas(y, pop, method="least squares"),
        "  of which one-off, P3D (64)": lambda: gwas(y, few, K=K),
    }


def main(sizes):
    print(machine())
    print(f"{'n':>6} {'p':>7} {'call':<38}{'seconds':>9}{'cpu s':>8}{'markers/s':>11}{'ratio':>7}{'peak MB':>9}")
    for n, p in sizes:
        pop, K, y = case(n, p)
        holes = with_missing(pop)
        for exact in (True, False):  # compile, and warm up the libraries
            gwas(y, holes.sel(variants=slice(0, 64)), K=K, p3d=exact)
        bare = None
        large = n * n * p > 1e11
        for name, task in tasks_of(pop, holes, K, y).items():
            if large and ("missing" in name or "n_jobs" in name):
                continue
            times = []
            peak = peak_bytes(lambda task=task, times=times: times.append(clock(task)))
            times += [clock(task) for _ in range(0 if large else 2)]
            wall, busy = min(times)
            bare = bare or busy
            rate = f"{p / wall:>11,.0f}{busy / bare:>7.2f}"
            if name.endswith("(1000)"):
                rate = f"{1000 / wall:>11,.0f}{busy / bare * p / 1000:>7.2f}"
            elif name.endswith("(64)"):
                rate = f"{'':>18}"
            print(f"{n:>6} {p:>7} {name:<38}{wall:>9.2f}{busy:>8.2f}{rate}{peak / 1e6:>9.0f}", flush=True)
        wall, busy = (t * p / 300 for t in clock(lambda pop=pop, y=y: loop(pop, y)))
        name = "statsmodels OLS loop (scaled)"
        print(f"{n:>6} {p:>7} {name:<38}{wall:>9.1f}{busy:>8.1f}{p / wall:>11,.0f}{busy / bare:>7.1f}")


if __name__ == "__main__":
    main([tuple(map(int, a.split(","))) for a in sys.argv[1:]] or [(413, 36901), (1814, 10346), (2000, 100000)])
