"""The posterior mode of the multiple-trait Bayesian LASSO: the minimum it is, errors, missing records, bad input."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from sklearn.utils.estimator_checks import parametrize_with_checks

from gp_literate.map_mbl import MAPMultiTraitBayesianLasso, find_mode, mode_covariance, plot_trace, value_errors
from gp_literate.multitrait_gblup import MultiTraitGBLUP
from gp_literate.simulation import simulate_population

R0 = np.array([[1.0, 0.4], [0.4, 1.5]])
B = np.array([[0.06, 0.02], [0.02, 0.04]])


@parametrize_with_checks([MAPMultiTraitBayesianLasso(max_iter=50)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def small(n=25, p=6, holes=0.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (n, p)).astype(np.int8)
    Y = X[:, :2] @ rng.standard_normal((2, 2)) + rng.standard_normal((n, 2)) @ np.linalg.cholesky(R0).T
    Y[rng.random((n, 2)) < holes] = np.nan
    return X, Y[~np.isnan(Y).all(axis=1)] if holes else Y


def precisions(Y):
    "(n, 2, 2) inverse residual covariance of the records that exist, with zeros for the others."
    out = np.zeros((len(Y), 2, 2))
    for P, o in zip(out, ~np.isnan(Y), strict=True):
        P[np.ix_(o, o)] = np.linalg.inv(R0[np.ix_(o, o)])
    return out


def loss(parameters, X, Y, Sigma, P):
    "What is minimised, without any of the algebra of the module."
    p, T = X.shape[1], Y.shape[1]
    beta, mu = parameters[: p * T].reshape(p, T), parameters[p * T :]
    E = np.nan_to_num(Y - mu - (X - X.mean(axis=0)) @ beta)
    penalty = np.sqrt(np.einsum("jt,ts,js->j", beta, np.linalg.inv(Sigma), beta)).sum()
    return 0.5 * np.einsum("it,its,is->", E, P, E) + 0.5 * penalty


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_mode_is_the_minimum(holes):
    X, Y = small(seed=1)
    rng = np.random.default_rng(5)
    if holes:
        Y[rng.random(25) < holes, 1] = np.nan
        Y[np.isfinite(Y[:, 1]) & (rng.random(25) < holes), 0] = np.nan
    Sigma, P = B / 12, precisions(Y)
    mode = find_mode(X, Y, Sigma, R0, max_iter=20_000, tol=1e-11)
    here = loss(np.r_[mode.effects.ravel(), mode.mean], X, Y, Sigma, P)
    np.testing.assert_allclose(here, mode.trace["loss"].iloc[-1], rtol=1e-8)
    start = np.r_[mode.start.ravel(), np.nanmean(Y, axis=0)]
    found = minimize(loss, start, args=(X, Y, Sigma, P), method="Powell", options={"xtol": 1e-6, "ftol": 1e-12})
    assert here <= found.fun + 1e-6 and mode.converged and mode.gap < 1e-4
    for _ in range(40):
        near = np.r_[mode.effects.ravel(), mode.mean] + 0.01 * rng.standard_normal(14) * (rng.random(14) < 0.3)
        assert loss(near, X, Y, Sigma, P) >= here - 1e-10


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_the_loss_never_rises_and_the_gap_is_a_bound(seed, holes):
    X, Y = small(20, 40, seed=seed)
    if holes:
        Y[::3, 1] = np.nan
    short, long = (find_mode(X, Y, B / 12, R0, max_iter=k, tol=1e-12) for k in (30, 1000))
    assert (np.diff(long.trace["loss"]) <= 1e-9 * long.trace["loss"].iloc[0]).all()
    best = long.trace["loss"].iloc[-1]
    if not holes:  # with records missing the means must have converged for the bound to hold
        assert short.trace["loss"].iloc[-1] - short.gap <= best + 1e-8
    assert long.gap < 0.05


def test_one_trait_is_the_lasso():
    rng = np.random.default_rng(3)
    X = rng.integers(0, 3, (60, 100)).astype(float)
    y = X[:, :3] @ [1.0, -1.0, 0.5] + rng.standard_normal(60)
    mode = MAPMultiTraitBayesianLasso(0.02, 1.3, standardize=False, max_iter=20_000, tol=1e-11).fit(X, y)
    lasso = Lasso(1.3 / (2 * np.sqrt(0.02 / 8)) / 60, tol=1e-12, max_iter=1_000_000).fit(X, y)
    np.testing.assert_allclose(mode.coef_, lasso.coef_, atol=1e-5)
    np.testing.assert_allclose(mode.intercept_, lasso.intercept_, atol=1e-5)


@pytest.fixture(scope="module")
def population():
    pop = simulate_population(n_samples=90, n_variants=200, n_qtl=20, h2=0.6, design="dh", seed=4)
    rng = np.random.default_rng(1)
    g = pop.breeding_values.iloc[:, 0].to_numpy()
    g = (g - g.mean()) / g.std()
    Y = np.column_stack([g, 0.5 * g]) + rng.standard_normal((90, 2)) @ np.linalg.cholesky(R0).T
    Y += pop.dosage[:, 100:101] * np.array([0.0, 0.8])
    return pop.markers(), pd.DataFrame(Y, pop.sample_id, ["a", "b"])


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("components", ["reml", "sum_rule"])
def test_first_round_is_blup(population, standardize, components):
    X, Y = population
    mode = MAPMultiTraitBayesianLasso(components=components, standardize=standardize, max_iter=400).fit(X, Y)
    blup = MultiTraitGBLUP(components, standardize=standardize).fit(X, Y)
    sd = 1 if mode.mode_.scale.sd is None else mode.mode_.scale.sd[:, None]
    np.testing.assert_allclose(mode.mode_.start / sd, blup.coef_, rtol=1e-5, atol=1e-9)


def test_ids_and_shapes(population):
    X, Y = population
    fitted = MAPMultiTraitBayesianLasso(max_iter=300).fit(X, Y.sample(frac=1, random_state=0))
    by_position = clone(fitted).fit(X.to_numpy(), Y.to_numpy())
    value, error = fitted.predict(X.iloc[:5], return_std=True)
    assert list(value.columns) == ["a", "b"] and value.index.equals(X.index[:5]) and (error > 0).all().all()
    np.testing.assert_allclose(value, by_position.predict(X.to_numpy()[:5]), rtol=1e-6)
    np.testing.assert_allclose(fitted.predict(X), X.to_numpy() @ fitted.coef_ + fitted.intercept_, rtol=1e-8)
    assert fitted.coef_.shape == fitted.coef_se_.shape == (200, 2)
    assert list(fitted.residual_covariance_.index) == ["a", "b"] == list(fitted.effect_covariance_.columns)
    assert len(plot_trace(fitted)) == 3
    assert "rounds" in fitted._repr_html_() and fitted.n_iter_ == len(fitted.trace_)
    single = clone(fitted).fit(X, Y["a"])
    assert single.coef_.shape == (200,) and isinstance(single.intercept_, float)
    assert isinstance(single.predict(X), pd.Series) and single.predict(X).name == "a"


def test_recoding_order_and_units(population):
    X, Y = population
    X, Y, rng = X.to_numpy(), Y.to_numpy(), np.random.default_rng(2)
    order, flip, units = rng.permutation(200), rng.random(200) < 0.5, np.array([100.0, 0.01])
    a = MAPMultiTraitBayesianLasso(max_iter=300).fit(X, Y)
    recoded = np.where(flip, X.min() + X.max() - X, X)[:, order]
    b = MAPMultiTraitBayesianLasso(max_iter=300).fit(recoded, Y * units - 7)
    np.testing.assert_allclose((b.predict(recoded) + 7) / units, a.predict(X), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(b.coef_se_ / units, a.coef_se_[order], rtol=1e-3, atol=1e-5)


def test_lines_without_records_and_missing_cells(population):
    X, Y = population
    Y = Y.copy()
    Y.iloc[::5] = np.nan
    seen = Y.notna().any(axis=1)
    a, b = (MAPMultiTraitBayesianLasso(max_iter=300).fit(X[s], Y[s]) for s in (slice(None), seen))
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-9)
    Y.iloc[1::5, 1] = np.nan
    assert np.isfinite(MAPMultiTraitBayesianLasso(max_iter=300).fit(X, Y).predict(X)).all().all()


@pytest.mark.parametrize("holes", [False, True])
def test_errors_are_those_of_the_full_equations(holes):
    X, Y = small(40, 12, seed=8)
    if holes:
        Y[:9, 0], Y[9:21, 1] = np.nan, np.nan
    Sigma = B / 12
    mode = find_mode(X, Y, Sigma, R0, max_iter=4000)
    index = np.flatnonzero(mode.distance)
    Z = np.column_stack([(X - X.mean(axis=0))[:, index], np.ones(40)])
    prior = np.r_[1 / (2 * np.sqrt(mode.distance[index])), 0.0]
    A = np.kron(np.diag(prior), np.linalg.inv(Sigma))
    for z, P in zip(Z, precisions(Y), strict=True):
        A += np.kron(np.outer(z, z), P)
    C = np.linalg.inv(A)
    expected = [[np.kron(z, e) @ C @ np.kron(z, e) for e in np.eye(2)] for z in Z]
    covariance = mode_covariance(X, Y, mode, R0)
    assert 1 <= len(index) <= 12
    np.testing.assert_allclose(value_errors(covariance, X) ** 2, expected, rtol=1e-6)


def test_duplicate_markers_share_an_effect():
    X, Y = small(40, 8, seed=4)
    once = find_mode(X, Y, B / 12, R0, max_iter=5000)
    twice = find_mode(np.hstack([X, X]), Y, B / 12, R0, max_iter=5000)
    np.testing.assert_allclose(twice.effects[:8] + twice.effects[8:], once.effects, atol=1e-5)


def test_no_signal_gives_no_effects():
    X, Y = small(30, 10, seed=2)
    mode = find_mode(X, Y, 1e-6 * B, R0)
    assert not mode.effects.any() and mode.converged and mode.gap < 1e-9
    np.testing.assert_allclose(mode.mean, Y.mean(axis=0))
    assert np.isfinite(value_errors(mode_covariance(X, Y, mode, R0), X)).all()
    constant = find_mode(X, np.ones((30, 2)), B / 12, R0)
    assert not constant.effects.any()


def test_scale_of_rank_one():
    X, Y = small(40, 60, seed=6)
    mode = find_mode(X, Y, np.outer([1.0, 2.0], [1.0, 2.0]) * 0.005, R0, max_iter=3000)
    assert mode.effects.any()
    np.testing.assert_allclose(mode.effects[:, 1], 2 * mode.effects[:, 0], atol=1e-4)


def test_five_traits_and_more_traits_than_complete_lines():
    rng = np.random.default_rng(7)
    X = rng.integers(0, 3, (30, 50)).astype(np.int8)
    Y = rng.standard_normal((30, 5)) + X[:, :1]
    Y[np.arange(27), np.arange(27) % 5] = np.nan  # three complete lines
    model = MAPMultiTraitBayesianLasso(np.eye(5) * 0.05, np.eye(5), max_iter=2000).fit(X, Y)
    assert np.isfinite(model.predict(X)).all() and model.coef_.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Y: np.column_stack([Y[:, 0], -3 * Y[:, 0]]), "same up to scale"),
        (lambda Y: np.column_stack([Y[:, 0], np.ones(len(Y))]), "does not vary"),
        (lambda Y: np.column_stack([Y[:, 0], np.full(len(Y), np.nan)]), "no record at all"),
        (lambda Y: np.where(Y > 1, np.inf, Y), "infinity"),
        (lambda Y: Y[:-1], "inconsistent numbers of samples"),
    ],
)
def test_records_that_cannot_be_fitted(change, message):
    X, Y = small(40, 8, seed=9)
    with pytest.raises(ValueError, match=message):
        MAPMultiTraitBayesianLasso().fit(X, change(Y))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effect_covariance": np.eye(3), "residual_covariance": R0}, "effect_covariance must be"),
        ({"effect_covariance": B, "residual_covariance": np.ones((2, 2))}, "residual_covariance must be"),
        ({"effect_covariance": -B, "residual_covariance": R0}, "effect_covariance is not positive"),
        ({"components": "guess"}, "components='guess'"),
        ({"coding": "-1/1"}, "coding"),
        ({"max_iter": 0}, "max_iter must be"),
    ],
)
def test_options_that_are_none(options, message):
    X, Y = small(40, 8, seed=9)
    with pytest.raises(ValueError, match=message):
        MAPMultiTraitBayesianLasso(**options).fit(X, Y)


def test_too_few_rounds_are_announced():
    X, Y = small(40, 60, seed=9)
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        MAPMultiTraitBayesianLasso(B, R0, max_iter=2).fit(X, Y)


def test_genotypes_stay_int8(population):
    X, Y = population
    X = X.to_numpy()
    assert X.dtype == np.int8
    a, b = (MAPMultiTraitBayesianLasso(max_iter=200).fit(G, Y.to_numpy()) for G in (X, X.astype(float)))
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-6)


def test_wheat(wheat):
    Y = wheat.phenotypes[["env1", "env2"]]
    model = MAPMultiTraitBayesianLasso().fit(wheat.dosage, Y.to_numpy())
    assert model.n_iter_ == 500 and model.gap_ < 0.2
    assert model.trace_["change"].iloc[200:].max() < 1e-3
    assert 100 < np.count_nonzero(model.square_distance_) < 200
