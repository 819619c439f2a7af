"""The Gibbs sampler draws from the posterior: joint test and calibration for every prior, and both notice mistakes."""

import numpy as np
import pytest

from gp_literate.diagnostics import (
    calibration_table,
    geweke_joint_test,
    gibbs_quantities,
    joint_p,
    simulation_based_calibration,
)
from gp_literate.eigenbasis import EigenModel, Kernel, rotate
from gp_literate.gibbs import GibbsModel, MarkerTerm
from gp_literate.priors import (
    LaplacePrior,
    NormalMixturePrior,
    NormalPrior,
    PointMassNormalPrior,
    PointMassTPrior,
    ScaledInverseChi2,
    ScaledTPrior,
    draw_variances,
    update_inclusion,
)

rng = np.random.default_rng(1)
G = np.repeat(rng.integers(0, 3, (5, 16)), 2, axis=0)  # 10 markers in pairs, 16 lines
G = np.where(rng.random(G.shape) < 0.25, rng.integers(0, 3, G.shape), G).astype(np.int8)
y = rng.standard_normal(16)  # a placeholder
missing = np.where(np.arange(16) < 12, y, np.nan)
WEIGHT = np.tile([0.5, 1.0, 2.0, 4.0], 4)
X = np.column_stack([np.ones(16), np.arange(16) / 8 - 1])
HEAVY = dict(df=6.0, scale=0.6, shape=4.0)
LASSO, SPARSE = LaplacePrior(shape=4.0, rate=1.0), PointMassNormalPrior(6.0, 0.6, inclusion=(2.0, 2.0))
K = np.exp(-np.abs(np.subtract.outer(np.arange(16.0), np.arange(16.0))) / 3)
TWO = {"a": (LASSO, np.arange(5)), "b": (SPARSE, np.arange(5, 10))}


RIDGE = NormalPrior(6.0, 0.6)


def toy(prior=RIDGE, y=y, term=None, moves=True, **options):
    "A small model with proper priors; `term` replaces its marker term; `moves`: effects and variance move together."
    model = GibbsModel(G, y, prior, residual=ScaledInverseChi2(6, 6.0), fixed_variance=1.0, **options)
    model.moves = moves
    if term is not None:
        model.terms[""] = term(model.G, model.weight, model.terms[""].prior)
    return model


MODELS = {
    "ridge": lambda: toy(),
    "BayesA": lambda: toy(ScaledTPrior(**HEAVY)),
    "BayesA, fixed scale": lambda: toy(ScaledTPrior(6.0, 0.6, learn_scale=False)),
    "BayesB": lambda: toy(PointMassTPrior(**HEAVY)),
    "BayesC": lambda: toy(PointMassNormalPrior(6.0, 0.6, inclusion=0.3)),
    "BayesCpi": lambda: toy(SPARSE),
    "LASSO, gamma": lambda: toy(LASSO),
    "LASSO, beta": lambda: toy(LaplacePrior("beta", beta=(3.0, 3.0), maximum=4.0)),
    "LASSO, fixed": lambda: toy(LaplacePrior("fixed", value=2.0)),
    "BayesR": lambda: toy(NormalMixturePrior((0.0, 0.1, 1.0), (2.0, 2.0, 2.0), 6.0, 0.6)),
    "two normals": lambda: toy(NormalMixturePrior((0.1, 1.0), (2.0, 2.0), 6.0, 0.6)),
    "weights, missing": lambda: toy(LASSO, missing, weight=WEIGHT),
    "missing": lambda: toy(SPARSE, missing),
    "kernel beside markers": lambda: toy({"a": (SPARSE, np.arange(5)), "k": Kernel(K, RIDGE)}, missing, weight=WEIGHT),
    "two terms, covariate": lambda: toy(TWO, X=X, standardize=True),
}


class NoPriorDf(NormalPrior):
    "Forgets the prior's degrees of freedom."

    lost = 6

    def update(self, state, residual_variance, rng):
        b = state["effect"]
        v = (self.scale + b @ b) / rng.chisquare(self.df + len(b) - self.lost)
        state["effect_variance"][...] = v
        state["variance"][:] = v


class OneDfLost(NoPriorDf):
    "Loses one of 16."

    lost = 1


class DoubleRate(ScaledTPrior):
    "Σ 1/v instead of ½ Σ 1/v."

    def update(self, state, residual_variance, rng):
        v = state["variance"]
        rate = (self.shape - 1) / self.scale + (1 / v).sum()
        state["scale"][...] = rng.gamma(self.shape + 0.5 * self.df * len(v)) / rate
        draw_variances(v, state["effect"], state["component"], False, self.df, float(state["scale"]), rng)


class CountsAll(PointMassTPrior):
    "Counts all markers, sums over those with an effect."

    def update(self, state, residual_variance, rng):
        k, v = state["component"], state["variance"]
        rate = (self.shape - 1) / self.scale + 0.5 * (1 / v[k > 0]).sum()
        state["scale"][...] = rng.gamma(self.shape + 0.5 * self.df * len(v)) / rate
        draw_variances(v, state["effect"], k, True, self.df, float(state["scale"]), rng)
        update_inclusion(state, self.inclusion, k, rng)


class WrongOrbit(NormalPrior):
    "Moves effects and variance as if the prior had two degrees of freedom less."

    def orbit(self, state):
        k, *rest = super().orbit(state)
        return (k + 2, *rest)


class StaleResidual(MarkerTerm):
    "Leaves the change of the first effect out of the residuals."

    def step(self, state, r, residual_variance, rng):
        old = state["effect"][0]
        super().step(state, r, residual_variance, rng)
        r += self.weight * ((self.G[0] - self.columns.mean[0]) * (state["effect"][0] - old)).astype(np.float32)


class NoShare(MarkerTerm):
    "The LASSO's effects tell nothing about the residual variance."

    def residual_share(self, state):
        return 0, 0.0


# Mistakes of the updates are planted into models without moves: these are right, and would mend part of them.
STILL = {"moves": False}
BUGS = {
    "prior df forgotten": lambda: toy(NoPriorDf(6.0, 0.6), **STILL),
    "one df lost": lambda: toy(OneDfLost(6.0, 0.6), **STILL),
    "rate doubled": lambda: toy(DoubleRate(**HEAVY), **STILL),
    "counts all": lambda: toy(CountsAll(**HEAVY), **STILL),
    "wrong move": lambda: toy(WrongOrbit(6.0, 0.6)),
    "stale residual": lambda: toy(NormalPrior(6.0, 3.0), term=StaleResidual, **STILL),
    "no share": lambda: toy(LaplacePrior(shape=8.0, rate=1.0), missing, term=NoShare, **STILL),
}
QUICK = {"prior df forgotten", "rate doubled", "counts all"}


@pytest.mark.parametrize("name", MODELS)
def test_joint_distribution(name):
    test = geweke_joint_test(MODELS[name](), n_chains=60, n_steps=40, n_marginal=1000, seed=2)
    assert joint_p(test.table["p"]) > 1e-3, test.table.sort_values("p").head()


CALIBRATED = ["ridge", "BayesA", "BayesB", "BayesCpi", "LASSO, gamma", "BayesR", "weights, missing"]


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibration(name):
    found = simulation_based_calibration(MODELS[name], n_simulations=48, n_draws=31, thin=5, tune=30, seed=3)
    table = calibration_table(found)
    assert joint_p(table["chi2"]) > 1e-3 and joint_p(table["band"]) > 1e-3, table


@pytest.mark.parametrize("name", BUGS)
def test_joint_test_catches_mistakes(name):
    chains, steps = (40, 30) if name in QUICK else (100, 80)
    test = geweke_joint_test(BUGS[name](), n_chains=chains, n_steps=steps, n_marginal=2000, seed=4)
    assert joint_p(test.table["p"]) < 1e-4, test.table.sort_values("p").head()


@pytest.mark.parametrize("name", ["prior df forgotten", "rate doubled", "counts all", "stale residual"])
def test_calibration_catches_mistakes(name):
    many = 48 if name in QUICK else 80
    found = simulation_based_calibration(BUGS[name], n_simulations=many, n_draws=31, thin=3, tune=40, seed=5)
    assert joint_p(calibration_table(found)["chi2"]) < 1e-4


def test_quantities_cover_every_latent_variable():
    model = MODELS["two terms, covariate"]()
    names = gibbs_quantities(model, model.start(None) | {"a.effect": np.ones(5), "b.effect": np.ones(5)})
    assert {"a.log lambda", "b.log effect_variance", "b.inclusion", "b.effects not zero", "last line"} <= set(names)


class EigenDfForgotten(EigenModel):
    "Forgets the prior's degrees of freedom."

    def step(self, state, rng):
        super().step(state, rng)
        b = (state["alpha"] ** 2 / self.basis.values).sum()
        state["effect_variance"][...] = (self.prior.scale + b) / rng.chisquare(len(state["alpha"]))


def eigen_toy(kind=EigenModel):
    "The kernel of the toys by itself, some records missing, unequal weights, a covariate; its fixed effects are flat."
    return kind(K, missing, RIDGE, X=X, weight=WEIGHT, residual=ScaledInverseChi2(6, 6.0))


def eigen_prior(model, rng):
    "Both variances and the coordinates from their priors. Under a flat prior any fixed effects serve: here they are 0."
    state = model.start(rng)
    v, ve = RIDGE.latent(1, rng)["effect_variance"], model.residual.draw(rng)
    state["effect_variance"][...], state["residual_variance"][...], state["gamma"][:] = v, ve, 0
    state["alpha"][:] = np.sqrt(model.basis.values * v) * rng.standard_normal(len(state["alpha"]))
    return state


def eigen_data(model, state, rng):
    "New records given everything."
    used, root = model.basis.used, model.basis.root
    noise = np.sqrt(state["residual_variance"]) * rng.standard_normal(len(used))
    Q = np.linalg.qr(model.X[used] * root[:, None])[0]
    model.rotated = rotate(model.basis, Q, root * (model.basis.to_values[used] @ state["alpha"]) + noise)


def eigen_quantities(model, state):
    "Variances, fixed effects, values of the first and the last line."
    values = model.basis.to_values @ state["alpha"]
    out = {"log effect variance": np.log(state["effect_variance"]), "intercept": state["gamma"][0]}
    out |= {"log residual variance": np.log(state["residual_variance"]), "slope": state["gamma"][1]}
    return out | {"first line": values[0], "last line": values[-1], "share": values.var() / state["residual_variance"]}


@pytest.mark.parametrize("kind", [EigenModel, EigenDfForgotten])
def test_calibration_in_the_eigenbasis(kind):
    steps = {"draw_prior": eigen_prior, "draw_data": eigen_data}
    options = {"n_simulations": 200, "n_draws": 31, "thin": 5, "tune": 30, "seed": 6}
    found = simulation_based_calibration(lambda: eigen_toy(kind), eigen_quantities, **options, **steps)
    table = calibration_table(found)
    if kind is EigenModel:
        assert joint_p(table["chi2"]) > 1e-3 and joint_p(table["band"]) > 1e-3, table
    else:
        assert table.loc["log effect variance", "chi2"] < 1e-4
