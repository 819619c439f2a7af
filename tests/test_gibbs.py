"""The sweep and the Gibbs model: exact posteriors, R's BGLR, weights, missing phenotypes, several terms, bad input."""

import gzip
import itertools
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REFERENCE, reference

from gp_literate.chains import open_posterior, sample
from gp_literate.eigenbasis import Kernel, eigen_fitted, eigen_markers, flat_draws, recover_effects
from gp_literate.gibbs import GibbsModel, describe_columns, exact_residual, marker_values, sweep, with_products
from gp_literate.kernels import cross_product
from gp_literate.priors import (
    LaplacePrior,
    NormalMixturePrior,
    NormalPrior,
    PointMassNormalPrior,
    PointMassTPrior,
    ScaledInverseChi2,
    ScaledTPrior,
)

ALPHABET = {
    "BRR": NormalPrior(),
    "BayesA": ScaledTPrior(),
    "BayesB": PointMassTPrior(),
    "BayesC": PointMassNormalPrior(),
    "BL": LaplacePrior(),
}
HELD = {"df": 1e9, "scale": 0.1e9}  # a variance of 0.1 that does not move
NOISE = ScaledInverseChi2(1e9, 1e9)


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(1)
    G = rng.integers(0, 3, (8, 30), dtype=np.int8)
    return G, 0.5 * G[0] - 0.6 * G[3] + rng.standard_normal(30)


def centred(G, w=None):
    return (G - np.average(G, axis=1, weights=w)[:, None]).T


def ridge_posterior(X, y, w, variance=0.1):
    "Posterior mean and covariance of (intercept, effects) with all variances known."
    Z = np.column_stack([np.ones(len(y)), X])
    P = Z.T @ (w[:, None] * Z) + np.diag([0.0] + [1 / variance] * X.shape[1])
    return np.linalg.solve(P, Z.T @ (w * y)), np.linalg.inv(P)


def test_ridge_against_the_exact_posterior(toy):
    G, y = toy
    w = np.random.default_rng(2).choice([0.5, 1, 3], 30)
    y = np.where(np.arange(30) < 4, np.nan, y)
    used = np.where(np.isnan(y), 0, w)
    model = GibbsModel(G, y, NormalPrior(**HELD), weight=w, residual=NOISE)
    found = sample(model, 2, 100, 8000, seed=3, keep="scalars")
    mean, V = ridge_posterior(centred(G, used), np.nan_to_num(y), used)
    np.testing.assert_allclose(found.mean["effect"], mean[1:], atol=0.012)
    np.testing.assert_allclose(found.sd["effect"], np.sqrt(np.diag(V))[1:], rtol=0.04)
    Z = np.column_stack([np.ones(30), centred(G, used)])
    np.testing.assert_allclose(found.mean["fitted"], Z @ mean, atol=0.03)
    np.testing.assert_allclose(found.sd["fitted"], np.sqrt(np.einsum("ij,jk,ik->i", Z, V, Z)), rtol=0.04)


@pytest.mark.parametrize("gamma", [(0.0, 1.0), (0.2, 1.0), (0.0, 0.1, 1.0)])
def test_mixtures_against_all_classes(toy, gamma):
    "Class probabilities and effects by summing over all K^p assignments."
    G, y = toy
    G, weight, n = G[:5], np.full(len(gamma), 1 / len(gamma)), 30
    X, log_p, means, classes = centred(G), [], [], []
    for k in itertools.product(range(len(gamma)), repeat=5):
        D = 0.1 * np.array(gamma)[list(k)]
        C = np.eye(n) + X * D @ X.T + 1e6
        log_p.append(-0.5 * (np.linalg.slogdet(C)[1] + y @ np.linalg.solve(C, y)))
        means.append(D * (X.T @ np.linalg.solve(C, y)))
        classes.append(k)
    p = np.exp(log_p - np.logaddexp.reduce(log_p))
    columns, rng = describe_columns(G, np.ones(n)), np.random.default_rng(4)
    columns = with_products(G, np.ones(n), columns)
    r, b, k = (y - y.mean()).astype(np.float32), np.zeros(5), np.zeros(5, np.int8)
    effect, top, draws = np.zeros(5), np.zeros(5), 30_000
    fixed = (np.full(5, 0.1), 1.0, np.array(gamma), weight, 1.0, rng)
    for _ in range(draws):
        sweep(G, columns, np.ones(n, np.float32), r, b, k, *fixed)
        effect += b / draws
        top += (k == len(gamma) - 1) / draws
    np.testing.assert_allclose(effect, p @ np.array(means), atol=0.012)
    np.testing.assert_allclose(top, p @ (np.array(classes) == len(gamma) - 1), atol=0.015)


@pytest.mark.parametrize("prior", [*ALPHABET.values(), NormalMixturePrior()], ids=lambda p: type(p).__name__)
def test_residuals_stay_exact(toy, prior):
    G, y = toy
    model, rng = GibbsModel(G, y, prior, weight=np.linspace(0.5, 2, 30)), np.random.default_rng(5)
    state = model.start(rng)
    for _ in range(149):
        model.step(state, rng)
    np.testing.assert_allclose(state["residual"], exact_residual(model, state), atol=2e-5)


def test_float_features_equal_calls(toy):
    G, y = toy
    a = sample(GibbsModel(G, y, NormalPrior()), 1, 20, 100, seed=6)
    b = sample(GibbsModel(G.astype(np.float32), y, NormalPrior()), 1, 20, 100, seed=6)
    np.testing.assert_array_equal(a.draws["effect"], b.draws["effect"])


@pytest.mark.parametrize("standardize", [False, True])
def test_coding_does_not_matter(toy, standardize):
    "0/1/2 and -1/0/1 give the same draws of effects; a flipped allele flips its effect's law."
    G, y = toy
    a = sample(GibbsModel(G, y, ScaledTPrior(), standardize=standardize), 1, 20, 200, seed=7)
    b = sample(GibbsModel((G - 1).astype(np.int8), y, ScaledTPrior(), standardize=standardize), 1, 20, 200, seed=7)
    np.testing.assert_allclose(a.draws["effect"], b.draws["effect"], atol=1e-3)


def test_constant_and_duplicate_markers(toy):
    G, y = toy
    G = np.vstack([G, G[:1], np.ones((1, 30), np.int8)])
    found = sample(GibbsModel(G, y, NormalPrior(**HELD), residual=NOISE), 2, 100, 6000, seed=8, keep="scalars")
    assert abs(float(found.mean["effect"][0] - found.mean["effect"][8])) < 0.03
    assert abs(float(found.mean["effect"][9])) < 0.02
    assert float(found.sd["effect"][9]) == pytest.approx(np.sqrt(0.1), rel=0.04)


def test_fixed_effects_are_drawn_together(toy):
    G, y = toy
    X = np.column_stack([np.ones(30), np.arange(30) % 2, np.linspace(-1, 1, 30)])
    found = sample(GibbsModel(G, y, NormalPrior(**HELD), X=X, residual=NOISE), 2, 100, 8000, seed=9, keep="scalars")
    V = np.eye(30) + 0.1 * centred(G) @ centred(G).T
    P = X.T @ np.linalg.solve(V, X)
    np.testing.assert_allclose(found.mean["fixed"], np.linalg.solve(P, X.T @ np.linalg.solve(V, y)), atol=0.03)
    np.testing.assert_allclose(found.sd["fixed"], np.sqrt(np.diag(np.linalg.inv(P))), rtol=0.05)


def test_two_terms_equal_one(toy):
    "Two terms with the same known variance are one."
    G, y = toy
    split = {"a": (NormalPrior(**HELD), np.arange(0, 8, 2)), "b": (NormalPrior(**HELD), np.arange(1, 8, 2))}
    two = sample(GibbsModel(G, y, split, residual=NOISE), 2, 100, 8000, seed=10, keep="scalars")
    mean, _ = ridge_posterior(centred(G), y, np.ones(30))
    np.testing.assert_allclose(two.mean["a.effect"], mean[1::2], atol=0.015)
    np.testing.assert_allclose(two.mean["b.effect"], mean[2::2], atol=0.015)


def test_kernel_term_beside_markers(toy):
    "Markers and a kernel of other markers equal one set of markers."
    G, y = toy
    y = np.where(np.arange(30) < 5, np.nan, y)
    used = (~np.isnan(y)).astype(float)
    K = centred(G[4:], used) @ centred(G[4:], used).T
    priors = {"markers": (NormalPrior(**HELD), np.arange(4)), "kernel": Kernel(K, NormalPrior(**HELD))}
    found = sample(GibbsModel(G, y, priors, residual=NOISE), 2, 100, 8000, seed=11, keep="scalars")
    Z = np.column_stack([np.ones(30), centred(G, used)])
    mean, V = ridge_posterior(Z[:, 1:], np.nan_to_num(y), used)
    np.testing.assert_allclose(found.mean["fitted"], Z @ mean, atol=0.03)
    np.testing.assert_allclose(found.sd["fitted"], np.sqrt(np.einsum("ij,jk,ik->i", Z, V, Z)), rtol=0.05)


def test_eigenbasis_equals_sweep(toy):
    rng = np.random.default_rng(12)
    G = rng.integers(0, 3, (60, 40), dtype=np.int8)
    y = G[:6].sum(0) * 0.3 + rng.standard_normal(40)
    y[:5], w = np.nan, rng.choice([1.0, 2.0], 40)
    X = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)])
    slow = sample(GibbsModel(G, y, NormalPrior(), weight=w, X=X), 2, 500, 10_000, seed=13, keep="scalars")
    model = eigen_markers(G, y, weight=w, X=X)
    fast = sample(model, 2, 500, 10_000, seed=14)
    for name in ("residual_variance", "genomic_variance", "implied_variance", "effect_variance"):
        assert float(fast.mean[name]) == pytest.approx(float(slow.mean[name]), rel=0.04), name
        assert float(fast.sd[name]) == pytest.approx(float(slow.sd[name]), rel=0.08), name
    np.testing.assert_allclose(fast.mean["fixed"], slow.mean["fixed"], atol=0.03)
    mean, sd = recover_effects(model, flat_draws(fast, "alpha"), flat_draws(fast, "effect_variance"))
    np.testing.assert_allclose(mean, slow.mean["effect"], atol=0.012)
    np.testing.assert_allclose(sd, slow.sd["effect"], rtol=0.05)
    fitted, fitted_sd = eigen_fitted(model, fast)
    np.testing.assert_allclose(fitted, slow.mean["fitted"], atol=0.06)
    np.testing.assert_allclose(fitted_sd, slow.sd["fitted"], rtol=0.06)


def test_more_lines_than_markers_in_the_eigenbasis(toy):
    G, y = toy
    model = eigen_markers(G[:4], y, NormalPrior(**HELD), residual=NOISE)
    found = sample(model, 2, 100, 8000, seed=15)
    mean, sd = recover_effects(model, flat_draws(found, "alpha"), flat_draws(found, "effect_variance"))
    exact, V = ridge_posterior(centred(G[:4]), y, np.ones(30))
    np.testing.assert_allclose(mean, exact[1:], atol=0.012)
    np.testing.assert_allclose(sd, np.sqrt(np.diag(V))[1:], rtol=0.04)


def test_values_of_lines(toy):
    G, _ = toy
    columns, b = describe_columns(G, np.ones(30), standardize=True), np.arange(8.0)
    X = centred(G) / centred(G).std(axis=0)
    np.testing.assert_allclose(marker_values(G, *columns[:3], b), X @ b, atol=1e-10)
    np.testing.assert_allclose(columns.square, 30.0)
    np.testing.assert_allclose(cross_product(G.T, center=columns.mean), centred(G) @ centred(G).T, atol=1e-10)


@pytest.mark.parametrize("name", ALPHABET)
def test_bglr_on_the_synthetic_set(synthetic, name):
    """Long chains of BGLR (60,000 iterations, two seeds), markers 0/1/2, default priors; our chains are half as long.

    Without joint moves, as in BGLR: two of its chains can agree by chance, and then ours tell how much they can err.
    """
    G, phenotypes = synthetic
    chains = reference("synthetic/bglr.json")[name]
    b, fitted = (np.mean([c[k] for c in chains], axis=0) for k in ("b", "yHat"))
    y = phenotypes.iloc[:, 0].to_numpy()
    model = GibbsModel(np.ascontiguousarray((G + 1).T.astype(np.int8)), y, ALPHABET[name])
    model.moves = False
    found = sample(model, 2, 1000, 8000, thin=4, seed=16, n_jobs=2, keep="scalars")
    assert np.corrcoef(found.mean["effect"], b)[0, 1] > 0.985
    assert np.corrcoef(found.mean["fitted"], fitted)[0, 1] > 0.998
    theirs, ours = [c["varE"] for c in chains], found.summary(["residual_variance"]).loc["residual_variance"]
    error = np.hypot(ours["mcse_mean"], abs(theirs[0] - theirs[1]) / 2)
    assert error < 0.03 * ours["mean"]
    assert abs(ours["mean"] - np.mean(theirs)) < 4 * error


@pytest.mark.parametrize("name", ALPHABET)
def test_joint_moves_change_the_speed_and_not_the_posterior(synthetic, name):
    G, phenotypes = synthetic
    G, y, found = np.ascontiguousarray((G + 1).T.astype(np.int8)), phenotypes.iloc[:, 0].to_numpy(), {}
    for moves in (True, False):
        model = GibbsModel(G, y, ALPHABET[name])
        model.moves = moves
        draws = sample(model, 2, 1000, 4000, thin=3, seed=18, n_jobs=2, keep="scalars")
        found[moves] = draws.summary(["residual_variance", "implied_variance"])
    error = np.hypot(found[True]["mcse_mean"], found[False]["mcse_mean"])
    assert (abs(found[True]["mean"] - found[False]["mean"]) < 4 * error).all()
    assert found[True].loc["implied_variance", "ess_bulk"] > found[False].loc["implied_variance", "ess_bulk"]


@pytest.fixture(scope="module")
def bglr():
    return json.loads(gzip.decompress((REFERENCE / "bglr_wheat_env1.json.gz").read_bytes()))


@pytest.mark.parametrize("name", ALPHABET)
def test_bglr_on_wheat(wheat, bglr, name):
    "Two chains of BGLR with 25,000 iterations after burn-in; effects and fit within the combined Monte Carlo error."
    G = np.ascontiguousarray((2 * wheat.dosage.T - 1).astype(np.int8))
    y, theirs = wheat.phenotype("env1").to_numpy(), bglr[name]
    model, keep = GibbsModel(G, y, ALPHABET[name]), ["residual_variance", "effect"]
    found = sample(model, 2, 1000, 4000, thin=2, seed=17, n_jobs=2, keep=keep)
    effect, draws = found.mean["effect"].values, found.draws["effect"].values.astype(float)
    assert np.corrcoef(effect, theirs["bd_mean"])[0, 1] > 0.99
    batches = draws.reshape(2 * 20, -1, draws.shape[-1]).mean(axis=1)
    error = np.sqrt(batches.var(axis=0, ddof=1) / 40 + np.array(theirs["bd_mcse"]) ** 2)
    z = (effect - theirs["bd_mean"]) / error
    assert np.sqrt(np.mean(z**2)) < 1.25 and np.abs(z).max() < 5.5
    np.testing.assert_allclose(np.median(draws.std(axis=(0, 1)) / theirs["bd_sd"]), 1, atol=0.03)
    assert np.corrcoef(found.mean["fitted"], theirs["yHat"])[0, 1] > 0.999
    ve = found.summary(["residual_variance"]).loc["residual_variance"]
    r = [c["chain_varE"] for c in theirs["chains"]]
    error = np.sqrt(sum(c["mcse"] ** 2 for c in r) / 4 + ve["mcse_mean"] ** 2)
    assert abs(ve["mean"] - np.mean([c["mean"] for c in r])) < 4.5 * error


@pytest.mark.parametrize("name", ["BRR", "BL"])
def test_held_out_fold_of_wheat(wheat, bglr, name):
    fold = (wheat.covariates["fold"] == 1).to_numpy()
    y = wheat.phenotype("env1").to_numpy()
    G, missing = np.ascontiguousarray(wheat.dosage.T), np.where(fold, np.nan, y)
    found = sample(GibbsModel(G, missing, ALPHABET[name]), 2, 1000, 3000, thin=2, seed=18, n_jobs=2, keep="scalars")
    fitted, theirs = found.mean["fitted"].values, bglr[name]["fold1_missing"]
    assert np.corrcoef(fitted[fold], y[fold])[0, 1] == pytest.approx(np.mean(theirs["predictive_cor"]), abs=0.01)
    assert np.corrcoef(fitted[fold], np.array(theirs["yHat"])[fold])[0, 1] > 0.998


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"G": np.ones((8, 30))}, TypeError),
        ({"G": np.asfortranarray(np.ones((8, 30), np.int8))}, TypeError),
        ({"y": np.full(30, np.nan)}, ValueError),
        ({"y": np.ones(30)}, ValueError),
        ({"y": np.ones(29)}, ValueError),
        ({"weight": -np.ones(30)}, ValueError),
        ({"weight": np.zeros(30)}, ValueError),
        ({"weight": np.ones(3)}, ValueError),
        ({"X": np.ones((30, 2))}, ValueError),
        ({"X": np.full((30, 1), np.nan)}, ValueError),
        ({"prior": {"a": (NormalPrior(), [0, 1]), "b": (NormalPrior(), [1])}}, ValueError),
        ({"prior": {"k": Kernel(np.eye(4))}}, ValueError),
        ({"prior": {"k": Kernel(-np.eye(30))}}, ValueError),
    ],
)
def test_bad_input(toy, change, error):
    arguments = {"G": toy[0], "y": toy[1], "prior": NormalPrior()} | change
    with pytest.raises(error):
        GibbsModel(**arguments)


KILLED = """
import sys
import numpy as np
from gp_literate.chains import open_posterior, sample
from gp_literate.gibbs import GibbsModel
from gp_literate.priors import PointMassTPrior
rng = np.random.default_rng(1)
G = rng.integers(0, 3, (200, 120), dtype=np.int8)
model = GibbsModel(G, G[:5].sum(0) + rng.standard_normal(120), PointMassTPrior())
sample(model, 2, 50, 4000, seed=2, store=sys.argv[1], checkpoint=0.02, n_jobs=2)
"""


def test_killed_twice_and_resumed(tmp_path):
    "SIGKILL at two moments of a stored run; the draws equal those of a run that was left alone."
    rng = np.random.default_rng(1)
    G = rng.integers(0, 3, (200, 120), dtype=np.int8)
    model, kills = GibbsModel(G, G[:5].sum(0) + rng.standard_normal(120), PointMassTPrior()), 0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "store"])
        for _ in range(600):
            time.sleep(0.05)
            if len(list((tmp_path / "store").glob("chain*.npz"))) == 2:
                break
        time.sleep(0.15)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills == 2 and not open_posterior(tmp_path / "store").info["complete"]
    resumed = sample(model, 2, 50, 4000, seed=2, store=tmp_path / "store", checkpoint=5)
    alone = sample(model, 2, 50, 4000, seed=2)
    for name in alone.draws:
        np.testing.assert_array_equal(resumed.draws[name], alone.draws[name], err_msg=name)
    np.testing.assert_array_equal(resumed.mean["effect"], alone.mean["effect"])
