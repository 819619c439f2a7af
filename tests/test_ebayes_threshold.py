"""Empirical-Bayes thresholding: against R where R is exact, against quadrature, and what must always hold."""

import gzip
import json
import math
import threading

import numpy as np
import pandas as pd
import pytest
from conftest import REFERENCE
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from gp_literate import ebayes_threshold as eb
from gp_literate.ebayes_threshold import (
    ebayes_fit,
    ebayes_rows,
    ebayes_threshold,
    marginal_beta,
    noise_sd,
    posterior_inclusion,
    posterior_mean,
    posterior_median,
    threshold_from_weight,
    weight_from_data,
    weight_from_threshold,
)

R = json.loads(gzip.decompress((REFERENCE / "ebayesthresh.json.gz").read_bytes()))
TINY = ["p10", "p10_zero", "p10_small", "p10_large"]
CASES = TINY + ["p1000_sparse", "p1000_noise", "p1000_dense", "p1000_sd0.03"]
PRIORS, RULES = eb.PRIORS, eb.RULES
WEIGHTS = {"w0.001": 0.001, "w0.01": 0.01, "w0.1": 0.1, "w0.5": 0.5, "w0.9": 0.9, "w1": 1.0}


def bisection_error(z):
    "What 30 halvings of 0..max|z| (of the |z| < 20) leave: the accuracy of R's quasi-Cauchy median."
    z = np.abs(z)
    return z[z < 20].max(initial=0) / 2**31 * 1.001 + 1e-13


def scaled(name):
    "Values in standard errors, and the standard error."
    case = R["cases"][name]
    return np.array(case["x"], float) / case["sdev"], case["sdev"]


# --- against R ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("name", CASES)
def test_weight_and_threshold_as_in_r(name, prior):
    case = R["cases"][name]
    for rule in RULES:
        found, expected = ebayes_fit(case["x"], case["sdev"], prior, rule=rule), case[f"{prior}_{rule}"]
        assert abs(found.weight - expected["w"]) < 1e-9
        # R bisects for the threshold, from 0 to about 10, 30 times; at w = 1 it cannot reach 0
        tolerance = 8e-6 if expected["w"] == 1 else 2e-8
        assert abs(found.threshold - expected["threshold_sdevscale"]) < tolerance
        assert abs(found.threshold * found.sd - expected["threshold_origscale"]) < tolerance * found.sd


STORED = [(c, f"{p}_{r}") for c in CASES for p in PRIORS for r in RULES if "muhat" in R["cases"][c][f"{p}_{r}"]]


@pytest.mark.parametrize(("name", "call"), STORED)
def test_estimates_as_in_r(name, call):
    prior, rule = call.split("_")
    z, sd = scaled(name)
    expected = R["cases"][name][call]
    found, theirs = ebayes_threshold(z * sd, sd, prior, rule=rule) / sd, np.array(expected["muhat"], float) / sd
    exact = np.ones(len(z), bool)
    tolerance = 1e-8  # the weights differ by up to 2e-10, for R bisects
    if prior == "cauchy" and rule == "median":  # bisection, and |z| - 2/|z| from 20 on
        exact = (np.abs(z) < 20) & ((np.abs(z) > 1e-3) | (z == 0))
        tolerance = bisection_error(z) + 1e-8
    if prior == "cauchy" and rule == "mean":  # cancellation near zero
        exact = (np.abs(z) > 0.01) | (z == 0)
    if rule == "soft":  # x minus R's threshold
        tolerance = 8e-6 if expected["w"] == 1 else 2e-8
    assert np.abs(found - theirs)[exact].max() < tolerance
    if rule in ("median", "hard"):
        np.testing.assert_array_equal(found[exact] != 0, np.abs(theirs[exact]) > 0)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("name", CASES)
def test_median_at_the_weight_of_r(name, prior):
    "With R's own weight nothing but its bisection is between the two: to 1e-8 up to 20 standard errors."
    z, sd = scaled(name)
    expected = R["cases"][name][f"{prior}_median"]
    near = (np.abs(z) < 20) & ((np.abs(z) > 1e-3) | (z == 0))
    difference = posterior_median(z, expected["w"], prior) - np.array(expected["muhat"], float) / sd
    assert np.abs(difference[near]).max() < (bisection_error(z) if prior == "cauchy" else 2e-12) <= 1.1e-8
    if prior == "laplace":
        assert np.abs(difference).max() < 2e-12


@pytest.mark.parametrize("name", TINY + ["p1000_sparse"])
def test_parts_as_in_r(name):
    z, _ = scaled(name)
    case = R["cases"][name]
    near, clear = (np.abs(z) < 20) & ((np.abs(z) > 1e-3) | (z == 0)), (np.abs(z) > 0.01) | (z == 0)
    beta = np.array(case["beta_cauchy"], float)  # null where it overflows
    known = np.isfinite(beta) & ((np.abs(z) > 1e-5) | (z == 0))
    np.testing.assert_allclose(marginal_beta(z)[known], beta[known], rtol=1e-12, atol=1e-6)
    clear_beta = known & clear
    np.testing.assert_allclose(marginal_beta(z)[clear_beta], beta[clear_beta], rtol=1e-11, atol=1e-11)
    for a in (0.5, 1):
        beta = np.array(case[f"beta_laplace_a{a}"], float)
        known = np.isfinite(beta) & (np.abs(z) < 37)
        np.testing.assert_allclose(marginal_beta(z, "laplace", a)[known], beta[known], rtol=1e-12, atol=1e-13)
    for prior in PRIORS:
        for key, theirs in case[f"postmed_{prior}"].items():
            off = np.abs(posterior_median(z, WEIGHTS[key], prior) - theirs)[near].max()
            assert off < (bisection_error(z) if prior == "cauchy" else 2e-12)
        for key, theirs in case[f"postmean_{prior}"].items():
            off = np.abs(posterior_mean(z, WEIGHTS[key], prior) - np.array(theirs, float))[clear].max()
            assert off < (2e-10 if prior == "cauchy" else 2e-13)


@pytest.mark.parametrize("prior", PRIORS)
def test_threshold_and_weight_tables_of_r(prior):
    table = R["tfromw_wfromt"][prior]
    below = np.array(table["w"]) < 1
    found = threshold_from_weight(table["w"], prior)
    np.testing.assert_allclose(found[below], np.array(table["t"])[below], atol=1e-8)
    assert found[~below] == 0 and np.array(table["t"])[~below] < 8e-6
    np.testing.assert_allclose(weight_from_threshold(table["t_in"], prior), table["w_out"], rtol=1e-12)


def test_fifty_thousand_values_of_r():
    case = json.loads(gzip.decompress((REFERENCE / "ebayesthresh_p50000.json.gz").read_bytes()))
    x = np.array(case["x"])
    for prior in PRIORS:
        found, expected = ebayes_fit(x, prior=prior), case[f"{prior}_median"]
        assert abs(found.weight - expected["w"]) < 1e-10
        theirs = expected["muhat"]
        where = np.array(theirs["nonzero_index_1based"]) - 1
        np.testing.assert_array_equal(np.flatnonzero(found.estimate), where)
        np.testing.assert_allclose(found.estimate[where], theirs["nonzero_value"], atol=1e-8)
    free, theirs = ebayes_fit(x, prior="laplace", a=None), case["laplace_aNA_median"]
    assert math.isclose(free.a, theirs["a"], rel_tol=0.02)  # R's search stops early:
    pairs = (free.weight, free.a), (theirs["w"], theirs["a"])
    ours, of_r = (np.log1p(w * marginal_beta(x, "laplace", a)).sum() for w, a in pairs)
    assert of_r < ours < of_r + 0.004


def test_synthetic_set():
    reference = json.loads((REFERENCE / "synthetic" / "ebayesthresh.json").read_text())
    x = np.array(reference["x"], float)
    for prior in PRIORS:
        for rule in RULES:
            found, expected = ebayes_fit(x, prior=prior, rule=rule), reference[f"{prior}_{rule}"]
            assert abs(found.weight - expected["w"]) < 1e-9
            exact = (np.abs(x) < 20) & ((np.abs(x) > 0.01) | (x == 0))
            assert np.abs(found.estimate - expected["muhat"])[exact].max() < (2e-8 if rule == "soft" else 1.6e-8)


@pytest.mark.parametrize("name", CASES)
def test_estimated_rate_is_at_least_as_likely_as_that_of_r(name):
    z, _ = scaled(name)
    theirs = R["cases"][name]["laplace_aNA_median"]
    found = ebayes_fit(z, prior="laplace", a=None)

    def log_likelihood(w, a):
        return np.log1p(w * marginal_beta(z, "laplace", a)).sum()

    ours = log_likelihood(found.weight, found.a)
    assert ours > log_likelihood(theirs["w"], theirs["a"]) - 1e-9
    if name == "p10_large":  # values beyond 38: R stops at a point that is 0.88 lower, at twice the rate
        assert found.a < 0.6 * theirs["a"] and ours > log_likelihood(theirs["w"], theirs["a"]) + 0.5
    else:  # R's search stops a little early
        assert ours < log_likelihood(theirs["w"], theirs["a"]) + 2e-6
        assert abs(found.a / theirs["a"] - 1) < 1e-3 and abs(found.weight / theirs["w"] - 1) < 1e-3
    around = [found.a * f for f in (0.99, 1.01) if eb.RATES[0] <= found.a * f <= eb.RATES[1]]
    for a in around:
        assert log_likelihood(weight_from_data(z, "laplace", a), a) < ours


@pytest.mark.parametrize("name", CASES)
def test_estimated_standard_error(name):
    x, theirs = np.array(R["cases"][name]["x"], float), R["cases"][name]["laplace_median_sdevNA"]
    found = ebayes_fit(x, sd=None, prior="laplace")
    assert math.isclose(found.sd, theirs["sdev"] / 1.4826 / stats.norm.ppf(0.75), rel_tol=1e-12)  # R rounds to 1.4826
    assert math.isclose(ebayes_fit(x, theirs["sdev"], "laplace").weight, theirs["w"], abs_tol=1e-9)


def test_where_r_is_wrong_the_likelihood_decides():
    "Without the universal bound R returns 0, 1 or an error: the maximum is what is asked for."
    for name in CASES:
        z, _ = scaled(name)
        for prior in PRIORS:
            beta = marginal_beta(z, prior)
            w = weight_from_data(z, prior, universal=False)
            grid = np.r_[0, np.logspace(-6, 0, 400)]
            values = [np.log1p(g * beta).sum() for g in grid]
            assert np.log1p(w * beta).sum() >= max(values) - 1e-9
            if 0 < w < 1:
                assert abs((w * beta / (1 + w * beta)).sum()) < 1e-9 * len(z)


# --- against quadrature ---------------------------------------------------------------------------------------------


def density(u, prior, a):
    "γ(u), written anew from scipy."
    if prior == "laplace":
        return a / 2 * np.exp(-a * abs(u))
    u = abs(u)
    if u > 30:
        return (1 / u**2 - 3 / u**4 + 15 / u**6) / np.sqrt(2 * np.pi)
    return (1 - u * np.sqrt(np.pi / 2) * special.erfcx(u / np.sqrt(2))) / np.sqrt(2 * np.pi)


def slab_integral(z, prior, a, low, high, power=0):
    "∫ uᵏ γ(u) φ(z - u) du / φ(0), piece by piece."
    breaks = np.unique(np.clip([low, high, 0, *(z + np.array([-12, -6, -2, 0, 2, 6, 12]))], low, high))
    f = lambda u: u**power * density(u, prior, a) * np.exp(-((z - u) ** 2) / 2)
    ends = zip(breaks[:-1], breaks[1:], strict=True)
    return sum(integrate.quad(f, p, q, epsabs=0, epsrel=1e-12, limit=200)[0] for p, q in ends)


@pytest.mark.parametrize(("prior", "a"), [("cauchy", 0.5), ("laplace", 0.04), ("laplace", 0.5), ("laplace", 3.0)])
@pytest.mark.parametrize("w", [1.0, 0.7, 0.05, 1e-4])
def test_posterior_by_quadrature(prior, a, w):
    "From 0.3 to 1,000 standard errors."
    for z in (0.3, 1.0, 1.49, 1.51, 2.0, 3.0, 4.9, 5.1, 8.0, 19.99, 20.01, 37.0, 41.0, 100.0, 1000.0):
        if prior == "laplace" and a * z > 600:
            continue  # the density underflows
        low, high = min(z - 40, -40), z + 40
        slab = slab_integral(z, prior, a, low, high)
        zero = (1 - w) / w * math.exp(-z * z / 2)
        np.testing.assert_allclose(posterior_inclusion(z, w, prior, a), slab / (slab + zero), rtol=1e-9)
        mean = slab_integral(z, prior, a, low, high, 1) / (slab + zero)
        np.testing.assert_allclose(posterior_mean(z, w, prior, a), mean, rtol=1e-9)
        m = float(posterior_median(z, w, prior, a))
        if z < threshold_from_weight(w, prior, a):
            assert m == 0 and slab_integral(z, prior, a, 0, high) / (slab + zero) < 0.5
        else:  # half of the posterior lies above it: within 1e-9 of the exact median
            beyond = slab_integral(z, prior, a, m, high) / (slab + zero)
            slope = density(m, prior, a) * math.exp(-((z - m) ** 2) / 2) / (slab + zero)
            assert abs(beyond - 0.5) < 1e-9 * slope * max(z, 1) + 1e-12


@pytest.mark.parametrize(("prior", "a"), [("cauchy", 0.5), ("laplace", 0.04), ("laplace", 0.5), ("laplace", 3.0)])
def test_close_to_zero(prior, a):
    "First-order limits of everything, from 1e-12 to 1e-5, and no jump where the methods change."
    z = np.logspace(-12, -5, 15)
    f = lambda u, k: 2 * u**k * density(u, prior, a) * np.exp(-u * u / 2)
    moment = [integrate.quad(f, 0, 40, args=(k,))[0] for k in (0, 1, 2)]
    np.testing.assert_allclose(posterior_mean(z, 1.0, prior, a), z * moment[2] / moment[0], rtol=1e-8)
    np.testing.assert_allclose(posterior_mean(z, 0.2, prior, a), z * moment[2] / (moment[0] + 4), rtol=1e-8)
    at_zero = density(0, prior, a)
    np.testing.assert_allclose(posterior_median(z, 1.0, prior, a), z * moment[1] / (2 * at_zero), rtol=1e-4)
    np.testing.assert_allclose(1 / weight_from_threshold(z, prior, a) - 1, z * moment[1], atol=3e-16, rtol=1e-8)
    np.testing.assert_allclose(marginal_beta(z, prior, a), moment[0] - 1, rtol=1e-9)
    for switch in (0.2, 0.5, math.sqrt(2), 1.5, 5.0):  # where the methods change
        ends = np.array([switch * (1 - 1e-13), switch * (1 + 1e-13)])
        for values in (posterior_mean(ends, 0.99, prior, a), posterior_median(ends, 0.99, prior, a)):
            assert abs(np.diff(values)) < 2e-11
        np.testing.assert_allclose(np.diff(np.log(weight_from_threshold(ends, prior, a))), 0, atol=2e-11)


def test_mills_ratio():
    v = np.r_[np.linspace(-30, 60, 1801), 1e3, 1e6, 1e150]
    ratio, rest = np.array([eb.mills(each) for each in v]).T
    np.testing.assert_allclose(ratio, np.sqrt(np.pi / 2) * special.erfcx(v / np.sqrt(2)), rtol=2e-13)
    for each, c in zip(v[v > 0.1], rest[v > 0.1], strict=True):  # c(v) = ∫ s exp(-vs - s²/2) ds
        if each < 61:
            f = lambda s, e=each: s * math.exp(-e * s - s * s / 2)
            assert math.isclose(c, integrate.quad(f, 0, 40 / each, epsrel=1e-12, epsabs=0)[0], rel_tol=1e-10)
    assert math.isclose(rest[-2], 1e-12, rel_tol=1e-11)


def test_normal_quantile():
    p = np.r_[10.0 ** -np.arange(1, 300, 20), np.linspace(0.01, 0.99, 99)]
    np.testing.assert_allclose([eb.normal_quantile(each) for each in p], special.ndtri(p), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("prior", PRIORS)
def test_threshold_and_weight_are_inverse(prior):
    t = np.r_[0, np.logspace(-10, math.log10(35), 200)]
    w = weight_from_threshold(t, prior)
    assert (np.diff(w) <= 0).all() and w[0] == 1
    far = t > 0.01  # below, 1 - w has lost digits
    np.testing.assert_allclose(threshold_from_weight(w[far], prior), t[far], rtol=1e-11)
    np.testing.assert_allclose(threshold_from_weight(w, prior), t, atol=1e-14, rtol=1e-11)
    assert threshold_from_weight(0.0, prior) == np.inf
    w = np.logspace(-300, 0, 61)
    np.testing.assert_allclose(weight_from_threshold(threshold_from_weight(w, prior), prior), w, rtol=1e-11)


# --- what must always hold ------------------------------------------------------------------------------------------

numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda v: 0.0 if abs(v) < 1e-12 else v)
vectors = st.lists(numbers, min_size=1, max_size=30).map(np.array)
priors = st.sampled_from(PRIORS)


@settings(max_examples=200, deadline=None)
@given(numbers, numbers, st.floats(1e-8, 1), priors, st.floats(0.05, 5))
def test_median_and_mean_shrink_in_order(z1, z2, w, prior, a):
    low, high = sorted((z1, z2))
    for rule in (posterior_median, posterior_mean):
        m1, m2 = rule(low, w, prior, a), rule(high, w, prior, a)
        assert m1 <= m2 + 1e-11 * max(1, abs(low), abs(high))
        assert abs(m2) <= abs(high) and m2 * high >= 0
        assert rule(-high, w, prior, a) == -m2
    t = threshold_from_weight(w, prior, a)
    assert (posterior_median(high, w, prior, a) == 0) == (abs(high) <= t) or abs(abs(high) - t) < 1e-12 * max(1, t)


@settings(max_examples=60, deadline=None)
@given(vectors, priors, st.sampled_from(RULES), st.booleans(), st.floats(1e-3, 1e3), st.randoms())
def test_invariances(x, prior, rule, universal, c, random):
    fit = ebayes_fit(x, 1.0, prior, 0.5, rule, universal)
    close = {"rtol": 1e-7, "atol": 1e-9 * max(1, np.abs(x).max())}
    order = list(range(len(x)))
    random.shuffle(order)
    again = ebayes_fit(x[order], 1.0, prior, 0.5, rule, universal)
    assert math.isclose(again.weight, fit.weight, rel_tol=1e-9)
    clear = np.abs(np.abs(x) - fit.threshold) > 1e-3  # at the threshold the median is steep, the hard rule jumps
    np.testing.assert_allclose(again.estimate[clear[order]], fit.estimate[order][clear[order]], **close)
    np.testing.assert_allclose(ebayes_fit(-x, 1.0, prior, 0.5, rule, universal).estimate, -fit.estimate, rtol=0, atol=0)
    bigger = ebayes_fit(c * x, c, prior, 0.5, rule, universal)
    np.testing.assert_allclose(bigger.estimate[clear] / c, fit.estimate[clear], **close)
    each = ebayes_fit(x, np.ones(len(x)), prior, 0.5, rule, universal)
    np.testing.assert_array_equal(each.estimate, fit.estimate)
    np.testing.assert_array_equal(ebayes_rows(x[None], 1.0, prior, 0.5, rule, universal).estimate[0], fit.estimate)
    if universal:
        assert fit.threshold <= math.sqrt(2 * math.log(len(x))) * (1 + 1e-12)


@settings(max_examples=60, deadline=None)
@given(vectors, priors, st.floats(0.05, 5), st.booleans())
def test_weight_maximises_the_likelihood(z, prior, a, universal):
    beta, w = marginal_beta(z, prior, a), weight_from_data(z, prior, a, universal)
    lowest = weight_from_threshold(math.sqrt(2 * math.log(len(z))), prior, a) if universal else 0.0
    assert lowest * (1 - 1e-12) <= w <= 1
    others = np.geomspace(max(lowest, 1e-8), 1, 200)
    best = np.log1p(w * beta).sum()
    assert best >= max(np.log1p(other * beta).sum() for other in others) - 1e-9 * max(1, abs(best))


def test_own_standard_errors():
    rng = np.random.default_rng(3)
    sd = rng.uniform(0.5, 5, 300)
    theta = np.where(rng.random(300) < 0.1, 6 * sd, 0)
    x = theta + sd * rng.standard_normal(300)
    fit, unit = ebayes_fit(x, sd), ebayes_fit(x / sd)
    assert math.isclose(fit.weight, unit.weight, rel_tol=1e-12)
    np.testing.assert_allclose(fit.estimate, sd * unit.estimate, rtol=1e-9)
    np.testing.assert_array_equal(fit.sd, sd)
    assert abs(ebayes_fit(x, 1.0).weight - fit.weight) > 0.1  # the standard errors do matter


def test_rows_have_their_own_noise():
    rng = np.random.default_rng(4)
    X, sd = rng.standard_normal((3, 500)) * np.array([[1], [2], [0.1]]), np.array([1, 2, 0.1])
    X[:, :20] += 6 * sd[:, None]
    rows = ebayes_rows(X, sd, "laplace", rule="mean")
    for i in range(3):
        one = ebayes_fit(X[i], sd[i], "laplace", rule="mean")
        np.testing.assert_array_equal(rows.estimate[i], one.estimate)
        assert (rows.weight[i], rows.threshold[i], rows.sd[i]) == (one.weight, one.threshold, sd[i])
    np.testing.assert_array_equal(ebayes_rows(np.asfortranarray(X), sd).estimate, ebayes_rows(X, sd).estimate)
    np.testing.assert_array_equal(ebayes_rows(X, None).sd, [noise_sd(row) for row in X])
    np.testing.assert_array_equal(ebayes_threshold(X[0, ::2]), ebayes_threshold(X[0, ::2].copy()))


def test_squared_error_of_needles():
    "Better than the universal thresholds and near the best fixed one, which nobody knows."
    losses = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        theta = np.r_[np.full(50, 5.0), np.zeros(950)]
        x = theta + rng.standard_normal(1000)
        fixed = [np.sum((x * (np.abs(x) > t) - theta) ** 2) for t in np.linspace(2, 4, 21)]
        soft = np.sign(x) * np.maximum(np.abs(x) - np.sqrt(2 * np.log(1000)), 0)
        losses.append([np.sum((ebayes_threshold(x) - theta) ** 2), np.sum((soft - theta) ** 2), *fixed])
    ebayes, soft, *fixed = np.mean(losses, axis=0)
    assert ebayes < 0.2 * soft and ebayes < 1.1 * min(fixed)


# --- edges and bad input --------------------------------------------------------------------------------------------


def test_edges():
    for prior in PRIORS:
        assert not ebayes_threshold(np.zeros(7), prior=prior).any()
        assert not np.signbit(ebayes_threshold([-0.0, -0.1, 0.2, 9.0], prior=prior))[0]
        one = ebayes_fit([3.0], prior=prior)
        assert one.weight == 1 and one.threshold == 0 and one.estimate[0] == posterior_median(3.0, 1.0, prior)
        everything = ebayes_fit(np.full(50, 8.0), prior=prior)
        assert everything.weight == 1 and everything.estimate.min() > 7
        quiet = ebayes_fit(0.3 * np.sin(np.arange(99)), prior=prior, universal=False)
        assert (quiet.weight, quiet.threshold) == (0, np.inf) and not quiet.estimate.any()
        assert not ebayes_threshold(0.3 * np.sin(np.arange(99)), prior=prior, universal=False, rule="mean").any()
        far = np.array([1e3, -1e6, 1e12, 1e60, 0.0])
        less = [2e-3, -2e-6, 2e-12, 0, 0] if prior == "cauchy" else [0.5, -0.5, 0.5, 0, 0]
        np.testing.assert_allclose(ebayes_threshold(far, prior=prior), far - less, rtol=1e-11)
    assert ebayes_threshold(np.array([1, -5, 30], np.int8)).dtype == float
    assert ebayes_threshold(np.array([True, False])).shape == (2,)


def test_no_jump_at_twenty():
    "R changes its method at 20 standard errors."
    z = np.linspace(19.9, 20.1, 201)
    for w in (1.0, 0.01):
        assert np.abs(np.diff(posterior_median(z, w), 2)).max() < 1e-7


def test_pandas_in_pandas_out():
    x = pd.Series([0.1, -6.0, 2.0, 7.0], index=list("abcd"), name="score")
    found = ebayes_threshold(x)
    pd.testing.assert_series_equal(found, pd.Series(ebayes_threshold(x.to_numpy()), index=x.index, name="score"))
    assert isinstance(ebayes_threshold(x.astype("Float64")), pd.Series)


def test_input_is_not_changed_and_threads_agree():
    x = np.random.default_rng(5).standard_normal(20_000) * 2
    before, expected, found = x.copy(), ebayes_threshold(x), {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: ebayes_threshold(x)})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(x, before)
    for i in range(4):
        np.testing.assert_array_equal(found[i], expected)


def test_parts_of_any_shape():
    z = np.array([[0.0, 2.0], [-5.0, 50.0]])
    for part in (posterior_mean, posterior_median, posterior_inclusion):
        values = part(z, 0.3)
        assert values.shape == (2, 2) and part(z[1, 0], 0.3) == values[1, 0]
    assert marginal_beta(z).shape == (2, 2) and marginal_beta(50.0) == eb.BIG
    assert weight_from_threshold([[1.0, 2.0]]).shape == (1, 2) and threshold_from_weight([0.5, 0.1]).shape == (2,)


@pytest.mark.filterwarnings("error")
def test_no_warnings_far_out():
    z = np.array([0.0, 1e-200, 39.0, 1e3, 1e99])
    for prior in PRIORS:
        for part in (posterior_mean, posterior_median, posterior_inclusion):
            assert np.isfinite(part(z, 0.1, prior)).all()
        assert np.isfinite(marginal_beta(z, prior)).all() and np.isfinite(weight_from_threshold(z, prior)).all()
        assert np.isfinite(ebayes_threshold(z, prior=prior)).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ebayes_threshold([1.0, np.nan]), ValueError, "1 of 2 values of x"),
        (lambda: ebayes_threshold([np.inf, 1.0]), ValueError, "infinite"),
        (lambda: ebayes_threshold(pd.Series([1.0, None, 3.0])), ValueError, "missing"),
        (lambda: ebayes_threshold(pd.Series([1, None], dtype="Int64")), (TypeError, ValueError), "x"),
        (lambda: ebayes_threshold([]), ValueError, "at least one value"),
        (lambda: ebayes_threshold(3.0), ValueError, "vector"),
        (lambda: ebayes_threshold(np.ones((2, 3))), ValueError, "ebayes_rows"),
        (lambda: ebayes_threshold(["a", "b"]), TypeError, "real numbers"),
        (lambda: ebayes_threshold([1 + 2j]), TypeError, "real numbers"),
        (lambda: ebayes_threshold([1.0, 2.0], sd=0.0), ValueError, "sd must be positive"),
        (lambda: ebayes_threshold([1.0, 2.0], sd=[1.0, -1.0]), ValueError, "sd must be positive"),
        (lambda: ebayes_threshold([1.0, 2.0], sd=[1.0]), ValueError, "sd must be one number"),
        (lambda: ebayes_threshold([1.0, 2.0], sd=np.nan), ValueError, "sd"),
        (lambda: ebayes_threshold([1.0, 2.0], sd=1e-200), ValueError, "check sd"),
        (lambda: ebayes_threshold([0.0, 0.0, 1.0], sd=None), ValueError, "give sd"),
        (lambda: noise_sd(np.zeros(4)), ValueError, "exactly zero"),
        (lambda: ebayes_threshold([1.0], prior="normal"), ValueError, "'cauchy', 'laplace'"),
        (lambda: ebayes_threshold([1.0], prior=None), ValueError, "prior"),
        (lambda: ebayes_threshold([1.0], rule="scad"), ValueError, "'median', 'mean'"),
        (lambda: ebayes_threshold([1.0], prior="laplace", a=0), ValueError, "rate"),
        (lambda: ebayes_threshold([1.0], prior="laplace", a=21), ValueError, "at most 20"),
        (lambda: ebayes_threshold([1.0], prior="laplace", a="x"), ValueError, "rate"),
        (lambda: ebayes_rows([1.0, 2.0]), ValueError, "one vector in each row"),
        (lambda: ebayes_rows(np.ones((2, 3)), sd=np.ones(3)), ValueError, "each of the 2 rows"),
        (lambda: ebayes_rows(np.ones((2, 3)), sd=[1, 0]), ValueError, "positive"),
        (lambda: posterior_mean(1.0, 1.5), ValueError, "between 0 and 1"),
        (lambda: posterior_median(1.0, True), ValueError, "between 0 and 1"),
        (lambda: posterior_median(np.nan, 0.5), ValueError, "values of z"),
        (lambda: threshold_from_weight([0.5, -0.1]), ValueError, "-0.1"),
        (lambda: weight_from_threshold(-1.0), ValueError, "negative"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
