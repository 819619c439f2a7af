"""The multi-trait samplers draw from the posterior: joint test and calibration, and both notice mistakes."""

from copy import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from gp_literate import multitrait
from gp_literate.diagnostics import calibration_table, geweke_joint_test, joint_p, simulation_based_calibration
from gp_literate.multitrait import (
    InverseWishart,
    MultiTraitModel,
    NormalTraits,
    TraitTerm,
    draw_missing,
    prior_traits,
    simulate_traits,
    trait_quantities,
)
from gp_literate.multitrait_bayes import ClassPrior, ClassTerm

rng = np.random.default_rng(1)
G = np.repeat(rng.integers(0, 3, (3, 12)), 2, axis=0)  # 6 markers in pairs, 12 lines
G = np.where(rng.random(G.shape) < 0.25, rng.integers(0, 3, G.shape), G).astype(np.int8)
Y = rng.standard_normal((12, 3))  # placeholders
GAPS = Y.copy()
GAPS[:3, 0], GAPS[3:5, 1], GAPS[5], GAPS[6, :2] = np.nan, np.nan, np.nan, np.nan
WEIGHT = np.tile([0.5, 1.0, 4.0], 4)
X = np.column_stack([np.ones(12), np.arange(12) / 6 - 1])
SCALE = np.array([[0.8, 0.4, 0.2], [0.4, 0.8, -0.2], [0.2, -0.2, 0.8]])
joint_test = partial(geweke_joint_test, quantities=trait_quantities, draw_prior=prior_traits, draw_data=simulate_traits)
calibrate = partial(
    simulation_based_calibration, quantities=trait_quantities, draw_prior=prior_traits, draw_data=simulate_traits
)


def toy(prior, Y=Y, T=2, kind=MultiTraitModel, term=None, moves=True, **options):
    "A small model with proper priors; `term` replaces its marker term; `moves`: effects and covariance move together."
    residual = InverseWishart(9.0, 2 * SCALE[:T, :T])
    model = kind(G, Y[:, :T], prior, residual=residual, fixed_variance=1.0, **options)
    model.moves = moves
    if term is not None:
        model.terms[""] = term(model.G, model.weight, model.terms[""].prior, T)
    return model


def ridge(T=2):
    return NormalTraits(9.0, SCALE[:T, :T])


def classes(T=2, **options):
    return ClassPrior(9.0, SCALE[:T, :T], **options)


TWO = {"a": (ridge(), np.arange(2)), "b": (classes(joint=False), np.arange(2, 6))}
MODELS = {
    "ridge": lambda: toy(ridge()),
    "ridge, missing, weights": lambda: toy(ridge(), GAPS, weight=WEIGHT),
    "ridge, three traits, missing": lambda: toy(ridge(3), GAPS, 3),
    "joint, Dirichlet": lambda: toy(classes()),
    "joint, independent": lambda: toy(classes(classes="independent", inclusion=(2.0, 1.0)), GAPS),
    "single trait, Dirichlet": lambda: toy(classes(joint=False, concentration=2.0), GAPS, weight=WEIGHT),
    "single trait, independent": lambda: toy(classes(joint=False, classes="independent")),
    "joint, three traits, missing": lambda: toy(classes(3), GAPS, 3),
    "two terms, covariate": lambda: toy(TWO, GAPS, X=X, standardize=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_joint_distribution(name):
    test = joint_test(MODELS[name](), n_chains=60, n_steps=30, n_marginal=1000, seed=2)
    assert joint_p(test.table["p"]) > 1e-3, test.table.sort_values("p").head()


CALIBRATED = ["ridge, three traits, missing", "joint, independent", "single trait, Dirichlet"]


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibration(name):
    found = calibrate(MODELS[name], n_simulations=48, n_draws=31, thin=4, tune=30, seed=3)
    table = calibration_table(found)
    assert joint_p(table["chi2"]) > 1e-3 and joint_p(table["band"]) > 1e-3, table


class FewerDf(NormalTraits):
    "Loses two of fifteen degrees of freedom of Σ."

    def update(self, state, Q, rng):
        b = state["effect"]
        state["sigma"][:] = InverseWishart(self.df - 2, self.scale).draw(rng, b.shape[1], b @ b.T)


class NoCompletion(ClassTerm):
    "Takes effects that are not in the model for zeros when it draws Σ."

    def step(self, state, r, R0, rng):
        super().step(state, r, R0, rng)
        b = state["effect"]
        state["sigma"][:] = InverseWishart(self.prior.df, self.prior.scale).draw(rng, b.shape[1], b @ b.T)


class StaleTrait(TraitTerm):
    "Leaves the change of the first effect out of the residuals of the last trait."

    def step(self, state, r, R0, rng):
        old = state["effect"][-1, 0]
        super().step(state, r, R0, rng)
        x = self.G[0] - self.columns.mean[0]
        r[-1] += self.weight * (x * (state["effect"][-1, 0] - old)).astype(np.float32)


class StaleClasses(StaleTrait, ClassTerm):
    "The same with classes."


class WithoutCorrelation(MultiTraitModel):
    "Draws missing records as if traits were independent."

    def step(self, state, rng):
        kept = self.patterns
        self.patterns = []
        for pattern in kept:
            R0 = state["residual_covariance"]
            draw_missing(pattern, np.diag(np.diag(R0)), self.weight, state["residual"], rng)
        multitrait.step_traits(self, state, rng)
        self.patterns = kept


class CountsOfAll(ClassPrior):
    "Forgets which class the markers are in."

    def draw_weight(self, counts, rng):
        return super().draw_weight(np.full(len(counts), counts.sum() / len(counts)), rng)


class StaleStep(MultiTraitModel):
    refresh = 10**9  # or exact recomputation would hide a stale residual


MOST = np.where(np.arange(12)[:, None] % 3 < [3, 1], Y[:, :2], np.nan)


class WrongMove(MultiTraitModel):
    "Moves effects and covariance once more, with four degrees of freedom less."

    def step(self, state, rng):
        super().step(state, rng)
        term = copy(self.terms[""])
        term.prior = replace(term.prior, df=term.prior.df - 4)
        multitrait.move_traits(self, state, term, state, rng)


# Mistakes of the updates are planted into models without moves: these are right, and would mend part of them.
STILL = {"moves": False}
BUGS = {
    "df lost": lambda: toy(FewerDf(9.0, SCALE[:2, :2]), **STILL),
    "wrong move": lambda: toy(ridge(), kind=WrongMove),
    "no completion": lambda: toy(classes(), term=NoCompletion, **STILL),
    "stale trait": lambda: toy(NormalTraits(9.0, 9 * SCALE[:2, :2]), kind=StaleStep, term=StaleTrait, **STILL),
    "stale trait, classes": lambda: toy(
        ClassPrior(9.0, 9 * SCALE[:2, :2], concentration=4.0), kind=StaleStep, term=StaleClasses, **STILL
    ),
    "missing without correlation": lambda: toy(ridge(), MOST, kind=WithoutCorrelation, **STILL),
    "class counts forgotten": lambda: toy(CountsOfAll(9.0, SCALE[:2, :2]), **STILL),
}


@pytest.mark.parametrize("name", BUGS)
def test_joint_test_catches_mistakes(name):
    test = joint_test(BUGS[name](), n_chains=60, n_steps=50, n_marginal=2000, seed=4)
    assert joint_p(test.table["p"]) < 1e-4, test.table.sort_values("p").head()


def test_calibration_catches_mistakes():
    found = calibrate(BUGS["no completion"], n_simulations=64, n_draws=31, thin=3, tune=40, seed=5)
    table = calibration_table(found)
    assert joint_p([*table["chi2"], *table["band"]]) < 0.02, table


def test_improper_priors_cannot_be_drawn_from():
    with pytest.raises(ValueError, match="proper"):
        prior_traits(MultiTraitModel(G, Y, NormalTraits()), np.random.default_rng(6))
    with pytest.raises(ValueError, match="proper"):
        jeffreys = InverseWishart(0.0, np.zeros((3, 3)))
        prior_traits(MultiTraitModel(G, Y, NormalTraits(), residual=jeffreys, fixed_variance=1.0), None)


def test_simulated_data_have_the_law_they_should():
    "Phenotypes minus fitted values have the residual covariance, divided by the weights."
    model, rng = toy(ridge(3), Y, 3, weight=WEIGHT), np.random.default_rng(7)
    state = prior_traits(model, rng)
    R0, e = state["residual_covariance"], []
    fitted = (model.fixed.X @ state["fixed"]).T + model.terms[""].values({"effect": state["effect"]})
    for _ in range(1500):
        e.append((simulate_traits(model, state, rng) - fitted) * np.sqrt(model.weight))
    S = np.mean([x @ x.T / 12 for x in e], axis=0)
    sd = np.sqrt(np.diag(R0))
    np.testing.assert_allclose(S / np.outer(sd, sd), R0 / np.outer(sd, sd), atol=0.04)
