"""Kernels: against plain formulas, against R's A.mat, exactness, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import REFERENCE
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gp_literate.kernels import (
    a_mat,
    check_markers,
    cross_product,
    euclidean_distance,
    exponential_kernel,
    gaussian_kernel,
    marker_frequency,
    rr_kernel,
)

genotypes = hnp.arrays(np.int8, st.tuples(st.integers(2, 12), st.integers(1, 30)), elements=st.integers(-1, 1))


@given(genotypes)
def test_integer_products_are_exact(G):
    expected = G.astype(np.int64) @ G.astype(np.int64).T
    np.testing.assert_array_equal(rr_kernel(G), expected)
    np.testing.assert_array_equal(cross_product(G, G[:2]), expected[:, :2])


def test_integer_products_are_exact_over_many_blocks():
    rng = np.random.default_rng(0)
    G = rng.integers(0, 3, (7, 50_001)).astype(np.int8)
    np.testing.assert_array_equal(cross_product(G), G.astype(np.int64) @ G.astype(np.int64).T)


@settings(deadline=None)
@given(genotypes, st.floats(-1e3, 1e3))
def test_centring_is_subtraction_first(G, shift):
    center = G.mean(axis=0) + 0.25
    expected = (G - center) @ (G[:2] - center).T
    np.testing.assert_allclose(cross_product(G, G[:2], center), expected, atol=1e-9)
    np.testing.assert_allclose(cross_product(G + shift, G[:2] + shift, center + shift), expected, atol=1e-7)


@given(genotypes)
def test_distance_is_the_plain_formula_and_knows_twins(G):
    plain = np.sqrt(((G[:, None].astype(float) - G[None]) ** 2).sum(axis=2) / (4 * G.shape[1]))
    D = euclidean_distance(G)
    np.testing.assert_allclose(D, plain, rtol=1e-12, atol=0)
    assert (D >= 0).all() and (D <= 1 + 1e-12).all() and (np.diag(D) == 0).all()
    np.testing.assert_array_equal(euclidean_distance(np.vstack([G, G])), np.tile(D, (2, 2)))


@given(genotypes)
def test_recoding_leaves_distances_alone(G):
    flip = np.where(np.arange(G.shape[1]) % 2, -1, 1).astype(np.int8)
    np.testing.assert_array_equal(euclidean_distance(G * flip), euclidean_distance(G))
    np.testing.assert_array_equal(euclidean_distance(G + np.int8(1)), euclidean_distance(G))


def test_real_valued_features_far_from_zero_keep_their_digits():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 30))
    np.testing.assert_allclose(euclidean_distance(X + 1e6), euclidean_distance(X), rtol=1e-6)
    assert (euclidean_distance(np.vstack([X, X]))[:20, 20:].diagonal() == 0).all()


def test_kernels_are_their_formulas():
    D = np.array([[0, 0.5], [0.5, 0]])
    np.testing.assert_allclose(gaussian_kernel(D, 0.25), [[1, np.exp(-4)], [np.exp(-4), 1]])
    np.testing.assert_allclose(exponential_kernel(D, 0.25), [[1, np.exp(-2)], [np.exp(-2), 1]])


# --- the additive relationship matrix against R's A.mat --------------------------------------------------------------

AMAT = json.loads((REFERENCE / "synthetic/rrblup_amat.json").read_text())


def test_a_mat_matches_r(synthetic):
    G, _ = synthetic
    np.testing.assert_allclose(a_mat(G)[:12, :12], AMAT["plain"], atol=1e-8)
    np.testing.assert_allclose(a_mat(G, min_maf=0.2)[:12, :12], AMAT["min_maf_0.2"], atol=1e-8)


def test_a_mat_imputes_the_mean_as_r_does(synthetic):
    G = synthetic[0].astype(float)
    row, column = np.array(AMAT["missing_1based"]).T - 1
    G[row, column] = np.nan
    A, imputed = a_mat(G, return_imputed=True)
    np.testing.assert_allclose(A[:12, :12], AMAT["mean"], atol=1e-8)
    assert np.isfinite(imputed).all()
    frequency, absent = marker_frequency(G)
    np.testing.assert_allclose(frequency, (np.nanmean(G, axis=0) + 1) / 2)
    np.testing.assert_allclose(absent, np.isnan(G).mean(axis=0))


def test_a_mat_of_wheat_matches_r(wheat):
    r = json.loads((REFERENCE / "rrblup_amat_wheat.json").read_text())
    for case, arguments in {"plain": {}, "minMAF0.25": {"min_maf": 0.25}}.items():
        A = a_mat(wheat.markers("-1/1"), **arguments)
        np.testing.assert_allclose(np.diag(A), r[case]["diag"], atol=1e-8)
        np.testing.assert_allclose(A[:10, :10], r[case]["A_first10"], atol=1e-8)
        np.testing.assert_allclose([np.trace(A), (A**2).sum()], [r[case]["trace"], r[case]["sum_sq"]], rtol=1e-10)


def test_a_mat_does_not_depend_on_the_counted_allele(synthetic):
    G, _ = synthetic
    np.testing.assert_allclose(a_mat(-G), a_mat(G), atol=1e-10)


def test_a_mat_leaves_out_badly_called_and_constant_markers():
    rng = np.random.default_rng(2)
    G = rng.integers(-1, 2, (20, 30)).astype(float)
    worse = np.hstack([G, np.ones((20, 3)), np.full((20, 2), np.nan)])
    np.testing.assert_allclose(a_mat(worse), a_mat(G), atol=1e-12)
    worse[:12, 0] = np.nan
    np.testing.assert_allclose(a_mat(worse, max_missing=0.5), a_mat(worse[:, 1:]), atol=1e-12)


# --- what is refused -------------------------------------------------------------------------------------------------

G0 = np.array([[-1, 0, 1], [1, 0, -1]], float)


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (
            "G contains NaN: 1 of 6 calls, the first at line 0, marker 1",
            lambda: rr_kernel(np.where([[0, 1, 0], [0, 0, 0]], np.nan, G0)),
        ),
        ("contains infinity", lambda: rr_kernel(np.where([[0, 1, 0], [0, 0, 0]], np.inf, G0))),
        ("must hold numbers", lambda: check_markers(np.array([["A"]]))),
        (r"must be a \(lines, markers\) matrix", lambda: check_markers(np.ones(3))),
        ("the same markers: 3 and 2", lambda: cross_product(G0, G0[:, :2])),
        ("codes -1/0/1, got values from 0 to 2", lambda: a_mat(G0 + 1)),
        ("no marker is left", lambda: a_mat(np.ones((4, 3)))),
        ("impute='EM'", lambda: a_mat(G0, impute="EM")),
        ("theta must be a positive number", lambda: gaussian_kernel(np.eye(2), 0)),
        ("theta must be a positive number", lambda: exponential_kernel(np.eye(2), np.nan)),
    ],
)
def test_bad_input_has_its_own_message(message, action):
    with pytest.raises((ValueError, TypeError), match=message):
        action()


def test_dataframes_pass():
    frame = pd.DataFrame(G0, ["a", "b"])
    np.testing.assert_array_equal(rr_kernel(frame), [[2, -2], [-2, 2]])
