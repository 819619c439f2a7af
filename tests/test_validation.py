"Splits, scores, the loop over methods and the tests of a difference."

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

from gp_literate import validation as va


@pytest.fixture(scope="module")
def lines():
    rng = np.random.default_rng(5)
    X = pd.DataFrame(rng.choice(np.array([-1, 0, 1], np.int8), (60, 90)), index=[f"L{i}" for i in range(60)])
    truth = pd.Series(X.to_numpy(float) @ rng.normal(0, 0.2, 90), X.index)
    return X, truth + rng.normal(0, 1, 60), truth


# --- splits ---


def test_kfold_tiles_and_first_repeats_do_not_depend_on_their_number():
    splits = va.repeated_kfold(23, 5, 3, seed=7)
    assert [(s.repeat, s.fold) for s in splits] == [(r, f) for r in (1, 2, 3) for f in range(1, 6)]
    for r in (1, 2, 3):
        assert sorted(np.concatenate([s.test for s in splits if s.repeat == r])) == list(range(23))
    for a, b in zip(splits[:5], va.repeated_kfold(23, 5, 1, seed=7), strict=True):
        assert (a.test == b.test).all() and (a.train == b.train).all()


@pytest.mark.parametrize("scheme", [
    lambda seed: va.repeated_kfold(20, 4, 2, seed),
    lambda seed: va.repeated_split(20, 5, n_repeats=4, seed=seed),
    lambda seed: va.grouped_kfold(np.repeat(list("abcdef"), [3, 4, 2, 5, 3, 3]), 3, 2, seed),
])
@pytest.mark.parametrize("seed", [lambda: 3, lambda: np.random.SeedSequence(3), lambda: np.random.default_rng(3)])
def test_seed_may_be_anything_and_repeats_itself(scheme, seed):
    for a, b in zip(scheme(seed()), scheme(seed()), strict=True):
        assert (a.test == b.test).all()
    assert va.check_splits(scheme(seed()), 20)


def test_given_folds_keep_their_names_and_groups_stay_together():
    assert [(s.fold, s.test.tolist()) for s in va.given_folds(["b", "a", "b"])] == [("a", [1]), ("b", [0, 2])]
    assert [s.fold for s in va.given_folds(pd.Series([10, 2, 1]))] == [1, 2, 10]
    family = np.repeat(list("abcd"), 5)
    for s in va.grouped_kfold(family, 2, 3, seed=1):
        assert not set(family[s.train]) & set(family[s.test])


def test_splitters_of_scikit_learn_can_be_labelled():
    splits = va.label_splits(KFold(3).split(np.empty(9)), ["x", "y", "z"])
    assert [s.fold for s in splits] == ["x", "y", "z"] and va.check_splits(splits, 9) is not None


@pytest.mark.parametrize("call, message", [
    (lambda: va.repeated_kfold(5, 6), "n_splits=6.*2 to 5"),
    (lambda: va.repeated_kfold(5, 1), "n_splits=1"),
    (lambda: va.repeated_kfold(5, 2.5), "n_splits=2.5"),
    (lambda: va.repeated_kfold(50, 5, 0), "n_repeats=0"),
    (lambda: va.repeated_split(10, 0), "n_test=0"),
    (lambda: va.repeated_split(10, 8, 8), "n_test=8, n_train=8 do not fit n=10"),
    (lambda: va.given_folds(np.ones(5)), "labels has one level"),
    (lambda: va.given_folds([1, None, 2]), "label 1 .* is missing"),
    (lambda: va.grouped_kfold(["a", "b", "b"], 3), "n_splits=3.*with 2 groups"),
])
def test_schemes_refuse_what_cannot_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("splits, message", [
    ([], "splits is empty"),
    ([va.Split(1, 1, np.arange(3), np.arange(0))], "test set is empty"),
    ([va.Split(1, 4, np.arange(0), np.arange(3))], "repeat 1, fold 4: the train set is empty"),
    ([va.Split(1, 1, np.arange(3), np.arange(2, 4))], "1 individuals are in train and test, the first at position 2"),
    ([va.Split(1, 1, np.arange(3), np.array([60]))], "60 individuals"),
    ([va.Split(1, 1, np.arange(3), np.array([-1]))], "run from -1"),
    ([va.Split(1, 1, np.arange(3), np.array([4]))] * 2, "same repeat and fold"),
])
def test_bad_splits_are_named(lines, splits, message):
    X, y, _ = lines
    with pytest.raises(ValueError, match=message):
        va.cross_validate_methods({"r": Ridge()}, X, y, splits)


def test_plain_pairs_are_refused_with_the_remedy(lines):
    X, y, _ = lines
    with pytest.raises(TypeError, match="label_splits"):
        va.cross_validate_methods({"r": Ridge()}, X, y, list(KFold(3).split(X)))


# --- scores ---

numbers = st.lists(st.integers(-1000, 1000), min_size=3, max_size=30, unique=True)


@settings(max_examples=50, deadline=None)
@given(y=numbers, seed=st.integers(0, 1000), shift=st.integers(-50, 50), scale=st.sampled_from([0.01, 0.5, 3.0, 1e4]))
def test_scores_follow_their_definitions_and_invariances(y, seed, shift, scale):
    y = np.array(y, float)
    p = np.random.default_rng(seed).normal(0, 100, len(y))
    s, moved = va.prediction_scores(y, p), va.prediction_scores(y, scale * p + shift)
    assert np.isclose(s["correlation"], np.corrcoef(y, p)[0, 1])
    assert np.isclose(s["slope"], LinearRegression().fit(p[:, None], y).coef_[0])
    assert np.isclose(s["mse"], ((y - p) ** 2).mean())
    assert np.isclose(moved["correlation"], s["correlation"]) and np.isclose(moved["slope"] * scale, s["slope"])


def test_constant_predictions_have_no_correlation_and_lost_phenotypes_do_not_count():
    y = np.array([1.0, 2, 3, np.nan])
    flat = va.prediction_scores(y, 0.1 + 1e-17 * np.arange(4))
    assert np.isnan(flat["correlation"]) and np.isnan(flat["slope"]) and flat["n_test"] == 3
    tiny = va.prediction_scores(1e-6 * y, 1e-7 * np.arange(4))
    assert np.isclose(tiny["correlation"], 1)
    assert va.prediction_scores([np.nan], [1.0]) == pytest.approx(
        {"n_test": 0, "correlation": np.nan, "mse": np.nan, "slope": np.nan}, nan_ok=True)
    with pytest.raises(ValueError, match=r"\(n,\) each"):
        va.prediction_scores(y, np.ones(3))


# --- the loop ---


class Witness(RegressorMixin, BaseEstimator):
    "Records what it was given."

    seen: list = []

    def fit(self, X, y):
        threads = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        Witness.seen.append((X, y, threads))
        return self

    def predict(self, X):
        return np.arange(len(X), dtype=float)


def test_estimators_get_int8_rows_with_ids_and_one_blas_thread(lines):
    X, y, _ = lines
    Witness.seen.clear()
    y = y.copy()
    y.iloc[3] = np.nan
    va.cross_validate_methods({"w": Witness()}, X, y, va.repeated_kfold(60, 3, seed=1))
    for given_X, given_y, threads in Witness.seen:
        assert set(given_X.dtypes) == {np.dtype(np.int8)} and given_X.index.equals(given_y.index)
        assert "L3" not in given_X.index and threads <= {1}


def test_same_bits_whatever_n_jobs(lines):
    X, y, truth = lines
    methods = {"a": Ridge(30), "b": make_pipeline(StandardScaler(), Ridge(90))}
    splits = va.repeated_kfold(60, 5, 2, seed=2)
    one, two, threads = (va.cross_validate_methods(methods, X, y, splits, n_jobs, truth) for n_jobs in (1, 2, 1))
    with joblib.parallel_config(backend="threading", n_jobs=2):
        threads = va.cross_validate_methods(methods, X, y, splits, None, truth)
    for other in (two, threads):
        pd.testing.assert_frame_equal(one.drop(columns="seconds"), other.drop(columns="seconds"), check_exact=True)
    assert len(one) == 20 and {"accuracy", "slope", "mse"} <= set(one)


class Grumbler(Ridge):
    def fit(self, X, y):
        warnings.warn("not happy with this fold", RuntimeWarning, stacklevel=2)
        return super().fit(X, y)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_warnings_of_other_processes_come_home_once_and_obey_the_filters(lines, n_jobs, capfd):
    X, y, _ = lines
    call = va.cross_validate_methods, {"g": Grumbler(30)}, X, y, va.repeated_kfold(60, 4, seed=3), n_jobs
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        call[0](*call[1:])
    assert [str(w.message) for w in caught].count("not happy with this fold") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="not happy")
        call[0](*call[1:])
    assert "not happy" not in capfd.readouterr().err


def test_same_bits_on_a_dask_cluster(lines):
    distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install gp_literate[cluster]")
    X, y, _ = lines
    splits = va.repeated_kfold(60, 5, seed=2)
    here = va.cross_validate_methods({"a": Ridge(30)}, X, y, splits)
    with distributed.Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        with joblib.parallel_config(backend="dask", client=client):
            there = va.cross_validate_methods({"a": Ridge(30)}, X, y, splits, n_jobs=-1)
    pd.testing.assert_frame_equal(here.drop(columns="seconds"), there.drop(columns="seconds"), check_exact=True)


def test_kernels_are_cut_on_both_axes(lines):
    X, y, _ = lines
    K = X.astype(float) @ X.astype(float).T
    splits = va.repeated_kfold(60, 4, seed=3)
    markers = va.cross_validate_methods({"m": KernelRidge(alpha=9)}, X.astype(float), y, splits)
    for kernel in (K, K.to_numpy()):
        rows = va.cross_validate_methods({"m": KernelRidge(kernel="precomputed", alpha=9)}, kernel, y, splits)
        np.testing.assert_allclose(rows["correlation"], markers["correlation"], rtol=1e-8)
    mixed = {"markers": KernelRidge(alpha=9), "kernel": KernelRidge(kernel="precomputed", alpha=9)}
    both = va.cross_validate_methods(mixed, {"markers": X.astype(float), "kernel": K}, y, splits)
    wide = both.pivot(index="fold", columns="method", values="correlation")
    np.testing.assert_allclose(wide["markers"], wide["kernel"], rtol=1e-8)


def test_individuals_without_phenotype_are_counted_out(lines):
    X, y, truth = lines
    y = y.copy()
    y.iloc[::4] = np.nan
    rows = va.cross_validate_methods({"r": Ridge(30)}, X, y, va.repeated_kfold(60, 5, seed=4), truth=truth)
    assert rows["n_test"].sum() == 45 and (rows["n_train"] + rows["n_test"] == 45).all()
    assert rows["accuracy"].notna().all()


def test_undefined_correlations_are_warned_about_once_per_method(lines):
    X, y, _ = lines
    with pytest.warns(UserWarning, match="'flat': constant predictions or phenotypes in repeat.fold 1.1, 1.2, 1.3"):
        rows = va.cross_validate_methods({"flat": Ridge(1e30)}, X, y, va.repeated_kfold(60, 3, seed=1))
    assert rows["correlation"].isna().all() and rows["mse"].notna().all()
    with pytest.warns(UserWarning, match="fewer than two"):
        va.cross_validate_methods({"r": Ridge(9)}, X[:5], y[:5], va.repeated_kfold(5, 5, seed=1))


def test_what_does_not_fit_is_refused_before_any_fit(lines):
    X, y, truth = lines
    splits, r = va.repeated_kfold(60, 3, seed=1), {"r": Ridge()}
    for bad, message in [
        (lambda: va.cross_validate_methods(r, X[:50], y, splits), r"X of method 'r' has shape \(50, 90\), y has 60"),
        (lambda: va.cross_validate_methods(r, X, y[::-1], splits), "'L0' in X and 'L59' in y at position 0"),
        (lambda: va.cross_validate_methods({"k": KernelRidge(kernel="precomputed")}, X, y, splits), r"be \(60, 60\)"),
        (lambda: va.cross_validate_methods(r, {"other": X}, y, splits), r"no entry for \['r'\]"),
        (lambda: va.cross_validate_methods(r, X, y.to_frame(), splits), r"one trait, \(n,\)"),
        (lambda: va.cross_validate_methods(r, X, y * np.nan, splits), "0 of 40 training individuals have a phenotype"),
        (lambda: va.cross_validate_methods(r, X, y, splits, truth=truth[:9]), r"truth has shape \(9,\)"),
        (lambda: va.cross_validate_methods(r, X, y, splits, truth=truth[::-1]), "truth and y have different ids"),
    ]:
        with pytest.raises(ValueError, match=message):
            bad()
    with pytest.raises(TypeError, match="dict of name -> estimator"):
        va.cross_validate_methods([Ridge()], X, y, splits)


# --- tests of a difference ---


def test_t_tests_against_scipy_and_the_published_factor():
    d = np.random.default_rng(1).normal(0.02, 0.05, 15)
    plain, fair = va.paired_t_test(d), va.corrected_resampled_t_test(d, 90, 10)
    reference = stats.ttest_1samp(d, 0)
    np.testing.assert_allclose([plain.t, plain.p], [reference.statistic, reference.pvalue], rtol=1e-12)
    t = d.mean() / np.sqrt((1 / 15 + 1 / 9) * d.var(ddof=1))
    np.testing.assert_allclose([fair.t, fair.p], [t, 2 * stats.t.sf(abs(t), 14)], rtol=1e-12)
    np.testing.assert_allclose(va.corrected_resampled_t_test(d, np.full(15, 90), np.full(15, 10)), fair, rtol=1e-12)
    assert va.paired_t_test(np.zeros(4)).p == 1 and va.paired_t_test(-np.ones(4)).t == -np.inf
    for bad in ([0.1], [0.1, np.nan]):
        with pytest.raises(ValueError, match="difference must be"):
            va.paired_t_test(bad)


def table(**scores):
    k = len(next(iter(scores.values())))
    return pd.concat([pd.DataFrame({"method": m, "repeat": 1, "fold": range(k), "n_train": 90, "n_test": 10,
                                    "correlation": s}) for m, s in scores.items()], ignore_index=True)


def test_comparison_with_a_baseline():
    a, b = np.array([0.4, 0.5, 0.6, 0.3]), np.array([0.5, 0.55, 0.6, np.nan])
    out = va.compare_methods(table(base=a, new=b, twin=a + 1e-16), "base")
    assert out.index.tolist() == ["base", "new", "twin"] and np.isnan(out.loc["base", "p_paired"])
    assert out.loc["new", "n_splits"] == 3 and out.loc["new", "higher_on"] == 2
    np.testing.assert_allclose(out.loc["new", "difference"], 0.05)
    np.testing.assert_allclose(out.loc["new", "p_paired"], stats.ttest_rel(b[:3], a[:3]).pvalue)
    assert out.loc["new", "p_corrected"] > out.loc["new", "p_paired"] and out.loc["twin", "p_corrected"] == 1


@pytest.mark.parametrize("change, baseline, message", [
    (lambda t: t, "BayesB", r"baseline='BayesB' is not among the methods \['base', 'new'\]"),
    (lambda t: t.iloc[:-1], "base", "not scored on the same splits"),
    (lambda t: pd.concat([t, t]), "base", "two rows for the same method"),
    (lambda t: t.drop(columns="n_train"), "base", r"lacks the columns \['n_train'\]"),
    (lambda t: t.assign(fold=range(len(t))), "base", "not scored on the same splits"),
])
def test_comparison_refuses_unpaired_tables(change, baseline, message):
    with pytest.raises(ValueError, match=message):
        va.compare_methods(change(table(base=np.arange(3.0), new=np.ones(3))), baseline)


def test_plots_take_and_return_axes(lines):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(1, 2)
    assert va.plot_comparison(table(base=np.arange(3.0), new=np.ones(3)), axes[0]) is axes[0]
    assert va.plot_splits(va.repeated_kfold(10, 5, seed=1), ax=axes[1]) is axes[1]
    plt.close(fig)


def test_no_warning_when_all_is_well(lines):
    X, y, _ = lines
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = va.repeated_kfold(60, 4, seed=1)
        va.compare_methods(va.cross_validate_methods({"a": Ridge(9), "b": Ridge(99)}, X, y, splits), "a")
