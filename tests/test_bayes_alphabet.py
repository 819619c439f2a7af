"""The Bayesian estimators: scikit-learn's contract, predictions and their spread, windows, fBayesB, reproducibility."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from gp_literate.bayes_alphabet import (
    BRR,
    BayesA,
    BayesB,
    BayesC,
    BayesCPi,
    BayesianLasso,
    BayesR,
    FBayesB,
    bayes_summary,
    endelman_lasso,
    genotype_rows,
    laplace_mean,
    window_labels,
    window_statistics,
)
from gp_literate.mixed_model import RRBLUP, mixed_solve
from gp_literate.priors import ScaledInverseChi2
from gp_literate.simulation import simulate_population

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SAMPLED = [BRR, BayesA, BayesB, BayesC, BayesCPi, BayesianLasso, BayesR]
SHORT = {"n_chains": 1, "tune": 50, "draws": 150, "random_state": 0}
WEIGHTS_ARE_PRECISIONS = {
    "check_sample_weight_equivalence_on_dense_data": "a weight divides the residual variance, it does not copy a line"
}


@parametrize_with_checks(
    [*(cls(**SHORT) for cls in SAMPLED), BRR(method="sweep", **SHORT), FBayesB()],
    expected_failed_checks=lambda estimator: WEIGHTS_ARE_PRECISIONS,
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def lines():
    population = simulate_population(150, 300, n_chromosomes=3, n_qtl=10, h2=0.6, design="dh", seed=1)
    y = population.phenotype("trait").copy()
    truth = population.breeding_values["trait"]
    y.iloc[110:] = np.nan
    return population, population.markers(), y, truth


@pytest.mark.parametrize("cls", SAMPLED)
def test_predicts_and_aligns(lines, cls):
    _, X, y, truth = lines
    fit = cls(n_chains=2, tune=200, draws=500, random_state=1).fit(X, y.sample(frac=1, random_state=2))
    assert set(fit.fitted_.index) == set(X.index) and list(fit.fitted_.index) != list(X.index)
    predicted = fit.predict(X.iloc[110:])
    assert np.corrcoef(predicted, truth.iloc[110:])[0, 1] > 0.4
    np.testing.assert_allclose(predicted, fit.fitted_.loc[predicted.index], atol=1e-6)
    assert fit.coef_.shape == (300,) and 0 < fit.heritability_ < 1
    assert fit.variance_components_.index.tolist() == ["genetic", "residual"]
    assert list(fit.heritability_table_.index) == ["genetic values", "prior variance"]
    assert "seconds" in bayes_summary(fit) and "<table" in fit._repr_html_()
    if hasattr(fit, "pip_"):
        assert ((fit.pip_ >= 0) & (fit.pip_ <= 1)).all()


def test_same_seed_same_draws_whatever_the_workers(lines):
    _, X, y, _ = lines
    one = BayesB(n_chains=2, tune=20, draws=50, random_state=3, keep="all").fit(X, y)
    two = clone(one).set_params(n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(one.posterior_.draws["effect"], two.posterior_.draws["effect"])
    other = clone(one).set_params(random_state=4).fit(X, y)
    assert not np.array_equal(one.coef_, other.coef_)


def test_a_store_is_resumed(lines, tmp_path):
    _, X, y, _ = lines
    whole = BayesC(n_chains=2, tune=20, draws=60, random_state=5, keep="all").fit(X, y)
    stored = clone(whole).set_params(store=tmp_path / "store", draws=30).fit(X, y)
    stored = stored.set_params(draws=60).fit(X, y)
    np.testing.assert_array_equal(whole.posterior_.draws["effect"], stored.posterior_.draws["effect"])


def test_spread_of_predictions(lines):
    "By the sweep, from draws of effects; by the eigenbasis, from its coordinates; and from the fitted values."
    _, X, y, _ = lines
    fast = BRR(n_chains=2, tune=300, draws=4000, random_state=6).fit(X, y)
    slow = BRR(method="sweep", n_chains=2, tune=300, draws=6000, keep="all", random_state=7).fit(X, y)
    new = X.iloc[110:]
    (a, sd_a), (b, sd_b) = fast.predict(new, return_std=True), slow.predict(new, return_std=True)
    assert np.corrcoef(a, b)[0, 1] > 0.99
    np.testing.assert_allclose(sd_a, sd_b, rtol=0.1)
    np.testing.assert_allclose(sd_a, fast.fitted_sd_.iloc[110:], rtol=0.06)
    np.testing.assert_allclose(sd_b, slow.fitted_sd_.iloc[110:], rtol=0.02)
    np.testing.assert_allclose(fast.coef_sd_, slow.coef_sd_, rtol=0.1)
    assert np.corrcoef(fast.coef_, RRBLUP().fit(X, y).coef_)[0, 1] > 0.99


def test_spread_needs_draws(lines):
    _, X, y, _ = lines
    with pytest.raises(ValueError, match='keep="all"'):
        BayesA(**SHORT).fit(X, y).predict(X, return_std=True)


def test_fixed_effects_and_weights(lines):
    _, X, y, _ = lines
    group = pd.DataFrame({"group": np.arange(150) % 2}, index=X.index)
    shifted = y + 3 * group["group"]
    fit = BRR(n_chains=2, draws=2000, random_state=8).fit(X, shifted, fixed=group.sample(frac=1, random_state=1))
    design = np.column_stack([np.ones(150), group["group"]])
    reml = mixed_solve(shifted.to_numpy(), Z=(X - X.mean()).to_numpy(float), X=design, se=True)
    assert fit.fixed_effects_["group"] == pytest.approx(reml.beta[1], abs=0.15 * reml.beta_se[1])
    assert 0.9 < fit.posterior_.sd["fixed"].values[1] / reml.beta_se[1] < 1.4  # REML takes its variances for certain
    left_out = np.where(np.arange(150) < 20, 0.0, 1.0)
    by_weight = BRR(n_chains=1, draws=200, random_state=9).fit(X, y, sample_weight=left_out)
    by_nan = BRR(n_chains=1, draws=200, random_state=9).fit(X, y.where(left_out > 0))
    np.testing.assert_allclose(by_weight.coef_, by_nan.coef_, atol=1e-10)
    with pytest.raises(ValueError, match="different ids"):
        BRR().fit(X, y, fixed=group.rename(index=str.upper))


def test_predictions_are_for_the_average_covariates(lines):
    "A covariate far from zero does not move them, whatever the type of `fixed`."
    _, X, y, _ = lines
    age = pd.Series(np.linspace(90, 110, 150), X.index, name="age")
    shifted = y + 0.5 * age
    fits = [BRR(**SHORT).fit(X, shifted, fixed=given) for given in (age, age.to_frame(), age.to_numpy())]
    for fit in fits:
        assert fit.predict(X.iloc[:110]).mean() == pytest.approx(shifted[:110].mean(), abs=0.1)
        np.testing.assert_allclose(fit.coef_, fits[0].coef_)
    assert fits[0].predict(X[:5]).mean() == pytest.approx(
        (fits[0].fitted_ - 0.5 * (age - age[:110].mean()))[:5].mean(), abs=0.2
    )


def test_factors_among_the_covariates(lines):
    _, X, y, _ = lines
    sex = pd.Series(np.where(np.arange(150) % 3 == 0, "f", "m"), X.index, name="sex")
    text = BRR(**SHORT).fit(X, y + 2.0 * (sex == "m"), fixed=sex)
    number = BRR(**SHORT).fit(X, y + 2.0 * (sex == "m"), fixed=(sex == "m").astype(float))
    assert list(text.fixed_effects_.index) == ["intercept", "sex[m]"]
    np.testing.assert_allclose(text.fixed_effects_, number.fixed_effects_)


def test_bad_covariates(lines):
    _, X, y, _ = lines
    age = pd.DataFrame({"age": np.linspace(1, 2, 150)}, X.index)
    for holes in (age > 1.2, age.index != age.index[-1]):  # of lines with a record; of one without
        with pytest.raises(ValueError, match=r"fixed has missing values in \['age'\]: every line needs"):
            BRR().fit(X, y, fixed=age.where(np.asarray(holes).reshape(-1, 1)))
    with pytest.raises(ValueError, match="one row for each of the 150"):
        BRR().fit(X, y, fixed=age.to_numpy()[:-1])
    with pytest.raises(ValueError, match="genetic_variance"):
        FBayesB(genetic_variance=-1.0).fit(X, y)


def test_standardized_columns_predict_alike(lines):
    _, X, y, _ = lines
    fit = BayesA(standardize=True, **SHORT).fit(X, y)
    np.testing.assert_allclose(fit.predict(X), fit.fitted_, atol=1e-6)


def test_too_short_chains_are_said(lines):
    _, X, y, _ = lines
    with warnings.catch_warnings(), pytest.warns(ConvergenceWarning, match="BayesCPi has not converged for") as caught:
        BayesCPi(n_chains=2, tune=0, draws=20, random_state=10).fit(X, y)
    assert caught[0].filename == __file__
    with warnings.catch_warnings(), pytest.warns(ConvergenceWarning, match="too few to judge"):
        assert "seconds" in bayes_summary(BayesCPi(n_chains=2, tune=0, draws=5, random_state=10).fit(X, y))


def test_windows(lines):
    population, X, y, _ = lines
    fit = BayesC(n_chains=1, tune=200, draws=400, keep="all", random_state=11).fit(X, y)
    windows = window_labels(population.ds["variant_contig"].values, population.ds["variant_position"].values, 20)
    found = window_statistics(fit, X, windows)
    assert found["markers"].sum() == 300 and found["share"].between(0, 3).all() and found["pip"].between(0, 1).all()
    one = window_statistics(fit, X, windows.assign(contig=0, start=0))
    assert one["share"].item() == pytest.approx(1)
    with pytest.raises(ValueError, match="position"):
        window_labels(["1"], [np.nan], 5)
    with pytest.raises(ValueError, match='keep="all"'):
        window_statistics(BayesC(**SHORT).fit(X, y), X, windows)


def test_genotype_rows():
    X = np.asfortranarray(np.random.default_rng(1).integers(0, 3, (6, 9), dtype=np.int8))
    assert np.shares_memory(genotype_rows(X), X)
    assert genotype_rows(X.astype(float)).dtype == np.int8 and genotype_rows(X + 0.5).dtype == np.float32
    assert genotype_rows(X.astype(int) * 200).dtype == np.float32


@pytest.mark.parametrize("Y", [0.0, 1e-8, 0.03, -0.2, 0.5, 2.0, -4.0])
@pytest.mark.parametrize("gamma", [1e-4, 0.05, 0.9])
def test_laplace_mean_by_integration(Y, gamma):
    variance, rate = 0.02, 4.0

    def density(b):
        return gamma * rate / 2 * np.exp(-rate * abs(b)) * stats.norm.pdf(Y, b, np.sqrt(variance))

    ends = {"points": [0, Y], "limit": 500, "epsabs": 1e-15}
    up = integrate.quad(lambda b: b * density(b), -6, 6, **ends)[0]
    total = integrate.quad(density, -6, 6, **ends)[0] + (1 - gamma) * stats.norm.pdf(Y, 0, np.sqrt(variance))
    assert laplace_mean(Y, variance, gamma, rate) == pytest.approx(up / total, abs=1e-9)


def test_laplace_mean_far_out():
    found = np.array([laplace_mean(Y, 0.01, 0.01, 5.0) for Y in np.linspace(0, 100, 4001)])
    assert np.isfinite(found).all() and (np.diff(found) >= -1e-12).all()
    assert laplace_mean(100.0, 0.01, 0.01, 5.0) == pytest.approx(100 - 0.05)


def test_fbayesb_is_a_fixed_point(lines):
    _, X, y, truth = lines
    fit = FBayesB(inclusion=10 / 300, tol=1e-14).fit(X, y)
    seen = ~np.isnan(y)
    G, y_seen = X[seen].to_numpy(float), y[seen].to_numpy()
    centred, ve = G - G.mean(axis=0), fit.variance_components_["residual"]
    rate = np.sqrt(2 * fit.inclusion * centred.var(axis=0).sum() / fit.variance_components_["genetic"])
    e = y_seen - y_seen.mean() - centred @ fit.coef_
    for j in range(0, 300, 7):
        x = centred[:, j]
        Y = x @ (e + x * fit.coef_[j]) / (x @ x)
        assert laplace_mean(Y, ve / (x @ x), fit.inclusion, rate) == pytest.approx(fit.coef_[j], abs=2e-5)
    assert np.corrcoef(fit.predict(X.iloc[110:]), truth.iloc[110:])[0, 1] > 0.4
    with pytest.raises(ValueError, match="inclusion"):
        FBayesB(inclusion=3).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="did not settle"):
        FBayesB(max_iter=1, tol=0).fit(X, y)


@pytest.mark.parametrize("bad", [{"method": "other"}, {"n_chains": 0}, {"draws": 0}, {"keep": "nothing"}, {"r2": 2}])
def test_bad_parameters(lines, bad):
    _, X, y, _ = lines
    with pytest.raises((ValueError, TypeError)):
        BRR(**({"method": "sweep"} | SHORT | bad)).fit(X, y)


def test_endelman_settings(lines):
    _, X, y, _ = lines
    model = endelman_lasso(draws=10)
    assert (model.shape, model.rate, model.n_chains, model.tune, model.draws) == (0.52, 2e-5, 1, 2000, 10)
    model = clone(model).set_params(tune=5).fit(X, y)
    df, scale = model.model_.residual  # from the lines with a phenotype, the training set
    assert df == 3.0 and np.isclose(scale, y.var() / 2 * (2 + 3))
    train = endelman_lasso(tune=5, draws=10).fit(X.iloc[:60], y.iloc[:60]).model_.residual
    assert np.isclose(train.scale, y.iloc[:60].var() / 2 * 5) and not np.isclose(train.scale, scale)


@pytest.mark.parametrize("method", ["sweep", "eigenbasis"])
def test_residual_prior_by_its_degrees_of_freedom(lines, method):
    _, X, y, _ = lines
    weight = np.where(np.arange(len(y)) < 100, 1.0, 0.0)
    given = ScaledInverseChi2(5.0, 0.7 * y.iloc[:100].var() * 7)
    fits = [BRR(method=method, residual=r, r2=0.3, **SHORT).fit(X, y, sample_weight=weight) for r in (5, None, given)]
    for fit in fits:
        np.testing.assert_allclose(fit.model_.residual, given)
    np.testing.assert_array_equal(fits[0].coef_, fits[1].coef_)
    for bad in (0, -1, np.nan):
        with pytest.raises(ValueError, match="residual must be a positive number"):
            BRR(method=method, residual=bad, **SHORT).fit(X, y)
