"""The multivariate Laplace distribution: density, marginals, conditionals, draws, and the law of its mixing scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from gp_literate.multivariate_laplace import (
    draw_polar,
    draw_scale,
    draw_scales,
    log_mixing_integral,
    mh_acceptance,
    mh_scale,
    mh_scales,
    mixture_kurtosis,
    multivariate_laplace,
    plot_laplace,
    scale_density,
    square_distance,
)
from gp_literate.priors import draw_tau2


def random_scale(T, seed):
    A = np.random.default_rng(seed).standard_normal((T, T + 2))
    return A @ A.T


def scale_cdf(Q):
    v = np.linspace(1e-9, 2 * Q**0.25 + 20, 100_001)
    cdf = integrate.cumulative_trapezoid(2 * v * scale_density(v * v, Q), v, initial=0)
    return lambda w: np.interp(np.sqrt(w), v, cdf)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**31))
def test_density_is_the_papers(T, seed):
    S, x = random_scale(T, seed), np.random.default_rng(seed + 1).standard_normal(T) * 5
    Q = x @ np.linalg.solve(S, x)
    constant = special.gammaln(T / 2) - (1 + T) * np.log(2) - T / 2 * np.log(np.pi) - special.gammaln(T)
    expected = constant - 0.5 * np.linalg.slogdet(S)[1] - 0.5 * np.sqrt(Q)
    np.testing.assert_allclose(multivariate_laplace(S).logpdf(x), expected, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**31))
def test_a_linear_map_of_the_vector_maps_the_scale(T, seed):
    rng = np.random.default_rng(seed)
    S, A, x = random_scale(T, seed), rng.standard_normal((T, T)) + 3 * np.eye(T), rng.standard_normal(T)
    mapped = multivariate_laplace(A @ S @ A.T, A @ np.ones(T)).logpdf(A @ x)
    back = multivariate_laplace(S, np.ones(T)).logpdf(x)
    np.testing.assert_allclose(mapped + np.linalg.slogdet(A)[1], back, rtol=1e-7, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(0, 2**31))
def test_joint_is_marginal_times_conditional(T, seed):
    rng = np.random.default_rng(seed)
    law, x = multivariate_laplace(random_scale(T, seed), rng.standard_normal(T)), rng.standard_normal(T) * 4
    given_at = rng.permutation(T)[: rng.integers(1, T)]
    rest = np.setdiff1d(np.arange(T), given_at)
    parts = law.marginal(given_at).logpdf(x[given_at]) + law.conditional(given_at, x[given_at]).logpdf(x[rest])
    np.testing.assert_allclose(parts, law.logpdf(x), rtol=1e-9, atol=1e-9)


def test_conditionals_of_conditionals():
    law = multivariate_laplace(random_scale(4, 1))
    at_once = law.conditional([1, 3], [0.5, -2.0])
    in_turn = law.conditional(3, -2.0).conditional(1, 0.5)
    np.testing.assert_allclose(in_turn.mean, at_once.mean, rtol=1e-9)
    np.testing.assert_allclose(in_turn.covariance(), at_once.covariance(), rtol=1e-9)
    np.testing.assert_allclose(law.marginal([0, 1, 2]).marginal([1]).covariance()[0, 0], law.covariance()[1, 1])


def test_one_trait_is_the_double_exponential():
    x = np.linspace(-30, 30, 61)
    np.testing.assert_allclose(
        multivariate_laplace(4.0, 1.0).logpdf(x[:, None]), stats.laplace(1.0, 4.0).logpdf(x), rtol=1e-12
    )


@pytest.mark.parametrize("T", [2, 3, 5])
def test_marginal_has_the_mass_the_variance_and_no_cusp(T):
    law = multivariate_laplace(random_scale(T, T))
    one = law.marginal(0)
    sd = law.covariance()[0, 0] ** 0.5
    moment = lambda r: 2 * integrate.quad(lambda v: v**r * np.exp(one.logpdf([v])), 0, 60 * sd, limit=400)[0]
    np.testing.assert_allclose([moment(0), moment(2)], [1, 4 * (T + 1) * law.scale[0, 0]], rtol=1e-6)
    np.testing.assert_allclose(moment(4) / moment(2) ** 2, 3 * (T + 3) / (T + 1), rtol=1e-5)
    np.testing.assert_allclose(mixture_kurtosis(law), 3 * (T + 3) / (T + 1), rtol=1e-12)
    step = 1e-5 * sd
    slope = (one.logpdf([step]) - one.logpdf([0.0])) / step * sd
    assert -0.01 < slope <= 0  # the double exponential has -√2


def test_marginal_against_quadrature():
    law = multivariate_laplace(random_scale(2, 5))
    for x in (0.0, 1.3, -20.0):
        mass = integrate.quad(lambda b, x=x: np.exp(law.logpdf([x, b])), -400, 400, points=[0, x], limit=500)[0]
        np.testing.assert_allclose(mass, np.exp(law.marginal(0).logpdf([x])), rtol=1e-6)


def test_mixing_integral_far_out():
    assert np.isfinite(log_mixing_integral(2.0, np.array([0.0, 1e-300, 1e-20, 1e-8, 1.0, 1e8, 1e12]))).all()
    np.testing.assert_allclose(log_mixing_integral(2.0, 1e-20), log_mixing_integral(2.0, 0.0), rtol=1e-12)
    np.testing.assert_allclose(log_mixing_integral(3.0, 1e-10), log_mixing_integral(3.0, 0.0), rtol=1e-9)


@pytest.mark.parametrize("T", [1, 2, 4])
def test_both_simulations_have_the_law(T):
    rng, S = np.random.default_rng(T), random_scale(T, 7)
    law, radius = multivariate_laplace(S), stats.gamma(T, scale=2)
    draws = {"polar": draw_polar(S, 40_000, rng), "mixture": law.sample(40_000, rng)}
    for found in draws.values():
        assert stats.kstest(np.sqrt(square_distance(found, S)), radius.cdf).pvalue > 1e-3
        np.testing.assert_allclose(np.cov(found.T).reshape(T, T), law.covariance(), rtol=0.1, atol=0.05 * S.max())
    c = rng.standard_normal(T)
    assert stats.ks_2samp(draws["polar"] @ c, draws["mixture"] @ c).pvalue > 1e-3


def test_conditional_draws():
    law = multivariate_laplace(random_scale(3, 2)).conditional([0], [4.0])
    draws = law.sample(40_000, np.random.default_rng(1))
    np.testing.assert_allclose(draws.mean(axis=0), law.mean, atol=0.05 * np.sqrt(law.covariance().max()))
    np.testing.assert_allclose(np.cov(draws.T), law.covariance(), rtol=0.1, atol=0.05 * law.covariance().max())


@pytest.mark.parametrize("Q", [0.0, 1e-8, 0.1, 1.0, 10.0, 400.0])
def test_exact_draw_has_the_law(Q):
    w = np.empty(20_000)
    draw_scales(w, np.full(len(w), Q), np.random.default_rng(1))
    assert stats.kstest(w, scale_cdf(Q)).pvalue > 1e-3
    if Q:
        assert stats.kstest(1 / w, stats.invgauss(2 / np.sqrt(Q), scale=0.25).cdf).pvalue > 1e-3
    else:
        assert stats.kstest(w, stats.gamma(0.5, scale=8).cdf).pvalue > 1e-3


def test_a_wrong_law_would_be_noticed():
    w = np.empty(20_000)
    draw_scales(w, np.full(len(w), 1.2), np.random.default_rng(1))
    assert stats.kstest(w, scale_cdf(1.0)).pvalue < 1e-3


def test_exact_draw_is_the_lassos():
    w, tau2 = np.empty(100), np.empty(100)
    draw_scales(w, np.full(100, 9.0), np.random.default_rng(2))
    draw_tau2(tau2, np.full(100, 3.0), 1.0, 0.25, np.random.default_rng(2))
    np.testing.assert_array_equal(w, tau2)
    rng = np.random.default_rng(2)
    np.testing.assert_array_equal([draw_scale(9.0, rng) for _ in range(100)], w)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1e12), st.integers(0, 2**31))
def test_draws_are_positive_and_finite_everywhere(Q, seed):
    rng, w = np.random.default_rng(seed), np.empty(200)
    draw_scales(w, np.full(200, Q), rng)
    assert np.isfinite(w).all() and (w > 0).all()
    mh_scales(w, np.full(200, Q), rng)
    assert np.isfinite(w).all() and (w > 0).all()


@pytest.mark.parametrize("Q", [0.0, 0.1, 1.0, 10.0])
def test_metropolis_hastings_keeps_the_law(Q):
    "Exact draws, moved by two steps, still have their law; the acceptance rate is the one predicted."
    rng, w = np.random.default_rng(3), np.empty(20_000)
    draw_scales(w, np.full(len(w), Q), rng)
    accepted = sum(mh_scales(w, np.full(len(w), Q), rng) for _ in range(2)) / 2 / len(w)
    assert stats.kstest(w, scale_cdf(Q)).pvalue > 1e-3
    np.testing.assert_allclose(accepted, mh_acceptance(Q), atol=0.01)


def test_metropolis_hastings_forgets_its_start():
    rng, w = np.random.default_rng(4), np.full(10_000, 1e-3)
    for _ in range(150):
        mh_scales(w, np.full(len(w), 5.0), rng)
    assert stats.kstest(w, scale_cdf(5.0)).pvalue > 1e-3
    value, moved = mh_scale(2.0, 1e12, rng)
    assert (value == 2.0) == (not moved)


@pytest.mark.parametrize(
    "scale", [np.ones((2, 2)), [[1.0, 0.5], [0.2, 1.0]], [1.0, 2.0], [[np.nan]], -1.0, np.diag([1.0, 0.0])]
)
def test_scales_that_are_none_are_refused(scale):
    with pytest.raises(ValueError, match="^scale must be"):
        multivariate_laplace(scale)


def test_other_bad_input():
    with pytest.raises(ValueError, match="mean must have"):
        multivariate_laplace(np.eye(2), [1.0])
    with pytest.raises(ValueError, match="not all"):
        multivariate_laplace(np.eye(2)).conditional([0, 1], [1.0, 2.0])


def test_badly_scaled_traits_are_fine():
    S = np.diag([1e-12, 1e9])
    np.testing.assert_allclose(multivariate_laplace(S).logpdf([0.0, 0.0]), -np.log(8 * np.pi) - 0.5 * np.log(1e-3))


def test_plot():
    assert plot_laplace(multivariate_laplace(np.eye(2))).get_xlabel() == "effect on trait 1"
