"""Multi-trait GBLUP: full matrices, one-trait fits, BGLR, simulation, invariances, missing records, the edges."""

import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.base import clone

from gp_literate.gwas import gwas
from gp_literate.kernels import a_mat
from gp_literate.mixed_model import GBLUP, RRBLUP, mixed_solve
from gp_literate.multitrait_gblup import MultiTraitGBLUP, error_covariance, mahalanobis
from gp_literate.simulation import simulate_population
from gp_literate.trait_covariances import (
    canonical_shares,
    climb_traits,
    evaluate,
    factor_curvature,
    factors,
    from_factors,
    multitrait_blup,
    multitrait_reml,
    prepare,
    repair_covariance,
    sum_rule,
    trait_input,
)


def full_matrices(Y, K, G0, R0, X=None, weights=None):
    "(V, B, y) of the observed records, traits one below the other."
    n, T = Y.shape
    X = np.ones((n, 1)) if X is None else X
    w = np.ones(n) if weights is None else weights
    y = np.asarray(Y, float).T.ravel()
    o = ~np.isnan(y)
    return (np.kron(G0, K) + np.kron(R0, np.diag(1 / w)))[np.ix_(o, o)], np.kron(np.eye(T), X)[o], y[o], o


def dense_likelihood(Y, K, G0, R0, X=None, reml=True, weights=None):
    "Log-likelihood from the full matrices."
    V, B, y, _ = full_matrices(Y, K, G0, R0, X, weights)
    Vi = np.linalg.inv(V)
    XVX = B.T @ Vi @ B
    rest = y - B @ np.linalg.solve(XVX, B.T @ Vi @ y)
    out = np.linalg.slogdet(V)[1] + rest @ Vi @ rest + (len(y) - reml * B.shape[1]) * np.log(2 * np.pi)
    return -(out + reml * (np.linalg.slogdet(XVX)[1] - np.linalg.slogdet(B.T @ B)[1])) / 2


def random_case(T=2, missing=0.0, seed=0, n=40, q=2):
    "Records with signal, kernel, fixed effects, and the covariances they are drawn from."
    rng = np.random.default_rng(seed)
    A, B, S = rng.normal(size=(T, T)), rng.normal(size=(T, T)), rng.normal(size=(n, 2 * n))
    G0, R0, K = A @ A.T + 0.2 * np.eye(T), B @ B.T + 0.3 * np.eye(T), S @ S.T / (2 * n)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, q - 1))])
    Y = S @ rng.normal(size=(2 * n, T)) / np.sqrt(2 * n) @ np.linalg.cholesky(G0).T
    Y += rng.normal(size=(n, T)) @ np.linalg.cholesky(R0).T + X @ rng.normal(size=(q, T))
    Y[rng.random((n, T)) < missing] = np.nan
    return Y, K, X, G0, R0


CASES = [(1, 0.0), (2, 0.0), (2, 0.4), (3, 0.3), (4, 0.0), (4, 0.6)]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("T", "missing"), CASES)
def test_likelihood_is_that_of_the_full_matrices(T, missing, reml):
    Y, K, X, G0, R0 = random_case(T, missing, seed=T)
    weights = np.random.default_rng(1).uniform(0.5, 3, len(Y))
    for w in (None, weights):
        prepared = prepare(trait_input(Y, K, X, w), reml)
        found = evaluate(canonical_shares(G0 * prepared.size, R0), prepared.data).LL
        keep = ~np.isnan(Y).all(axis=1)
        dense = dense_likelihood(Y[keep], K[np.ix_(keep, keep)], G0, R0, X[keep], reml, None if w is None else w[keep])
        np.testing.assert_allclose(found, dense, rtol=1e-9)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("T", "missing"), CASES)
def test_slope_and_average_information(T, missing, reml):
    Y, K, X, G0, R0 = random_case(T, missing, seed=10 + T)
    data = prepare(trait_input(Y, K, X), reml).data
    point = evaluate(canonical_shares(G0, R0), data)
    theta = factors(point.at)
    LL = lambda entries: evaluate(from_factors(point.at, entries), data).LL
    numeric = [(LL(theta + m) - LL(theta - m)) / 2e-5 for m in 1e-5 * np.eye(len(theta))]
    np.testing.assert_allclose(factor_curvature(point)[0], numeric, rtol=1e-5, atol=1e-4)
    # average information from the full matrices, on the canonical scales
    keep = ~np.isnan(Y).all(axis=1)
    U, M = prepare(trait_input(Y, K, X), reml).vectors, point.at.inverse
    Ks = (U * data.values) @ U.T
    V, B, y, o = full_matrices(Y[keep], Ks, G0, R0, X[keep])
    Vi = np.linalg.inv(V)
    P = Vi - Vi @ B @ np.linalg.solve(B.T @ Vi @ B, B.T @ Vi)
    back, moved = np.linalg.inv(M), []
    for kernel in (Ks, np.eye(len(Ks))):
        for t, s in zip(*np.tril_indices(T), strict=True):
            E = np.zeros((T, T))
            E[t, s] = E[s, t] = 1
            moved.append(np.kron(back @ E @ back.T, kernel)[np.ix_(o, o)] @ P @ y)
    moved = np.array(moved)
    np.testing.assert_allclose(point.information, moved @ P @ moved.T / 2, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("T", "missing"), [(2, 0.0), (2, 0.3)])
def test_maximum_is_that_of_a_general_optimiser(T, missing):
    Y, K, X, G0, R0 = random_case(T, missing, seed=3, n=60)
    keep = ~np.isnan(Y).all(axis=1)
    Y, K, X = Y[keep], K[np.ix_(keep, keep)], X[keep]
    fit = multitrait_reml(Y, K, X)
    low = np.tril_indices(T)

    def objective(theta):
        L, U = np.zeros((T, T)), np.zeros((T, T))
        L[low], U[low] = theta[:3], theta[3:]
        return -dense_likelihood(Y, K, L @ L.T, U @ U.T + 1e-9 * np.eye(T), X)

    start = np.r_[np.linalg.cholesky(G0)[low], np.linalg.cholesky(R0)[low]]
    best = minimize(objective, start, method="BFGS")
    assert fit.converged
    np.testing.assert_allclose(fit.LL, -best.fun, rtol=1e-6)
    L = np.zeros((T, T))
    L[low] = best.x[:3]
    np.testing.assert_allclose(fit.G0, L @ L.T, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_effects_and_their_errors_are_those_of_the_full_matrices(missing):
    Y, K, X, G0, R0 = random_case(3, missing, seed=8)
    Y[:3] = np.nan
    fit = multitrait_blup(Y, K, G0, R0, X)
    V, B, y, o = full_matrices(Y, K, G0, R0, X)
    Vi = np.linalg.inv(V)
    beta = np.linalg.solve(B.T @ Vi @ B, B.T @ Vi @ y)
    C = np.kron(G0, K)[:, o]
    np.testing.assert_allclose(fit.beta.to_numpy().T.ravel(), beta, rtol=1e-8)
    np.testing.assert_allclose(fit.beta_se.to_numpy().T.ravel() ** 2, np.diag(np.linalg.inv(B.T @ Vi @ B)), rtol=1e-8)
    np.testing.assert_allclose(fit.u.to_numpy().T.ravel(), C @ Vi @ (y - B @ beta), atol=1e-8)
    assert np.abs(fit.dual[np.isnan(Y)]).max() < 1e-10
    P = Vi - Vi @ B @ np.linalg.solve(B.T @ Vi @ B, B.T @ Vi)
    errors, n, seen = np.kron(G0, K) - C @ P @ C.T, len(Y), fit.given.seen
    found = error_covariance(fit, K[:, seen], G0, np.diag(K))
    for t, s in np.ndindex(3, 3):
        np.testing.assert_allclose(found[:, t, s], np.diag(errors[t * n : (t + 1) * n, s * n : (s + 1) * n]), atol=1e-8)
    Xall = np.kron(np.eye(3), X)
    D = Xall - C @ Vi @ B
    total = np.diag(np.kron(G0, K) - C @ Vi @ C.T + D @ np.linalg.solve(B.T @ Vi @ B, D.T))
    found = np.diagonal(error_covariance(fit, K[:, seen], G0, np.diag(K), X), axis1=1, axis2=2)
    np.testing.assert_allclose(found.T.ravel(), total, rtol=1e-7)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_one_trait_is_mixed_solve(method):
    Y, K, X, *_ = random_case(1, 0.2, seed=4, n=80)
    fit, known = multitrait_reml(Y[:, 0], K, X, method=method), mixed_solve(Y[:, 0], K=K, X=X, method=method, se=True)
    np.testing.assert_allclose([fit.G0.iloc[0, 0], fit.R0.iloc[0, 0]], [known.Vu, known.Ve], rtol=1e-7)
    np.testing.assert_allclose(fit.LL, known.LL, rtol=1e-10)
    np.testing.assert_allclose(fit.u.iloc[:, 0], known.u, atol=1e-7)
    np.testing.assert_allclose(fit.beta.iloc[:, 0], known.beta, rtol=1e-7)
    np.testing.assert_allclose(fit.beta_se.iloc[:, 0], known.beta_se, rtol=1e-6)


def test_unrelated_traits_are_fitted_one_by_one():
    Y, K, X, *_ = random_case(3, 0.25, seed=5, n=60)
    known = [mixed_solve(y, K=K, X=X) for y in Y.T]
    fit = multitrait_blup(Y, K, np.diag([k.Vu for k in known]), np.diag([k.Ve for k in known]), X)
    np.testing.assert_allclose(fit.LL, sum(k.LL for k in known), rtol=1e-9)
    np.testing.assert_allclose(fit.u, np.column_stack([k.u for k in known]), atol=1e-8)


def test_weights_are_means_of_plots():
    "Weights multiply the precision: one trait against mixed_solve, two against the full matrices."
    Y, K, X, G0, R0 = random_case(2, 0.2, seed=6, n=50)
    w = np.random.default_rng(2).integers(0, 4, 50).astype(float)
    one, known = multitrait_reml(Y[:, 0], K, X, weights=w), mixed_solve(Y[:, 0], K=K, X=X, weights=w)
    np.testing.assert_allclose([one.G0.iloc[0, 0], one.LL], [known.Vu, known.LL], rtol=1e-6)
    np.testing.assert_allclose(one.u.iloc[:, 0], known.u, atol=1e-6)
    fit = multitrait_blup(Y, K, G0, R0, X, weights=w)
    y = np.where(w[:, None] > 0, Y, np.nan)
    V, B, y, o = full_matrices(y, K, G0, R0, X, np.where(w > 0, w, 1))
    Vi = np.linalg.inv(V)
    dual = Vi @ (y - B @ np.linalg.solve(B.T @ Vi @ B, B.T @ Vi @ y))
    np.testing.assert_allclose(fit.u.to_numpy().T.ravel(), np.kron(G0, K)[:, o] @ dual, atol=1e-8)
    found = error_covariance(fit, K[:, fit.given.seen], G0, np.diag(K))
    P = Vi - Vi @ B @ np.linalg.solve(B.T @ Vi @ B, B.T @ Vi)
    errors = np.diag(np.kron(G0, K) - np.kron(G0, K)[:, o] @ P @ np.kron(G0, K)[:, o].T)
    np.testing.assert_allclose(np.diagonal(found, axis1=1, axis2=2).T.ravel(), errors, atol=1e-8)


# --- the climb -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_poor_starts_end_at_the_same_top(missing):
    Y, K, X, *_ = random_case(3, missing, seed=21, n=120)
    best = multitrait_reml(Y, K, X)
    rng = np.random.default_rng(0)
    starts = [(1e-4 * np.eye(3), np.eye(3)), (100 * np.eye(3), 1e-3 * np.eye(3))]
    for _ in range(4):
        A, B = rng.normal(size=(2, 3, 3))
        starts.append((A @ A.T, 10 ** rng.uniform(-2, 2) * (B @ B.T + 1e-3 * np.eye(3))))
    for start in starts:
        fit = multitrait_reml(Y, K, X, start=start)
        assert fit.converged
        np.testing.assert_allclose(fit.LL, best.LL, atol=1e-6)
        np.testing.assert_allclose(fit.G0, best.G0, atol=1e-3 * np.diag(best.G0).max())


def test_no_step_lowers_the_likelihood_or_leaves_the_covariances():
    for seed in range(6):
        Y, K, X, *_ = random_case(4, 0.2, seed=seed, n=30)
        prepared = prepare(trait_input(Y, K, X))
        climb = climb_traits(canonical_shares(np.eye(4), np.eye(4)), prepared.data)
        LL = np.array([step[1] for step in climb.path])
        assert (np.diff(LL) >= -1e-8 * (1 + np.abs(LL[1:]))).all()
        for *_, at in climb.path:
            assert at.genetic.min() > 0 and at.residual.min() > 0 and np.linalg.eigvalsh(at.R0)[0] > 0


def test_ten_traits():
    Y, K, X, *_ = random_case(10, 0.0, seed=2, n=150)
    fit = multitrait_reml(Y, K, X)
    assert fit.converged and np.isfinite(fit.u.to_numpy()).all() and np.linalg.eigvalsh(fit.R0)[0] > 0
    assert fit.LL > sum(mixed_solve(y, K=K, X=X).LL for y in Y.T)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.25]))
def test_order_and_units_of_traits_do_not_matter(seed, missing):
    Y, K, X, *_ = random_case(3, missing, seed=seed % 1000, n=60)
    rng = np.random.default_rng(seed)
    order, units = rng.permutation(3), 10 ** rng.uniform(-3, 3, 3) * rng.choice([-1, 1], 3)
    a, b = multitrait_reml(Y, K, X), multitrait_reml((Y * units)[:, order], K, X)
    D = np.outer(units, units)[np.ix_(order, order)]
    scale = np.sqrt(np.outer(np.diag(a.R0 + a.G0), np.diag(a.R0 + a.G0)))[np.ix_(order, order)]
    np.testing.assert_allclose(b.LL, a.LL - np.log(np.abs(units)) @ ((~np.isnan(Y)).sum(axis=0) - 2), rtol=1e-6)
    for name in ("G0", "R0"):
        expected = getattr(a, name).to_numpy()[np.ix_(order, order)]
        np.testing.assert_allclose(getattr(b, name) / D / scale, expected / scale, atol=2e-3)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31))
def test_combinations_of_traits_are_a_change_of_coordinates(seed):
    Y, K, X, *_ = random_case(3, 0.0, seed=seed % 1000, n=60)
    A = np.random.default_rng(seed).normal(size=(3, 3)) + 2 * np.eye(3)
    a, b = multitrait_reml(Y, K, X), multitrait_reml(Y @ A, K, X)
    np.testing.assert_allclose(b.LL, a.LL - (len(Y) - 2) * np.linalg.slogdet(A)[1], rtol=1e-7)
    for name in ("G0", "R0"):
        moved = A.T @ getattr(a, name).to_numpy() @ A
        np.testing.assert_allclose(getattr(b, name), moved, atol=2e-3 * np.diag(moved).max())
    np.testing.assert_allclose(b.u, a.u.to_numpy() @ A, atol=5e-3 * np.abs(a.u.to_numpy() @ A).max())


def test_errors_cover_the_truth():
    rng = np.random.default_rng(0)
    Z = rng.integers(0, 3, (200, 300)).astype(float)
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    # relatives: half of each genome in common within families of ten
    family = np.repeat(np.arange(20), 10)
    Z[:, :150] = Z[family * 10, :150]
    K = Z @ Z.T / 300
    G0, R0 = np.array([[1, 0.5], [0.5, 1]]), np.array([[1, -0.3], [-0.3, 1]])
    inside, total = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        Y = Z @ rng.normal(size=(300, 2)) @ np.linalg.cholesky(G0).T / 300**0.5
        Y += rng.normal(size=(200, 2)) @ np.linalg.cholesky(R0).T
        Y[rng.random(Y.shape) < 0.1] = np.nan
        f = multitrait_reml(Y, K)
        for value, se, truth in ((f.G0, f.G0_se, G0), (f.R0, f.R0_se, R0)):
            z = (value - truth) / se
            inside, total = inside + (np.abs(z.to_numpy()[np.tril_indices(2)]) < 1.96).sum(), total + 3
        r = (f.residual_correlation.iloc[0, 1] + 0.3) / f.residual_correlation_se.iloc[0, 1]
        inside, total = inside + (abs(r) < 1.96), total + 1
    assert 0.9 < inside / total < 0.98


# --- the sum rule --------------------------------------------------------------------------------------------------


def test_sum_rule_is_the_formula():
    Y, K, X, *_ = random_case(3, 0.0, seed=0, n=250)
    rule = sum_rule(Y, K, X)
    assert rule.repaired == ()
    one = [mixed_solve(y, K=K, X=X, method="ML") for y in Y.T]
    pair = mixed_solve(Y[:, 0] + Y[:, 2], K=K, X=X, method="ML")
    np.testing.assert_allclose(rule.G0.iloc[2, 0], (pair.Vu - one[0].Vu - one[2].Vu) / 2, rtol=1e-9)
    np.testing.assert_allclose(rule.R0.iloc[2, 0], (pair.Ve - one[0].Ve - one[2].Ve) / 2, rtol=1e-9)
    np.testing.assert_allclose(np.diag(rule.G0), [k.Vu for k in one], rtol=1e-9)
    assert rule.fits.index.tolist() == ["0", "1", "2", "0 + 1", "0 + 2", "1 + 2"]


def test_sum_rule_is_repaired_with_a_warning():
    found = 0
    for seed in range(30):
        Y, K, X, *_ = random_case(3, 0.0, seed=seed, n=25)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rule = sum_rule(Y, K, X)
        assert bool(rule.repaired) == any("no covariance" in str(w.message) for w in caught)
        for S in (rule.G0, rule.R0):
            d = np.sqrt(np.diag(S))
            assert np.linalg.eigvalsh(S / np.outer(d, d))[0] > 1e-4
        found += bool(rule.repaired)
    assert 0 < found < 30


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_repair_keeps_variances_and_what_is_sound(seed, T):
    A = np.random.default_rng(seed).normal(size=(T, T))
    S = A + A.T
    np.fill_diagonal(S, np.exp(np.diag(A)))
    fixed, changed = repair_covariance(S)
    np.testing.assert_allclose(np.diag(fixed), np.diag(S))
    assert np.linalg.eigvalsh(fixed)[0] > 0
    again, twice = repair_covariance(fixed)
    assert not twice and (again == fixed).all()
    if not changed:
        assert (fixed == S).all()


def test_sum_rule_needs_common_lines():
    Y, K, *_ = random_case(2, 0.0, seed=1)
    Y[::2, 0], Y[1::2, 1] = np.nan, np.nan
    with pytest.raises(ValueError, match="both traits of 0 \\+ 1: there are 0"):
        sum_rule(Y, K)


# --- the edges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Y: Y.assign(b=3 * Y.a + 1), "'a' and 'b' are the same up to scale"),
        (lambda Y: Y.assign(b=Y.a.where(np.arange(40) % 3 > 0)), "'a' and 'b' are the same up to scale"),
        (lambda Y: Y.assign(c=Y.a - 2 * Y.b), "combination of the 3 traits does not vary"),
        (lambda Y: Y.assign(b=5.0), "'b' does not vary beyond the fixed effects"),
        (lambda Y: Y.assign(b=np.nan), "no record at all of trait 'b'"),
        (lambda Y: Y.assign(b=Y.b.where(np.arange(40) < 2)), "'b': 2 records are too few"),
        (lambda Y: Y.assign(b=np.inf), "Y contains infinity"),
        (lambda Y: Y.iloc[:20], "K must have 20 rows"),
    ],
)
def test_tables_without_an_answer_are_refused(change, message):
    Y, K, *_ = random_case(2, 0.0, seed=1)
    with pytest.raises(ValueError, match=message):
        multitrait_reml(change(pd.DataFrame(Y, columns=["a", "b"])), K)


def test_more_traits_than_lines_is_refused():
    Y, K, *_ = random_case(8, 0.0, seed=1, n=40)
    with pytest.raises(ValueError, match="8 traits need 10 lines or more"):
        multitrait_reml(Y[:7], K[:7, :7])


def test_more_traits_than_complete_lines_is_answered():
    Y, K, *_ = random_case(5, 0.0, seed=1, n=60)
    rng = np.random.default_rng(0)
    for i in range(3, 60):
        Y[i, rng.permutation(5)[: rng.integers(1, 4)]] = np.nan
    fit = multitrait_reml(Y, K)
    for table in (fit.G0, fit.R0, fit.u, fit.beta, fit.genetic_correlation, fit.residual_correlation):
        assert np.isfinite(table.to_numpy()).all()
    assert (np.abs(fit.genetic_correlation) <= 1 + 1e-9).all(axis=None)


def test_a_trait_without_genetic_variance_is_answered():
    rng = np.random.default_rng(4)
    zeros = 0
    for seed in range(6):
        Y, K, *_ = random_case(2, 0.0, seed=seed, n=60)
        Y[:, 1] = rng.permutation(Y[:, 1])
        fit = multitrait_reml(Y, K)
        for table in (fit.G0, fit.R0, fit.u, fit.genetic_correlation, fit.heritability):
            assert np.isfinite(table.to_numpy()).all()
        zeros += any("G0 is singular" in note for note in fit.notes)
    assert zeros


def test_traits_never_on_the_same_line():
    Y, K, *_ = random_case(2, 0.0, seed=9, n=80)
    Y[::2, 0], Y[1::2, 1] = np.nan, np.nan
    fit = multitrait_reml(Y, K)
    assert np.isinf(fit.R0_se.iloc[0, 1]) and np.isfinite(fit.R0_se.iloc[0, 0]) and np.isfinite(fit.u.to_numpy()).all()
    assert "no line has a record of both" in fit.notes[-1]
    other = multitrait_blup(Y, K, fit.G0, np.diag(np.diag(fit.R0)))
    np.testing.assert_allclose(other.LL, fit.LL, rtol=1e-9)


def test_covariances_that_are_none_are_refused():
    Y, K, _, G0, R0 = random_case(2, seed=2)
    for pair, message in [
        ((G0, -R0), "R0 is not positive semidefinite"),
        ((G0, np.ones((2, 2))), "R0 must be positive definite"),
        ((G0[:1], R0), "G0 must be a symmetric 2 × 2"),
        ((np.array([[1, 2], [0, 1]]), R0), "G0 must be a symmetric 2 × 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            multitrait_blup(Y, K, *pair)
    with pytest.raises(ValueError, match="method='reml' is not known"):
        multitrait_reml(Y, K, method="reml")


# --- the estimator -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def population():
    pop = simulate_population(n_samples=160, n_variants=300, n_qtl=40, h2=0.6, design="dh", seed=5)
    rng = np.random.default_rng(1)
    X = pop.markers("-1/0/1")
    y = pop.phenotypes.iloc[:, 0]
    second = 0.7 * (y - y.mean()) / y.std() + X @ rng.normal(size=300) / 12 + rng.normal(size=160)
    return X, pd.DataFrame({"first": y, "second": second})


def test_one_trait_is_gblup_and_rrblup(population):
    X, Y = population
    fitted, gb = MultiTraitGBLUP(standardize=False).fit(X, Y["first"]), GBLUP().fit(X, Y["first"])
    for a, b in zip(fitted.predict(X, return_std=True), gb.predict(X, return_std=True), strict=True):
        pd.testing.assert_series_equal(a, b, rtol=1e-7)
    np.testing.assert_allclose(fitted.coef_, RRBLUP().fit(X, Y["first"]).coef_, rtol=1e-5, atol=1e-10)
    np.testing.assert_allclose(fitted.heritability_, gb.heritability_, rtol=1e-8)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("components", ["reml", "ml", "sum_rule"])
def test_three_forms_of_a_prediction_agree(population, components, standardize):
    X, Y = population
    gaps = Y.copy()
    gaps.iloc[::4, 1], gaps.iloc[1::5, 0] = np.nan, np.nan
    model = MultiTraitGBLUP(components, standardize=standardize).fit(X, gaps)
    lines = X.index[gaps.notna().any(axis=1)]
    predicted = model.predict(X)
    np.testing.assert_allclose(predicted.loc[lines], model.fit_.u + model.fit_.beta.iloc[0], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(X.to_numpy() @ model.coef_ + model.intercept_, predicted, rtol=1e-9)
    effects = model.marker_effects()
    sd = 1 if model.scale_.sd is None else model.scale_.sd[:, None]
    np.testing.assert_allclose(effects.effect / sd, model.coef_, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(effects.t, effects.effect / np.sqrt(effects.pev), rtol=1e-9)


def test_ids_are_aligned_and_genotypes_stay_int8(population):
    X, Y = population
    model = MultiTraitGBLUP().fit(X, Y.sample(frac=1, random_state=0))
    value, std = model.predict(X.iloc[:7], return_std=True)
    assert value.index.equals(X.index[:7]) and std.columns.equals(Y.columns) and model.X_.dtype == np.int8
    plain = MultiTraitGBLUP().fit(X.to_numpy(), Y.to_numpy())
    for a, b in zip((value, std), plain.predict(X.to_numpy()[:7], return_std=True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)
    assert model.marker_effects().effect.index.equals(X.columns)


def test_recoding_and_constant_markers_change_nothing(population):
    X, Y = population
    X = X.to_numpy()
    more = np.hstack([1 - X, np.ones((160, 5), np.int8)])
    a, b = MultiTraitGBLUP().fit(X, Y), MultiTraitGBLUP().fit(more, Y)
    for one, other in zip(a.predict(X, return_std=True), b.predict(more, return_std=True), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-7)
    assert (b.coef_[300:] == 0).all()
    d = [m.marker_effects().distance.to_numpy() for m in (a, b)]
    np.testing.assert_allclose(d[1][:300], d[0], rtol=1e-6, atol=1e-9)
    assert (d[1][300:] == 0).all()


def test_second_trait_helps_where_the_first_is_missing():
    gains = []
    for seed in range(5):
        pop = simulate_population(n_samples=200, n_variants=300, n_qtl=60, h2=0.5, design="dh", seed=seed)
        X, g = pop.markers(), pop.breeding_values.iloc[:, 0]
        rng = np.random.default_rng(seed)
        z = g / g.std()
        Y = pd.DataFrame({"rare": z + rng.normal(size=200), "common": z + 0.5 * rng.normal(size=200)}, X.index)
        Y.iloc[60:, 0] = np.nan
        both, alone = MultiTraitGBLUP().fit(X, Y).predict(X)["rare"], GBLUP().fit(X, Y["rare"]).predict(X)
        gains.append(np.corrcoef(both[60:], g[60:])[0, 1] - np.corrcoef(alone[60:], g[60:])[0, 1])
    assert np.mean(gains) > 0.05


def test_standard_errors_of_predictions_cover(population):
    X, _ = population
    Z = X.to_numpy(float)
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    G0, inside = np.array([[1, 0.6], [0.6, 1]]), []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        g = Z @ rng.normal(size=(300, 2)) @ np.linalg.cholesky(G0).T / 300**0.5
        Y = g + rng.normal(size=(160, 2))
        Y[120:] = np.nan
        value, std = MultiTraitGBLUP().fit(X.to_numpy(), Y).predict(X.to_numpy(), return_std=True)
        inside.append(np.abs(value - g) < 1.96 * std)
    assert 0.9 < np.mean(inside) < 0.99


def test_bad_components_and_records_are_refused(population):
    X, Y = population
    with pytest.raises(ValueError, match="components='em' is not known"):
        MultiTraitGBLUP("em").fit(X, Y)
    with pytest.raises(ValueError, match="y has no record"):
        MultiTraitGBLUP().fit(X, Y * np.nan)
    with pytest.raises(ValueError, match="no record at all of trait 'second'"):
        MultiTraitGBLUP().fit(X, Y.assign(second=np.nan))
    with pytest.raises(ValueError, match="impute them first"):
        MultiTraitGBLUP().fit(X.astype(float).where(X > 0), Y)
    with pytest.raises(ValueError, match="different ids"):
        MultiTraitGBLUP().fit(X, Y.rename(index={Y.index[0]: "nobody"}))
    fitted = clone(MultiTraitGBLUP()).fit(X, Y)
    assert "genetic correlation" in fitted._repr_html_()


def test_distance_is_mahalanobis():
    rng = np.random.default_rng(0)
    A, x = rng.normal(size=(3, 3)), rng.normal(size=(5, 3))
    S = A @ A.T
    np.testing.assert_allclose(mahalanobis(x, S), [v @ np.linalg.solve(S, v) for v in x], rtol=1e-8)
    stack = np.stack([S * (i + 1) for i in range(5)])
    np.testing.assert_allclose(mahalanobis(x, stack), mahalanobis(x, S) / np.arange(1, 6), rtol=1e-8)


# --- the synthetic set and wheat -----------------------------------------------------------------------------------


def test_synthetic_set(synthetic):
    "Two traits with missing records, three components; predictions near each other, LL in their order."
    G, phenotypes = synthetic
    Y = phenotypes.select_dtypes("number").iloc[:, :2]
    fit, K = multitrait_reml(Y.to_numpy(), a_mat(G)), a_mat(G)
    rule = sum_rule(Y.to_numpy(), K, method="REML")
    assert fit.LL >= multitrait_blup(Y.to_numpy(), K, rule.G0, rule.R0).LL - 1e-9
    one = [mixed_solve(Y.iloc[:, t].to_numpy(), K=K).LL for t in range(2)]
    assert fit.LL >= sum(one) - 1e-9


@pytest.fixture(scope="module")
def wheat_fits(wheat):
    return {
        c: MultiTraitGBLUP(c).fit(wheat.markers(), wheat.phenotypes[["env1", "env2"]]) for c in ("reml", "sum_rule")
    }


def test_wheat_association_hits(wheat):
    "29 and 56 Bonferroni hits (Gianola & Fernando 2020)."
    table = gwas(wheat.phenotypes[["env1", "env2"]], wheat, method="least squares", min_maf=0).table
    assert (table.p < 0.05 / 1279).groupby(table.trait).sum().to_dict() == {"env1": 29, "env2": 56}


def test_wheat_components(wheat_fits):
    reml, rule = wheat_fits["reml"].fit_, wheat_fits["sum_rule"].fit_
    np.testing.assert_allclose(reml.genetic_correlation.iloc[0, 1], -0.297, atol=0.001)
    np.testing.assert_allclose(reml.residual_correlation.iloc[0, 1], 0.164, atol=0.001)
    np.testing.assert_allclose(rule.genetic_correlation.iloc[0, 1], reml.genetic_correlation.iloc[0, 1], atol=0.02)
    one = [mixed_solve(reml.given.Y[:, t], K=reml.given.K).LL for t in range(2)]
    assert reml.LL > sum(one) + 4


def test_wheat_distances(wheat_fits):
    "Near the paper's 0.16 and 2.94 in the metric of the errors."
    d = wheat_fits["sum_rule"].marker_effects().distance
    np.testing.assert_allclose([d["error"].median(), d["error"].max()], [0.168, 2.880], atol=0.001)
    np.testing.assert_allclose([d["prior"].median(), d["prior"].max()], [0.148, 2.305], atol=0.001)


def test_wheat_against_the_bayesian_answer(wheat_fits):
    "BGLR's Multitrait, RKHS model, same kernel: a posterior mean is near a REML estimate, not equal to it."
    reml = wheat_fits["reml"].fit_
    known = reference("bglr_mt_wheat_env12_RKHS.json")
    Omega, R = (
        np.mean([c["Omega"] for c in known["chains"]], axis=0),
        np.mean([c["R"] for c in known["chains"]], axis=0),
    )
    assert (np.abs(reml.G0 - Omega) < 1.5 * reml.G0_se).all(axis=None)
    assert (np.abs(reml.R0 - R) < 1.5 * reml.R0_se).all(axis=None)
    u = np.mean([c["ETAHat"] for c in known["chains"]], axis=0)
    for t in range(2):
        assert np.corrcoef(u[:, t], reml.u.iloc[:, t])[0, 1] > 0.995
