"""Multi-trait sampling: iterations per second with every draw recorded, chains side by side, ESS per second.

usage: python benchmarks/bench_multitrait.py [speed] [missing] [chains] [ess]      (default: all)

Wheat, environments 1 and 2 (four traits: all environments), 599 lines and 1,279 markers. An iteration is everything
between two draws: missing records, fixed effects, effects, covariance matrices, and the record of the draw. Times are
the best of several bunches, so that what else the machine does counts least.
"""

import sys
import time

import numpy as np
from bench_gibbs import best
from measure import machine

from gp_literate.chains import sample
from gp_literate.datasets import fetch_wheat
from gp_literate.gibbs import GibbsModel
from gp_literate.multitrait import MultiTraitModel, NormalTraits
from gp_literate.multitrait_bayes import ClassPrior
from gp_literate.priors import NormalPrior, PointMassNormalPrior

PRIORS = {
    "normal": NormalTraits(),
    "classes, joint": ClassPrior(),
    "classes, single trait": ClassPrior(joint=False),
}
KEEP = ["residual_covariance", "effect_covariance", "genomic_covariance"]


def case(traits=2, missing=0.0):
    "Markers and phenotypes of the wheat, a share of the records missing."
    wheat = fetch_wheat()
    Y = wheat.phenotypes.iloc[:, :traits].to_numpy().copy()
    Y[np.random.default_rng(1).random(Y.shape) < missing] = np.nan
    return np.ascontiguousarray(wheat.dosage.T), Y


def iterate(model, seed=1, warm=50):
    "A function that makes one iteration and records it."
    rng = np.random.default_rng(seed)
    state = model.start(rng)
    for _ in range(warm):
        model.step(state, rng)
    return lambda: (model.step(state, rng), model.record(state))


def speed():
    print(f"{'traits':<8}{'prior':<24}{'iterations per second':>22}")
    G, Y = case()
    for name, prior in {"one trait, normal": NormalPrior(), "one trait, classes": PointMassNormalPrior()}.items():
        print(f"{1:<8}{name:<24}{1 / best(iterate(GibbsModel(G, Y[:, 0], prior))):>22.0f}", flush=True)
    for T in (1, 2, 4):
        G, Y = case(T)
        for name, prior in PRIORS.items():
            print(f"{T:<8}{name:<24}{1 / best(iterate(MultiTraitModel(G, Y, prior))):>22.0f}", flush=True)


def missing():
    print(f"{'records missing':<18}{'traits':>7}{'patterns':>10}{'iterations per second':>24}")
    for T, share in ((2, 0.0), (2, 0.2), (4, 0.0), (4, 0.2)):
        model = MultiTraitModel(*case(T, share), NormalTraits())
        print(f"{share:<18.0%}{T:>7}{len(model.patterns):>10}{1 / best(iterate(model)):>24.0f}", flush=True)


def chains(draws=3500):
    "The chains of the paper: six, of 3,500 iterations."
    print(f"{'prior':<24}{'chains':>7}{'workers':>8}{'seconds':>9}{'iterations per second':>24}")
    for name, prior in PRIORS.items():
        model = MultiTraitModel(*case(), prior)
        for number, workers in ((1, 1), (2, 2), (6, 2)):
            run = lambda m=model, k=number, w=workers: sample(m, k, 1500, draws - 1500, seed=1, n_jobs=w, keep=KEEP)
            t = best(run, repeats=2, at_least=0)
            print(f"{name:<24}{number:>7}{workers:>8}{t:>9.2f}{number * draws / t:>24.0f}", flush=True)


def ess():
    print(f"{'prior':<24}{'seconds':>8}{'ESS/s of R':>12}{'of Σ':>8}{'of genetic':>12}")
    for name, prior in PRIORS.items():
        model, start = MultiTraitModel(*case(), prior), time.perf_counter()
        found = sample(model, 1, 500, 4000, seed=4, keep=KEEP)
        wall = time.perf_counter() - start
        values = [found.summary([n])["ess_bulk"].min() / wall for n in KEEP]
        print(f"{name:<24}{wall:>8.1f}{values[0]:>12.1f}{values[1]:>8.1f}{values[2]:>12.1f}", flush=True)


if __name__ == "__main__":
    print(machine())
    parts = {"speed": speed, "missing": missing, "chains": chains, "ess": ess}
    for name in sys.argv[1:] or parts:
        parts[name]()
