"""RRBLUP, GBLUP and KernelBLUP: scikit-learn's contract, agreement with each other, ids, bad input."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from gp_literate.kernels import a_mat, rr_kernel
from gp_literate.mixed_model import GBLUP, RRBLUP, KernelBLUP, mixed_solve
from gp_literate.simulation import simulate_population

ESTIMATORS = [
    RRBLUP(),
    GBLUP(),
    GBLUP(kernel="precomputed"),
    KernelBLUP(),
    KernelBLUP("exponential"),
    KernelBLUP(theta=0.5),
]


NOT_APPLICABLE = {
    "check_positive_only_tag_during_fit": "it subtracts a constant from a kernel, which is then no covariance",
    "check_estimators_dtypes": "it rounds a kernel to whole numbers, which is then no covariance",
}


@parametrize_with_checks(
    ESTIMATORS, expected_failed_checks=lambda e: NOT_APPLICABLE if e.get_params().get("kernel") == "precomputed" else {}
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def population():
    pop = simulate_population(n_samples=160, n_variants=400, n_qtl=40, h2=0.6, design="dh", seed=5)
    return pop.markers("-1/0/1"), pop.phenotypes.iloc[:, 0]


MODELS = [
    RRBLUP(),
    GBLUP(),
    GBLUP(coding="-1/0/1"),
    KernelBLUP(theta_grid=[0.3, 0.6]),
    KernelBLUP("exponential", theta=1.0),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_ids_are_aligned_and_come_back(model, population):
    X, y = population
    fitted = clone(model).fit(X, y.sample(frac=1, random_state=1))
    predicted, std = fitted.predict(X.iloc[:7], return_std=True)
    assert predicted.index.equals(X.index[:7]) and std.index.equals(X.index[:7]) and predicted.name == y.name
    by_position = clone(model).fit(X.to_numpy(), y.to_numpy())
    np.testing.assert_allclose(predicted, by_position.predict(X.to_numpy()[:7]), rtol=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_missing_phenotypes_are_left_out_and_predicted(model, population):
    X, y = population
    gaps = y.copy()
    gaps.iloc[::4] = np.nan
    seen = gaps.notna()
    with_gaps, without = clone(model).fit(X, gaps), clone(model).fit(X[seen], y[seen])
    np.testing.assert_allclose(with_gaps.predict(X), without.predict(X), rtol=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_genotypes_stay_int8(model, population):
    X, y = population
    assert (X.dtypes == np.int8).all()
    fitted = clone(model).fit(X, y)
    assert fitted.X_.dtype == np.int8
    np.testing.assert_allclose(
        fitted.predict(X), clone(model).fit(X.astype(float), y).predict(X.astype(float)), rtol=1e-6
    )


def test_dataarray_brings_its_ids(population):
    X, y = population
    ids = {"samples": X.index.to_numpy(), "variants": X.columns.to_numpy()}
    array = xr.DataArray(X.to_numpy(), dims=("samples", "variants"), coords=ids)
    from_array, from_frame = RRBLUP().fit(array, y).predict(array), RRBLUP().fit(X, y).predict(X)
    pd.testing.assert_series_equal(from_array, from_frame, check_names=False, check_index_type=False)


def test_the_three_forms_of_the_additive_model_agree(population):
    X, y = population
    A = a_mat(X.to_numpy())
    rr, gb, pre = RRBLUP().fit(X, y), GBLUP().fit(X, y), GBLUP("precomputed").fit(A, y.to_numpy())
    np.testing.assert_allclose(gb.predict(X), rr.predict(X), rtol=1e-7)
    np.testing.assert_allclose(pre.predict(A), rr.predict(X), rtol=1e-7)
    np.testing.assert_allclose([gb.heritability_, pre.heritability_], rr.heritability_, rtol=1e-8)
    np.testing.assert_allclose(gb.heritability_interval_, rr.heritability_interval_, rtol=1e-6)
    np.testing.assert_allclose(X.to_numpy() @ rr.coef_ + rr.intercept_, rr.predict(X), rtol=1e-9)


def test_estimators_are_mixed_solve(population):
    X, y = population
    solved = mixed_solve(y, K=a_mat(X.to_numpy()), se=True)
    gb = GBLUP(coding="-1/0/1").fit(X, y)
    np.testing.assert_allclose([gb.fit_.Vu, gb.fit_.Ve, gb.fit_.LL], [solved.Vu, solved.Ve, solved.LL], rtol=1e-8)
    np.testing.assert_allclose(gb.predict(X), solved.u + solved.beta[0], rtol=1e-8)
    markers = mixed_solve(y, Z=X)
    np.testing.assert_allclose(RRBLUP().fit(X, y).coef_, markers.u, rtol=1e-6, atol=1e-12)


def test_thin_and_full_fits_agree(population):
    "Fewer markers than lines takes another route; adding constant markers forces the other one."
    X, y = population
    few = X.iloc[:, :50].to_numpy()
    padded = np.hstack([few, np.ones((160, 200), np.int8)])
    for model in (RRBLUP(), GBLUP(coding="-1/0/1")):
        thin, full = clone(model).fit(few, y), clone(model).fit(padded, y)
        for a, b in zip(thin.predict(few, return_std=True), full.predict(padded, return_std=True), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7)
        np.testing.assert_allclose(thin.heritability_, full.heritability_, rtol=1e-8)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_standard_error_is_that_of_the_dense_formula(model, population):
    "Variance of (μ + g) given the data and variance components, by adding μ to the random effects with a flat prior."
    X, y = population
    train, test = X.to_numpy()[:120], X.to_numpy()[120:]
    fitted = clone(model).fit(train, y.to_numpy()[:120])
    _, std = fitted.predict(test, return_std=True)
    K, C, own = fitted._cross(train), fitted._cross(test), fitted._own(test)
    big = 1e7  # variance of the flat prior of μ, in units of σu²
    H = K + fitted.fit_.lambda_ * np.eye(120) + big
    dense = own + big - np.einsum("ij,ji->i", C + big, np.linalg.solve(H, (C + big).T))
    np.testing.assert_allclose(std, np.sqrt(dense * fitted.fit_.Vu), rtol=1e-4)


def test_standard_errors_cover_the_truth():
    covered = []
    for seed in range(4):
        pop = simulate_population(n_samples=300, n_variants=500, n_qtl=60, h2=0.6, design="dh", seed=seed)
        X, y, truth = pop.markers(), pop.phenotypes.iloc[:, 0], pop.breeding_values.iloc[:, 0]
        value, std = GBLUP().fit(X.iloc[:240], y.iloc[:240]).predict(X.iloc[240:], return_std=True)
        covered.append((np.abs(value - truth.iloc[240:]) < 1.96 * std).mean())
    assert 0.85 < np.mean(covered) <= 1


def test_heritability_interval_holds_the_estimate_and_reports_bounds(population):
    X, y = population
    model = RRBLUP().fit(X, y)
    low, high = model.heritability_interval_
    assert 0 <= low < model.heritability_ < high <= 1
    rng = np.random.default_rng(0)
    nulls = [RRBLUP().fit(X, rng.permutation(y)) for _ in range(12)]
    assert any(m.fit_.bound == "upper" and m.heritability_ < 1e-6 and m.heritability_interval_[1] > 0.01 for m in nulls)


def test_theta_follows_the_profile(population):
    X, y = population
    grid = KernelBLUP(refine_theta=False).fit(X, y)
    refined = KernelBLUP().fit(X, y)
    assert grid.theta_profile_.theta.tolist() == [round(0.1 * i, 1) for i in range(1, 11)]
    assert grid.theta_ == grid.theta_profile_.set_index("theta").LL.idxmax()
    assert refined.fit_.LL >= grid.fit_.LL and abs(refined.theta_ - grid.theta_) <= 0.1
    np.testing.assert_allclose(refined.predict(X), KernelBLUP(theta=refined.theta_).fit(X, y).predict(X), rtol=1e-9)


def test_gauss_with_a_large_theta_is_ridge_regression(population):
    X, y = population
    gauss, rr = KernelBLUP(theta=100.0).fit(X, y), RRBLUP().fit(X, y)
    np.testing.assert_allclose(gauss.predict(X), rr.predict(X), atol=1e-3 * y.std())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(MODELS[:2] + MODELS[3:]))
def test_recoding_order_and_units_do_not_matter(seed, model):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (30, 40)).astype(np.int8)
    y = X @ rng.normal(size=40) + rng.normal(size=30) * 3
    order, flip = rng.permutation(40), rng.random(40) < 0.5
    recoded = np.where(flip, 2 - X, X)[:, order].astype(np.int8) - 1
    a = clone(model).fit(X, y)
    b = clone(model).fit(recoded, y * 7 - 100)
    np.testing.assert_allclose(b.predict(recoded), a.predict(X) * 7 - 100, rtol=1e-5, atol=1e-4 * np.std(y))
    np.testing.assert_allclose(b.heritability_, a.heritability_, rtol=1e-4, atol=1e-6)


def test_works_in_pipelines_and_searches(population):
    X, y = population
    assert cross_val_score(make_pipeline(StandardScaler(), RRBLUP()), X, y, cv=3).shape == (3,)
    search = GridSearchCV(KernelBLUP(), {"kernel": ["gaussian", "exponential"], "theta": [0.4, 0.8]}, cv=3).fit(X, y)
    assert search.best_params_["theta"] in (0.4, 0.8)
    scores = cross_val_score(GBLUP("precomputed"), rr_kernel(X.to_numpy()), y.to_numpy(), cv=3)
    np.testing.assert_allclose(scores, cross_val_score(GBLUP(), X.to_numpy(), y.to_numpy(), cv=3), rtol=1e-6)


def test_html_of_a_fit_names_what_was_found(population):
    X, y = population
    html = KernelBLUP(theta=0.5).fit(X, y)._repr_html_()
    assert all(word in html for word in ("heritability", "160", "400", "θ", "log-likelihood"))
    assert "heritability" not in KernelBLUP()._repr_html_()


# --- what is refused -----------------------------------------------------------------------------------------------

X0 = np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1], [0, 0, 2], [2, 2, 1]], np.int8)
Y0 = np.array([1.0, 2, 0, 4, 3])


@pytest.mark.parametrize("model", [RRBLUP(), GBLUP(), KernelBLUP()], ids=str)
@pytest.mark.parametrize(
    ("message", "X", "y"),
    [
        ("NaN .*impute them first", np.where(X0 == 1, np.nan, X0), Y0),
        ("every value is NaN", X0, np.full(5, np.nan)),
        ("does not vary", X0, np.ones(5)),
        ("every marker is constant", np.ones((5, 3), np.int8), Y0),
        ("1 sample", X0[:1], Y0[:1]),
        ("need at least 3", X0, np.r_[1.0, 2, np.nan, np.nan, np.nan]),
        ("X has 5, y has 4", X0, Y0[:4]),
        ("y contains infinity", X0, np.r_[Y0[:4], np.inf]),
    ],
)
def test_bad_input_has_its_own_message(model, message, X, y):
    with pytest.raises(ValueError, match=message):
        clone(model).fit(X, y)


@pytest.mark.parametrize("model", [RRBLUP(coding="-1/0/1"), GBLUP(coding="0/1"), KernelBLUP(coding="-1/1")], ids=str)
def test_codes_outside_the_declared_coding_are_refused(model):
    with pytest.raises(ValueError, match=r"line \d, marker \d, which is outside coding="):
        model.fit(X0, Y0)
    fitted = clone(model).fit(np.where(X0 > 0, 1, (-1, 0)["0/1" == model.coding]), Y0)
    with pytest.raises(ValueError, match="outside coding="):
        fitted.predict(np.full((1, 3), 7))


def test_ids_that_do_not_match_are_named():
    X, y = pd.DataFrame(X0, list("abcde")), pd.Series(Y0, list("abcdf"))
    with pytest.raises(ValueError, match=r"y and X have different ids: 2 .*'f', 'e'"):
        RRBLUP().fit(X, y)


@pytest.mark.parametrize(
    ("message", "model"),
    [
        ("kernel='cubic'", KernelBLUP("cubic")),
        ("kernel='dominance'", GBLUP("dominance")),
        ("theta='ml'", KernelBLUP(theta="ml")),
        ("theta must be positive", KernelBLUP(theta=-1.0)),
        ("theta_grid increasing", KernelBLUP(theta_grid=[0.5, 0.2])),
        ("coding='012'", RRBLUP(coding="012")),
        ("method='reml'", RRBLUP(method="reml")),
        ("not symmetric", GBLUP("precomputed")),
    ],
)
def test_bad_parameters_are_refused_at_fit(message, model):
    with pytest.raises(ValueError, match=message):
        model.fit(np.arange(25).reshape(5, 5) if model.get_params().get("kernel") == "precomputed" else X0, Y0)


def test_precomputed_kernel_needs_the_variance_of_new_lines():
    K = rr_kernel(X0 - 1) + np.eye(5)
    fitted = GBLUP("precomputed").fit(K, Y0)
    with pytest.raises(ValueError, match="own_variance"):
        fitted.predict(K, return_std=True)
    assert (fitted.predict(K, return_std=True, own_variance=np.diag(K))[1] > 0).all()
