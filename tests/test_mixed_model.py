"""mixed_solve against R's rrBLUP, against dense algebra, and under changes that must not matter."""

import numpy as np
import pandas as pd
import pytest
from conftest import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_literate.datasets import DataUnavailableError, fetch_maize
from gp_literate.kernels import a_mat, cross_product, rr_kernel
from gp_literate.mixed_model import fit_spectral, kernel_spectrum, mixed_solve


def assert_matches_r(ours, r, df, flat=False, se_rtol=1e-3):
    """Likelihood not below R's; variances within 1e-3 where the likelihood is not flat; u correlated > 0.999999.

    R computes the log-likelihood with 3.14159 for π.
    """
    assert ours.LL + df / 2 * np.log(np.pi / 3.14159) >= r["LL"] - 1e-8
    if flat:
        return
    np.testing.assert_allclose([ours.Vu, ours.Ve], [r["Vu"], r["Ve"]], rtol=1e-3)
    np.testing.assert_allclose(ours.beta, np.atleast_1d(r["beta"]), rtol=1e-3, atol=1e-5)
    for name, expected in (("u", r.get("u", r.get("u_head"))), ("u_se", r.get("u_SE", r.get("u_SE_head")))):
        if expected is not None and getattr(ours, name) is not None:
            found = np.asarray(getattr(ours, name))[: len(expected)]
            if name == "u":
                assert np.corrcoef(found, expected)[0, 1] > 0.999999
            np.testing.assert_allclose(found, expected, rtol=se_rtol, atol=1e-3 * np.abs(expected).max())
    if "u_summary" in r:
        u, s = np.asarray(ours.u), r["u_summary"]
        found = [len(u), (u**2).sum(), (np.arange(1, len(u) + 1) * u).sum()]
        np.testing.assert_allclose(found, [s["n"], s["sum_sq"], s["weighted"]], rtol=2e-3)
    if "beta_SE" in r and ours.beta_se is not None:
        np.testing.assert_allclose(ours.beta_se, np.atleast_1d(r["beta_SE"]), rtol=se_rtol)


# --- the synthetic population: always -----------------------------------------------------------------------------


def synthetic_call(case, G, table):
    "The arguments of each case in rrblup_mixed_solve.json (tests/reference/README.md)."
    y, i = table.y1.to_numpy(), np.arange(1, 81)
    groups = 0.6 ** np.abs(np.subtract.outer(np.arange(20), np.arange(20)))
    return {
        "markers_REML": (y, {"Z": G}),
        "markers_ML": (y, {"Z": G, "method": "ML"}),
        "kinship_REML": (y, {"K": a_mat(G)}),
        "kinship_ML": (y, {"K": a_mat(G), "method": "ML"}),
        "missing_y": (table.y1_missing.to_numpy(), {"K": a_mat(G)}),
        "fixed": (y, {"K": a_mat(G), "X": np.column_stack([np.ones(80), np.sin(i / 5), i / 80])}),
        "groups_n_gt_m": (y, {"Z": np.eye(20)[(i - 1) % 20], "K": groups}),
        "few_markers_n_gt_m": (y, {"Z": G[:, :25]}),
    }[case]


SYNTHETIC = reference("synthetic/rrblup_mixed_solve.json")


@pytest.mark.parametrize("case", SYNTHETIC)
def test_synthetic_population_matches_r(case, synthetic):
    y, arguments = synthetic_call(case, *synthetic)
    ours = mixed_solve(y, se=True, **arguments)
    n, q = np.isfinite(y).sum(), len(ours.beta)
    df = n if arguments.get("method") == "ML" else n - q
    # markers_ML: R stops at its upper bound, 0.33 below the optimum; groups: no variance between groups, u all but zero
    assert_matches_r(ours, SYNTHETIC[case], df, flat=case in ("markers_ML", "groups_n_gt_m"))


def test_finds_the_optimum_that_a_local_search_misses(synthetic):
    y, arguments = synthetic_call("markers_ML", *synthetic)
    assert mixed_solve(y, **arguments).LL > SYNTHETIC["markers_ML"]["LL"] + 0.3


def test_no_variance_between_groups_is_reported(synthetic):
    y, arguments = synthetic_call("groups_n_gt_m", *synthetic)
    ours = mixed_solve(y, **arguments)
    assert ours.bound == "upper" and abs(ours.u).max() < 1e-6
    assert np.corrcoef(ours.u, SYNTHETIC["groups_n_gt_m"]["u"])[0, 1] > 0.999999
    np.testing.assert_allclose(ours.Ve, SYNTHETIC["groups_n_gt_m"]["Ve"], rtol=1e-6)


# --- wheat: where the data can be had ----------------------------------------------------------------------------


def wheat_call(case, G, y, folds):
    "The arguments of each case in rrblup_mixed_solve_wheat_*.json (tests/reference/README.md); also sets if flat."
    i, n = np.arange(1, 600), 599
    X3 = np.column_stack([np.ones(n), np.sin(i / 10), i % 3 == 0]).astype(float)
    if "missing" in case:
        y = np.where(folds == 1, np.nan, y)
    call = {"method": "ML" if "_ML" in case else "REML", "se": "_SE" in case}
    if case.startswith("fixed"):
        call["X"] = X3[:, :2] if "markers" in case else X3
    if case.startswith("chol_groups"):
        group = (i - 1) % 60 + 1
        y, call["X"], call["Z"] = y + 2 * np.cos(1.7 * group), X3, np.eye(60)[group - 1]
        if "_K_" in case:
            call["K"] = 0.5 ** np.abs(np.subtract.outer(np.arange(60), np.arange(60)))
            call["K"] += 1e-6 * np.eye(60)  # as R does on this route
    elif "chol_markers" in case:
        call["Z"] = G[:, :100]
    elif "markers" in case:
        call["Z"] = G
    else:
        call["K"] = rr_kernel(G) if "GGt" in case else a_mat(G)
    return y, call


ENVIRONMENTS = {env: reference(f"rrblup_mixed_solve_wheat_{env}.json")["cases"] for env in ("env1", "env2")}


@pytest.mark.parametrize(("env", "case"), [(env, case) for env, cases in ENVIRONMENTS.items() for case in cases])
def test_wheat_matches_r(env, case, wheat):
    G, r = wheat.markers("-1/1").to_numpy(), ENVIRONMENTS[env][case]
    y, call = wheat_call(case, G, wheat.phenotype(env).to_numpy(), wheat.covariates.fold.to_numpy())
    if "permuted" in case:
        y = y[np.array(r["perm_1based"]) - 1]
    if "noiseless" in case:
        y = G[:, :20] @ np.cos(np.arange(1, 21))
    ours = mixed_solve(y, **call)
    n, q = np.isfinite(y).sum(), len(ours.beta)
    r = r | r.get("refined", {})
    assert_matches_r(ours, r, n if call["method"] == "ML" else n - q, flat="noiseless" in case)


def test_noiseless_wheat_is_reported_as_such(wheat):
    "R stops at λ = 6.8e-5, the tolerance of its search; the likelihood rises to the end of the range."
    G = wheat.markers("-1/1").to_numpy()
    ours = mixed_solve(G[:, :20] @ np.cos(np.arange(1, 21)), K=a_mat(G))
    assert ours.bound == "lower" and ours.lambda_ < 1e-6


# --- maize: where the data can be had ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ear_height():
    "Markers as -1/0/1 and ear height of the 279 lines; skipped where the data cannot be had."
    try:
        maize = fetch_maize()
    except DataUnavailableError as error:
        pytest.skip(f"maize data cannot be had: {str(error)[:120]}")
    return maize.markers("-1/0/1").to_numpy(), maize.phenotype("EarHT").to_numpy()


def test_maize_is_the_data_r_saw(ear_height):
    (G, y), r = ear_height, reference("rrblup_mixed_solve_maize_EarHT.json")
    check, dosage = r["X_check"], G.astype(int) + 1
    assert (*G.shape, dosage.sum(), (dosage**2).sum()) == (279, 3093, check["sum"], check["sum_sq"])
    np.testing.assert_allclose((np.arange(1, 280) * y).sum(), r["y_check"]["weighted"], rtol=1e-9)


MAIZE = reference("rrblup_mixed_solve_maize_EarHT.json")["cases"]


def test_ml_prefers_a_hill_to_the_rise_without_end(ear_height):
    "A centred kernel makes the ML likelihood unbounded at λ = 0; `Amat_ML` above finds R's hill."
    G, y = ear_height
    centred, uncentred = mixed_solve(y, K=a_mat(G), method="ML"), mixed_solve(y, K=a_mat(G) + 1, method="ML")
    assert centred.bound is None and uncentred.bound is None
    np.testing.assert_allclose(uncentred.Ve, centred.Ve, rtol=0.1)


@pytest.mark.parametrize("case", MAIZE)
def test_maize_matches_r(case, ear_height):
    (G, y), r, i = ear_height, MAIZE[case], np.arange(1, 280)
    call = {"Z": G} if "markers" in case else {"K": a_mat(G)}
    call |= {"method": "ML" if "_ML" in case else "REML", "se": "_SE" in case}
    if "fixed" in case:
        call["X"] = np.column_stack([np.ones(279), (i - 279 / 2) / 279, i % 4 == 1]).astype(float)
    ours = mixed_solve(y, **call)
    assert_matches_r(ours, r, 279 if call["method"] == "ML" else 279 - len(ours.beta))
    if "refined" in r:  # R with a search of no absolute tolerance
        np.testing.assert_allclose([ours.Vu, ours.Ve], [r["refined"]["Vu"], r["refined"]["Ve"]], rtol=2e-6)
    np.testing.assert_allclose(ours.beta_se, np.atleast_1d(r["beta_SE"]), rtol=1e-5) if call["se"] else None


# --- both decompositions, ids, missing records ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(0)
    Z = rng.integers(-1, 2, (60, 12)).astype(np.int8)
    y = Z @ rng.normal(size=12) + rng.normal(size=60) + 5
    return pd.DataFrame(Z, [f"r{i}" for i in range(60)], [f"m{j}" for j in range(12)]), pd.Series(
        y, [f"r{i}" for i in range(60)]
    )


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_thin_and_full_decomposition_agree(toy, method):
    Z, y = toy
    thin = mixed_solve(y, Z=Z, method=method, se=True)
    full = mixed_solve(y, K=cross_product(Z.to_numpy()), method=method, se=True)
    np.testing.assert_allclose([thin.Vu, thin.Ve, thin.LL], [full.Vu, full.Ve, full.LL], rtol=1e-9)
    np.testing.assert_allclose(thin.beta_se, full.beta_se, rtol=1e-9)
    np.testing.assert_allclose(Z @ thin.u, full.u, rtol=1e-6, atol=1e-9)


def test_thin_route_with_a_kernel_equals_the_full_one():
    rng = np.random.default_rng(1)
    K = np.cov(rng.normal(size=(6, 30)))
    Z, y = np.eye(6)[rng.integers(0, 6, 40)], rng.normal(size=40)
    thin = mixed_solve(y, Z=Z, K=K, se=True)
    full = fit_spectral(y, np.ones((40, 1)), kernel_spectrum(Z @ K @ Z.T))
    np.testing.assert_allclose([thin.LL, thin.Ve], [full.LL, full.Ve], rtol=1e-8)
    np.testing.assert_allclose(thin.u, K @ Z.T @ full.dual, atol=1e-8)


def test_rows_are_matched_by_id(toy):
    Z, y = toy
    shuffled = Z.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(mixed_solve(y, Z=Z).u, mixed_solve(y, Z=shuffled).u)
    K = pd.DataFrame(cross_product(Z.to_numpy()) + np.eye(60), Z.index, Z.index)
    order = shuffled.index
    by_id = mixed_solve(y, K=K.loc[order, order])
    assert by_id.u.index.equals(y.index)
    np.testing.assert_allclose(by_id.u, mixed_solve(y, K=K).u, rtol=1e-12)


def test_duplicated_ids_are_named(toy):
    Z, y = toy
    twice = Z.set_axis(["r0", "r0", "r1", "r1", *Z.index[4:]])
    with pytest.raises(ValueError, match=r"^Z has several rows of the same id.*: 2 such .* \['r0', 'r1'\]"):
        mixed_solve(y, Z=twice)
    with pytest.raises(ValueError, match=r"^y has several rows of the same id"):
        mixed_solve(y.set_axis(twice.index), Z=Z)
    np.testing.assert_array_equal(mixed_solve(y.set_axis(twice.index), Z=twice).u, mixed_solve(y, Z=Z).u)


def test_missing_records_are_predicted_and_do_not_touch_the_fit(toy):
    Z, y = toy
    K = cross_product(Z.to_numpy()) + 0.1 * np.eye(60)
    missing = y.copy()
    missing.iloc[50:] = np.nan
    with_gaps, without = mixed_solve(missing, K=K), mixed_solve(y.iloc[:50], K=K[:50, :50])
    np.testing.assert_allclose([with_gaps.Vu, with_gaps.LL], [without.Vu, without.LL], rtol=1e-12)
    assert len(with_gaps.u) == 60 and np.isfinite(with_gaps.u).all()
    np.testing.assert_allclose(with_gaps.u.iloc[:50], without.u, rtol=1e-9)


def test_the_profile_has_one_value_per_lambda_and_the_answer_is_its_top():
    rng = np.random.default_rng(3)
    G = rng.integers(-1, 2, (50, 200))
    y, K = rng.normal(size=50) + G[:, 0], rr_kernel(G)
    best = mixed_solve(y, K=K)
    for lam in np.geomspace(1e-3, 1e6, 40):
        assert mixed_solve(y, K=K, bounds=(lam, lam * 1.0001)).LL <= best.LL + 1e-9


def test_sparse_design_is_accepted(toy):
    from scipy import sparse

    Z, y = toy
    np.testing.assert_array_equal(
        mixed_solve(y.to_numpy(), Z=sparse.csr_matrix(Z)).u, mixed_solve(y.to_numpy(), Z=Z.to_numpy()).u
    )


# --- records of unequal precision ----------------------------------------------------------------------------------


def weighted_case(seed=2, n=60):
    rng = np.random.default_rng(seed)
    G = rng.integers(-1, 2, (n, 80)).astype(np.int8)
    K, w = a_mat(G), rng.integers(1, 5, n) / 2
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    return 5 + G[:, :20].sum(axis=1) / 2 + 2 * rng.normal(size=n) / w**0.5, G, K, X, w


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_weights_are_the_full_matrices(method):
    y, _, K, X, w = weighted_case()
    fit = mixed_solve(y, K=K, X=X, weights=w, method=method, se=True)

    def dense(Vu, Ve):
        V = K * Vu + np.diag(Ve / w)
        Vi = np.linalg.inv(V)
        XVX = X.T @ Vi @ X
        beta = np.linalg.solve(XVX, X.T @ Vi @ y)
        r, P = y - X @ beta, Vi - Vi @ X @ np.linalg.solve(XVX, X.T @ Vi)
        logs, df = np.linalg.slogdet(V)[1], len(y)
        if method == "REML":
            logs, df = logs + np.linalg.slogdet(XVX)[1] - np.linalg.slogdet(X.T @ X)[1], df - X.shape[1]
        C = K * Vu
        return -0.5 * (logs + r @ Vi @ r + df * np.log(2 * np.pi)), beta, XVX, C @ Vi @ r, np.diag(C - C @ P @ C)

    LL, beta, XVX, u, pev = dense(fit.Vu, fit.Ve)
    np.testing.assert_allclose(fit.LL, LL, rtol=1e-8)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-8)
    np.testing.assert_allclose(fit.beta_se, np.sqrt(np.diag(np.linalg.inv(XVX))), rtol=1e-8)
    np.testing.assert_allclose(fit.u, u, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fit.u_se**2, pev, rtol=1e-6)
    for Vu in (0.9, 1.1):  # and it is the top
        for Ve in (0.9, 1.1):
            assert dense(fit.Vu * Vu, fit.Ve * Ve)[0] < LL


def test_weights_by_all_three_routes():
    y, G, K, X, w = weighted_case()
    few = G[:, :20]
    thin, full = mixed_solve(y, Z=few, weights=w, se=True), mixed_solve(y, K=rr_kernel(few), weights=w, se=True)
    np.testing.assert_allclose(
        [thin.Vu, thin.Ve, thin.LL, *thin.beta_se], [full.Vu, full.Ve, full.LL, *full.beta_se], rtol=1e-7
    )
    np.testing.assert_allclose(few @ thin.u, full.u, rtol=1e-6, atol=1e-9)
    long, short = mixed_solve(y, Z=G, weights=w), mixed_solve(y, K=rr_kernel(G), weights=w)
    np.testing.assert_allclose([long.LL, long.Ve], [short.LL, short.Ve], rtol=1e-7)


def test_weights_that_change_nothing():
    y, _, K, X, w = weighted_case()
    plain = mixed_solve(y, K=K, X=X)
    for weights in (1, np.ones(60), pd.Series(np.ones(60))):
        same = mixed_solve(y, K=K, X=X, weights=weights)
        np.testing.assert_allclose([same.Vu, same.Ve, same.LL], [plain.Vu, plain.Ve, plain.LL], rtol=1e-8)
    scaled, weighted = mixed_solve(y, K=K, weights=7 * w), mixed_solve(y, K=K, weights=w)
    np.testing.assert_allclose(
        [scaled.Ve / 7, scaled.Vu, scaled.LL], [weighted.Ve, weighted.Vu, weighted.LL], rtol=1e-7
    )


def test_weight_zero_is_a_missing_record():
    y, _, K, X, w = weighted_case()
    zero, missing = w.copy(), y.copy()
    zero[:4], missing[:4] = 0, np.nan
    a, b = mixed_solve(y, K=K, X=X, weights=zero), mixed_solve(missing, K=K, X=X, weights=w)
    np.testing.assert_allclose([a.LL, *a.u], [b.LL, *b.u], rtol=1e-12)
    w[:4] = np.nan  # of records that are not there
    np.testing.assert_allclose(mixed_solve(missing, K=K, X=X, weights=w).LL, b.LL, rtol=1e-12)


def test_weights_are_matched_by_id(toy):
    Z, y = toy
    w = pd.Series(np.arange(1.0, 61), y.index)
    a, b = mixed_solve(y, Z=Z, weights=w), mixed_solve(y, Z=Z, weights=w.sample(frac=1, random_state=0))
    np.testing.assert_array_equal(a.u, b.u)
    with pytest.raises(ValueError, match="y and weights have different ids"):
        mixed_solve(y, Z=Z, weights=w.iloc[1:])


# --- degenerate cases ----------------------------------------------------------------------------------------------


def test_unrelated_lines_have_no_variance_of_their_own():
    rng = np.random.default_rng(0)
    y, one = rng.normal(size=20), np.ones((20, 1))
    for method in ("REML", "ML"):
        with pytest.raises(ValueError, match="cannot be told apart"):
            mixed_solve(y, K=np.eye(20), method=method)
    with pytest.raises(ValueError, match="cannot be told apart"):
        mixed_solve(y, K=np.eye(20) + 3 * one @ one.T)
    fit = fit_spectral(y, one, kernel_spectrum(np.eye(20)))
    assert fit.bound == "flat" and fit.Vu < 1e-8
    np.testing.assert_allclose(fit.LL, -0.5 * (19 * (np.log(2 * np.pi * y.var(ddof=1)) + 1)), rtol=1e-8)
    assert np.isfinite(mixed_solve(y, K=np.eye(20), weights=np.arange(1, 21)).LL)  # unequal weights tell them apart


def test_kernel_of_rank_one():
    rng = np.random.default_rng(1)
    a, y = rng.normal(size=20), rng.normal(size=20)
    with pytest.raises(ValueError, match="same value once the fixed effects"):
        mixed_solve(y, K=np.ones((20, 20)))
    fit = mixed_solve(y + 3 * a, K=np.outer(a, a), se=True)
    np.testing.assert_allclose(fit.u / a, fit.u[0] / a[0], rtol=1e-7)
    np.testing.assert_allclose(fit.u, a * mixed_solve(y + 3 * a, Z=a[:, None]).u[0], rtol=1e-6)
    assert np.isfinite([fit.LL, fit.Vu, *fit.u_se]).all()


def test_duplicated_lines(toy):
    Z, _ = toy
    twice = np.vstack([Z, Z]).astype(np.int8)
    y = twice @ np.ones(12) + np.random.default_rng(0).normal(size=120)
    fit = mixed_solve(y, K=rr_kernel(twice), se=True)
    np.testing.assert_allclose(fit.u[:60], fit.u[60:], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fit.u_se[:60], fit.u_se[60:], rtol=1e-6)


def test_as_many_fixed_effects_as_records():
    rng = np.random.default_rng(0)
    for q in (4, 5, 6):
        with pytest.raises(ValueError, match="too few|rank 5"):
            mixed_solve(rng.normal(size=5), K=np.eye(5) + 1, X=rng.normal(size=(5, q)))


@pytest.mark.parametrize(("bound", "h2"), [("upper", 0), ("lower", 1)])
def test_a_bound_is_said(bound, h2):
    rng = np.random.default_rng(2)
    G = rng.integers(-1, 2, (40, 100))
    y = np.sin(2.4 * np.arange(40)) if bound == "upper" else G @ rng.normal(size=100)
    y = np.linalg.eigh(rr_kernel(G))[1][:, 1] if bound == "upper" else y  # along the least of all kinship
    fit = mixed_solve(y, K=rr_kernel(G))
    assert fit.bound == bound and f"h² = {h2}" in fit._repr_html_() and f"bound={bound!r}" in repr(fit)


# --- changes that must not matter ----------------------------------------------------------------------------------


@st.composite
def population(draw):
    n, p, seed = draw(st.integers(8, 40)), draw(st.integers(2, 60)), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    G = rng.integers(-1, 2, (n, p)).astype(np.int8)
    G[:2, 0] = -1, 1  # at least one marker varies
    return G, G @ rng.normal(size=p) * draw(st.floats(0, 1)) + rng.normal(size=n), rng


@settings(max_examples=40, deadline=None)
@given(population())
def test_marker_order_and_counted_allele_do_not_matter(case):
    G, y, rng = case
    order, flip = rng.permutation(G.shape[1]), rng.choice([-1, 1], G.shape[1]).astype(np.int8)
    plain, changed = mixed_solve(y, Z=G), mixed_solve(y, Z=(G * flip)[:, order])
    np.testing.assert_allclose(changed.LL, plain.LL, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(G @ plain.u, (G * flip)[:, order] @ changed.u, rtol=1e-5, atol=1e-7 * np.ptp(y))


@settings(max_examples=40, deadline=None)
@given(population(), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_shift_and_unit_of_the_phenotype(case, shift, unit):
    G, y, _ = case
    plain, changed = mixed_solve(y, Z=G, se=True), mixed_solve(y * unit + shift, Z=G, se=True)
    np.testing.assert_allclose(changed.Vu, plain.Vu * unit**2, rtol=1e-4, atol=1e-8 * unit**2 * np.var(y))
    np.testing.assert_allclose(changed.u, plain.u * unit, rtol=1e-4, atol=1e-6 * unit * np.ptp(y))
    np.testing.assert_allclose(changed.beta, plain.beta * unit + shift, rtol=1e-6, atol=1e-5 * unit * np.ptp(y))


@settings(max_examples=25, deadline=None)
@given(population(), st.floats(1e-6, 1e6))
def test_scale_of_the_kernel(case, scale):
    G, y, _ = case
    K = rr_kernel(G) + np.eye(len(G))
    plain, changed = mixed_solve(y, K=K), mixed_solve(y, K=K * scale)
    np.testing.assert_allclose([changed.LL, changed.Ve], [plain.LL, plain.Ve], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(changed.u, plain.u, rtol=1e-4, atol=1e-7 * np.ptp(y))


# --- what is refused -----------------------------------------------------------------------------------------------

Y, I5 = np.array([1.0, 2, 0, 4, 3]), np.eye(5)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("with neither", {"y": Y}),
        ("not positive semidefinite", {"y": Y, "K": I5 - 0.9 * np.ones((5, 5))}),
        ("not positive semidefinite", {"y": np.r_[Y[:4], np.nan], "K": I5 - 0.9 * np.ones((5, 5))}),
        ("not positive semidefinite", {"y": np.r_[Y, Y], "Z": np.vstack([I5, I5]), "K": I5 - 0.9 * np.ones((5, 5))}),
        ("not positive semidefinite", {"y": Y, "Z": I5, "K": I5 - 0.9 * np.ones((5, 5))}),
        ("not positive semidefinite", {"y": Y, "K": np.zeros((5, 5))}),
        (r"not symmetric: K\[0, 1\]", {"y": Y, "K": I5 + np.eye(5, k=1)}),
        (r"K must have 5 rows, got shape \(4, 4\)", {"y": Y, "K": np.eye(4)}),
        ("K must have 5 columns", {"y": Y, "K": np.ones((5, 4))}),
        ("Z must have 5 rows", {"y": Y, "Z": np.ones((4, 2))}),
        ("X must have 5 rows", {"y": Y, "K": I5, "X": np.ones((4, 1))}),
        ("Z contains NaN: 1 of 25", {"y": Y, "Z": np.where(I5 * np.arange(5) == 3, np.nan, I5)}),
        ("K contains NaN", {"y": Y, "K": np.where(I5, np.nan, 0)}),
        ("every value is NaN", {"y": np.full(5, np.nan), "K": I5}),
        ("y contains infinity", {"y": np.r_[Y[:4], np.inf], "K": I5}),
        ("one-dimensional", {"y": np.ones((5, 2)), "K": I5}),
        ("does not vary", {"y": np.full(5, 3.0), "K": I5}),
        ("does not vary", {"y": 2 * np.arange(5.0) + 1, "K": I5, "X": np.column_stack([np.ones(5), np.arange(5)])}),
        ("rank 1", {"y": Y, "K": I5, "X": np.ones((5, 2))}),
        ("need at least 3", {"y": np.r_[1.0, 2], "K": np.eye(2)}),
        ("need at least 3", {"y": np.array([1.0]), "K": np.eye(1)}),
        ("method='REMl'", {"y": Y, "K": I5, "method": "REMl"}),
        ("smallest λ < largest", {"y": Y, "K": I5, "bounds": (1, 0)}),
        ("weights must hold one number for each of the 5", {"y": Y, "K": I5, "weights": np.ones(4)}),
        (
            "finite and not negative: 1 are not, the first is -1 at record 2",
            {"y": Y, "K": I5, "weights": [1, 1, -1, 1, 1]},
        ),
        ("finite and not negative: 1 are not, the first is nan", {"y": Y, "K": I5, "weights": [1, np.nan, 1, 1, 1]}),
        ("zero for every observed record", {"y": Y, "K": I5, "weights": 0}),
        ("Z must hold numbers", {"y": Y, "Z": np.array([["A"] * 2] * 5)}),
    ],
)
def test_bad_input_has_its_own_message(message, arguments):
    with pytest.raises((ValueError, TypeError), match=message):
        mixed_solve(**arguments)


def test_ids_that_do_not_match_are_named():
    y = pd.Series(Y, list("abcde"))
    with pytest.raises(ValueError, match=r"y and Z have different ids: 2 occur in only one .*'e', 'X'"):
        mixed_solve(y, Z=pd.DataFrame(I5, list("abcdX")))
    with pytest.raises(ValueError, match="y and K have different ids"):
        mixed_solve(y, K=pd.DataFrame(I5, list("abcdX"), list("abcdX")))
    with pytest.raises(ValueError, match="same ids in the same order on both axes"):
        mixed_solve(y, K=pd.DataFrame(I5, list("abcde"), list("edcba")))
