"""Classes of markers by trait, against all assignments; the sampled multi-trait estimators; BGLR's spike and slab."""

import contextlib
import itertools
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from test_multitrait import FIRM, R0, SIGMA, bglr, bglr_prior, centred, compare_covariance, held, toy, wheat_case

from gp_literate.chains import open_posterior, sample
from gp_literate.gibbs import GibbsModel
from gp_literate.multitrait import InverseWishart, MultiTraitModel, NormalTraits, correlation, exact_trait_residual
from gp_literate.multitrait_bayes import (
    BayesianMultiTraitGBLUP,
    ClassPrior,
    MultiTraitBayesCPi,
    class_coordinates,
    complete_effects,
    trait_classes,
)
from gp_literate.multitrait_gblup import MultiTraitGBLUP
from gp_literate.priors import PointMassNormalPrior
from gp_literate.simulation import simulate_population

__all__ = ["bglr", "toy"]  # fixtures
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SAMPLERS = pytest.mark.parametrize("joint", [True, False], ids=["joint", "single trait"])


# --- classes ---------------------------------------------------------------------------------------------------------


def all_assignments(X, Y, weight):
    "Probability of every class of every marker and mean effects, by summing over all (2^T)^p assignments."
    (n, T), p = Y.shape, X.shape[1]
    bits, log_p, means, classes = trait_classes(T), [], [], []
    seen = ~np.isnan(Y.T.ravel())
    y, Z = np.nan_to_num(Y.T.ravel())[seen], np.kron(np.eye(T), X)[seen]
    noise = (np.kron(R0[:T, :T], np.eye(n)) + np.kron(1e6 * np.eye(T), np.ones((n, n))))[np.ix_(seen, seen)]
    for k in itertools.product(range(2**T), repeat=p):
        on = bits[list(k)].T.ravel()  # trait by trait
        D = np.kron(SIGMA[:T, :T], np.eye(p)) * np.outer(on, on)
        C = Z @ D @ Z.T + noise
        solved = np.linalg.solve(C, y)
        log_p.append(np.log(weight[list(k)]).sum() - 0.5 * (np.linalg.slogdet(C)[1] + y @ solved))
        means.append((D @ Z.T @ solved).reshape(T, p).T)
        classes.append(k)
    prob, classes = np.exp(log_p - np.logaddexp.reduce(log_p)), np.array(classes)
    each = np.array([[prob[classes[:, j] == c].sum() for c in range(2**T)] for j in range(p)])
    return each, np.tensordot(prob, means, 1)


class FixedWeights(ClassPrior):
    "The weights of the classes are known."

    weight = np.array([0.4, 0.3, 0.2, 0.1])

    def draw_weight(self, counts, rng):
        return np.resize(self.weight, len(counts)) / np.resize(self.weight, len(counts)).sum()


@SAMPLERS
@pytest.mark.parametrize(("T", "p", "missing"), [(2, 3, True), (3, 2, False)])
def test_classes_against_all_assignments(toy, joint, T, p, missing):
    G, Y = toy[0][:p], toy[2 if missing else 1][:, :T]
    prior = FixedWeights(df=FIRM, scale=FIRM * SIGMA[:T, :T], joint=joint)
    model, rng, draws = held(np.ascontiguousarray(G), Y, T, prior), np.random.default_rng(1), 12_000
    weight = prior.draw_weight(np.zeros(2**T), None)
    each, means = all_assignments(centred(G, (~np.isnan(Y).all(axis=1)).astype(float)), Y, weight)
    state, found, effect = model.start(rng), np.zeros((p, 2**T)), np.zeros((T, p))
    state["class_weight"][:] = weight
    for k in range(draws + 200):
        model.step(state, rng)
        if k >= 200:
            found[np.arange(p), state["component"]] += 1 / draws
            effect += state["effect"] / draws
        assert (state["effect"][trait_classes(T)[state["component"]].T == 0] == 0).all()
    np.testing.assert_allclose(found, each, atol=0.025)
    np.testing.assert_allclose(effect.T, means, atol=0.03)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_coordinates_of_every_class(T, seed):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((2, T, 2 * T))
    P, K, square = A @ A.T, B @ B.T, rng.gamma(2) * 10
    F, values = class_coordinates(P, K)
    for c, inside in enumerate(trait_classes(T).astype(bool)):
        h, gain = rng.standard_normal(T), values[c] / (values[c] * square + 1)
        S = np.ix_(inside, inside)
        C = square * P[S] + np.linalg.inv(K[S])
        assert gain @ (F[c] @ h) ** 2 == pytest.approx(h[inside] @ np.linalg.solve(C, h[inside]))
        assert (values[c] * square + 1).prod() == pytest.approx(np.linalg.det(K[S]) * np.linalg.det(C))
        assert not F[c][:, ~inside].any()


def test_complete_effects_have_the_conditional_law():
    "Effects outside the class, standardised given those inside; those inside stay."
    rng, n = np.random.default_rng(2), 8000
    bits, component = trait_classes(3).astype(bool), np.repeat(np.arange(8), 1000)
    full = np.linalg.cholesky(SIGMA) @ rng.standard_normal((3, n))
    effect = full * bits[component].T
    alpha = complete_effects(effect, component, SIGMA, rng)
    np.testing.assert_array_equal(alpha[bits[component].T], effect[bits[component].T])
    for c, inside in enumerate(bits[:-1]):
        o, m, j = inside, ~inside, component == c
        across = SIGMA[np.ix_(m, o)] @ np.linalg.inv(SIGMA[np.ix_(o, o)])
        rest = SIGMA[np.ix_(m, m)] - across @ SIGMA[np.ix_(o, m)]
        z = np.linalg.solve(np.linalg.cholesky(rest), alpha[m][:, j] - across @ effect[o][:, j])
        assert all(stats.kstest(row, "norm").pvalue > 1e-4 for row in z), c
        assert np.abs(np.corrcoef(np.vstack([z, effect[o][:, j]]))[: m.sum()] - np.eye(3)[: m.sum()]).max() < 0.15


@pytest.mark.parametrize("classes", ["dirichlet", "independent"])
def test_weights_of_the_classes(classes):
    prior = ClassPrior(7.0, np.eye(2), classes=classes, concentration=2.0, inclusion=(2.0, 3.0))
    counts, rng = np.array([10, 5, 3, 2]), np.random.default_rng(3)
    draws = np.array([prior.draw_weight(counts, rng) for _ in range(20_000)])
    np.testing.assert_allclose(draws.sum(axis=1), 1)
    if classes == "dirichlet":
        expected = (counts + 2) / (counts + 2).sum()
    else:
        a, b = (5 + 2 + 2) / (20 + 5), (3 + 2 + 2) / (20 + 5)
        expected = [(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b]
    np.testing.assert_allclose(draws.mean(axis=0), expected, atol=0.004)


@SAMPLERS
@pytest.mark.parametrize("classes", ["dirichlet", "independent"])
def test_one_trait_is_bayes_c_pi(toy, joint, classes):
    "A Dirichlet(1, 1) and a Beta(1, 1) are the same prior."
    G, y = toy[0], toy[1][:, 0]
    one = MultiTraitModel(G, y[:, None], ClassPrior(5.0, [[1.0]], classes=classes, joint=joint))
    old = GibbsModel(G, y, PointMassNormalPrior(5.0, 1.0, inclusion=(1.0, 1.0)))
    one, old = (sample(model, 2, 100, 6000, seed=k, keep=[]) for k, model in enumerate((one, old)))
    np.testing.assert_allclose(one.mean["effect"][:, 0], old.mean["effect"], atol=0.025)
    np.testing.assert_allclose(one.sd["effect"][:, 0], old.sd["effect"], rtol=0.06)
    np.testing.assert_allclose(one.mean["included"][:, 0], old.mean["included"], atol=0.03)
    assert float(one.mean["class_weight"][1]) == pytest.approx(float(old.mean["inclusion"]), abs=0.02)
    for a, b in (("residual_covariance", "residual_variance"), ("effect_covariance", "effect_variance")):
        assert float(one.mean[a][0, 0]) == pytest.approx(float(old.mean[b]), rel=0.06), a


@SAMPLERS
def test_residuals_stay_exact(toy, joint):
    G, _, Y = toy
    model = MultiTraitModel(G, Y, ClassPrior(joint=joint), weight=np.linspace(0.5, 2, 40), standardize=True)
    rng = np.random.default_rng(4)
    state = model.start(rng)
    for _ in range(149):
        model.step(state, rng)
    np.testing.assert_allclose(state["residual"], exact_trait_residual(model, state), atol=3e-5)


def test_coding_and_float_features_do_not_matter(toy):
    G, _, Y = toy
    codes = G, (G - 1).astype(np.int8), G.astype(np.float32)
    a, b, c = (sample(MultiTraitModel(X, Y, ClassPrior()), 1, 0, 25, seed=5) for X in codes)
    np.testing.assert_array_equal(a.draws["effect"], c.draws["effect"])
    np.testing.assert_allclose(a.draws["effect"], b.draws["effect"], atol=2e-3)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 5, 7])
def test_any_number_of_markers(toy, p):
    "The sweep takes four at a time."
    G = np.ascontiguousarray(np.vstack([toy[0]] * 2)[:p])
    model, rng = MultiTraitModel(G, toy[1], ClassPrior(7.0, SIGMA)), np.random.default_rng(6)
    state = model.start(rng)
    for _ in range(49):
        model.step(state, rng)
    np.testing.assert_allclose(state["residual"], exact_trait_residual(model, state), atol=3e-5)


def test_constant_and_duplicate_markers(toy):
    G, Y, _ = toy
    G = np.vstack([G, G[:1], np.ones((1, 40), np.int8)])
    prior = FixedWeights(df=FIRM, scale=FIRM * SIGMA[:2, :2])
    model = held(G, Y[:, :2], 2, prior)
    found = sample(model, 2, 100, 4000, seed=7, keep=[])
    mean, pip = found.mean["effect"].values, found.mean["included"].values
    np.testing.assert_allclose(mean[0], mean[6], atol=0.05)
    np.testing.assert_allclose(pip[7], [0.4, 0.3], atol=0.02)  # its prior: classes 1 and 3, 2 and 3


# --- BGLR ------------------------------------------------------------------------------------------------------------


def test_bglr_spike_slab_on_wheat(wheat, bglr):
    "Two chains of BGLR with 16,000 iterations; its covariance and shares mix slowly (30 effective draws)."
    theirs = bglr["SpikeSlab"]
    prior = bglr_prior(theirs, ClassPrior, classes="independent")
    keep = ["residual_covariance", "effect_covariance", "included", "effect"]
    found = sample(wheat_case(wheat, theirs, prior, False), 4, 2000, 4000, thin=3, seed=8, n_jobs=2, keep=keep)
    compare_covariance(found, "residual_covariance", theirs["R_vech"])
    effect, draws = found.mean["effect"].values, found.draws["effect"].values.astype(float)
    batches = draws.reshape(2 * 20, -1, *draws.shape[2:]).mean(axis=1)
    theirs_error = theirs["mcse_in_sd"] * np.array(theirs["SD_beta"])
    z = (effect - theirs["beta"]) / np.sqrt(batches.var(axis=0, ddof=1) / 40 + theirs_error**2)
    assert np.sqrt(np.mean(z**2)) < 1.3 and np.abs(z).max() < 5.5
    for t in range(2):
        assert np.corrcoef(effect[:, t], np.array(theirs["beta"])[:, t])[0, 1] > 0.99
        assert np.corrcoef(found.mean["fitted"][:, t], np.array(theirs["ETAHat"])[:, t])[0, 1] > 0.999
    S = np.einsum("cdjt,cdju->tu", draws, draws) / np.prod(draws.shape[:2]) / draws.shape[2]
    np.testing.assert_allclose(S, theirs["Sigma"], rtol=0.12)  # covariance of the effects in the model
    compare_covariance(found, "effect_covariance", theirs["Omega_vech"])


# --- estimators ------------------------------------------------------------------------------------------------------

ESTIMATORS = [BayesianMultiTraitGBLUP, MultiTraitBayesCPi]
SHORT = {"n_chains": 2, "tune": 20, "draws": 60, "random_state": 1}


@pytest.fixture(scope="module")
def lines():
    "Markers and two traits with correlated genetic values; 30 lines without the first, 10 without any record."
    population = simulate_population(130, 250, n_chromosomes=3, n_qtl=10, h2=0.7, design="dh", seed=1)
    rng, X = np.random.default_rng(2), population.markers()
    g = population.breeding_values["trait"] / population.breeding_values["trait"].std()
    other = X.to_numpy(float)[:, ::25] @ rng.standard_normal(10)
    truth = pd.DataFrame({"a": g, "b": 0.8 * g + 0.6 * other / other.std()}, index=X.index)
    Y = truth + 0.7 * rng.multivariate_normal([0, 0], [[1, -0.5], [-0.5, 1]], 130)
    Y.iloc[90:120, 0], Y.iloc[120:] = np.nan, np.nan
    return X, Y, truth


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_predicts_and_aligns(lines, cls):
    X, Y, truth = lines
    fit = cls(n_chains=2, tune=200, draws=500, random_state=3).fit(X, Y.sample(frac=1, random_state=4))
    assert set(fit.fitted_.index) == set(X.index) and list(fit.fitted_.index) != list(X.index)
    predicted = fit.predict(X.iloc[90:])
    assert list(predicted.columns) == ["a", "b"]
    assert (predicted.iloc[30:].corrwith(truth.iloc[120:]) > 0.3).all()
    np.testing.assert_allclose(predicted, fit.fitted_.loc[predicted.index], atol=1e-5)
    assert fit.coef_.shape == (250, 2) and fit.intercept_.shape == (2,) and fit.heritability_.shape == (2,)
    for kind in ("genetic", "residual", "effect"):
        table = getattr(fit, f"{kind}_covariance_")
        assert list(table.index) == list(table.columns) == ["a", "b"] and np.linalg.eigvalsh(table)[0] > 0
        low, mean, high = fit.correlations_.loc[(kind, "a", "b"), ["low", "mean", "high"]]
        assert -1 <= low < mean < high <= 1
    assert fit.correlations_.loc[("genetic", "a", "b"), "mean"] > 0.3
    assert fit.correlations_.loc[("residual", "a", "b"), "mean"] < 0
    assert "residual" in fit._repr_html_() and "R-hat" in fit._repr_html_()
    if hasattr(fit, "pip_"):
        assert fit.pip_.shape == (250, 2) and ((fit.pip_ >= 0) & (fit.pip_ <= 1)).all()


def test_agrees_with_reml(lines):
    "Posterior and plug-in predictions of the same model."
    X, Y, _ = lines
    fit = BayesianMultiTraitGBLUP(n_chains=2, tune=300, draws=2000, random_state=5).fit(X, Y)
    reml = MultiTraitGBLUP().fit(X, Y)
    for t in ("a", "b"):
        assert np.corrcoef(fit.predict(X)[t], reml.predict(X)[t])[0, 1] > 0.98


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_same_seed_same_draws_whatever_the_workers(lines, cls):
    X, Y, _ = lines
    one = cls(**SHORT, keep="all").fit(X, Y)
    two = clone(one).set_params(n_jobs=2).fit(X, Y)
    for name in one.posterior_.draws:
        np.testing.assert_array_equal(one.posterior_.draws[name], two.posterior_.draws[name], err_msg=name)
    assert not np.array_equal(one.coef_, clone(one).set_params(random_state=2).fit(X, Y).coef_)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_a_store_is_resumed(lines, tmp_path, cls):
    X, Y, _ = lines
    whole = cls(**SHORT, keep="all").fit(X, Y)
    stored = clone(whole).set_params(store=tmp_path / "store", draws=31).fit(X, Y).set_params(draws=60).fit(X, Y)
    for name in whole.posterior_.draws:
        np.testing.assert_array_equal(whole.posterior_.draws[name], stored.posterior_.draws[name], err_msg=name)
    np.testing.assert_array_equal(whole.fitted_, stored.fitted_)


KILLED = """
import sys
import numpy as np
from gp_literate.chains import sample
from gp_literate.multitrait import MultiTraitModel
from gp_literate.multitrait_bayes import ClassPrior
rng = np.random.default_rng(1)
G = rng.integers(0, 3, (30, 40), dtype=np.int8)
Y = G[:2].T + rng.standard_normal((40, 2))
Y[:9, 0] = np.nan
sample(MultiTraitModel(G, Y, ClassPrior()), 2, 50, 1000, seed=2, store=sys.argv[1], checkpoint=0.02, n_jobs=2)
"""


def test_killed_and_resumed(tmp_path):
    rng = np.random.default_rng(1)
    G = rng.integers(0, 3, (30, 40), dtype=np.int8)
    Y = G[:2].T + rng.standard_normal((40, 2))
    Y[:9, 0] = np.nan
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "store"])
    for _ in range(600):
        time.sleep(0.05)
        with contextlib.suppress(OSError, ValueError):
            if min(open_posterior(tmp_path / "store").info["count"]) > 0:
                break
    process.kill()
    assert process.wait() == -signal.SIGKILL and not open_posterior(tmp_path / "store").info["complete"]
    model = MultiTraitModel(G, Y, ClassPrior())
    resumed = sample(model, 2, 50, 1000, seed=2, store=tmp_path / "store", checkpoint=5)
    alone = sample(model, 2, 50, 1000, seed=2)
    for name in alone.draws:
        np.testing.assert_array_equal(resumed.draws[name], alone.draws[name], err_msg=name)


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("standardize", [False, True])
def test_spread_of_predictions(lines, cls, standardize):
    X, Y, _ = lines
    fit = cls(n_chains=1, tune=50, draws=300, keep="all", standardize=standardize, random_state=6).fit(X, Y)
    predicted, sd = fit.predict(X, return_std=True)
    np.testing.assert_allclose(predicted, fit.fitted_, atol=1e-5)
    np.testing.assert_allclose(sd, fit.fitted_sd_, rtol=1e-3)
    with pytest.raises(ValueError, match='keep="all"'):
        cls(**SHORT).fit(X, Y).predict(X, return_std=True)


def test_one_trait_may_be_a_vector_or_a_table(lines):
    X, Y, _ = lines
    vector, table = (BayesianMultiTraitGBLUP(**SHORT).fit(X, y) for y in (Y["a"], Y[["a"]]))
    assert vector.predict(X).shape == (130,) and table.predict(X).shape == (130, 1)
    assert vector.coef_.shape == (250,) and table.coef_.shape == (250, 1) and isinstance(vector.intercept_, float)
    assert vector.predict(X).name == "a" and vector.correlations_.empty and "seconds" in vector._repr_html_()
    np.testing.assert_array_equal(vector.coef_, table.coef_[:, 0])
    np.testing.assert_array_equal(BayesianMultiTraitGBLUP(**SHORT).fit(X, Y["a"].to_numpy()).coef_, vector.coef_)


def test_rows_are_matched_by_id(lines):
    "Weights and covariates in another order; arrays take the order of the markers, and their ids."
    X, Y, _ = lines
    rng = np.random.default_rng(7)
    w = pd.Series(rng.choice([0.5, 1.0, 2.0], 130), X.index)
    covariate = pd.DataFrame({"depth": rng.standard_normal(130)}, X.index)
    fit = BayesianMultiTraitGBLUP(**SHORT)
    straight = fit.fit(X, Y, sample_weight=w, fixed=covariate)
    mixed = clone(fit).fit(X.sample(frac=1, random_state=1), Y, w.sample(frac=1), fixed=covariate.sample(frac=1))
    np.testing.assert_array_equal(straight.coef_, mixed.coef_)
    assert list(straight.fixed_effects_.index) == ["intercept", "depth"]
    bare = clone(fit).fit(X, Y.to_numpy(), sample_weight=w.to_numpy(), fixed=covariate.to_numpy())
    np.testing.assert_array_equal(straight.coef_, bare.coef_)
    assert bare.fitted_.index.equals(X.index)
    clone(fit).fit(X, Y.to_numpy(), sample_weight=w, fixed=covariate)
    for bad in ({"sample_weight": w.add_prefix("x")}, {"fixed": covariate.T.add_prefix("x").T}):
        with pytest.raises(ValueError, match="different ids"):
            clone(fit).fit(X, Y, **bad)
    with pytest.raises(ValueError, match="different ids"):
        clone(fit).fit(X, Y.rename(index={X.index[0]: "nobody"}))


def test_weight_zero_is_a_line_left_out(lines):
    X, Y, _ = lines
    w = np.where(np.arange(130) < 20, 0.0, 1.0)
    a = BayesianMultiTraitGBLUP(**SHORT).fit(X, Y, sample_weight=w)
    b = BayesianMultiTraitGBLUP(**SHORT).fit(X, Y.where(np.tile(w > 0, (2, 1)).T))
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-10)


def test_what_is_kept(lines):
    X, Y, _ = lines
    fit = MultiTraitBayesCPi(**SHORT).fit(X, Y)
    assert set(fit.posterior_.draws) == {f"{kind}_covariance" for kind in ("residual", "genomic", "effect")} | {
        "fixed",
        "class_weight",
    }
    for keep in ("scalars", ["effect"]):
        bare = MultiTraitBayesCPi(**SHORT, keep=keep).fit(X, Y)
        assert "seconds" in bare._repr_html_() and bare.correlations_.empty
        np.testing.assert_array_equal(bare.coef_, fit.coef_)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_too_short_chains_are_said(lines, cls):
    X, Y, _ = lines
    with warnings.catch_warnings(), pytest.warns(ConvergenceWarning, match="has not converged for") as caught:
        cls(n_chains=2, tune=0, draws=20, random_state=8).fit(X, Y)
    assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="too few to judge"):
        assert "seconds" in cls(n_chains=2, tune=0, draws=5, random_state=8).fit(X, Y)._repr_html_()


def test_three_traits(lines):
    X, Y, _ = lines
    Y = Y.assign(c=Y["b"].fillna(0) + np.random.default_rng(9).standard_normal(130))
    fit = MultiTraitBayesCPi(**SHORT).fit(X, Y)
    assert len(fit.correlations_) == 9 and fit.posterior_.mean["class_weight"].sizes["class"] == 8
    r = correlation(fit.residual_covariance_.to_numpy())
    assert np.allclose(np.diag(r), 1) and (np.abs(r) <= 1 + 1e-12).all()


@pytest.mark.parametrize(
    ("cls", "parameters", "message"),
    [
        (MultiTraitBayesCPi, {"sampler": "both"}, "sampler='both'"),
        (MultiTraitBayesCPi, {"classes": "free"}, "classes='free'"),
        (MultiTraitBayesCPi, {"concentration": 0.0}, "concentration must be"),
        (MultiTraitBayesCPi, {"inclusion": (1.0, -1.0)}, "b must be"),
        (MultiTraitBayesCPi, {"df": 0.5}, "degrees of freedom"),
        (MultiTraitBayesCPi, {"df": 0.5, "scale": np.eye(2)}, "degrees of freedom"),
        (MultiTraitBayesCPi, {"scale": np.eye(3)}, "scale must be a symmetric"),
        (BayesianMultiTraitGBLUP, {"scale": np.ones((2, 2))}, "scale must be a symmetric"),
        (BayesianMultiTraitGBLUP, {"r2": 0.0}, "r2 must lie"),
        (BayesianMultiTraitGBLUP, {"df": np.nan}, "degrees of freedom"),
        (BayesianMultiTraitGBLUP, {"residual": InverseWishart(5.0, np.eye(3))}, "2 × 2"),
        (BayesianMultiTraitGBLUP, {"n_chains": 0}, "n_chains"),
        (BayesianMultiTraitGBLUP, {"draws": 0}, "draws"),
        (BayesianMultiTraitGBLUP, {"keep": "nothing"}, "keep must be"),
        (BayesianMultiTraitGBLUP, {"coding": "0/1"}, "outside coding"),
    ],
)
def test_bad_parameters(lines, cls, parameters, message):
    with pytest.raises(ValueError, match=message):
        cls(**SHORT | parameters).fit(lines[0], lines[1])


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Y: Y.assign(b=np.nan), "trait 1: .*0 usable"),
        (lambda Y: Y.assign(b=1.0), "trait 1: .*all equal"),
        (lambda Y: Y.assign(b=2 - 3 * Y["a"]), "perfectly correlated"),
        (lambda Y: Y.replace(Y.iloc[0, 0], np.inf), "finite"),
        (lambda Y: Y.iloc[:50], "different ids"),
        (lambda Y: Y.to_numpy()[:50], "inconsistent numbers"),
        (lambda Y: Y.to_numpy()[:, :, None], "shape"),
        (lambda Y: None, "requires y"),
    ],
)
def test_tables_without_an_answer_are_refused(lines, cls, change, message):
    with pytest.raises(ValueError, match=message):
        cls(**SHORT).fit(lines[0], change(lines[1]))


def test_nine_traits_are_too_many_for_classes(lines):
    Y = np.random.default_rng(10).standard_normal((130, 9))
    with pytest.raises(ValueError, match="8 traits at most"):
        MultiTraitBayesCPi(**SHORT).fit(lines[0], Y)
    assert np.isfinite(BayesianMultiTraitGBLUP(**SHORT).fit(lines[0], Y).coef_).all()


@pytest.mark.parametrize("prior", [ClassPrior(), ClassPrior(joint=False), NormalTraits()], ids=["joint", "single", "n"])
def test_strong_signals_do_not_overflow(toy, prior):
    "Markers that explain everything: evidences of many thousands."
    G, rng = toy[0], np.random.default_rng(11)
    Y = 1e3 * (G[:2].T - 1.0) + 1e-2 * rng.standard_normal((40, 2))
    found = sample(MultiTraitModel(G, Y, prior), 1, 100, 200, seed=12)
    assert all(np.isfinite(draws).all() for draws in found.draws.values())
    np.testing.assert_allclose(found.mean["effect"][:2], 1e3 * np.eye(2), atol=50)
