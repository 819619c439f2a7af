"""Priors of marker effects: their densities, their updates, their defaults, and bad numbers."""

import numpy as np
import pytest
from scipy import stats

from gp_literate.priors import (
    DataScale,
    LaplacePrior,
    NormalMixturePrior,
    NormalPrior,
    PointMassNormalPrior,
    PointMassTPrior,
    ScaledInverseChi2,
    ScaledTPrior,
    describe_prior,
    draw_chi2,
    draw_effects,
    draw_tau2,
    implied_draws,
    plot_prior,
)

SCALE = DataScale(6, 3.0, 1.0)
PRIORS = {
    "normal": NormalPrior(),
    "t": ScaledTPrior(shape=4),
    "t, fixed scale": ScaledTPrior(learn_scale=False),
    "point mass and t": PointMassTPrior(inclusion=(2, 3), shape=4),
    "point mass and normal": PointMassNormalPrior(inclusion=(2, 3)),
    "fixed share": PointMassNormalPrior(inclusion=0.3),
    "laplace, gamma": LaplacePrior(shape=4),
    "laplace, beta": LaplacePrior(penalty="beta", beta=(3, 5)),
    "laplace, fixed": LaplacePrior(penalty="fixed"),
    "mixture": NormalMixturePrior(ratios=(0, 0.1, 1), concentration=(1, 2, 1)),
}


def numbers(prior, state):
    "Scalars of a state, and two of its effects."
    out = [float(state[name]) for name in prior.recorded if name != "weight"]
    return [*out, np.abs(state["effect"]).sum(), state["variance"][0], state["weight"][0]]


@pytest.mark.parametrize("name", PRIORS)
def test_update_keeps_the_prior(name):
    prior, rng = PRIORS[name].resolve(SCALE), np.random.default_rng(1)
    fresh, updated = [], []
    for _ in range(1500):
        state = prior.draw(6, rng, 0.5)
        fresh.append(numbers(prior, state))
        for _ in range(3):
            prior.update(state, 0.5, rng)
            draw_effects(prior, state, rng, 0.5)
        updated.append(numbers(prior, state))
    p = [stats.ks_2samp(a, b).pvalue for a, b in zip(np.transpose(fresh), np.transpose(updated), strict=True)]
    assert min(p) > 1e-4


class ForgetsTheEffect(ScaledTPrior):
    def update(self, state, residual_variance, rng):
        state["variance"][:] = float(state["scale"]) / rng.chisquare(self.df, len(state["variance"]))


def test_a_planted_mistake_is_noticed():
    prior, rng = ForgetsTheEffect(learn_scale=False).resolve(SCALE), np.random.default_rng(1)
    fresh, updated = [], []
    for _ in range(1500):
        state = prior.draw(6, rng)
        prior.update(state, 1.0, rng)
        updated.append((state["effect"] ** 2 / state["variance"]).mean())
        fresh.append((prior.draw(6, rng)["effect"] ** 2 / prior.scale).mean())
        state = prior.draw(6, rng)
        fresh[-1] = (state["effect"] ** 2 / state["variance"]).mean()
    assert stats.ks_2samp(fresh, updated).pvalue < 1e-6


@pytest.mark.parametrize("df", [1.0, 2.0, 5.0, 6.0, 12.0, 13.0, 4.5])
def test_chi2_draws(df):
    rng = np.random.default_rng(int(10 * df))
    assert stats.kstest([draw_chi2(df, rng) for _ in range(20_000)], stats.chi2(df).cdf).pvalue > 1e-3


@pytest.mark.parametrize("effect", [0.0, 1e-300, 1e-12, 1e-3, 0.1, 5.0])
def test_tau2_is_finite_and_right(effect):
    rng, tau2, lambda2, ve = np.random.default_rng(3), np.empty(20_000), 30.0, 0.7
    draw_tau2(tau2, np.full(20_000, effect), ve, lambda2, rng)
    assert np.isfinite(tau2).all() and (tau2 > 0).all()
    if effect < 1e-6:
        assert stats.kstest(tau2 * lambda2, stats.chi2(1).cdf).pvalue > 1e-3
    else:
        mean = np.sqrt(lambda2 * ve) / effect
        assert stats.kstest(1 / tau2, stats.invgauss(mean / lambda2, scale=lambda2).cdf).pvalue > 1e-3


def test_densities_of_effects():
    rng = np.random.default_rng(4)
    t = ScaledTPrior(learn_scale=False).resolve(SCALE)
    assert stats.kstest(t.draw(20_000, rng)["effect"], stats.t(5, scale=np.sqrt(t.scale / 5)).cdf).pvalue > 1e-3
    laplace = LaplacePrior(penalty="fixed", value=7.0).resolve(SCALE)
    drawn = laplace.draw(20_000, rng, residual_variance=4.0)["effect"]
    assert stats.kstest(drawn, stats.laplace(scale=2 / 7).cdf).pvalue > 1e-3
    spike = PointMassNormalPrior(inclusion=0.25).resolve(SCALE).draw(20_000, rng)
    assert abs((spike["effect"] != 0).mean() - 0.25) < 0.015


def test_defaults_are_those_of_bglr():
    "The constants that BGLR prints for wheat: MSx 852.541, Var(y) 1, R² one half."
    wheat = DataScale(1279, 852.540990688432, 1.0)
    assert NormalPrior().resolve(wheat).scale == pytest.approx(0.00410537444912031)
    assert ScaledTPrior().resolve(wheat).scale == pytest.approx(0.00410537444912031)
    assert 0.1 / ScaledTPrior().resolve(wheat).scale == pytest.approx(24.3583140196695)
    assert PointMassTPrior().resolve(wheat).scale == pytest.approx(0.00821074889824061)
    assert PointMassNormalPrior(inclusion=(6, 6)).resolve(wheat).scale == pytest.approx(0.00821074889824061)
    assert LaplacePrior().resolve(wheat).rate == pytest.approx(5.86482064160044e-05)


def test_default_scales_follow_the_data():
    "Twice the phenotypic variance, twice the variance of effects; the penalty has no scale."
    double = SCALE._replace(phenotype_variance=2.0)
    for prior in (NormalPrior(), ScaledTPrior(), PointMassTPrior(), NormalMixturePrior()):
        assert prior.resolve(double).scale == pytest.approx(2 * prior.resolve(SCALE).scale)
    assert LaplacePrior().resolve(double).rate == pytest.approx(LaplacePrior().resolve(SCALE).rate)


@pytest.mark.parametrize("value", ["five", True, np.nan, [5.0], 0])
def test_degrees_of_freedom_must_be_a_positive_number(value):
    with pytest.raises(ValueError, match="df must be a positive number"):
        NormalPrior(df=value).resolve(SCALE)


@pytest.mark.parametrize(
    "prior",
    [
        NormalPrior(df=0),
        NormalPrior(scale=-1),
        NormalPrior(r2=1.0),
        ScaledTPrior(shape=1.0),
        PointMassTPrior(inclusion=0.0),
        PointMassTPrior(inclusion=(1, 0)),
        PointMassNormalPrior(inclusion=1.5),
        PointMassNormalPrior(inclusion=(1, 2, 3)),
        LaplacePrior(penalty="other"),
        LaplacePrior(shape=0.5),
        LaplacePrior(value=-3),
        NormalMixturePrior(ratios=(0, 0.1)),
        NormalMixturePrior(ratios=(0, -0.1), concentration=(1, 1)),
        NormalMixturePrior(ratios=(0, 0), concentration=(1, 1)),
    ],
)
def test_bad_numbers_are_refused(prior):
    with pytest.raises(ValueError):
        prior.resolve(SCALE)


def test_nothing_to_learn_from():
    with pytest.raises(ValueError, match="no marker varies"):
        NormalPrior().resolve(DataScale(3, 0.0, 1.0))


def test_inverse_chi2():
    chi2, rng = ScaledInverseChi2(6, 2.0), np.random.default_rng(5)
    assert chi2.mode == pytest.approx(0.25)
    draws = chi2.draw(rng, 10, 3.0, size=20_000)
    assert stats.kstest(draws, stats.invgamma(8, scale=2.5).cdf).pvalue > 1e-3


def test_description_and_plot():
    found = implied_draws(NormalPrior(), SCALE, draws=200)
    assert found["heritability"].between(0, 1).all() and 0.3 < found["heritability"].median() < 0.7
    assert "heritability, median (90 % interval)" in describe_prior(PointMassTPrior(), SCALE, draws=50)
    assert plot_prior(LaplacePrior(), SCALE, draws=50)[1].get_xlabel() == "heritability"
