"""RRBLUP, GBLUP and KernelBLUP: scikit-learn's contract, agreement with each other, ids, bad input."""

import importlib.util
import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import NamedKernel, reference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import laplacian_kernel, linear_kernel, polynomial_kernel, rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from gp_literate.bayes_alphabet import BRR, FBayesB
from gp_literate.elastic_net import ElasticNet, Lasso
from gp_literate.kernels import a_mat, rr_kernel
from gp_literate.mixed_model import GBLUP, RRBLUP, KernelBLUP, call_kernel, mixed_solve, observed_score
from gp_literate.multitrait_bayes import BayesianMultiTraitGBLUP, MultiTraitBayesCPi
from gp_literate.multitrait_gblup import MultiTraitGBLUP
from gp_literate.neural_lasso import NeuralLasso
from gp_literate.pocre import POCRE
from gp_literate.simulation import simulate_population

SHORT_CHAINS = {"n_chains": 1, "tune": 50, "draws": 100, "random_state": 0}
ESTIMATORS = [
    RRBLUP(),
    GBLUP(),
    GBLUP(kernel="precomputed"),
    KernelBLUP(),
    KernelBLUP("exponential"),
    KernelBLUP(theta=0.5),
    KernelBLUP(NamedKernel()),
    MultiTraitGBLUP(),
    MultiTraitGBLUP("sum_rule", standardize=False),
    BayesianMultiTraitGBLUP(**SHORT_CHAINS),
    MultiTraitBayesCPi(**SHORT_CHAINS),
    ElasticNet(cv=3, n_lambdas=10),
    Lasso(lam=0.05),
    NeuralLasso(0, "linear", lam=1.0, solver="proximal", n_iterations=20, dosages=False),
]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


NO_COPIES = {
    "check_sample_weight_equivalence_on_dense_data": "a weight is the precision of one record, a mean of w plots; w "
    "copies of it would say that plots do not differ, and so that there is no residual variance (tested below: zero "
    "weights are removals, and at given variances weights are repeats)"
}
NO_KERNEL = {
    "check_positive_only_tag_during_fit": "it subtracts a constant from a kernel, which is then no covariance",
    "check_estimators_dtypes": "it rounds a kernel to whole numbers, which is then no covariance",
}


def not_applicable(estimator):
    "Checks that ask for something else than the model, with the reason."
    return NO_COPIES | (NO_KERNEL if estimator.get_params().get("kernel") == "precomputed" else {})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=not_applicable)
def test_scikit_learn_contract(estimator, check):
    if isinstance(estimator, NeuralLasso) and importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed, and the checks' numbers are no called genotypes")
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


# --- records of unequal precision ----------------------------------------------------------------------------------

WEIGHTED = [*MODELS, KernelBLUP(NamedKernel())]


@pytest.mark.parametrize("model", WEIGHTED, ids=str)
def test_weight_zero_is_a_line_left_out(model, population):
    X, y = population
    w = np.ones(160)
    w[::5] = 0
    a, b = clone(model).fit(X, y, sample_weight=w), clone(model).fit(X[w > 0], y[w > 0])
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-7)
    np.testing.assert_allclose(a.heritability_, b.heritability_, rtol=1e-6)


@pytest.mark.parametrize("model", WEIGHTED, ids=str)
def test_weighted_estimators_are_the_full_matrices(model, population):
    X, y = population
    w = np.random.default_rng(0).integers(1, 5, 160) / 2
    train, test = slice(0, 120), slice(120, 160)
    fitted = clone(model).fit(X[train], y[train], sample_weight=pd.Series(w[train], X.index[train]).sample(frac=1))
    predicted, std = fitted.predict(X[test], return_std=True)
    K, C, own = (f(X.to_numpy()[s]) for f, s in ((fitted._cross, train), (fitted._cross, test), (fitted._own, test)))
    Vi, ones = np.linalg.inv(K * fitted.fit_.Vu + np.diag(fitted.fit_.Ve / w[train])), np.ones(120)
    mean = ones @ Vi @ y[train] / Vi.sum()
    np.testing.assert_allclose(predicted, mean + C @ Vi @ (y[train] - mean) * fitted.fit_.Vu, rtol=1e-6)
    C = C * fitted.fit_.Vu
    d = 1 - C @ Vi @ ones
    np.testing.assert_allclose(std**2, own * fitted.fit_.Vu - np.diag(C @ Vi @ C.T) + d**2 / Vi.sum(), rtol=1e-5)
    assert "of weight 1" in fitted._repr_html_()


def test_weights_are_repeats_when_the_variances_are_given(population):
    "At one λ, records with whole weights and repeated records have the same solution."
    X, y = population
    w = np.random.default_rng(0).integers(1, 4, 160)
    K, at = a_mat(X.to_numpy()), (0.7, 0.7 * (1 + 1e-9))
    weighted = mixed_solve(y.to_numpy(), K=K, weights=w, bounds=at, se=True)
    repeated = mixed_solve(np.repeat(y.to_numpy(), w), Z=np.repeat(np.eye(160), w, axis=0), K=K, bounds=at, se=True)
    np.testing.assert_allclose(weighted.u, repeated.u, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(weighted.beta, repeated.beta, rtol=1e-8)
    np.testing.assert_allclose(weighted.u_se / weighted.Vu**0.5, repeated.u_se / repeated.Vu**0.5, rtol=1e-6)


def test_plots_are_recovered_from_their_means():
    "Means of unequal numbers of plots: weights bring the values closer to the truth than no weights do."
    gain = []
    for seed in range(4):
        pop = simulate_population(n_samples=250, n_variants=400, n_qtl=40, h2=0.5, design="dh", seed=seed)
        rng = np.random.default_rng(seed)
        X, g = pop.markers(), pop.breeding_values.iloc[:, 0]
        w = rng.choice([1, 16], 250)
        y = g / g.std() + 2 * rng.normal(size=250) / w**0.5
        correlations = [np.corrcoef(GBLUP().fit(X, y, s).predict(X), g)[0, 1] for s in (w, None)]
        gain.append(correlations[0] - correlations[1])
    assert np.mean(gain) > 0.01


@pytest.mark.parametrize(
    "weights", [np.r_[-1.0, np.ones(4)], np.r_[np.nan, np.ones(4)], np.zeros(5), np.ones(4), np.ones((5, 2))]
)
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="^sample_weight (must|are zero)"):
        RRBLUP().fit(X0, Y0, sample_weight=weights)


# --- any kernel ----------------------------------------------------------------------------------------------------


def test_a_kernel_function_is_the_kernel(population):
    X, y = population
    by_theta = KernelBLUP(theta=0.5, coding="-1/0/1").fit(X, y)
    gamma = 1 / (0.5**2 * 4 * X.shape[1])  # exp(-(D/θ)²) = exp(-γ |x - y|²)
    for kernel in (RBF((1 / (2 * gamma)) ** 0.5), lambda a, b: rbf_kernel(a, b, gamma=gamma)):
        fitted = KernelBLUP(kernel).fit(X, y)
        for a, b in zip(fitted.predict(X, return_std=True), by_theta.predict(X, return_std=True), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4)
        assert fitted.theta_ is None and fitted.theta_profile_ is None and "θ" not in fitted._repr_html_()


@pytest.mark.parametrize(
    "kernel",
    [
        laplacian_kernel,
        polynomial_kernel,
        linear_kernel,
        DotProduct(1.0) + WhiteKernel(0.1),
        ConstantKernel(2.0) * RBF(10.0),
    ],
    ids=lambda kernel: getattr(kernel, "__name__", str(kernel)),
)
def test_scikit_learns_kernels_fit_and_predict(kernel, population):
    X, y = population
    fitted = KernelBLUP(kernel).fit(X.iloc[:120], y.iloc[:120])
    predicted, std = fitted.predict(X.iloc[120:], return_std=True)
    assert np.corrcoef(predicted, y.iloc[120:])[0, 1] > 0.2 and (std > 0).all()
    clone(fitted).set_params(method="ML").fit(X, y)


def test_dot_product_of_one_byte_genotypes_does_not_overflow(population):
    X, y = population
    byte = (X + 1).astype(np.int8)
    np.testing.assert_array_equal(
        call_kernel(DotProduct(0.0), byte.to_numpy()), byte.astype(float) @ byte.T.astype(float)
    )
    np.testing.assert_allclose(
        KernelBLUP(linear_kernel).fit(byte, y).predict(byte), RRBLUP().fit(X, y).predict(X), rtol=1e-6
    )


def test_kernel_functions_get_blocks_of_lines(population, monkeypatch):
    X, y = population
    whole = KernelBLUP(rbf_kernel).fit(X, y)
    seen = []

    def kernel(a, b):
        seen.append(a.shape[0])
        return rbf_kernel(a, b)

    blocks = lambda A, cells=0: [slice(s, min(s + 50, len(A))) for s in range(0, len(A), 50)]
    monkeypatch.setattr("gp_literate.mixed_model.line_blocks", blocks)
    parts = KernelBLUP(kernel).fit(X, y)
    assert max(seen) == 50
    for a, b in zip(parts.predict(X, return_std=True), whole.predict(X, return_std=True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize(
    ("message", "kernel"),
    [
        (r"must return shape \(5, 5\)", lambda a, b: np.ones(3)),
        ("K contains NaN", lambda a, b: np.full((len(a), len(b)), np.nan)),
        ("not symmetric", lambda a, b: np.arange(25.0).reshape(5, 5)),
        ("not positive semidefinite", lambda a, b: -rbf_kernel(a, b)),
    ],
)
def test_functions_that_are_no_kernel_are_refused(message, kernel):
    with pytest.raises(ValueError, match=message):
        KernelBLUP(kernel).fit(X0, Y0)


def test_hyperparameters_of_a_kernel_object_can_be_searched(population):
    X, y = population
    search = GridSearchCV(KernelBLUP(RBF(1.0)), {"kernel__length_scale": [5.0, 20.0]}, cv=3).fit(X, y)
    assert search.best_params_["kernel__length_scale"] in (5.0, 20.0)


# --- ML, where centring matters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("markers", [400, 60], ids=["n < p", "n > p"])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_estimators_have_the_likelihood_of_mixed_solve(population, method, markers):
    X, y = population
    X = X.iloc[:, :markers]
    for model, solved in (
        (RRBLUP(method), mixed_solve(y, Z=X, method=method)),
        (GBLUP(method=method, coding="-1/0/1"), mixed_solve(y, K=a_mat(X), method=method)),
    ):
        fit = model.fit(X, y).fit_
        np.testing.assert_allclose([fit.lambda_, fit.Vu, fit.LL], [solved.lambda_, solved.Vu, solved.LL], rtol=1e-6)
    fitted = RRBLUP(method).fit(X, y)
    u = mixed_solve(y, Z=X, method=method).u
    np.testing.assert_allclose(fitted.predict(X), X @ u + fitted.intercept_, rtol=1e-6)
    np.testing.assert_allclose(fitted.coef_, u, rtol=1e-5, atol=1e-9)
    K = X.to_numpy().astype(float) @ X.T.to_numpy()
    average = (np.trace(K) - K.sum() / 160) / 159
    np.testing.assert_allclose(fitted.heritability_, average / (average + fitted.fit_.lambda_), rtol=1e-9)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_errors_of_ridge_regression_are_those_of_the_kernel(population, method):
    X, y = population
    K = rr_kernel(X)
    kernel = GBLUP("precomputed", method).fit(K.iloc[:120, :120], y[:120])
    given = kernel.predict(K.iloc[120:, :120], return_std=True, own_variance=pd.Series(np.diag(K), X.index)[120:])
    for a, b in zip(RRBLUP(method).fit(X[:120], y[:120]).predict(X[120:], return_std=True), given, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("case", ["markers_REML_SE", "markers_ML", "chol_markers_ML"])
def test_rrblup_is_rs_mixed_solve_on_wheat(wheat, case):
    r, method = reference("rrblup_mixed_solve_wheat_env1.json")["cases"][case], "ML" if "_ML" in case else "REML"
    G = wheat.markers("-1/1").iloc[:, : 100 if "chol" in case else None]
    model = RRBLUP(method).fit(G, wheat.phenotype("env1"))
    df = 599 if method == "ML" else 598
    np.testing.assert_allclose(model.fit_.LL + df / 2 * np.log(np.pi / 3.14159), r["LL"], atol=1e-6)
    np.testing.assert_allclose([model.fit_.Vu, model.fit_.Ve], [r["Vu"], r["Ve"]], rtol=1e-3)


# --- kernels by id, scores with gaps ----------------------------------------------------------------------------------


def test_a_precomputed_kernel_is_matched_by_id_on_both_axes(population):
    X, y = population
    K = rr_kernel(X)
    plain = GBLUP("precomputed").fit(K.iloc[:120, :120].to_numpy(), y.to_numpy()[:120])
    shuffled = y[:120].sample(frac=1, random_state=2)
    fitted = GBLUP("precomputed").fit(K.iloc[:120, :120], shuffled)
    expected = plain.predict(K.iloc[120:, :120].to_numpy())
    for columns in (K.index[:120], shuffled.index, K.index[:120][::-1]):
        np.testing.assert_allclose(fitted.predict(K.loc[K.index[120:], columns]), expected, rtol=1e-8, atol=1e-12)
    with pytest.raises(ValueError, match=r"one column for each of the 120 training lines, got 160; .*'s120'|got 160"):
        fitted.predict(K.iloc[120:])
    with pytest.raises(ValueError, match="same ids in the same order on both axes"):
        GBLUP("precomputed").fit(K.iloc[:120, :120].iloc[::-1], y[:120])
    again = fitted.fit(K.iloc[:120, :120].to_numpy(), y.to_numpy()[:120])  # nothing of the ids is left
    np.testing.assert_allclose(again.predict(K.iloc[120:, :120].to_numpy()), expected, rtol=1e-12)


def test_own_variance_is_for_precomputed_kernels_and_checked(population):
    X, y = population
    for model in (RRBLUP(), GBLUP(), KernelBLUP(theta=0.5)):
        with pytest.raises(ValueError, match="own_variance is for kernel='precomputed' only"):
            clone(model).fit(X, y).predict(X.iloc[:3], return_std=True, own_variance=1)
    K = rr_kernel(X)
    fitted = GBLUP("precomputed").fit(K, y)
    for wrong in (1.0, np.ones(4), -np.ones(3), np.full(3, np.nan)):
        with pytest.raises(ValueError, match="one number >= 0 for each of the 3 lines"):
            fitted.predict(K.iloc[:3], return_std=True, own_variance=wrong)
    named = pd.Series(np.diag(K)[:3], K.index[:3])
    a, b = (fitted.predict(K.iloc[:3], return_std=True, own_variance=v)[1] for v in (named, named[::-1]))
    pd.testing.assert_series_equal(a, b)


SCORED = [RRBLUP(), GBLUP(), KernelBLUP(theta=0.5), BRR(n_chains=1, tune=50, draws=100, random_state=1)]
SCORED += [FBayesB(), POCRE(0.5), ElasticNet()]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model", SCORED, ids=str)
def test_scores_leave_out_missing_records(model, population):
    X, y = population
    gaps = y.where(np.arange(160) % 3 > 0)
    fitted = clone(model).fit(X, gaps)
    expected = r2_score(gaps.dropna(), fitted.predict(X[gaps.notna()]))
    np.testing.assert_allclose(fitted.score(X, gaps), expected)
    np.testing.assert_allclose(fitted.score(X, gaps.sample(frac=1, random_state=0)), expected)  # matched by id
    weights = pd.Series(np.arange(1.0, 161), X.index)
    seen = gaps.notna()
    np.testing.assert_allclose(
        fitted.score(X, gaps, weights), r2_score(gaps[seen], fitted.predict(X[seen]), sample_weight=weights[seen])
    )
    assert np.isfinite(cross_val_score(clone(model), X, gaps, cv=3)).all()
    for few in (gaps * np.nan, gaps.where(gaps.index == gaps.first_valid_index())):
        with pytest.raises(ValueError, match=r"at least two; y has [01] of 160"):
            fitted.score(X, few)


def test_scores_of_several_traits_are_averaged():
    y, predicted = np.array([[1.0, 2], [2, np.nan], [3, 5], [np.nan, 4]]), np.array([[1.0, 1], [2, 9], [2, 5], [0, 4]])
    each = r2_score([1, 2, 3], [1, 2, 2]), r2_score([2, 5, 4], [1, 5, 4])
    np.testing.assert_allclose(observed_score(y, predicted), np.mean(each))


def test_scores_of_a_multi_trait_fit(population):
    X, y = population
    Y = pd.DataFrame({"a": y.where(np.arange(160) % 3 > 0), "b": y + np.arange(160) % 5})
    fit = MultiTraitGBLUP().fit(X, Y)
    found = fit.predict(X)
    each = [r2_score(Y[t].dropna(), found.loc[Y[t].notna(), t]) for t in Y]
    np.testing.assert_allclose(fit.score(X, Y), np.mean(each))


# --- degenerate cases ----------------------------------------------------------------------------------------------


def test_theta_on_the_end_of_the_grid_is_said(population):
    X, y = population
    with pytest.warns(UserWarning, match="θ = 0.35 is the largest value of theta_grid"):
        edge = KernelBLUP(theta_grid=[0.3, 0.35], refine_theta=False).fit(X, X.iloc[:, 0] + X.iloc[:, 9] + y / 10)
    assert "largest value of theta_grid, and the likelihood may still rise beyond it" in edge._repr_html_()
    assert "note on θ" not in KernelBLUP(theta=0.5).fit(X, y)._repr_html_()


def test_unrelated_lines_get_the_mean(population):
    X, y = population
    with np.errstate(all="raise"):
        model = GBLUP("precomputed").fit(np.eye(160), y)
    assert model.fit_.bound == "flat" and model.heritability_ < 1e-6 and model.heritability_interval_[1] > 0.99
    np.testing.assert_allclose(model.predict(np.eye(160)), y.mean(), rtol=1e-6)
    assert "cannot be told apart" in model._repr_html_()


@pytest.mark.parametrize("model", [RRBLUP(), GBLUP()], ids=str)
def test_bounds_are_said(model, population):
    X, _ = population
    exact = clone(model).fit(X, X.to_numpy() @ np.sin(np.arange(400)))
    assert exact.heritability_ > 0.999 and "no residual variance found (h² = 1)" in exact._repr_html_()
    least = np.linalg.eigh(rr_kernel(X.to_numpy() - X.to_numpy().mean(axis=0)))[1][:, 1]
    null = clone(model).fit(X, least)
    assert null.heritability_ < 1e-6 and "no genetic variance found (h² = 0)" in null._repr_html_()


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_duplicated_lines_have_one_value(model, population):
    X, y = population
    twice = pd.concat([X.iloc[:60], X.iloc[:60]])
    predicted = clone(model).fit(twice.to_numpy(), y.to_numpy()[:120]).predict(twice.to_numpy())
    np.testing.assert_allclose(predicted[:60], predicted[60:], rtol=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_one_marker_is_a_kernel_of_rank_one(model, population):
    X, y = population
    fitted = clone(model).fit(X.iloc[:, :1], y)
    assert fitted.predict(X.iloc[:, :1]).nunique() <= X.iloc[:, 0].nunique()


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
