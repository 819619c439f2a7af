"""The multiple-trait Bayesian LASSO: exact posteriors for every sampler, calibration, planted bugs, the estimator."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from gp_literate.chains import open_posterior, sample
from gp_literate.diagnostics import calibration_table, geweke_joint_test, simulation_based_calibration
from gp_literate.gibbs import GibbsModel
from gp_literate.mbl import LaplaceTraits, MultiTraitBayesianLasso, choose_sampler
from gp_literate.multitrait import (
    InverseWishart,
    MultiTraitModel,
    NormalTraits,
    exact_trait_residual,
    prior_traits,
    simulate_traits,
    trait_quantities,
)
from gp_literate.multivariate_laplace import draw_scales
from gp_literate.priors import LaplacePrior, ScaledInverseChi2
from gp_literate.simulation import simulate_population

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SAMPLERS = ["single_site", "block", "joint", "n_dim"]
HELD = 1e8
R0, SIGMA = np.array([[1.0, 0.3], [0.3, 0.8]]), np.array([[0.03, -0.01], [-0.01, 0.05]])
SHORT = {"n_chains": 1, "tune": 20, "draws": 40, "random_state": 0}


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(1)
    G = rng.integers(0, 3, (2, 30), dtype=np.int8)
    Y = G.T @ np.array([[0.6, -0.3], [0.0, 0.5]]) + rng.multivariate_normal([0, 0], R0, 30)
    Y[:6, 1] = np.nan
    return G, Y, rng.choice([0.5, 1.0, 2.0], 30)


def exact_means(G, Y, weight, grid=160):
    "Posterior means of the effects of two markers with known covariances, by integration over both mixing scales."
    n, T = Y.shape
    seen = ~np.isnan(Y.T.ravel())
    V = np.kron(R0, np.diag(1 / weight))[np.ix_(seen, seen)]
    Z = np.kron(np.eye(T), np.ones((n, 1)))[seen]
    X = [np.kron(np.eye(T), g[:, None].astype(float))[seen] for g in G]
    y = Y.T.ravel()[seen]
    root, step = np.linspace(0.01, 22, grid, retstep=True)  # v = √w, density v^T exp(-v²/8)
    log_p, means = [], []
    parts = [x @ SIGMA @ x.T for x in X]
    for a in root:
        for b in root:
            C = V + a * a * parts[0] + b * b * parts[1]
            L = np.linalg.cholesky(C)
            half, side = np.linalg.solve(L, np.column_stack([y, Z])), None
            side, q = half[:, 0], half[:, 1:]
            P = q.T @ q
            beta = np.linalg.solve(P, q.T @ side)
            r = side - q @ beta
            log_det = 2 * np.log(np.diag(L)).sum() + np.linalg.slogdet(P)[1]
            log_p.append(-0.5 * (log_det + r @ r) + T * np.log(a * b) - (a * a + b * b) / 8)
            dual = np.linalg.solve(L.T, r)
            means.append([s * s * SIGMA @ x.T @ dual for s, x in zip((a, b), X, strict=True)])
    p = np.exp(log_p - np.max(log_p))
    return np.einsum("k,kjt->jt", p / p.sum(), np.array(means))


def held(G, Y, weight, sampler, how="gibbs", size=1):
    prior = LaplaceTraits(df=HELD, scale=HELD * SIGMA, scale_update=how)
    ways = {"draw_effects": choose_sampler(sampler, size), "residual": InverseWishart(HELD, HELD * R0)}
    return MultiTraitModel(G, Y, prior, weight=weight, **ways)


@pytest.fixture(scope="module")
def exact(toy):
    return exact_means(*toy, grid=70)


@pytest.mark.parametrize(("sampler", "how"), [*((s, "gibbs") for s in SAMPLERS), ("single_site", "mh")])
def test_posterior_mean_by_integration(toy, exact, sampler, how):
    "Weights, a trait missing on some lines, both scale updates."
    found = sample(held(*toy, sampler, how), 2, 300, 5000, seed=2, keep=[])
    np.testing.assert_allclose(found.mean["effect"].values, exact, atol=0.012)


@pytest.mark.parametrize("size", [3, 40])
def test_blocks_of_any_size(size):
    "Blocks need not divide the number of markers; all give the posterior of single sites."
    rng = np.random.default_rng(3)
    G = rng.integers(0, 3, (11, 40), dtype=np.int8)
    G[5] = G[4]
    Y = G[[1, 4]].T @ np.array([[0.5, 0.2], [-0.4, 0.6]]) + rng.multivariate_normal([0, 0], R0, 40)
    means = []
    for sampler in ("single_site", "block"):
        found = sample(held(G, Y, None, sampler, size=size), 2, 300, 6000, seed=4, keep=[])
        means.append(found.mean["effect"].values)
    np.testing.assert_allclose(*means, atol=0.03)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_residuals_stay_exact(toy, sampler):
    G, Y, weight = toy
    model, rng = held(G, Y, weight, sampler), np.random.default_rng(5)
    state = model.start(rng)
    for _ in range(149):
        model.step(state, rng)
    np.testing.assert_allclose(state["residual"], exact_trait_residual(model, state), atol=3e-5)


def test_one_trait_is_the_bayesian_lasso(toy):
    G, Y, _ = toy
    prior, penalty = LaplaceTraits(df=HELD, scale=[[HELD * 0.04]]), 1 / (2 * np.sqrt(0.04))
    new = MultiTraitModel(G, Y[:, :1], prior, residual=InverseWishart(HELD, np.array([[HELD]])))
    old = GibbsModel(G, Y[:, 0], LaplacePrior(penalty="fixed", value=penalty), residual=ScaledInverseChi2(HELD, HELD))
    a, b = (sample(m, 2, 300, 12_000, seed=6, keep=[]) for m in (new, old))
    np.testing.assert_allclose(a.mean["effect"].values[:, 0], b.mean["effect"], atol=0.01)
    np.testing.assert_allclose(a.sd["effect"].values[:, 0], b.sd["effect"], rtol=0.03)


def test_default_prior_explains_r2(toy):
    "Its mean covariance of effects makes markers explain R² of the variance of each trait."
    model = MultiTraitModel(toy[0], toy[1], LaplaceTraits(r2=0.3))
    term = model.terms[""]
    mean = term.prior.covariance(term.prior.scale / (term.prior.df - 3))
    explained = np.diag(mean) * term.columns.variance.sum()
    np.testing.assert_allclose(explained, 0.3 * np.nanvar(toy[1], axis=0, ddof=1))


def small(sampler="single_site", how="gibbs", kind=LaplaceTraits, traits=2):
    rng = np.random.default_rng(7)
    G, Y = rng.integers(0, 3, (4, 12), dtype=np.int8), rng.standard_normal((12, traits))
    Y[:3, 0] = np.nan
    prior = kind(df=10, scale=0.5 * np.eye(traits), scale_update=how)
    options = {"residual": InverseWishart(10.0, np.eye(traits)), "fixed_variance": 1.0}
    return MultiTraitModel(G, Y, prior, draw_effects=choose_sampler(sampler, 3), **options)


FUNCTIONS = {"draw_prior": prior_traits, "draw_data": simulate_traits}


@pytest.mark.parametrize(("sampler", "how"), [("single_site", "gibbs"), ("block", "mh"), ("n_dim", "gibbs")])
def test_geweke_joint(sampler, how):
    table = geweke_joint_test(small(sampler, how), trait_quantities, 40, 40, 1000, seed=8, **FUNCTIONS).table
    assert table["p"].min() * len(table) > 0.005, table


class HalfScale(LaplaceTraits):
    "Forgets the factor 4: draws w as if Q were a quarter of it."

    def update(self, state, Q, rng):
        draw_scales(state["mixing"], Q / 4, rng)
        NormalTraits.update(self, state, Q, rng)


class NoMixing(LaplaceTraits):
    "Σ from the effects without dividing by their scales."

    def update(self, state, Q, rng):
        draw_scales(state["mixing"], Q, rng)
        b = state["effect"]
        state["sigma"][:] = InverseWishart(self.df, self.scale).draw(rng, b.shape[1], b @ b.T)


@pytest.mark.parametrize("kind", [HalfScale, NoMixing])
def test_planted_bugs_are_caught(kind):
    table = geweke_joint_test(small(kind=kind), trait_quantities, 40, 40, 1000, seed=9, **FUNCTIONS).table
    assert table["p"].min() * len(table) < 1e-4


def test_calibration():
    found = simulation_based_calibration(small, trait_quantities, 60, 31, 6, 100, seed=10, n_jobs=1, **FUNCTIONS)
    table = calibration_table(found)
    assert table["band"].min() * len(table) > 0.005, table


@parametrize_with_checks(
    [MultiTraitBayesianLasso(**SHORT)],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": "a weight is the precision of one record, not a number of "
        "records; and chains on other data are other chains"
    },
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def lines():
    population = simulate_population(150, 300, n_chromosomes=3, n_qtl=10, h2=0.6, design="dh", seed=1)
    y, rng = population.phenotypes.iloc[:, 0], np.random.default_rng(2)
    other = 0.7 * population.breeding_values.iloc[:, 0] + rng.standard_normal(150)
    Y = pd.DataFrame({"yield": y, "height": other})
    truth = population.breeding_values.iloc[:, 0]
    Y.loc[Y.index[110:], "yield"] = np.nan
    Y.iloc[130:, 1] = np.nan
    return population.markers(), Y, truth


def test_predicts_and_aligns(lines):
    X, Y, truth = lines
    fit = MultiTraitBayesianLasso(n_chains=2, tune=200, draws=400, random_state=1, keep="all").fit(X, Y)
    shuffled = Y.sample(frac=1, random_state=2)
    other = MultiTraitBayesianLasso(n_chains=2, tune=200, draws=400, random_state=1).fit(X, shuffled)
    assert set(other.fitted_.index) == set(X.index) and list(other.fitted_.index) == list(shuffled.index)
    predicted, sd = fit.predict(X.iloc[110:], return_std=True)
    assert list(predicted.columns) == ["yield", "height"] and (sd > 0).all().all()
    assert np.corrcoef(predicted["yield"], truth.iloc[110:])[0, 1] > 0.4
    np.testing.assert_allclose(predicted, fit.fitted_.loc[X.index[110:]], atol=1e-6)
    assert fit.coef_.shape == (300, 2) and ((0 < fit.heritability_) & (fit.heritability_ < 1)).all()
    low, high = fit.correlations_.loc[("genetic", "yield", "height"), ["low", "high"]]
    assert -1 <= low < high <= 1


def test_reproducible_and_resumable(lines, tmp_path):
    X, Y, _ = lines
    settings = {"tune": 20, "random_state": 3, "keep": "all", "n_chains": 2}
    one = MultiTraitBayesianLasso(draws=60, n_jobs=1, **settings).fit(X, Y)
    two = MultiTraitBayesianLasso(draws=60, n_jobs=2, **settings).fit(X, Y)
    np.testing.assert_array_equal(one.posterior_.draws["effect"], two.posterior_.draws["effect"])
    store = str(tmp_path / "draws.zarr")
    MultiTraitBayesianLasso(draws=25, store=store, **settings).fit(X, Y)
    MultiTraitBayesianLasso(draws=60, store=store, **settings).fit(X, Y)
    np.testing.assert_array_equal(open_posterior(store).draws["effect"], one.posterior_.draws["effect"])


def test_jeffreys_residual_prior_and_one_vector(lines):
    X, Y, _ = lines
    fit = MultiTraitBayesianLasso(residual="jeffreys", **SHORT).fit(X, Y["height"])
    assert fit.coef_.shape == (300,) and fit.predict(X).shape == (150,) and isinstance(fit.heritability_, float)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "gibbs"}, "sampler='gibbs' is not known"),
        ({"scale_update": "exact"}, "scale_update='exact' is not known"),
        ({"df": 2.5}, "has no mean with 2 traits"),
        ({"scale": -np.eye(2)}, "positive definite"),
        ({"residual": "flat"}, "residual='flat' is not known"),
    ],
)
def test_bad_options(lines, options, message):
    X, Y, _ = lines
    with pytest.raises(ValueError, match=message):
        MultiTraitBayesianLasso(**SHORT, **options).fit(X, Y)


def test_wheat_as_in_the_paper(wheat):
    "Residual correlation 0.17 ± 0.02; effect correlation within a posterior sd of -0.35 (Gianola & Fernando 2020)."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = MultiTraitBayesianLasso(
            residual="jeffreys", n_chains=6, tune=1500, draws=2000, random_state=11, n_jobs=2
        ).fit(wheat.markers(), wheat.phenotypes[["env1", "env2"]])
    table = fit.correlations_.droplevel([1, 2])
    assert table.loc["residual", "mean"] == pytest.approx(0.17, abs=0.02)
    assert abs(table.loc["effect", "mean"] + 0.35) < table.loc["effect", "sd"]
