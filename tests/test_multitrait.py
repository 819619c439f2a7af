"""Several traits: inverse Wishart, canonical traits, missing records, exact posteriors, one trait, BGLR, bad input."""

import gzip
import json

import numpy as np
import pytest
from conftest import REFERENCE
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gp_literate.chains import sample
from gp_literate.gibbs import GibbsModel, marker_values
from gp_literate.multitrait import (
    InverseWishart,
    MultiTraitModel,
    NormalTraits,
    canonical,
    check_covariance,
    correlation,
    draw_missing,
    exact_trait_residual,
    missing_patterns,
    mode_prior,
    residual_products,
    residual_traits,
)
from gp_literate.priors import NormalPrior, ScaledInverseChi2

R0 = np.array([[1.0, 0.5, 0.2], [0.5, 0.8, -0.3], [0.2, -0.3, 1.2]])
SIGMA = np.array([[0.2, -0.1, 0.05], [-0.1, 0.3, 0.1], [0.05, 0.1, 0.15]])
FIRM = 1e8  # degrees of freedom that hold a covariance matrix where it is


def random_covariance(rng, T, rank=None):
    A = rng.standard_normal((T, rank or 2 * T)) * rng.lognormal(sigma=1.5, size=(T, 1))
    return A @ A.T


@pytest.fixture(scope="module")
def toy():
    "Markers, three traits; a quarter of the records missing, two lines without any."
    rng = np.random.default_rng(1)
    G = rng.integers(0, 3, (6, 40), dtype=np.int8)
    g = centred(G)[:, [0, 3]] @ np.array([[0.5, -0.4, 0.3], [-0.6, 0.7, 0.0]])
    Y = g + rng.multivariate_normal(np.zeros(3), R0, 40)
    gaps = np.where(rng.random(Y.shape) < 0.25, np.nan, Y)
    gaps[:2] = np.nan
    return G, Y, gaps


def centred(G, w=None):
    return (G - np.average(G, axis=1, weights=w)[:, None]).T


def held(G, Y, T, prior=None, **options):
    "A model whose covariance matrices do not move."
    prior = NormalTraits(df=FIRM, scale=FIRM * SIGMA[:T, :T]) if prior is None else prior
    return MultiTraitModel(G, Y, prior, residual=InverseWishart(FIRM, FIRM * R0[:T, :T]), **options)


def exact_posterior(X, Y, w=None, F=None):
    "Mean and covariance of fixed effects and marker effects (trait by trait) with known covariances; the design."
    (n, T), w = Y.shape, np.ones(len(Y)) if w is None else w
    F = np.ones((n, 1)) if F is None else F
    Z = np.kron(np.eye(T), np.column_stack([F, X]))
    seen = ~np.isnan(Y.T.ravel())
    W = np.linalg.inv(np.kron(R0[:T, :T], np.diag(1 / w))[np.ix_(seen, seen)])
    flat = np.diag([0.0] * F.shape[1] + [1.0] * X.shape[1])
    V = np.linalg.inv(Z[seen].T @ W @ Z[seen] + np.kron(np.linalg.inv(SIGMA[:T, :T]), flat))
    return V @ Z[seen].T @ W @ Y.T.ravel()[seen], V, Z


# --- covariance matrices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("T", "df"), [(1, 4.5), (2, 5.0), (3, 12.0)])
def test_inverse_wishart_has_the_law_of_scipy(T, df):
    rng, V = np.random.default_rng(2), R0[:T, :T]
    S = 3 * SIGMA[:T, :T]
    ours = np.array([InverseWishart(df - 2, V - S).draw(rng, 2, S) for _ in range(4000)])
    theirs = stats.invwishart(df, V).rvs(4000, random_state=3).reshape(-1, T, T)
    for of in (np.linalg.slogdet, np.trace):
        a, b = (np.array([np.atleast_1d(of(m))[-1] for m in M]) for M in (ours, theirs))
        assert stats.ks_2samp(a, b).pvalue > 1e-3
    for a in range(T):
        assert stats.kstest(ours[:, a, a], stats.invgamma((df - T + 1) / 2, scale=V[a, a] / 2).cdf).pvalue > 1e-3
        for b in range(a):
            assert stats.ks_2samp(*(correlation(M)[:, a, b] for M in (ours, theirs))).pvalue > 1e-3


def test_inverse_wishart_is_the_inverse_of_a_wishart():
    rng, wishart = np.random.default_rng(4), stats.wishart(7, np.linalg.inv(R0))
    inverse = np.linalg.inv([InverseWishart(7.0, R0).draw(rng) for _ in range(6000)])
    np.testing.assert_allclose(inverse.mean(axis=0), wishart.mean(), atol=4 * np.sqrt(wishart.var().max() / 6000))
    np.testing.assert_allclose(inverse.var(axis=0), wishart.var(), rtol=0.12)
    draws = np.array([InverseWishart(9.0, R0).draw(rng) for _ in range(20_000)])
    np.testing.assert_allclose(draws.mean(axis=0), R0 / 5, atol=0.006)


def test_one_trait_is_the_scaled_inverse_chi_square():
    rng = np.random.default_rng(5)
    one = [InverseWishart(5.0, [[1.4]]).draw(rng, 3, [[0.6]])[0, 0] for _ in range(4000)]
    assert stats.ks_2samp(one, ScaledInverseChi2(5, 1.4).draw(rng, 3, 0.6, size=4000)).pvalue > 1e-3


def test_mode_prior():
    prior = mode_prior(R0, 7)
    density = lambda S: stats.invwishart(prior.df, prior.scale).logpdf(S)
    rng = np.random.default_rng(6)
    for _ in range(20):
        E = 0.02 * rng.standard_normal((3, 3))
        assert density(R0) > density(R0 + E + E.T)
    with pytest.raises(ValueError, match="3 traits need more than 2 degrees"):
        mode_prior(R0, 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_canonical_traits_are_independent(T, seed):
    rng = np.random.default_rng(seed)
    R, S = random_covariance(rng, T), random_covariance(rng, T)
    C = canonical(R, S)
    np.testing.assert_allclose(C.to @ R @ C.to.T, np.eye(T), atol=1e-9)
    np.testing.assert_allclose(C.to @ S @ C.to.T, np.diag(C.variance), atol=1e-9 * C.variance.max())
    np.testing.assert_allclose(C.to @ C.back, np.eye(T), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_canonical_variances_of_a_singular_matrix_are_not_negative(T, seed):
    rng = np.random.default_rng(seed)
    C = canonical(random_covariance(rng, T), random_covariance(rng, T, rank=1))
    assert (C.variance > 0).all() and np.isfinite(C.back).all()


# --- missing records -------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_patterns_cover_what_is_missing_once(T, n, seed):
    observed = np.random.default_rng(seed).random((T, n)) < 0.6
    found = np.zeros((T, n), int)
    for lines, missing, seen in missing_patterns(observed):
        found[np.ix_(missing, lines)] += 1
        assert len(missing) and len(seen) and observed[np.ix_(seen, lines)].all()
    np.testing.assert_array_equal(found, ~observed & observed.any(axis=0))


def test_missing_records_have_the_conditional_law():
    "Standardised by the conditional normal, draws are standard normal and do not depend on what was seen."
    rng, n = np.random.default_rng(7), 3000
    w = rng.choice([0.25, 1.0, 4.0], n)
    observed = np.ones((3, n), bool)
    observed[1, :1000], observed[0, 1000:2000], observed[2, 1000:2000] = False, False, False
    e = np.linalg.cholesky(R0) @ rng.standard_normal((3, n)) / np.sqrt(w)
    r = (w * e).astype(np.float32)
    for pattern in missing_patterns(observed):
        before, (lines, m, o) = r.copy(), pattern
        draw_missing(pattern, R0, w, r, rng)
        np.testing.assert_array_equal(r[o], before[o])
        untouched = np.setdiff1d(np.arange(n), lines)
        np.testing.assert_array_equal(r[:, untouched], before[:, untouched])
        mean = R0[np.ix_(m, o)] @ np.linalg.inv(R0[np.ix_(o, o)]) @ e[np.ix_(o, lines)]
        rest = R0[np.ix_(m, m)] - R0[np.ix_(m, o)] @ np.linalg.inv(R0[np.ix_(o, o)]) @ R0[np.ix_(o, m)]
        z = np.linalg.solve(np.linalg.cholesky(rest), (r[np.ix_(m, lines)] / w[lines] - mean) * np.sqrt(w[lines]))
        assert all(stats.kstest(row, "norm").pvalue > 1e-3 for row in z)
        assert np.abs(np.corrcoef(np.vstack([z, e[np.ix_(o, lines)]]))[: len(m)] - np.eye(3)[: len(m)]).max() < 0.1


# --- exact posteriors ------------------------------------------------------------------------------------------------

CASES = {
    "two traits": (2, False, False, False),
    "three traits, missing, weights, fixed": (3, True, True, True),
}


@pytest.mark.parametrize("name", CASES)
def test_exact_posterior(toy, name):
    "Fixed effects, marker effects, and the fitted values of every line, also of those without a record."
    T, missing, weights, fixed = CASES[name]
    G, Y = toy[0], toy[2 if missing else 1][:, :T]
    rng = np.random.default_rng(8)
    w = rng.choice([0.5, 1.0, 3.0], 40) if weights else np.ones(40)
    F = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)]) if fixed else np.ones((40, 1))
    used = np.where(np.isnan(Y).all(axis=1), 0, w)
    found = sample(held(G, Y, T, weight=w, X=F), 2, 50, 10_000, seed=9, keep=[])
    mean, V, Z = exact_posterior(centred(G, used), Y, w, F)
    B, sd = mean.reshape(T, -1).T, np.sqrt(np.diag(V)).reshape(T, -1).T
    q = F.shape[1]
    np.testing.assert_allclose(found.mean["effect"], B[q:], atol=0.05 * sd[q:].max())
    np.testing.assert_allclose(found.sd["effect"], sd[q:], rtol=0.05)
    np.testing.assert_allclose(found.mean["fixed"], B[:q], atol=0.05 * sd[:q].max())
    np.testing.assert_allclose(found.sd["fixed"], sd[:q], rtol=0.06)
    fitted, spread = (Z @ mean).reshape(T, -1).T, np.sqrt(np.einsum("ij,jk,ik->i", Z, V, Z)).reshape(T, -1).T
    np.testing.assert_allclose(found.mean["fitted"], fitted, atol=0.05 * spread.max())
    np.testing.assert_allclose(found.sd["fitted"], spread, rtol=0.05)


def test_effects_of_traits_covary_as_they_should(toy):
    "Posterior covariances across traits, which means and standard deviations do not show."
    G, _, Y = toy
    found = sample(held(G, Y[:, :2], 2), 2, 50, 5000, seed=10, keep=["effect"])
    V = exact_posterior(centred(G, (~np.isnan(Y[:, :2]).all(axis=1)).astype(float)), Y[:, :2])[1]
    marker = V.reshape(2, 7, 2, 7)[:, 1:, :, 1:].reshape(12, 12)
    draws = found.draws["effect"].values.reshape(-1, 6, 2).transpose(0, 2, 1).reshape(-1, 12)
    sd = np.sqrt(np.diag(marker))
    np.testing.assert_allclose(np.corrcoef(draws.T), marker / np.outer(sd, sd), atol=0.06)


def test_one_trait_is_the_model_of_one_trait(toy):
    G, Y = toy[0], toy[2][:, :1]
    w = np.random.default_rng(11).choice([0.5, 2.0], 40)
    one = sample(MultiTraitModel(G, Y, NormalTraits(), weight=w), 2, 100, 6000, seed=12, keep=[])
    old = sample(GibbsModel(G, Y[:, 0], NormalPrior(), weight=w), 2, 100, 6000, seed=13, keep=[])
    np.testing.assert_allclose(one.mean["effect"][:, 0], old.mean["effect"], atol=0.015)
    np.testing.assert_allclose(one.sd["effect"][:, 0], old.sd["effect"], rtol=0.04)
    for a, b in (("residual_covariance", "residual_variance"), ("effect_covariance", "effect_variance")):
        assert float(one.mean[a][0, 0]) == pytest.approx(float(old.mean[b]), rel=0.04), a
        assert float(one.sd[a][0, 0]) == pytest.approx(float(old.sd[b]), rel=0.15), a
    assert float(one.mean["genomic_covariance"][0, 0]) == pytest.approx(float(old.mean["genomic_variance"]), rel=0.04)
    np.testing.assert_allclose(one.mean["fitted"][:, 0], old.mean["fitted"], atol=0.05)


def test_default_priors_of_one_trait_are_those_of_the_model_of_one_trait(toy):
    G, Y, _ = toy
    one, old = MultiTraitModel(G, Y[:, :1], NormalTraits(r2=0.3)), GibbsModel(G, Y[:, 0], NormalPrior(r2=0.3))
    assert (one.residual.df, one.terms[""].prior.df) == (old.residual.df, old.terms[""].prior.df)
    assert one.residual.scale[0, 0] == pytest.approx(old.residual.scale)
    assert one.terms[""].prior.scale[0, 0] == pytest.approx(old.terms[""].prior.scale)


def test_constant_and_duplicate_markers(toy):
    G, Y, _ = toy
    G = np.vstack([G, G[:1], np.ones((1, 40), np.int8)])
    found = sample(held(G, Y[:, :2], 2), 2, 50, 40_000, seed=14, keep=["effect"])  # duplicates mix slowly
    mean = found.mean["effect"].values
    np.testing.assert_allclose(mean[0], mean[6], atol=0.04)
    np.testing.assert_allclose(mean, exact_posterior(centred(G), Y[:, :2])[0].reshape(2, 9).T[1:], atol=0.03)
    np.testing.assert_allclose(np.cov(found.draws["effect"][:, :, 7].values.reshape(-1, 2).T), SIGMA[:2, :2], atol=0.02)


def test_two_terms_equal_one(toy):
    G, Y, _ = toy
    prior = NormalTraits(df=FIRM, scale=FIRM * SIGMA[:2, :2])
    split = {"a": (prior, np.arange(0, 6, 2)), "b": (prior, np.arange(1, 6, 2))}
    two = sample(held(G, Y[:, :2], 2, split), 2, 50, 4000, seed=15, keep=[])
    B = exact_posterior(centred(G), Y[:, :2])[0].reshape(2, 7).T[1:]
    np.testing.assert_allclose(two.mean["a.effect"], B[::2], atol=0.025)
    np.testing.assert_allclose(two.mean["b.effect"], B[1::2], atol=0.025)
    assert two.mean["a.effect"].dims == ("a.marker", "trait") and list(two.mean["b.marker"].values) == [1, 3, 5]


def test_standardized_columns(toy):
    G, _, Y = toy
    model = MultiTraitModel(G, Y, NormalTraits(), standardize=True)
    used = ~np.isnan(Y).all(axis=1)
    X = centred(G, used) / centred(G, used)[used].std(axis=0)
    state = model.start(None) | {"effect": np.arange(18.0).reshape(3, 6)}
    np.testing.assert_allclose(model.terms[""].values(state), (X @ state["effect"].T).T, atol=1e-10)


# --- the sampler -----------------------------------------------------------------------------------------------------


def test_residuals_stay_exact(toy):
    G, _, Y = toy
    two = {"a": (NormalTraits(), np.arange(2)), "b": (NormalTraits(), np.arange(2, 6))}
    model, rng = MultiTraitModel(G, Y, two, weight=np.linspace(0.5, 2, 40)), np.random.default_rng(16)
    state = model.start(rng)
    for _ in range(149):
        model.step(state, rng)
    exact = exact_trait_residual(model, state)
    np.testing.assert_allclose(state["residual"], exact, atol=3e-5)
    assert (state["residual"][:, :2] == 0).all()  # lines without a record take no part


def test_residual_products(toy):
    rng = np.random.default_rng(17)
    e, w = rng.standard_normal((3, 40)), np.where(np.arange(40) < 3, 0, np.linspace(0.5, 2, 40))
    np.testing.assert_allclose(residual_products((w * e).astype(np.float32), w), (w * e) @ e.T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("missing", [False, True])
def test_what_is_recorded(toy, missing):
    "Fitted values and genetic covariances, however they are come by."
    G, Y = toy[0], toy[2 if missing else 1]
    model, rng = MultiTraitModel(G, Y, NormalTraits()), np.random.default_rng(18)
    state = model.start(rng)
    for _ in range(30):
        model.step(state, rng)
    draw, used = model.record(state), ~np.isnan(Y).all(axis=1)
    u = np.array([marker_values(G, *model.terms[""].columns[:3], b) for b in state["effect"]])
    np.testing.assert_allclose(draw["fitted"], state["fixed"] + u.T, atol=1e-5)
    np.testing.assert_allclose(draw["genomic_covariance"], np.cov(u[:, used], bias=True), atol=1e-5)


def test_float_features_equal_calls(toy):
    G, _, Y = toy
    a, b = (sample(MultiTraitModel(X, Y, NormalTraits()), 1, 20, 100, seed=19) for X in (G, G.astype(np.float32)))
    np.testing.assert_array_equal(a.draws["effect"], b.draws["effect"])


@pytest.mark.parametrize("standardize", [False, True])
def test_coding_does_not_matter(toy, standardize):
    G, _, Y = toy
    codes = G, (G - 1).astype(np.int8)
    a, b = (sample(MultiTraitModel(X, Y, NormalTraits(), standardize=standardize), 1, 20, 100, seed=20) for X in codes)
    np.testing.assert_allclose(a.draws["effect"], b.draws["effect"], atol=2e-3)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=3), st.lists(st.floats(-50, 50), min_size=3, max_size=3))
def test_units_of_traits_do_not_matter(toy, unit, shift):
    "The same draws in other units. (A prior that gives all traits one heritability leaves canonical traits open.)"
    G, _, Y = toy
    unit, shift = np.array(unit), np.array(shift)
    found = []
    for V, c in ((Y, np.ones(3)), (unit * (Y + shift), unit)):
        model = MultiTraitModel(G, V, NormalTraits(scale=SIGMA * np.outer(c, c)))
        found.append(sample(model, 1, 0, 20, seed=21))
    a, b = found
    for name in ("effect", "residual_covariance", "effect_covariance"):
        x, y = a.draws[name].values, b.draws[name].values
        y = y / unit if name == "effect" else y / np.outer(unit, unit)
        np.testing.assert_allclose(x, y, atol=2e-3 * np.abs(x).max(), err_msg=name)


def test_order_of_traits_does_not_matter(toy):
    G, _, Y = toy
    order = [2, 0, 1]
    a = sample(MultiTraitModel(G, Y, NormalTraits()), 2, 200, 4000, seed=22, keep=[])
    b = sample(MultiTraitModel(G, Y[:, order], NormalTraits()), 2, 200, 4000, seed=23, keep=[])
    for name in ("residual_covariance", "effect_covariance"):
        x, y = a.mean[name].values[np.ix_(order, order)], b.mean[name].values
        np.testing.assert_allclose(x, y, atol=0.04 * np.abs(x).max(), err_msg=name)
    np.testing.assert_allclose(a.mean["effect"].values[:, order], b.mean["effect"], atol=0.02)


def test_draws_do_not_depend_on_workers_and_a_store_goes_on(toy, tmp_path):
    G, _, Y = toy
    two = {"a": (NormalTraits(), np.arange(2)), "b": (NormalTraits(), np.arange(2, 6))}
    model = MultiTraitModel(G, Y, two)
    whole = sample(model, 3, 20, 80, thin=2, seed=24)
    for name, values in sample(model, 3, 20, 80, thin=2, seed=24, n_jobs=2).draws.items():
        np.testing.assert_array_equal(values, whole.draws[name], err_msg=name)
    sample(model, 3, 20, 33, thin=2, seed=24, store=tmp_path / "run")
    resumed = sample(model, 3, 20, 80, thin=2, seed=24, store=tmp_path / "run")
    for name in whole.draws:
        np.testing.assert_array_equal(resumed.draws[name], whole.draws[name], err_msg=name)
    np.testing.assert_array_equal(resumed.mean["fitted"], whole.mean["fitted"])


# --- BGLR ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bglr():
    return json.loads(gzip.decompress((REFERENCE / "bglr_mt_wheat_env12.json.gz").read_bytes()))


def bglr_prior(theirs, kind=NormalTraits, **options):
    "BGLR draws Ω with as many more degrees of freedom as there are traits."
    prior = theirs["Omega_prior"]
    return kind(df=prior["df0"] + 2.0, scale=np.array(prior["S0"]), **options)


def wheat_case(wheat, theirs, prior, missing):
    "Markers -1/1, environments 1 and 2, BGLR's priors; `missing` as there: trait 2 in fold 1, both in fold 2."
    fold, Y = wheat.covariates["fold"].to_numpy(), wheat.phenotypes[["env1", "env2"]].to_numpy().copy()
    if missing:
        Y[fold == 1, 1] = np.nan
        Y[fold == 2] = np.nan
    residual = InverseWishart(float(theirs["R_prior"]["df0"]), np.array(theirs["R_prior"]["S0"]))
    return MultiTraitModel(np.ascontiguousarray((2 * wheat.dosage.T - 1).astype(np.int8)), Y, prior, residual=residual)


def compare_covariance(found, name, theirs, limit=4.0):
    "Means within the two Monte Carlo errors, standard deviations near each other."
    ours = found.summary([name])
    for k, (a, b) in enumerate([(0, 0), (1, 0), (1, 1)]):
        row, t = ours.loc[f"{name}[{a}, {b}]"], theirs[k]
        error = np.hypot(row["mcse_mean"], t["mcse"])
        assert error < 0.35 * t["sd"]
        assert abs(row["mean"] - t["mean"]) < limit * error, (name, a, b, row["mean"], t["mean"], error)
        assert row["sd"] == pytest.approx(t["sd"], rel=0.25)


@pytest.mark.parametrize("name", ["BRR", "BRR_missing"])
def test_bglr_on_wheat(wheat, bglr, name):
    "Two chains of BGLR with 16,000 iterations after burn-in."
    theirs = bglr[name]
    model = wheat_case(wheat, theirs, bglr_prior(theirs), name == "BRR_missing")
    keep = ["residual_covariance", "effect_covariance", "effect"]
    found = sample(model, 2, 500, 2500, thin=2, seed=25, n_jobs=2, keep=keep)
    for ours, r in (("residual_covariance", "R_vech"), ("effect_covariance", "Omega_vech")):
        compare_covariance(found, ours, theirs[r])
    effect, draws = found.mean["effect"].values, found.draws["effect"].values.astype(float)
    batches = draws.reshape(2 * 20, -1, *draws.shape[2:]).mean(axis=1)
    theirs_error = theirs["mcse_in_sd"] * np.array(theirs["SD_beta"])
    error = np.sqrt(batches.var(axis=0, ddof=1) / 40 + theirs_error**2)
    z = (effect - theirs["beta"]) / error
    assert np.sqrt(np.mean(z**2)) < 1.25 and np.abs(z).max() < 5.5
    for t in range(2):
        assert np.corrcoef(effect[:, t], np.array(theirs["beta"])[:, t])[0, 1] > 0.99
        assert np.corrcoef(found.mean["fitted"][:, t], np.array(theirs["ETAHat"])[:, t])[0, 1] > 0.999
    if name == "BRR_missing":
        fold, Y = wheat.covariates["fold"].to_numpy(), wheat.phenotypes[["env1", "env2"]].to_numpy()
        for what, r in theirs["predictive"].items():
            f, t = int(what[4]), int(what[-1]) - 1
            fitted = found.mean["fitted"].values[fold == f, t]
            assert np.corrcoef(fitted, Y[fold == f, t])[0, 1] == pytest.approx(r, abs=0.01), what


# --- what is refused, and what is answered ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"Y": lambda Y: np.column_stack([Y[:, 0], Y[:, 0] * np.nan])}, ValueError, "trait 1: y has 0 usable"),
        ({"Y": lambda Y: np.column_stack([Y[:, 0], np.ones(40)])}, ValueError, "trait 1: .*all equal"),
        ({"Y": lambda Y: np.column_stack([Y[:, 0], 2 - 3 * Y[:, 0]])}, ValueError, "perfectly correlated"),
        ({"Y": lambda Y: np.column_stack([Y, Y.sum(axis=1)])}, ValueError, "linear combination"),
        ({"Y": lambda Y: Y[:, 0]}, ValueError, r"\(n, T\) array"),
        ({"Y": lambda Y: Y[:, :0]}, ValueError, r"\(n, T\) array"),
        ({"Y": lambda Y: np.where(Y > 1, np.inf, Y)}, ValueError, "finite"),
        ({"Y": lambda Y: Y[:39]}, ValueError, "40 lines"),
        ({"G": lambda G: G.astype(float)}, TypeError, "int8"),
        ({"G": np.asfortranarray}, TypeError, "contiguous"),
        ({"X": lambda _: np.ones((40, 2))}, ValueError, "combination of the others"),
        ({"X": lambda _: np.full((40, 1), np.nan)}, ValueError, "finite"),
        ({"weight": lambda _: -np.ones(40)}, ValueError, "weight"),
        ({"weight": lambda _: np.r_[np.ones(1), np.zeros(39)]}, ValueError, "usable records"),
        ({"prior": lambda _: NormalTraits(df=0.5)}, ValueError, "degrees of freedom"),
        ({"prior": lambda _: NormalTraits(df=0.5, scale=np.eye(3))}, ValueError, "degrees of freedom"),
        ({"prior": lambda _: NormalTraits(df=-1)}, ValueError, "degrees of freedom"),
        ({"prior": lambda _: NormalTraits(scale=-np.eye(3))}, ValueError, "positive definite"),
        ({"prior": lambda _: NormalTraits(scale=np.eye(2))}, ValueError, "3 × 3"),
        ({"prior": lambda _: NormalTraits(r2=1.0)}, ValueError, "r2 must lie"),
        ({"prior": lambda _: {"a": (NormalTraits(), [0, 1]), "b": (NormalTraits(), [1])}}, ValueError, "marker"),
        ({"prior": lambda _: {"a": (NormalTraits(), [])}}, ValueError, "marker"),
        ({"residual": lambda _: InverseWishart(5.0, np.eye(2))}, ValueError, "3 × 3"),
        ({"residual": lambda _: InverseWishart(-3.0, np.eye(3))}, ValueError, "degrees of freedom"),
        ({"residual": lambda _: InverseWishart(5.0, -np.eye(3))}, ValueError, "negative"),
        ({"residual": lambda _: 5.0}, TypeError, "InverseWishart"),
    ],
)
def test_bad_input(toy, change, error, message):
    arguments = {"G": toy[0], "Y": toy[1], "prior": None, "X": None, "weight": None, "residual": None}
    ((name, new),) = change.items()
    arguments[name] = new(arguments[name])
    arguments["prior"] = arguments["prior"] or NormalTraits()
    with pytest.raises(error, match=message):
        MultiTraitModel(**arguments)


def test_a_fixed_effect_that_one_trait_knows_nothing_of(toy):
    "Trait 1 was recorded in one of two places only: with a flat prior its chain would wander off."
    G, Y, _ = toy
    place = np.arange(40) % 2
    X, gaps = np.column_stack([np.ones(40), place]), np.where(np.c_[place > 2, place == 1], np.nan, Y[:, :2])
    with pytest.raises(ValueError, match="trait 1: .*combination"):
        MultiTraitModel(G, gaps, NormalTraits(), X=X)
    found = sample(MultiTraitModel(G, gaps, NormalTraits(), X=X, fixed_variance=4.0), 1, 50, 2000, seed=30)
    assert 0.7 < float(found.sd["fixed"][1, 1]) < 2.5  # the prior's 2, slowly


def test_a_trait_that_is_constant_among_complete_lines(toy):
    G, Y, _ = toy
    Y = np.column_stack([Y[:, 0], np.round(Y[:, 1])])
    Y[(Y[:, 1] != 0) & (np.arange(40) % 2 == 0), 0] = np.nan
    Y[(Y[:, 1] != 0) & (np.arange(40) % 2 == 1), 0] = np.nan
    assert len(set(Y[~np.isnan(Y[:, 0]), 1])) == 1
    found = sample(MultiTraitModel(G, Y, NormalTraits()), 1, 50, 200, seed=31)
    assert all(np.isfinite(draws).all() for draws in found.draws.values())


def test_covariances_that_are_none():
    for bad in (np.eye(3), np.ones(2), [[1.0, 2], [2, 1]], [[1.0, 0.5], [0.1, 1]], np.full((2, 2), np.nan)):
        with pytest.raises(ValueError, match="scale must be a symmetric"):
            check_covariance(bad, 2, "scale")


THIN = ["never together", "few complete", "more traits than lines", "nearly the same", "units"]


@pytest.mark.parametrize("name", THIN)
def test_thin_data_are_answered(toy, name):
    "Traits never on the same line, fewer complete lines than traits, more traits than lines, traits all but equal."
    G, Y, _ = toy
    rng = np.random.default_rng(26)
    if name == "never together":
        Y = np.where((np.arange(40) < 20)[:, None] == [True, False], Y[:, :2], np.nan)
    elif name == "few complete":
        Y = np.where((np.arange(40) < 2)[:, None] | (np.arange(40)[:, None] % 3 == np.arange(3)), Y, np.nan)
    elif name == "more traits than lines":
        G, Y = np.ascontiguousarray(G[:, :5]), rng.standard_normal((5, 8))
    elif name == "nearly the same":
        Y = np.column_stack([Y[:, 0], Y[:, 0] + 1e-3 * Y[:, 1]])
    else:
        Y = Y * [1e-6, 1, 1e6] + [1e-3, 0, 1e9]
    found = sample(MultiTraitModel(G, Y, NormalTraits()), 2, 100, 500, seed=27)
    for draws in found.draws.values():
        assert np.isfinite(draws).all()
    for which in ("residual_covariance", "effect_covariance"):
        V = found.draws[which].values.reshape(-1, Y.shape[1], Y.shape[1])
        assert np.abs(correlation(V)).max() < 1 + 1e-6 and (np.diagonal(V, axis1=1, axis2=2) > 0).all()


def test_traits_never_together_have_the_prior_of_their_correlation(toy):
    "Nothing is known of the residual correlation, so it keeps its prior: symmetric about zero."
    G, Y, _ = toy
    apart = np.where((np.arange(40) < 20)[:, None] == [True, False], Y[:, :2], np.nan)
    found = sample(MultiTraitModel(G, apart, NormalTraits()), 4, 100, 2000, seed=28)
    r = correlation(found.draws["residual_covariance"].values)[..., 0, 1].ravel()
    assert abs(r.mean()) < 0.1 and r.std() > 0.25


def test_residual_prior_follows_the_records(toy):
    G, _, Y = toy
    w = np.where(np.arange(40) < 30, 1.0, 0.0)
    model = MultiTraitModel(G, Y, NormalTraits(r2=0.3), weight=w)
    variance = np.nanvar(Y[:30], axis=0, ddof=1)
    np.testing.assert_allclose(residual_traits(model, 0.3).scale, 0.7 * np.diag(variance) * (7 + 4))
    np.testing.assert_allclose(model.residual.scale, residual_traits(model, 0.3).scale)
    without = MultiTraitModel(G, Y, NormalTraits(), residual=InverseWishart(0.0, np.zeros((3, 3))))
    assert np.isfinite(sample(without, 1, 50, 100, seed=29).draws["residual_covariance"]).all()
