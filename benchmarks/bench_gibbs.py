"""The Gibbs sweep against the rate at which one core can stream the same genotypes; iterations, ESS, memory.

usage: python benchmarks/bench_gibbs.py [speed] [chains] [memory] [ess]      (default: all)

`stream` reads every call twice, for a dot product with the residuals and for their update, and draws nothing: the sweep
cannot be faster. An iteration is everything between two draws: effects, hyperparameters, fixed effects, residual
variance. Genotypes and phenotypes are simulated (except for `ess`): speed depends on sizes, and on the share of markers
in the model where there is a point mass.
"""

import sys
import time
import warnings

import numpy as np
from measure import machine, peak_bytes
from numba import njit

from gp_literate.bayes_alphabet import BayesC
from gp_literate.chains import sample
from gp_literate.datasets import fetch_wheat
from gp_literate.eigenbasis import eigen_markers
from gp_literate.gibbs import GibbsModel, dot, subtract, sweep
from gp_literate.priors import (
    LaplacePrior,
    NormalMixturePrior,
    NormalPrior,
    PointMassNormalPrior,
    PointMassTPrior,
    ScaledTPrior,
)

PRIORS = {
    "BRR": NormalPrior(),
    "BayesA": ScaledTPrior(),
    "BayesB, 5 % in": PointMassTPrior(inclusion=0.05),
    "BayesC, half in": PointMassNormalPrior(inclusion=0.5),
    "BayesC, 5 % in": PointMassNormalPrior(inclusion=0.05),
    "Bayesian LASSO": LaplacePrior(),
    "BayesR": NormalMixturePrior(),
}


@njit(nogil=True)
def stream(G, mean, weight, r):
    total = 0.0
    for j in range(len(G)):
        total += dot(G[j], r)
        subtract(G[j], mean[j], weight, np.float32(1e-9), r)
    return total


def best(task, repeats=9, at_least=0.05):
    "Shortest seconds of a call, of `repeats` bunches."
    task()
    start = time.perf_counter()
    task()
    count, times = max(1, int(at_least / (time.perf_counter() - start))), []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(count):
            task()
        times.append((time.perf_counter() - start) / count)
    return min(times)


def case(n, p):
    rng = np.random.default_rng(n)
    G = rng.integers(0, 3, (p, n), dtype=np.int8)
    g = rng.standard_normal(min(p, 200)) @ (G[: min(p, 200)] - 1.0)
    return G, g / g.std() + rng.standard_normal(n)


def iterate(model, seed=1, warm=20):
    "A function that makes one iteration."
    rng = np.random.default_rng(seed)
    state = model.start(rng)
    for _ in range(warm):
        model.step(state, rng)
    return lambda: model.step(state, rng)


def bare_sweep(model):
    "A function that makes one sweep."
    term, state, rng = model.terms[""], model.start(None), np.random.default_rng(2)
    own = [state[name] for name in ("effect", "component", "variance")]
    last = (1.0, term.gamma, state["weight"], float(state["residual_variance"]), rng)
    data = (model.G, term.columns, model.weight, state["residual"])
    return lambda: sweep(*data, *own, *last)


def speed(sizes=((599, 1279), (1814, 10346), (300, 33569))):
    print(f"{'n × p':<16}{'call':<22}{'per second':>11}{'× stream':>10}{'sweep alone':>13}")
    for n, p in sizes:
        G, y = case(n, p)
        model = GibbsModel(G, y, NormalPrior())
        term, state = model.terms[""], model.start(None)
        mean = term.columns.mean.astype(np.float32)
        bare = best(lambda G=G, m=mean, w=model.weight, r=state["residual"]: stream(G, m, w, r))
        print(f"{f'{n} × {p:,}':<16}{'stream':<22}{1 / bare:>11.0f}{1:>10.2f}")
        for name, prior in PRIORS.items():
            model = GibbsModel(G, y, prior)
            t, s = best(iterate(model)), best(bare_sweep(model))
            print(f"{'':<16}{name:<22}{1 / t:>11.0f}{t / bare:>10.2f}{s / bare:>13.2f}")
        t = best(iterate(eigen_markers(G, y)))
        print(f"{'':<16}{'BRR in the eigenbasis':<22}{1 / t:>11.0f}{t / bare:>10.4f}")


def chains():
    print(f"{'n × p':<16}{'chains':>7}{'workers':>8}{'iterations per second':>24}{'× one chain':>13}")
    for n, p, draws in ((599, 1279, 6000), (1814, 10346, 400)):
        G, y = case(n, p)
        model, one = GibbsModel(G, y, PointMassNormalPrior(inclusion=0.5)), None
        for number in (1, 2):
            run = lambda m=model, k=number, d=draws: sample(m, k, 0, d, seed=1, n_jobs=k, keep="scalars")
            rate = number * draws / best(run, repeats=3, at_least=0)
            one = one or rate
            print(f"{f'{n} × {p:,}':<16}{number:>7}{number:>8}{rate:>24.0f}{rate / one:>13.2f}")


def memory(n=5000, p=100_000):
    rng = np.random.default_rng(3)
    G = np.empty((p, n), np.int8)
    for start in range(0, p, 1000):
        G[start : start + 1000] = rng.integers(0, 3, (1000, n), dtype=np.int8)
    warnings.simplefilter("ignore")  # four draws are no posterior
    y, fit = rng.standard_normal(n), BayesC(n_chains=1, tune=0, draws=4, random_state=1)
    iterate(GibbsModel(G[:100], y, PointMassNormalPrior()))  # compiled first
    peak = peak_bytes(lambda: fit.fit(G.T, y))
    own = f"{G.nbytes / 2**20:,.0f}"
    print(f"BayesC().fit, {n:,} × {p:,}: peak {peak / 2**20:,.0f} MiB beyond the genotypes' {own} MiB")
    print(f"  in all {1 + peak / G.nbytes:.2f} × the int8 genotypes; {fit.fit_seconds_:.0f} s, compilation included")


def ess():
    wheat = fetch_wheat()
    G, y = np.ascontiguousarray(wheat.dosage.T), wheat.phenotype("env1").to_numpy()
    print(f"{'wheat, 599 × 1,279':<24}{'seconds':>8}{'ESS/s of σe²':>14}{'of σg²':>9}{'of effects':>12}")
    rows = {name: (GibbsModel(G, y, prior), 4000) for name, prior in PRIORS.items()}
    for name, (model, draws) in (rows | {"BRR in the eigenbasis": (eigen_markers(G, y), 20_000)}).items():
        start = time.perf_counter()
        found = sample(model, 1, 500, draws, seed=4)
        wall = time.perf_counter() - start
        table = found.summary(["residual_variance", "genomic_variance"])["ess_bulk"] / wall
        effects = ""
        if "effect" in found.draws:
            some = found.draws["effect"][:, :, ::20].values
            batches = some.reshape(40, -1, some.shape[-1]).mean(axis=1).var(axis=0, ddof=1) / 40
            effects = f"{np.median(some.var(axis=(0, 1)) / batches) / wall:12.0f}"
        print(f"{name:<24}{wall:>8.1f}{table.iloc[0]:>14.0f}{table.iloc[1]:>9.0f}{effects}")


if __name__ == "__main__":
    print(machine())
    parts = {"speed": speed, "chains": chains, "memory": memory, "ess": ess}
    for name in sys.argv[1:] or parts:
        parts[name]()
