"""The path and the choice of λ: shared passes change nothing, splitters by generation, both criteria, bad input."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import cross_val_score

from gp_literate.pocre import POCRE
from gp_literate.pocre_cv import (
    CV0,
    CV1,
    CV2,
    POCRECV,
    POCREPath,
    best_row,
    cross_validate_lambdas,
    finer,
    model_at,
    plot_path,
    summarise_folds,
)
from gp_literate.simulation import simulate_population

pytestmark = pytest.mark.filterwarnings("ignore:POCRE at λ")


@pytest.fixture(scope="module")
def simdata():
    "The package's simulated set (100 × 1000), where it can be had."
    path = Path(os.environ.get("GP_LITERATE_DATA", ".")) / "pocre" / "simdata.txt.gz"
    if not path.exists():
        pytest.skip("POCRE's simdata are not there")
    table = pd.read_csv(path, sep="\t").to_numpy()
    return table[:, 1:].copy(), table[:, 0].copy()


@pytest.fixture(scope="module")
def population():
    pop = simulate_population(n_samples=150, n_variants=500, n_qtl=8, h2=0.7, design="dh", seed=9)
    return pop.dosage, pop.phenotypes.iloc[:, 0].to_numpy()


def test_path_is_its_fits(population):
    X, y = population
    path = POCREPath([1.2, 0.7, 0.9]).fit(X, y)
    assert path.lambdas_.tolist() == [0.7, 0.9, 1.2]
    for lam in path.lambdas_:
        at, alone = model_at(path, lam), POCRE(lam).fit(X, y)
        np.testing.assert_allclose(at.coef_, alone.coef_, atol=1e-12)
        np.testing.assert_allclose(at.predict(X), alone.predict(X))
        row = path.path_[path.path_["lam"] == lam].iloc[0]
        assert (row["n_components"], row["n_markers"]) == (alone.n_components_, len(alone.markers_))
        assert row["sparse"] == alone.sparse_
    with pytest.raises(ValueError, match="not on the path"):
        model_at(path, 0.8)
    assert len(plot_path(path).lines) == sum(np.any([model_at(path, v).coef_ for v in path.lambdas_], axis=0))


def test_search_spans_from_not_sparse_to_nothing(population):
    path = POCREPath(threshold="ebt").fit(*population).path_
    assert np.allclose(np.diff(path["lam"]), 0.1)
    assert not path["sparse"].iloc[0] and path["sparse"].iloc[1:].all()
    assert path["n_components"].iloc[-1] == 0 and (path["n_components"].iloc[1:-1] > 0).all()


def test_search_and_log_likelihood_match_R(simdata):
    X, y = simdata
    theirs = reference("pocre_path.json")["path"]
    path = POCREPath(max_markers=50).fit(X, y).path_
    np.testing.assert_allclose(path["lam"], [fit["lambda"] for fit in theirs])
    assert path["n_components"].tolist() == [fit["nCmp"] for fit in theirs]
    assert path["n_markers"].tolist() == [fit["nzBeta"] for fit in theirs]
    same = [k for k, fit in enumerate(theirs) if fit["nCmp"] == fit["nzBeta"]]  # R's is that of least squares on all
    np.testing.assert_allclose(path["loglik"].iloc[same], [theirs[k]["loglik"] for k in same], rtol=1e-7)
    assert len(same) == 2


# --- generations ---------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6), st.lists(st.integers(12, 40), min_size=2, max_size=4))
def test_splitters_keep_their_promise(seed, n_splits, sizes):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(1001, 1001 + len(sizes)), sizes))
    for splitter in (CV0(n_splits, seed), CV1(n_splits, seed), CV2(n_splits, seed)):
        pairs = list(splitter.split(groups, groups=groups))
        assert len(pairs) == splitter.get_n_splits() == n_splits
        tested = np.concatenate([test for _, test in pairs])
        predicted = np.flatnonzero(groups > 1001) if isinstance(splitter, CV1) else np.arange(len(groups))
        np.testing.assert_array_equal(np.sort(tested), predicted)
        lengths = [len(test) for _, test in pairs]
        assert max(lengths) - min(lengths) <= 1
        for train, test in pairs:
            np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(groups)))
            if isinstance(splitter, CV1):
                assert np.isin(np.flatnonzero(groups == 1001), train).all()
        if isinstance(splitter, CV2):
            for g in np.unique(groups):
                share = [int((groups[test] == g).sum()) for _, test in pairs]
                assert max(share) - min(share) <= 1
        again = list(splitter.split(groups, groups=groups))
        assert all(np.array_equal(a[1], b[1]) for a, b in zip(pairs, again, strict=True))


@pytest.mark.parametrize("splitter", [CV1(3), CV2(3)], ids=["CV1", "CV2"])
@pytest.mark.parametrize(
    ("message", "groups"),
    [
        ("groups is missing", None),
        ("lacks 2 of 6 generations, the first at line 1", [1, None, 2, 2, None, 1]),
        ("one generation", [1] * 6),
        ("each of the 6 lines, got 4", [1, 1, 2, 2]),
    ],
)
def test_missing_generations_are_refused(splitter, message, groups):
    with pytest.raises(ValueError, match=message):
        list(splitter.split(np.zeros(6), groups=groups))
    with pytest.raises(ValueError):
        POCRECV(cv=splitter).fit(np.random.default_rng(0).integers(0, 3, (6, 20)), np.arange(6.0), groups=groups)


def test_splitters_refuse_too_many_folds():
    with pytest.raises(ValueError, match="ask for fewer folds"):
        list(CV1(5).split(np.zeros(6), groups=[1, 1, 1, 2, 2, 2]))
    with pytest.raises(ValueError, match="at least 2"):
        list(CV0(1).split(np.zeros(6)))


def test_splitters_work_in_scikit_learn(population):
    X, y = population
    groups = np.repeat([1, 2], [50, 100])
    scores = cross_val_score(POCRE(1.0), X, y, cv=CV1(3, 0), groups=groups)
    expected = []
    for a, b in CV1(3, 0).split(X, groups=groups):
        expected.append(POCRE(1.0).fit(X[a], y[a]).score(X[b], y[b]))
    np.testing.assert_allclose(scores, expected)


# --- choice --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 2])
def test_shared_passes_are_separate_fits(population, T):
    X, y = population
    Y = np.column_stack([y, np.roll(y, 1) + y])[:, :T]
    folds = list(CV0(3, 1).split(X))
    table = cross_validate_lambdas(X.T, Y, folds, [0.9, 1.1], ["ebtz", "lasso"], POCREPath(n_jobs=2))
    assert len(table) == 12
    for row in table.itertuples():
        train, test = folds[row.fold - 1]
        fit = POCRE(row.lam, row.threshold).fit(X[train], Y[train])
        predicted = fit.predict(X[test])
        np.testing.assert_allclose(row.press, ((Y[test] - predicted) ** 2).sum(), rtol=1e-8)
        if fit.n_components_:
            r = [np.corrcoef(a, b)[0, 1] for a, b in zip(Y[test].T, predicted.T, strict=True)]
            np.testing.assert_allclose(row.correlation, np.mean(r), rtol=1e-6, atol=1e-9)
        assert row.sparse == fit.sparse_ and row.n_markers == len(fit.markers_)


@pytest.mark.parametrize("criterion", ["press", "correlation"])
def test_the_best_is_chosen_and_all_lines_fitted(population, criterion):
    X, y = population
    fit = POCRECV(cv=4, criterion=criterion, random_state=2).fit(X, y)
    scores = fit.cv_results_
    best = scores["press"].min() if criterion == "press" else scores["correlation"].max()
    assert scores.loc[scores["lam"] == fit.lam_, criterion].iloc[0] == best
    assert len(scores) > 11 and scores["lam"].is_unique  # refined, nothing twice
    np.testing.assert_allclose(fit.coef_, POCRE(fit.lam_).fit(X, y).coef_, atol=1e-12)
    assert "why it ended" in fit._repr_html_()


def test_ties_go_to_the_sparser_fit():
    scores = pd.DataFrame({"lam": [1.0, 2.0, 3.0], "press": [1.0, 1.0, 2.0], "correlation": [0.0, 0.5, 0.5]})
    assert best_row(scores, "press")["lam"] == 2 and best_row(scores, "correlation")["lam"] == 3


def test_finer_grids():
    np.testing.assert_allclose(finer([0.7, 0.8, 0.9], 0.7, 3), [0.6, 0.65, 0.75])
    np.testing.assert_allclose(finer([1.0, 3.0], 1.0, 1), [0.5, 1.75])
    assert len(finer([1.0], 1.0)) == 0


def test_missing_phenotypes_are_in_no_fold(population):
    X, y = population
    gaps = y.copy()
    gaps[10:40] = np.nan
    fit = POCRECV([0.9, 1.1], cv=3, refine=0, random_state=0).fit(X, gaps)
    assert fit.folds_.groupby("lam")["n_test"].sum().eq(120).all()
    seen = ~np.isnan(gaps)
    same = POCRECV([0.9, 1.1], cv=3, refine=0, random_state=0).fit(X[seen], y[seen])
    pd.testing.assert_frame_equal(fit.cv_results_, same.cv_results_)


def test_summary_adds_up():
    table = pd.DataFrame({"threshold": "ebt", "lam": [1.0, 1.0], "n_components": [1, 2], "n_markers": [3, 5]})
    table = table.assign(sparse=[True, False], fold=[1, 2], n_test=[10, 30], press=[1.0, 3.0], correlation=[0.2, 0.4])
    row = summarise_folds(table).iloc[0]
    assert (row["press"], row["mean_squared_error"], row["n_components"], row["sparse"]) == (4.0, 0.1, 1.5, 0.5)
    assert np.isclose(row["correlation"], 0.3) and np.isclose(row["se"], 0.1)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("criterion='r2'", {"criterion": "r2"}),
        ("λ must be positive", {"lambdas": [-1.0, 1.0]}),
        ("threshold='l2'", {"threshold": ("ebt", "l2")}),
        ("at least 2 folds", {"cv": 1}),
        ("none to predict", {"cv": [(np.arange(20), np.arange(0))]}),
    ],
)
def test_bad_choices_are_refused(population, message, options):
    X, y = population
    with pytest.raises(ValueError, match=message):
        POCRECV(**options).fit(X, y)


def test_one_limit_of_markers_for_folds_and_final_fit():
    "With p between half a fold and half of all lines, folds are judged by the limit of the final fit."
    rng = np.random.default_rng(8)
    X = rng.integers(0, 3, (60, 28)).astype(np.int8)
    y = X @ rng.standard_normal(28) + rng.standard_normal(60)
    fit = POCRECV(lambdas=[1e-3, 1.0], refine=0, cv=5, random_state=1).fit(X, y)
    assert fit.folds_["sparse"].all() and fit.sparse_
    tight = POCRECV(lambdas=[1e-3, 1.0], refine=0, cv=5, random_state=1, max_markers=24)
    assert not tight.fit(X, y).folds_["sparse"].all()
