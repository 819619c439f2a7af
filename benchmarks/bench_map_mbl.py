"""The exact draw of the mixing scale against Metropolis-Hastings and SciPy; the posterior mode against full equations.

usage: python benchmarks/bench_map_mbl.py [draws] [rounds] [fit]      (default: all)

`rounds` solves one round of the mixed-model equations for all traits by `weighted_effects`, and the same round as one
dense system of (markers x traits). `fit` is a whole fit, covariances by REML included; with the wheat data where they
can be had, else with simulated data of their size.
"""

import sys
import time

import numpy as np
from measure import machine, peak_bytes, seconds
from scipy import stats

from gp_literate.datasets import DataUnavailableError, fetch_wheat
from gp_literate.map_mbl import MAPMultiTraitBayesianLasso, trait_scales, weighted_effects
from gp_literate.multitrait_gblup import MarkerScale
from gp_literate.multivariate_laplace import draw_scales, mh_acceptance, mh_scales


def draws(n=100_000):
    print(f"\n{'Q':>8} {'exact ns':>9} {'MH ns':>7} {'SciPy ns':>9} {'MH accepts':>11}")
    rng, w = np.random.default_rng(1), np.full(n, 4.0)
    for q in (0.1, 1.0, 10.0, 100.0):
        Q = np.full(n, q)
        exact, mh = (seconds(lambda f=f, Q=Q: f(w, Q, rng)) / n * 1e9 for f in (draw_scales, mh_scales))
        law = stats.geninvgauss(0.5, q**0.5 / 2, scale=2 * q**0.5)
        scipy = seconds(lambda law=law: law.rvs(n // 10, random_state=rng), 3) / n * 1e10
        print(f"{q:8g} {exact:9.0f} {mh:7.0f} {scipy:9.0f} {mh_acceptance(q):11.3f}")


def rounds():
    print(f"\n{'lines':>6} {'markers':>8} {'traits':>7} {'round s':>9} {'full s':>9} {'ratio':>7}")
    rng = np.random.default_rng(2)
    for n, p, T in ((200, 500, 2), (300, 1000, 2), (300, 1000, 4)):
        X, Y = rng.integers(0, 3, (n, p)).astype(np.int8), rng.standard_normal((n, T))
        Y -= Y.mean(axis=0)
        mean, w, R0, Sigma = X.mean(axis=0), rng.uniform(0.1, 4, p), np.eye(T) + 0.2, np.eye(T) * 1e-3 + 2e-4
        scale, c = MarkerScale(mean, None, 1.0), trait_scales(Sigma, R0, float(p))
        Ri, Si, Xc = np.linalg.inv(R0), np.linalg.inv(Sigma), X - mean

        def one_round(X=X, Y=Y, w=w, scale=scale, c=c):
            return weighted_effects(X, scale, w, c.lam, Y @ c.inverse.T) @ c.effects.T

        def full(Ri=Ri, Si=Si, Xc=Xc, Y=Y, w=w):
            A = np.kron(Ri, Xc.T @ Xc) + np.kron(Si, np.diag(1 / w))
            return np.linalg.solve(A, (Xc.T @ Y @ Ri).T.ravel()).reshape(len(Ri), -1).T

        np.testing.assert_allclose(one_round(), full(), rtol=1e-5, atol=1e-9)
        a, b = seconds(one_round, 5), seconds(full, 1)
        print(f"{n:6} {p:8} {T:7} {a:9.4f} {b:9.4f} {b / a:7.0f}")


def wheat():
    "Markers and two traits."
    try:
        pop = fetch_wheat()
        return pop.dosage, pop.phenotypes.iloc[:, :2].to_numpy(), "wheat"
    except DataUnavailableError:
        rng = np.random.default_rng(3)
        X = rng.integers(0, 2, (599, 1279)).astype(np.int8)
        return X, X[:, :50] @ rng.standard_normal((50, 2)) / 4 + rng.standard_normal((599, 2)), "simulated"


def fit():
    X, Y, name = wheat()
    holes = Y.copy()
    holes[::3, 1] = np.nan
    for label, records in (("complete", Y), ("a third of trait 2 missing", holes)):
        model = MAPMultiTraitBayesianLasso()
        model.fit(X, records)
        start, cpu = time.perf_counter(), time.process_time()
        model.fit(X, records)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak = peak_bytes(lambda model=model, records=records: model.fit(X, records)) / 2**20
        print(
            f"\n{name} {X.shape}, {label}: {wall:.2f} s ({cpu:.2f} s of processor), {model.n_iter_} rounds, "
            f"{np.count_nonzero(model.square_distance_)} markers, gap {model.gap_:.2g}, peak {peak:.0f} MiB"
        )


if __name__ == "__main__":
    print(machine())
    parts = {"draws": draws, "rounds": rounds, "fit": fit}
    for part in sys.argv[1:] or parts:
        parts[part]()
