"""POCRE: R's components and coefficients, partial least squares, invariances, bad and degenerate input."""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from conftest import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from gp_literate.pocre import (
    POCRE,
    THRESHOLDS,
    Sparse,
    Trial,
    combine_rows,
    component_table,
    fisher_z,
    grow,
    marker_products,
    residual_variance,
    threshold_weights,
    trial_coefficients,
    trial_loadings,
)
from gp_literate.pocre_cv import POCRECV, POCREPath
from gp_literate.simulation import simulate_population

pytestmark = pytest.mark.filterwarnings("ignore:POCRE at λ")
ESTIMATORS = [
    POCRE(0.5, max_markers=50),
    POCRE(0.5, "ebt", max_markers=50),
    POCRE(0.2, "lasso", max_markers=50),
    POCRE(threshold=None),
    POCRECV([0.3, 0.6], max_markers=50, cv=3, refine=0),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


# --- R -------------------------------------------------------------------------------------------------------------


def run(X, Y, lam, threshold, **options):
    "One finished fit."
    Y = np.asarray(Y, float).reshape(len(X), -1)
    return grow(X.T, [Trial(Y, np.ones(len(X), bool), lam, threshold, **options)], max_iter=101)[0]  # R: maxit + 1


def reversed_product(trial, X):
    "Coefficients with R's order of the factors of the loadings: (I - ω_{k-1}θ'_{k-1}) … (I - ω₁θ₁') ω_k."
    p, beta = X.shape[1], 0.0
    Xc = X - X.mean(axis=0)
    W = [w.dense(p) for w in trial.weights]
    theta = [Xc.T @ s / q for s, q in zip(trial.scores, trial.squares, strict=True)]
    for k, slope in enumerate(trial.trait_loadings):
        v = W[k]
        for j in range(k):
            v = v - W[j] * (theta[j] @ v)
        beta = beta + np.outer(v, slope)
    return beta


def stored_beta(fit, p, T):
    "R's coefficients as a (p, T) array."
    if "beta" in fit:
        return np.zeros((p, T)) if not fit["beta"] else np.array(fit["beta"], float).reshape(p, T)
    beta = np.zeros((p, T))
    at = np.atleast_1d(np.array(fit["beta_nonzero_index_1based"] or [], int)) - 1
    if len(at):
        beta[at] = np.array(fit["beta_nonzero_value"], float).reshape(len(at), T)
    return beta


def compare(X, Y, fit):
    "Our components with R's order of the product, against R; our own β against the regression that was fitted."
    Y = np.asarray(Y, float).reshape(len(X), -1)
    trial = run(X, Y, fit["lambda"], {"l1": "lasso"}.get(fit["ptype"], fit["ptype"]))
    K, theirs = trial.n_components, stored_beta(fit, X.shape[1], Y.shape[1])
    exploded = np.abs(theirs).max() > 1e6
    assert K == fit["nCmp"] - exploded  # R adds a component of rounding noise, and the numbers explode
    assert (trial.stop != "max_markers") == fit["bSparse"]
    ours, intercept = trial_coefficients(trial)
    np.testing.assert_allclose(X[:, trial.markers] @ ours + intercept, trial.fitted.T, atol=1e-9)
    if exploded or not K:
        assert exploded or not theirs.any()
        return trial
    likeR = reversed_product(trial, X)
    undetermined = max(fit.get("beta_rel_change_if_y_perturbed_1e_9", 0), fit.get("beta_rel_change_if_maxit_101", 0))
    gap = np.linalg.norm(likeR - theirs) / np.linalg.norm(theirs)
    assert gap < (1e-6 if undetermined < 1e-6 else 10 * undetermined)
    assert np.array_equal(np.flatnonzero(theirs.any(axis=1)), trial.markers)
    if K <= 2:  # then the order of the product does not matter
        assert np.linalg.norm(likeR[trial.markers] - ours) < 1e-9 * np.linalg.norm(ours)
        np.testing.assert_allclose(intercept, np.atleast_1d(fit["mu"]), rtol=1e-6, atol=1e-8)
    if "omega_nnz" in fit and undetermined < 1e-6:
        assert [len(w.at) for w in trial.weights] == np.atleast_1d(fit["omega_nnz"]).tolist()
        norms = [
            np.linalg.norm((X - X.mean(axis=0)).T @ s) / q for s, q in zip(trial.scores, trial.squares, strict=True)
        ]
        np.testing.assert_allclose(norms, np.atleast_1d(fit["theta_norm"]), rtol=1e-6)
    return trial


@pytest.mark.parametrize("fit", reference("synthetic/pocre.json"), ids=lambda f: f"{f['ptype']}-{f['lambda']}")
def test_synthetic_matches_R(synthetic, fit):
    X, phenotypes = synthetic
    compare(X + 1, phenotypes["y1"].to_numpy(), fit)


@pytest.mark.parametrize("fit", reference("pocre_wheat_env1.json")["fits"], ids=lambda f: f"{f['ptype']}-{f['lambda']}")
def test_wheat_matches_R(wheat, fit):
    trial = compare(wheat.markers("-1/1").to_numpy(), wheat.phenotype("env1").to_numpy(), fit)
    if trial.n_components in (1, 2):
        np.testing.assert_allclose(residual_variance(trial)[0], fit["sigmae2"], rtol=1e-6)


@pytest.mark.parametrize(
    "fit", reference("pocre_wheat_env12.json")["fits"], ids=lambda f: f"{f['ptype']}-{f['lambda']}"
)
def test_two_traits_of_wheat_match_R(wheat, fit):
    compare(wheat.markers("-1/1").to_numpy(), wheat.phenotypes[["env1", "env2"]].to_numpy(), fit)


@pytest.fixture(scope="module")
def simdata():
    "The package's simulated set (100 × 1000), where it can be had."
    path = Path(os.environ.get("GP_LITERATE_DATA", ".")) / "pocre" / "simdata.txt.gz"
    if not path.exists():
        pytest.skip("POCRE's simdata are not there")
    table = pd.read_csv(path, sep="\t").to_numpy()
    return table[:, 1:].copy(), table[:, 0].copy()


SIM = reference("pocre_simdata.json")["fits"] + reference("pocre_simdata_l1_scad_mcp.json")["fits"]


@pytest.mark.parametrize("fit", SIM, ids=lambda f: f"{f['ptype']}-{f['lambda']}")
def test_simdata_match_R(simdata, fit):
    compare(*simdata, fit)


def test_p_values_match_R(simdata):
    X, y = simdata
    for fit in reference("pocre_path.json")["path"]:
        trial = run(X, y, fit["lambda"], "ebtz", max_markers=50)
        table = component_table(trial)
        for ours, theirs in (("p_alone", "indpv"), ("p_sequential", "seqpv")):
            np.testing.assert_allclose(table[ours].iloc[:2], np.atleast_1d(fit[theirs] or [])[:2], rtol=1e-5)
        if trial.n_components <= 2:  # from the third on, R's XV (reversed product) are not its components
            np.testing.assert_allclose(table["p_joint"], np.atleast_1d(fit["pvalue"] or []), rtol=1e-5)


# --- partial least squares -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 200), (200, 30)], ids=str)
@pytest.mark.parametrize("T", [1, 3])
def test_no_penalty_is_partial_least_squares(shape, T):
    rng = np.random.default_rng(T)
    X = rng.integers(0, 3, shape).astype(np.int8)
    Y = X[:, : 5 * T].astype(float) @ rng.standard_normal((5 * T, T)) + rng.standard_normal((shape[0], T))
    for K in (1, 2, 5, 10):
        ours = POCRE(threshold=None, max_components=K, tol=1e-14, max_iter=20_000).fit(X, Y)
        theirs = PLSRegression(K, scale=False, tol=1e-28, max_iter=20_000).fit(X.astype(float), Y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_.T, atol=1e-8)
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X).reshape(len(X), -1), atol=1e-8)
        np.testing.assert_allclose(np.abs(ours.loadings_), np.abs(theirs.x_rotations_), atol=1e-7)


# --- algebra -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def population():
    pop = simulate_population(n_samples=120, n_variants=400, n_qtl=8, h2=0.7, design="dh", seed=4)
    return pop.dosage, pop.phenotypes.iloc[:, 0].to_numpy()


@pytest.mark.parametrize("threshold", [t for t in THRESHOLDS if t])
@pytest.mark.parametrize("T", [1, 2])
def test_components_are_orthogonal_and_are_their_loadings(population, threshold, T):
    X, y = population
    Y = np.column_stack([y, y + np.random.default_rng(0).standard_normal(120)])[:, :T]
    fit = POCRE(1.0, threshold, max_components=6).fit(X, Y)
    assert fit.n_components_ >= 2
    np.testing.assert_allclose(fit.scores_, (X - X.mean(axis=0)) @ fit.loadings_, atol=1e-9)
    gram = fit.scores_.T @ fit.scores_
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9 * gram.max())
    np.testing.assert_allclose(np.linalg.norm(fit.weights_, axis=0), 1)
    np.testing.assert_allclose(X @ fit.coef_ + fit.intercept_, fit.predict(X), atol=1e-9)


def test_every_way_through_the_products_agrees():
    rng = np.random.default_rng(1)
    calls = rng.integers(0, 3, (1100, 50)).astype(np.int8)
    for rows in (
        calls,
        calls.astype(float),
        calls.astype(np.int16),
        np.asfortranarray(calls),
        calls.astype(np.float32),
    ):
        for m in (1, 4, 5, 30):
            R = rng.standard_normal((m, 50))
            np.testing.assert_allclose(marker_products(rows, R), R @ calls.T.astype(float), atol=1e-11)


def test_trials_side_by_side_are_trials_alone(population):
    X, y = population
    rng, trials = np.random.default_rng(2), []
    for k in range(3):
        train = rng.random(120) < 0.7
        trials += [
            Trial(y[:, None], train, lam, t, share=k) for lam in (0.8, 1.0, 1.3) for t in ("ebtz", "ebt", "lasso")
        ]
    alone = [grow(X.T, [Trial(y[:, None], t.train, t.lam, t.threshold)])[0] for t in trials]
    grow(X.T, trials, n_jobs=2, panel_bytes=8 * 400 * 7)  # several panels, threads
    for a, b in zip(trials, alone, strict=True):
        assert a.stop == b.stop and np.array_equal(a.markers, b.markers)
        np.testing.assert_allclose(a.fitted, b.fitted, atol=1e-10)


def test_a_single_large_weight_is_not_lost():
    z = fisher_z(np.array([1.0, -1.0, 0.5, 1e-9, 0.0]))
    assert np.isfinite(z).all() and z[0] > 17 and z[1] == -z[0] and z[3] == 1e-9 and z[4] == 0
    for name in THRESHOLDS:
        out = threshold_weights(np.array([0.0, 0.0, 3.0, 0.0, 0.0]), 0.1, name)
        assert np.isfinite(out).all() and not out[[0, 1, 3, 4]].any()


# --- where the genotypes are ---------------------------------------------------------------------------------------


def test_memory_maps_and_zarr_give_the_same_fit(population, tmp_path):
    X, y = population
    whole = POCRE(1.0).fit(X, y)
    np.save(tmp_path / "g.npy", np.ascontiguousarray(X.T))
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    np.testing.assert_array_equal(POCRE(1.0).fit(mapped.T, y).coef_, whole.coef_)
    store = zarr.create_array(str(tmp_path / "g.zarr"), shape=X.shape[::-1], chunks=(64, 120), dtype="i1")
    store[:] = X.T
    stored = POCRE(1.0, coding="0/1/2").fit(store, y)
    np.testing.assert_array_equal(stored.coef_, whole.coef_)
    np.testing.assert_allclose(stored.predict(store), whole.predict(X))
    np.testing.assert_allclose(POCRECV([1.0], cv=3, refine=0).fit(store, y).coef_, whole.coef_)
    with pytest.raises(ValueError, match="X has 3 markers .* the fit had 400"):
        stored_small = zarr.create_array(str(tmp_path / "h.zarr"), shape=(3, 5), chunks=(3, 5), dtype="i1")
        stored.predict(stored_small)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        POCRE().fit(store, y[:50])
    store[7, 3] = -1
    with pytest.raises(ValueError, match=r"X holds -1 at line 3, marker 7, which is outside coding='0/1/2'"):
        POCRE(coding="0/1/2").fit(store, y)


def test_tables_are_matched_by_id(population):
    X, y = population
    ids = [f"line{i}" for i in range(120)]
    table, series = pd.DataFrame(X, ids), pd.Series(y, ids, name="yield")
    fit = POCRE(1.0).fit(table, series.sample(frac=1, random_state=1))
    plain = POCRE(1.0).fit(X, y)
    np.testing.assert_allclose(fit.coef_, plain.coef_, atol=1e-10)
    predicted = fit.predict(table.iloc[:5])
    assert predicted.index.equals(table.index[:5]) and predicted.name == "yield"
    both = POCRE(1.0).fit(table, pd.DataFrame({"a": series, "b": series**2}))
    assert list(both.predict(table).columns) == ["a", "b"] and both.coef_.shape == (400, 2)


# --- invariances ---------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([t for t in THRESHOLDS if t]), st.sampled_from([1, 2]))
def test_order_recoding_and_units_do_not_matter(seed, threshold, T):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (50, 120)).astype(np.int8)
    Y = X[:, : 3 * T].astype(float) @ rng.normal(2, 0.5, (3 * T, T)) + rng.standard_normal((50, T)) / 2
    order, flip, scale = rng.permutation(120), rng.random(120) < 0.5, 7.0
    recoded = np.where(flip, 2 - X, X)[:, order].astype(np.int8) - 1
    sign = np.where(flip, -1, 1)[order]
    a = POCRE(0.9, threshold, max_components=3).fit(X, Y)
    b = POCRE(0.9, threshold, max_components=3).fit(recoded, Y * scale - 100)
    assert a.n_components_ == b.n_components_
    size = np.abs(a.coef_).max() + 1e-9
    np.testing.assert_allclose(b.coef_ * sign[:, None] / scale, a.coef_[order], atol=1e-5 * size)
    np.testing.assert_allclose(b.predict(recoded), a.predict(X) * scale - 100, atol=1e-4 * Y.std())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(THRESHOLDS)))
def test_duplicate_markers_share_their_effect(seed, threshold):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (40, 60)).astype(np.int8)
    X[:, 30:36] = X[:, :6]
    y = X[:, :6].astype(float) @ rng.normal(2, 0.3, 6) + rng.standard_normal(40)
    fit = POCRE(0.8, threshold, max_components=4).fit(X, y)
    np.testing.assert_allclose(fit.coef_[30:36], fit.coef_[:6], atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_an_added_constant_marker_has_no_effect(seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (40, 60)).astype(np.int8)
    y = X[:, 0] * 3.0 + rng.standard_normal(40)
    padded = np.hstack([X, np.full((40, 70), 2, np.int8)])  # more than half are constant
    for threshold in THRESHOLDS:
        fit = POCRE(0.8, threshold, max_components=3).fit(padded, y)
        assert np.abs(fit.coef_[60:]).max() <= 1e-12 * np.abs(fit.coef_).max()
        assert np.isfinite(fit.predict(padded)).all()


# --- degenerate and bad input --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:POCRE leaves out")
def test_missing_phenotypes_do_not_train(population):
    X, y = population
    gaps = y.copy()
    gaps[::4] = np.nan
    a, b = POCRE(1.0).fit(X, gaps), POCRE(1.0).fit(X[~np.isnan(gaps)], y[~np.isnan(gaps)])
    np.testing.assert_allclose(a.coef_, b.coef_, atol=1e-10)
    assert len(a.scores_) == 90
    two, seen = np.column_stack([gaps, y]), ~np.isnan(gaps)
    np.testing.assert_allclose(POCRE(1.0).fit(X, two).coef_, POCRE(1.0).fit(X[seen], two[seen]).coef_, atol=1e-10)


@pytest.mark.parametrize("estimator", [POCRE(1.0), POCREPath([1.0]), POCRECV([1.0], cv=3, refine=0)])
def test_lines_that_lack_some_traits_are_left_out_and_counted(population, estimator):
    X, y = population
    two = np.column_stack([y, y])
    two[::4, 0] = np.nan
    two[1, :] = np.nan  # no record at all: nothing is lost by leaving it out
    said = rf"{type(estimator).__name__} leaves out 30 of 120 lines, .* 2 traits and not of all: 89 lines train"
    with pytest.warns(UserWarning, match=said):
        clone(estimator).fit(X, two)
    two[::4] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(estimator).fit(X, two)
        clone(estimator).fit(X, two[:, 0])


@pytest.mark.parametrize("T", [1, 2])
def test_nothing_enters_and_says_so(population, T):
    X, y = population
    Y = np.column_stack([y, -y])[:, :T]
    with pytest.warns(UserWarning, match=r"λ = 50: no component, the model predicts the mean only; no further marker"):
        fit = POCRE(50.0).fit(X, Y)
    assert fit.n_components_ == 0 and fit.sparse_ and not fit.coef_.any() and fit.loadings_.shape == (400, 0)
    np.testing.assert_allclose(fit.predict(X), np.broadcast_to(Y.mean(axis=0), Y.shape))
    np.testing.assert_allclose(fit.residual_variance_, Y.var(axis=0, ddof=1))
    assert "predicts the mean only" in fit._repr_html_()


def test_not_sparse_is_flagged(population):
    X, y = population
    with pytest.warns(UserWarning, match="not sparse, λ is too small"):
        fit = POCRE(0.05).fit(X, y)
    assert not fit.sparse_ and fit.n_components_ == 0
    roomy = POCRE(0.05, max_markers=400, max_components=2).fit(X, y)
    assert roomy.sparse_ and roomy.n_components_ == 2 and len(roomy.markers_) > 60


def test_more_components_than_there_are_directions():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 3, (30, 4)).astype(np.int8), rng.standard_normal(30)
    fit = POCRE(threshold=None, max_components=10).fit(X, y)
    assert fit.n_components_ <= 4 and "rounding errors" in fit.stop_
    design = np.column_stack([np.ones(30), X])
    np.testing.assert_allclose(fit.predict(X), design @ np.linalg.lstsq(design, y, rcond=None)[0], atol=1e-8)


@pytest.mark.parametrize("threshold", list(THRESHOLDS))
def test_constant_markers_only(threshold):
    fit = POCRE(0.8, threshold).fit(np.full((12, 9), 2, np.int8), np.sin(np.arange(12)))
    assert fit.n_components_ == 0 and not fit.coef_.any()
    np.testing.assert_allclose(fit.predict(np.full((3, 9), 1, np.int8)), np.sin(np.arange(12)).mean())


@pytest.mark.parametrize("threshold", list(THRESHOLDS))
@pytest.mark.parametrize("p", [1, 2, 3, 5])
def test_few_markers(threshold, p):
    rng = np.random.default_rng(p)
    X = rng.integers(0, 3, (50, p)).astype(np.int8)
    fit = POCRE(0.5, threshold).fit(X, X[:, 0] + 0.1 * rng.standard_normal(50))
    assert np.isfinite(fit.predict(X)).all() and fit.coef_.shape == (p,)


X0 = np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1], [0, 0, 2], [2, 2, 1]], np.int8)
Y0 = np.array([1.0, 2, 0, 4, 3])


@pytest.mark.parametrize("model", [POCRE(), POCRECV(cv=2)], ids=["POCRE", "POCRECV"])
@pytest.mark.parametrize(
    ("message", "X", "y"),
    [
        ("NaN .*impute them first", np.where(X0 == 1, np.nan, X0), Y0),
        ("every value is NaN", X0, np.full(5, np.nan)),
        ("does not vary", X0, np.ones(5)),
        ("need at least 3", X0, np.r_[1.0, 2, np.nan, np.nan, np.nan]),
        ("X has 5, y has 4", X0, Y0[:4]),
        ("contains infinity", X0, np.r_[Y0[:4], np.inf]),
        ("records do not overlap", X0, np.column_stack([np.r_[Y0[:2], [np.nan] * 3], np.r_[[np.nan] * 2, Y0[2:]]])),
    ],
)
def test_bad_input_has_its_own_message(model, message, X, y):
    with pytest.raises(ValueError, match=message):
        clone(model).fit(X, y)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("threshold='l1' is not known", {"threshold": "l1"}),
        ("λ must be positive", {"lam": 0.0}),
        ("λ must be positive", {"lam": np.nan}),
        ("max_components must be a whole number", {"max_components": 0}),
        ("max_markers must be a whole number", {"max_markers": 2.5}),
        ("max_iter must be a whole number", {"max_iter": None}),
        ("tol must not be negative", {"tol": -1.0}),
        ("outside coding=", {"coding": "-1/1"}),
    ],
)
def test_bad_parameters_are_refused_at_fit(message, options):
    with pytest.raises(ValueError, match=message):
        POCRE(**options).fit(X0, Y0)


def test_sums_of_trials():
    "A combination reads the right rows whatever their order."
    rng = np.random.default_rng(0)
    G = rng.integers(0, 3, (1500, 20)).astype(np.int8)
    fits = [run(G.T, rng.standard_normal(20), 0.9, "lasso", max_components=1, max_markers=2000) for _ in range(3)]
    directions = [f.weights[0] for f in fits if f.n_components]
    T = combine_rows(G, directions, block=100)
    np.testing.assert_allclose(T, [d.dense(1500) @ G for d in directions], atol=1e-10)
    assert len(directions) and all(trial_loadings(f)[0].shape[1] == f.n_components for f in fits)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_sums_of_sparse_and_full_directions(share):
    "By rows or by a matrix product, whichever is quicker: the same; an empty direction among them."
    rng = np.random.default_rng(1)
    G = rng.integers(0, 3, (700, 30)).astype(np.int8)
    W = rng.standard_normal((12, 700)) * (rng.random((12, 700)) < share)
    W[5] = 0
    directions = [Sparse(np.flatnonzero(w), w[w != 0]) for w in W]
    np.testing.assert_allclose(combine_rows(G, directions, block=100), W @ G, atol=1e-10)


def test_no_copy_of_the_genotypes():
    "Peak memory of a fit stays far below a float copy (8 bytes a call)."
    import tracemalloc

    rng = np.random.default_rng(0)
    G = rng.integers(0, 3, (8000, 400), dtype=np.int8)
    y = G[:5].sum(axis=0) + rng.standard_normal(400)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        POCRE(1.0).fit(G[:50].T, y)
        tracemalloc.start()
        POCRE(1.0, max_components=3).fit(G.T, y)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1.5 * G.nbytes
