"""Kernels: against plain formulas, against R's A.mat, exactness, and what is refused."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from conftest import REFERENCE
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib import pyplot as plt

from gp_literate.datasets import DataUnavailableError, fetch_maize
from gp_literate.dominance import dominance_codes, dominance_matrix
from gp_literate.kernels import (
    AMatrix,
    a_mat,
    check_markers,
    cluster_order,
    cross_product,
    euclidean_distance,
    exponential_kernel,
    gaussian_kernel,
    marker_frequency,
    plot_kernel,
    reg_intensities,
    rr_kernel,
    shrink_ej,
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


def test_codes_too_large_for_float32_are_multiplied_in_float64():
    rng = np.random.default_rng(3)
    for dtype, low, high in ((np.int8, -128, 128), (np.uint8, 0, 256)):
        G = rng.integers(low, high, (5, 20_001)).astype(dtype)
        np.testing.assert_array_equal(cross_product(G), G.astype(np.int64) @ G.astype(np.int64).T)


@pytest.mark.parametrize("dtypes", [(np.int8, float), (float, np.int8), (np.int16, np.int8), (bool, np.int8)])
def test_mixed_types_are_centred_alike(dtypes):
    rng = np.random.default_rng(4)
    X, Y = (rng.integers(0, 2, (6, 9)).astype(dtype) for dtype in dtypes)
    center = rng.normal(size=9)
    expected = (X.astype(float) - center) @ (Y.astype(float) - center).T
    np.testing.assert_allclose(cross_product(X, Y, center), expected, atol=1e-12)
    np.testing.assert_allclose(euclidean_distance(X, Y, span=1), euclidean_distance(X.astype(float), Y, 1), atol=1e-12)


def test_recoded_blocks_are_multiplied():
    G = np.random.default_rng(5).integers(0, 3, (8, 9_000)).astype(np.int8)
    weight = np.linspace(0, 1, 9_000)
    got = cross_product(G, G[:3], recode=lambda codes, s: np.sqrt(codes) * weight[s])
    np.testing.assert_allclose(got, (np.sqrt(G) * weight) @ (np.sqrt(G[:3]) * weight).T, rtol=1e-10)


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


def test_a_mat_shrinks_as_r_does(synthetic):
    info = a_mat(synthetic[0], shrink="EJ", return_info=True)
    np.testing.assert_allclose(info.A[:12, :12], AMAT["shrink_EJ"], atol=1e-8)
    assert 0 < info.shrinkage < 1 and isinstance(info, AMatrix)


def test_a_mat_by_em_matches_r(synthetic):
    G = synthetic[0].astype(float)
    row, column = np.array(AMAT["missing_1based"]).T - 1
    G[row, column] = np.nan
    info = a_mat(G, impute="em", tol=1e-4, return_info=True)  # the tolerance the reference was made with
    np.testing.assert_allclose(info.A[:12, :12], AMAT["EM"], atol=1e-8)
    assert info.changes[-1] < 1e-4 and info.shrinkage == 0


def _agrees(A, r):
    "Everything the file holds of one matrix."
    n = r["n"]
    head = "A_first50"
    np.testing.assert_allclose(np.diag(A), r["diag"], atol=1e-8)
    np.testing.assert_allclose(A[:50, :50], r[head], atol=1e-8)
    number = np.arange(1, n + 1)
    sums = [np.trace(A), (A**2).sum(), number @ A @ number]
    np.testing.assert_allclose(sums[:2], [r["trace"], r["sum_sq"]], rtol=1e-10)
    np.testing.assert_allclose(A.sum(), r["sum"], atol=1e-7)
    np.testing.assert_allclose(np.linalg.eigvalsh(A)[::-1][:10], r["eig_top10"], rtol=1e-8)


@pytest.mark.parametrize(
    ("case", "arguments"),
    [("plain", {}), ("minMAF0.25", {"min_maf": 0.25}), ("shrink_EJ", {"shrink": "EJ"})],
)
def test_a_mat_of_wheat_matches_r(wheat, case, arguments):
    r = json.loads((REFERENCE / "rrblup_amat_wheat.json").read_text())["cases"][case]
    info = a_mat(wheat.markers("-1/1").to_numpy(), **arguments, return_info=True)
    _agrees(info.A, r)
    if "printed" in r and r["printed"]:
        assert f"{info.shrinkage:.2f}" in r["printed"]


@pytest.fixture(scope="module")
def maize():
    "R's answers, the 279 x 1000 markers (-1/0/1) and the same with a tenth of the calls missing."
    answers = json.loads(gzip.decompress((REFERENCE / "rrblup_amat_maize.json.gz").read_bytes()))
    try:
        G = fetch_maize().markers("0/1/2").to_numpy()[:, :1000] - 1
    except DataUnavailableError as error:
        pytest.skip(f"maize data cannot be had: {str(error)[:120]}")
    holed = G.astype(float).ravel(order="F")
    holed[np.array(answers["missing_index_1based_column_major"]) - 1] = np.nan
    return answers["cases"], G, holed.reshape(G.shape, order="F")


@pytest.mark.parametrize(
    ("case", "holes", "step", "arguments"),
    [
        ("plain", False, 1, {}),
        ("minMAF", False, 1, {"min_maf": 0.1}),
        ("missing_mean", True, 1, {}),
        ("missing_max.missing", True, 1, {"max_missing": 0.09}),
        ("missing_mean_minMAF0.05", True, 1, {"min_maf": 0.05}),
        ("shrink_EJ", False, 1, {"shrink": "EJ"}),
        ("missing_mean_shrink_EJ", True, 1, {"shrink": True}),
        ("shrink_EJ_few_markers", False, 10, {"shrink": "EJ"}),
        ("fewer_markers_than_lines_EM_falls_back", True, None, {}),
    ],
)
def test_a_mat_of_maize_matches_r(maize, case, holes, step, arguments):
    cases, G, holed = maize
    G = holed if holes else G
    info = a_mat(G[:, :200] if step is None else G[:, ::step], **arguments, return_info=True)
    _agrees(info.A, cases[case])
    if "shrink" in case:
        assert f"{info.shrinkage:.2f}" in cases[case]["printed"]
    if "imputed_first40x40" in cases[case]:
        assert list(info.imputed.shape) == cases[case]["imputed_dim"]
        np.testing.assert_allclose(info.imputed[:40, :40], cases[case]["imputed_first40x40"], atol=1e-12)


@pytest.mark.parametrize("tol", [0.02, 0.001])
def test_em_of_maize_matches_r(maize, tol):
    cases, _, holed = maize
    r, info = cases[f"missing_EM_tol{tol:g}"], a_mat(holed, impute="em", tol=tol, return_info=True)
    np.testing.assert_allclose(info.A[:50, :50], r["A_first50"], atol=1e-8)
    np.testing.assert_allclose(np.diag(info.A), r["diag"], atol=1e-8)
    printed = [float(line.split()[1]) for line in r["printed"][1:]]
    np.testing.assert_allclose(info.changes, printed, rtol=5e-3)
    if "imputed_dim" in r:
        assert list(info.imputed.shape) == r["imputed_dim"]
        np.testing.assert_allclose(info.imputed[:40, :40], r["imputed_first40x40"], atol=1e-8)


def test_regression_shrinkage_of_maize_is_near_r(maize):
    cases, G, _ = maize
    r = cases["shrink_REG_ntl50_iter40_random"]
    A = a_mat(G)
    delta = reg_intensities(G[:, (keep := G.min(axis=0) < G.max(axis=0))], (G.mean(axis=0)[keep] + 1) / 2, 50, 40, 0)
    theirs = 1 - r["A_first50"][0][1] / A[0, 1]  # the intensity R used, from an element off the diagonal
    assert abs(delta.mean() - theirs) < 3 * delta.std() / np.sqrt(40) * np.sqrt(2)
    np.testing.assert_allclose(
        (1 - theirs) * A + theirs * np.trace(A) / 279 * np.eye(279), _full(r, A, theirs), atol=1e-8
    )


def _full(r, A, delta):
    "R's block and diagonal, the rest from ours."
    out = (1 - delta) * A
    out[:50, :50] = r["A_first50"]
    np.fill_diagonal(out, r["diag"])
    return out


def test_shrinkage_keeps_the_mean_diagonal_and_is_reproducible(synthetic):
    G = synthetic[0]
    plain, ej, reg = (a_mat(G, shrink=s, n_qtl=30, seed=1, return_info=True) for s in (False, "EJ", "REG"))
    for info in (ej, reg):
        np.testing.assert_allclose(np.trace(info.A), np.trace(plain.A))
        off = ~np.eye(len(G), dtype=bool)
        assert (info.A[off] ** 2).sum() < (plain.A[off] ** 2).sum()
        assert np.linalg.eigvalsh(info.A).min() > 0
    again = a_mat(G, shrink="REG", n_qtl=30, seed=1)
    np.testing.assert_array_equal(again, reg.A)
    assert a_mat(G, shrink="REG", n_qtl=30, seed=2)[0, 1] != again[0, 1]


@settings(deadline=None)
@given(st.integers(3, 8), st.integers(5, 40), st.integers(0, 2**32 - 1))
def test_the_shortcut_of_the_intensity_is_the_sum_over_pairs(n, m, seed):
    G = np.random.default_rng(seed).integers(-1, 2, (n, m)).astype(np.int8)
    f = (G.mean(axis=0) + 1) / 2
    G, f = G[:, (vary := (f > 0) & (f < 1))], f[vary]
    if G.shape[1] < 2:
        return
    m, W = G.shape[1], G - (2 * f - 1)
    Z = W - W.mean(axis=1, keepdims=True)
    products = Z[:, None] * Z[None]
    S = products.mean(axis=2)
    T = np.trace(S) / n * np.eye(n)
    variance, distance = products.var(axis=2).sum() / m, ((S - T) ** 2).sum()
    expected = 1.0 if variance >= distance else variance / distance
    A = W @ W.T / (2 * f * (1 - f)).sum()
    np.testing.assert_allclose(shrink_ej(A, G, f)[1], expected, rtol=1e-9)


def test_independent_lines_are_shrunk_to_the_diagonal():
    rng = np.random.default_rng(6)
    G = rng.binomial(2, 0.5, (40, 300)).astype(np.int8) - np.int8(1)
    for shrink in ("EJ", "REG"):
        assert a_mat(G, shrink=shrink, n_qtl=50, seed=0, return_info=True).shrinkage > 0.75


def test_frames_come_back_as_frames(synthetic):
    G = pd.DataFrame(synthetic[0][:30].astype(float))
    G.index, G.columns = [f"l{i}" for i in range(30)], [f"m{k}" for k in range(300)]
    A, imputed = a_mat(G, return_imputed=True)
    assert A.index.equals(G.index) and A.columns.equals(G.index) and set(imputed.columns) <= set(G.columns)
    np.testing.assert_array_equal(A, a_mat(G.to_numpy()))


def test_kernels_and_distances_keep_the_ids(synthetic):
    G = pd.DataFrame(synthetic[0][:12], [f"l{i}" for i in range(12)])
    few = G.iloc[[3, 1]]
    for K in (rr_kernel(G), euclidean_distance(G), gaussian_kernel(euclidean_distance(G), 0.5), dominance_matrix(G)):
        assert K.index.equals(G.index) and K.columns.equals(G.index)
    D = euclidean_distance(few, G)
    np.testing.assert_array_equal(D, euclidean_distance(few.to_numpy(), G.to_numpy()))
    assert D.index.tolist() == ["l3", "l1"] and D.columns.equals(G.index)
    assert isinstance(euclidean_distance(few, G.to_numpy()), np.ndarray)


def test_a_kernel_with_ids_is_drawn_like_one_without(synthetic):
    A = a_mat(pd.DataFrame(synthetic[0][:12], [f"l{i}" for i in range(12)]))
    np.testing.assert_array_equal(cluster_order(A), cluster_order(A.to_numpy()))
    drawn = [plot_kernel(K).images[0].get_array() for K in (A, A.to_numpy())]
    np.testing.assert_array_equal(*drawn)
    plt.close("all")


def test_dominance_of_inbred_lines_is_a_second_additive_kernel():
    rng = np.random.default_rng(0)
    G = np.where(rng.random((20, 60)) < rng.uniform(0.1, 0.9, 60), 1, -1)
    p = (G.mean(axis=0) + 1) / 2
    h, weighted = dominance_codes(G, p), (2 * p - 1) * (G - (2 * p - 1))
    S = np.eye(20) - 1 / 20
    np.testing.assert_allclose(S @ h @ h.T @ S, S @ weighted @ weighted.T @ S, atol=1e-10)


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


# --- dominance -------------------------------------------------------------------------------------------------------


@given(st.floats(0.01, 0.99))
def test_dominance_codes_are_orthogonal_to_the_copies_in_random_mating_proportions(p):
    q, genotypes_ = 1 - p, np.array([[-1], [0], [1]], np.int8)
    weights, copies = np.array([q * q, 2 * p * q, p * p]), np.arange(3)
    h = dominance_codes(genotypes_, np.array([p]))[:, 0]
    np.testing.assert_allclose(h, [-2 * p * p, 2 * p * q, -2 * q * q], atol=1e-12)
    np.testing.assert_allclose([weights @ h, weights @ (h * copies)], 0, atol=1e-12)
    np.testing.assert_allclose(weights @ h**2, (2 * p * q) ** 2, atol=1e-12)
    su = dominance_codes(genotypes_, np.array([p]), "heterozygosity")[:, 0]
    np.testing.assert_allclose([weights @ su, weights @ su**2], [0, 2 * p * q * (1 - 2 * p * q)], atol=1e-12)


@pytest.mark.parametrize("convention", ["statistical", "heterozygosity"])
def test_dominance_of_random_mating_lines(convention):
    rng = np.random.default_rng(8)
    f = rng.uniform(0.1, 0.9, 9_000)
    G = (rng.binomial(2, f, (60, 9_000)) - 1).astype(np.int8)
    D, A = dominance_matrix(G, convention), a_mat(G)
    off = np.triu_indices(60, 1)
    assert abs(np.diag(D).mean() - 1) < 0.03 and abs(D[off].mean()) < 0.01
    if convention == "statistical":
        assert abs(np.corrcoef(A[off], D[off])[0, 1]) < 0.1
        p = (G.mean(axis=0) + 1) / 2
        H = np.choose(G + 1, [-2 * p**2, 2 * p * (1 - p), -2 * (1 - p) ** 2])
        np.testing.assert_allclose(D, H @ H.T / ((2 * p * (1 - p)) ** 2).sum(), atol=1e-10)
    assert np.linalg.eigvalsh(D).min() > -1e-10
    np.testing.assert_allclose(dominance_matrix(-G, convention), D, atol=1e-10)  # the counted allele does not matter


def test_dominance_of_missing_calls_and_frames(synthetic):
    G = synthetic[0].astype(float)
    G[0, :50] = np.nan
    assert abs(dominance_matrix(G)[0, 0]) < dominance_matrix(synthetic[0])[0, 0]
    frame = pd.DataFrame(synthetic[0], [f"l{i}" for i in range(80)])
    D = dominance_matrix(frame)
    assert D.index.equals(frame.index) and D.columns.equals(frame.index)
    np.testing.assert_array_equal(D, dominance_matrix(synthetic[0]))
    assert np.isfinite(dominance_matrix(np.hstack([G, np.full((80, 2), np.nan), np.ones((80, 3))]))).all()


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
        ("no call is heterozygous", lambda: dominance_matrix(np.array([[-1, 1], [1, -1]]))),
        ("got values from 0 to 2", lambda: dominance_matrix(G0 + 1)),
        ("needs whole genotypes", lambda: dominance_matrix(G0 * 0.5)),
        ("convention='x'", lambda: dominance_matrix(G0, "x")),
        ("shrink='LW'", lambda: a_mat(G0, shrink="LW")),
        ("n_qtl must lie between 1 and 2", lambda: a_mat(G0 * [1, 0.5, 1], shrink="REG", n_qtl=3)),
        ("EM are smoother", lambda: a_mat(G0, impute="em", shrink="EJ")),
        ("as many markers as lines, got 2 markers for 3 lines", lambda: a_mat(np.eye(3)[:, :2], impute="em")),
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
