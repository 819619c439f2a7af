"""POCRE: one fit; a whole search of λ on genotypes of NAM size, against the matrix products alone.

Usage: python bench_pocre.py [fit] [search] [part] [full]

Default: fit search. `full` is 5,000 × 284,025, `part` a tenth of its markers.
"""

import os
import sys
import time
import warnings

import numpy as np
from measure import machine, peak_bytes, seconds

from gp_literate.pocre import POCRE, genotype_rows_of, marker_products
from gp_literate.pocre_cv import CV0, POCREPath, cross_validate_lambdas, summarise_folds

LAMBDAS = np.round(np.arange(0.90, 1.41, 0.05), 2)


def population(n, p, n_qtl=60, h2=0.9, families=25, seed=1):
    "Genotypes (markers, lines) of recombinant inbred lines of families with a common parent; a trait."
    rng = np.random.default_rng(seed)
    G, family = np.empty((p, n), np.int8), np.arange(n) % families
    parent, value, qtl = None, np.zeros(n), set(rng.choice(p, n_qtl, replace=False).tolist())
    per_chromosome = p // 10
    for j in range(p):
        if j % per_chromosome == 0:
            parent = rng.random(n) < 0.5  # from the other parent?
        else:
            k = rng.poisson(n * 1.5 * 2 / per_chromosome)  # 150 cM, twice the crossovers of one meiosis
            parent[rng.integers(0, n, k)] ^= True
        differs = rng.random(families) < 0.5
        G[j] = 2 * (parent & differs[family])
        if j in qtl:
            value += rng.gamma(0.4) * rng.choice([-1, 1]) * G[j]
    return G, value + rng.standard_normal(n) * value.std() * np.sqrt(1 / h2 - 1)


def fit():
    print(f"{'n × p':<18}{'rule':<8}{'ms':>8}{'passes alone, ms':>18}{'components':>12}{'markers':>9}")
    for n, p in ((500, 20_000), (1000, 50_000)):
        G, y = population(n, p)
        for threshold in ("ebtz", "ebt", "lasso"):
            model = POCRE(1.1, threshold)
            t = seconds(lambda m=model, G=G, y=y: m.fit(G.T, y), repeats=5)
            one = seconds(lambda G=G, y=y: marker_products(G, (y - y.mean())[None]), repeats=5)
            passes = one * (model.n_components_ + (model.n_components_ < model.max_components))
            size = f"{n:,} × {p:,}"
            found = f"{model.n_components_:>12}{len(model.markers_):>9}"
            print(f"{size:<18}{threshold:<8}{1e3 * t:>8.0f}{1e3 * passes:>18.0f}{found}")


def search(n=500, p=20_000, thresholds=("ebtz", "ebt"), lambdas=LAMBDAS):
    start = time.perf_counter()
    G, y = population(n, p)
    made = time.perf_counter() - start
    print(
        f"{n:,} × {p:,}, 5 folds × {len(lambdas)} λ × {len(thresholds)} rules; genotypes made in {made:.0f} s",
        flush=True,
    )
    folds, model, out = list(CV0(5, 1).split(y)), POCREPath(n_jobs=-1), {}
    cross_validate_lambdas(G[:50], y[:, None], folds, [0.8], thresholds, model)  # compiled first

    def task():
        out["table"] = cross_validate_lambdas(genotype_rows_of(G.T), y[:, None], folds, lambdas, thresholds, model)

    start, cpu = time.perf_counter(), time.process_time()
    peak = peak_bytes(task)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"  search {wall:.1f} s ({cpu:.1f} s of processor time)", flush=True)
    table = out["table"]
    columns = [int((table["n_components"] >= k).sum()) for k in range(1, table["n_components"].max() + 1)]
    columns = [5, *columns][: POCREPath().max_components]
    start, bare_cpu = time.perf_counter(), time.process_time()
    for m in columns:
        marker_products(G, np.random.default_rng(m).standard_normal((m, n)))
    bare, bare_cpu = time.perf_counter() - start, time.process_time() - bare_cpu
    print(f"  its {len(columns)} matrix products alone ({columns} columns) {bare:.1f} s ({bare_cpu:.1f} s)", flush=True)
    print(f"  ratio {wall / bare:.2f} ({cpu / bare_cpu:.2f} in processor time)")
    print(f"  peak {peak / 2**20:,.0f} MiB beyond the genotypes' {G.nbytes / 2**20:,.0f} MiB")
    print(summarise_folds(table).round(3).to_string(index=False))


def part():
    search(5000, 28_402)


def full():
    search(5000, 284_025)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(machine(), "| BLAS threads:", os.environ.get("OPENBLAS_NUM_THREADS", "all"))
    parts = {"fit": fit, "search": search, "part": part, "full": full}
    for name in sys.argv[1:] or ["fit", "search"]:
        parts[name]()
