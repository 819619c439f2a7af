"""Imputation: scikit-learn's contract, each strategy against plain code or R, ids and types, and what is refused."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import REFERENCE
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from gp_literate import datasets
from gp_literate.genotypes import Population, encode
from gp_literate.imputation import (
    STRATEGIES,
    MarkerImputer,
    em_relationship,
    fill_nearest,
    hide_calls,
    imputation_accuracy,
    impute,
    missing_calls,
)
from gp_literate.kernels import a_mat

# --- scikit-learn's contract -----------------------------------------------------------------------------------------

class Genotyped(MarkerImputer):
    "The checks feed real numbers, which an imputer of genotype codes refuses: here they are rounded to codes first."

    def _read(self, X, reset):
        X = super()._read(X, reset)
        return np.clip(np.rint(X), 0, 2).astype(X.dtype)


NUMBERS = [MarkerImputer(s, coding=None) for s in ("mean", "most_frequent", "knn")]
CODED = [Genotyped(s) for s in STRATEGIES if s != "em"]  # em needs more markers than lines, and the checks have fewer


@parametrize_with_checks(NUMBERS + CODED)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


# --- data ------------------------------------------------------------------------------------------------------------


def families(n=60, p=90, seed=0):
    "Inbred lines in families, (n, p) dosages 0/1/2."
    rng = np.random.default_rng(seed)
    founders = rng.integers(0, 2, (6, p))
    pick = rng.integers(0, 2, (n, p // 10)).repeat(10, axis=1)
    pairs = np.array([[2 * (i % 3), 2 * (i % 3) + 1] for i in range(n)])
    calls = 2 * np.where(pick, founders[pairs[:, 0]], founders[pairs[:, 1]])
    return np.where(rng.random((n, p)) < 0.03, 1, calls).astype(np.int8)


@pytest.fixture(scope="module")
def holed():
    return hide_calls(families(), 0.15, seed=1)[0]


with_holes = hnp.arrays(np.int8, st.tuples(st.integers(2, 9), st.integers(1, 12)), elements=st.integers(-1, 2)).filter(
    lambda calls: (calls >= 0).any(axis=0).all()
)
CODES = {"0/1/2": (0, 1, 2), "-1/0/1": (-1, 0, 1), "0/1": (0, 1), "-1/1": (-1, 1)}


# --- strategies against plain code ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(with_holes)
def test_mean_and_most_frequent_are_scikit_learns(calls):
    X = np.where(calls < 0, np.nan, calls)
    for strategy in ("mean", "most_frequent"):
        ours = MarkerImputer(strategy).fit_transform(X)
        np.testing.assert_allclose(ours, SimpleImputer(strategy=strategy).fit_transform(X), rtol=1e-15)


@example(np.array([[-1, 1], [1, 1]], np.int8), "em", np.int8)  # markers vary by their frequency, lines do not
@settings(max_examples=50, deadline=None)
@given(with_holes, st.sampled_from(STRATEGIES), st.sampled_from([np.int8, np.int64, np.float32, np.float64]))
def test_calls_that_were_made_stay_and_none_is_missing(calls, strategy, dtype):
    imputer = MarkerImputer(strategy, missing=-1, n_neighbors=2, random_state=0)
    try:
        filled = imputer.fit_transform(calls.astype(dtype))
    except ValueError as error:
        assert strategy in ("em", "knn") and any(w in str(error) for w in ("EM needs", "no call", "no marker varies"))
        return
    assert np.isfinite(filled).all() and (filled[calls >= 0] == calls[calls >= 0]).all()
    assert filled.dtype == (np.float32 if strategy in ("mean", "em") and dtype in (np.int8, np.int64) else dtype)
    if strategy not in ("mean", "em"):
        assert np.isin(filled, (0, 1, 2)).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("coding", CODES)
def test_every_coding_gives_the_same_answer(holed, strategy, coding):
    copies = len(CODES[coding]) - 1
    dosage = np.where(holed < 0, -1, holed if copies == 2 else holed // 2).astype(np.int8)
    codes = np.where(dosage < 0, -9, np.array(CODES[coding])[dosage]).astype(np.int8)
    plain = {2: "0/1/2", 1: "0/1"}[copies]
    expected = MarkerImputer(strategy, missing=-1, coding=plain, random_state=3).fit_transform(dosage)
    found = MarkerImputer(strategy, missing=-9, coding=coding, random_state=3).fit_transform(codes)
    low, step = CODES[coding][0], CODES[coding][1] - CODES[coding][0]
    np.testing.assert_allclose((found.astype(float) - low) / step, expected, atol=1e-6)


def test_binomial_draws_have_the_allele_frequency():
    calls = np.full((4000, 3), -1, np.int8)
    calls[:10] = np.repeat([[0, 2, 2]], 10, axis=0)
    calls[:7, 1] = 0
    drawn = MarkerImputer("binomial", missing=-1, random_state=0).fit_transform(calls)[10:]
    f = np.array([0, 0.3, 1])
    np.testing.assert_allclose(drawn.mean(axis=0), 2 * f, atol=0.05)
    np.testing.assert_allclose(drawn.var(axis=0), 2 * f * (1 - f), atol=0.05)
    lines = np.where(calls > 1, 1, calls)
    once = MarkerImputer("binomial", missing=-1, coding="0/1", random_state=0).fit_transform(lines)
    np.testing.assert_allclose(once[10:].mean(axis=0), f, atol=0.03)


def test_draws_follow_the_seed(holed):
    draw = lambda seed: MarkerImputer("binomial", missing=-1, random_state=seed).fit_transform(holed)
    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()


def brute_nearest(lines, donors, k, copies=2):
    "The definition in the text, call by call; (m, p) and (n, p)."
    out = lines.copy()
    for i, line in enumerate(lines):
        both = (line >= 0) & (donors >= 0)
        with np.errstate(invalid="ignore"):
            far = np.where(both, np.abs(line - donors), 0).sum(axis=1) / both.sum(axis=1)
        order = np.argsort(np.where(np.isnan(far), np.inf, far), kind="stable")
        for j in np.flatnonzero(line < 0):
            votes = donors[order, j]
            votes = list(votes[votes >= 0][:k])
            out[i, j] = max(votes, key=lambda v: (votes.count(v), -votes.index(v)))
    return out


@pytest.mark.parametrize("k", [1, 3, 4, 60])
def test_nearest_lines_are_those_of_the_definition(holed, k):
    filled = MarkerImputer("knn", missing=-1, n_neighbors=k).fit_transform(holed)
    np.testing.assert_array_equal(filled, brute_nearest(holed, holed, k))
    k, train, test = min(k, 40), holed[:40], holed[40:]
    filled = MarkerImputer("knn", missing=-1, n_neighbors=k).fit(train).transform(test)
    np.testing.assert_array_equal(filled, brute_nearest(test, train, k))


def test_one_nearest_line_is_scikit_learns():
    rng = np.random.default_rng(0)
    calls = hide_calls(rng.integers(0, 3, (20, 400)).astype(np.int8), 0.1, seed=0)[0]

    def not_shared(a, b, missing_values=np.nan):
        return np.nanmean(np.abs(a - b)) / 2

    theirs = KNNImputer(n_neighbors=1, metric=not_shared).fit_transform(np.where(calls < 0, np.nan, calls))
    np.testing.assert_array_equal(MarkerImputer("knn", missing=-1, n_neighbors=1).fit_transform(calls), theirs)


@settings(deadline=None)
@given(with_holes, st.integers(1, 3))
def test_nearest_lines_do_not_mind_the_counted_allele(calls, k):
    dosage = encode(calls, missing=-1)
    flipped = np.where(dosage < 0, -1, 2 - dosage).astype(np.int8)
    try:
        found = fill_nearest(dosage, dosage, k)
    except ValueError as error:
        assert "no call" in str(error)
        return
    np.testing.assert_array_equal(fill_nearest(flipped, flipped, k), 2 - found)


# --- EM against R's A.mat ---------------------------------------------------------------------------------------------


def test_em_is_rrblups_on_the_synthetic_set(synthetic):
    "The reference was made with tol = 1e-4."
    G, answers = synthetic[0].astype(float), json.loads((REFERENCE / "synthetic/rrblup_amat.json").read_text())
    row, column = np.array(answers["missing_1based"]).T - 1
    G[row, column] = np.nan
    A, filled, result = em_relationship(G, tol=1e-4)
    np.testing.assert_allclose(A[:12, :12], answers["EM"], rtol=1e-9, atol=1e-12)
    assert result.converged and np.isfinite(filled).all() and (filled[~np.isnan(G)] == G[~np.isnan(G)]).all()


@pytest.fixture(scope="module")
def maize():
    "R's answers, and the markers they were computed from (-1/0/1, NaN missing; markers without both alleles left out)."
    mirror = os.environ.get("GP_LITERATE_DATA", "")
    if hasattr(datasets, "fetch_maize"):
        try:
            pop = datasets.fetch_maize()
        except datasets.DataUnavailableError as error:
            pytest.skip(f"maize data cannot be had: {str(error)[:120]}")
        pop = pop.sel(samples=pop.phenotypes.notna().any(axis=1).to_numpy())
        G = pop.markers("-1/0/1").to_numpy()
    elif mirror and Path(mirror, "gapit/mdp_numeric.txt").is_file():
        table = pd.read_csv(Path(mirror, "gapit/mdp_numeric.txt"), sep="\t", index_col=0).set_index("taxa")
        traits = pd.read_csv(Path(mirror, "gapit/mdp_traits.txt"), sep="\t").iloc[:, 0]
        G = table[table.index.isin(traits)].to_numpy() - 1
    else:
        pytest.skip("maize data are in no local mirror (GP_LITERATE_DATA)")
    answers = json.loads(gzip.decompress((REFERENCE / "rrblup_amat_em_maize.json.gz").read_bytes()))
    G = G[:, :1000].astype(float)
    assert G.shape == (279, 1000)
    G.T.reshape(-1)[np.array(answers["missing_index_1based_column_major"]) - 1] = np.nan
    f = (np.nanmean(G, axis=0) + 1) / 2
    return answers["cases"], G[:, np.minimum(f, 1 - f) >= 1 / (2 * 279)]


@pytest.mark.data
@pytest.mark.parametrize(("case", "tol"), [("missing_EM_tol0.02", 0.02), ("missing_EM_tol0.001", 0.001)])
def test_em_is_rrblups_on_maize(maize, case, tol):
    answers, G = maize[0][case], maize[1]
    A, filled, result = em_relationship(G, tol=tol)
    np.testing.assert_allclose(np.diag(A), answers["diag"], rtol=1e-9)
    np.testing.assert_allclose(A[:12, :12], answers["A_first12"], rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose((A**2).sum(), answers["sum_sq"], rtol=1e-9)
    printed = [float(line.split()[-1].strip('"')) for line in answers["printed"][1:]]
    np.testing.assert_allclose(result.changes, printed, rtol=0.005)
    if "imputed_dim" in answers:
        assert list(filled.shape) == answers["imputed_dim"]
        np.testing.assert_allclose(filled[:40, :40], answers["imputed_first40x40"], rtol=1e-8, atol=1e-10)


def textbook_em(W, absent, scale, steps):
    "The E- and M-step of the text with full inverses."
    p, mu, S = W.shape[1], W.mean(axis=1), np.cov(W)
    for _ in range(steps):
        C = np.zeros_like(S)
        W = W.copy()
        for k in np.flatnonzero(absent.any(axis=0)):
            m, o = absent[:, k], ~absent[:, k]
            B = S[np.ix_(m, o)] @ np.linalg.pinv(S[np.ix_(o, o)], hermitian=True)
            W[m, k] = mu[m] + B @ (W[o, k] - mu[o])
            C[np.ix_(m, m)] += S[np.ix_(m, m)] - B @ S[np.ix_(o, m)]
        mu = W.mean(axis=1)
        S = (W @ W.T + C - p * np.outer(mu, mu)) / (p - 1)
    return (S + np.outer(mu, mu)) / scale


@pytest.mark.parametrize("twins", [False, True])
def test_em_is_the_textbook_formula_even_with_identical_lines(twins):
    calls = families(20, 200, seed=4)
    if twins:
        calls[1], calls[2] = calls[0], calls[0]
    G = np.where(np.random.default_rng(4).random(calls.shape) < 0.05, np.nan, calls)
    if twins:
        G[:3] = calls[:3]
    f = np.nanmean(G, axis=0) / 2
    keep = np.minimum(f, 1 - f) > 0
    G, f = G[:, keep], f[keep]
    W = np.where(np.isnan(G), 0, G - 2 * f)
    expected = textbook_em(W, np.isnan(G), 2 * (f * (1 - f)).mean(), steps=3)
    found = em_relationship(G, tol=0, max_iter=3, coding="0/1/2")[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_em_without_missing_calls_is_the_relationship_matrix():
    G = families(30, 90, seed=5) - 1
    G = G[:, (G.min(axis=0) < G.max(axis=0))]
    A, filled, result = em_relationship(G)
    np.testing.assert_allclose(A[0, 1], (a_mat(G)[0, 1]), rtol=0.05, atol=0.02)  # p - 1 in place of p
    W = G + 1 - (G + 1).mean(axis=0)
    f, p = (G + 1).mean(axis=0) / 2, G.shape[1]
    mu = W.mean(axis=1)
    np.testing.assert_allclose(A * 2 * (f * (1 - f)).mean(), np.cov(W) + np.outer(mu, mu), atol=1e-12)
    assert result.changes == [] and result.converged and p > 30 and (filled == G).all()


# --- as a transformer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_the_fitted_lines_matter(holed, strategy):
    imputer = MarkerImputer(strategy, missing=-1, random_state=0).fit(holed[:40])
    test = holed[40:]
    if strategy != "binomial":  # whose draws are new in every call
        np.testing.assert_array_equal(imputer.transform(test[3:5]), imputer.transform(test)[3:5])
    np.testing.assert_array_equal(imputer.transform(holed[:40]), clone(imputer).fit_transform(holed[:40]))


def test_new_lines_are_imputed_better_with_relatives_than_without():
    truth = families(120, 300, seed=6)
    calls, hidden = hide_calls(truth, 0.2, seed=6)
    error = {}
    for strategy in ("mean", "em"):
        filled = MarkerImputer(strategy, missing=-1).fit(calls[:90]).transform(calls[90:])
        error[strategy] = np.sqrt(((filled - truth[90:])[hidden[90:]] ** 2).mean())
        assert (filled >= 0).all() and (filled <= 2).all()
    assert error["em"] < 0.7 * error["mean"]


def test_tables_keep_ids_and_pipelines_work(holed):
    X = pd.DataFrame(holed, [f"line{i}" for i in range(60)], [f"m{k}" for k in range(90)])
    for strategy in STRATEGIES:
        imputer = MarkerImputer(strategy, missing=-1, random_state=0).fit(X.iloc[:40])
        filled = imputer.transform(X.iloc[40:])
        assert filled.index.equals(X.index[40:]) and filled.columns.equals(X.columns)
        assert imputer.get_feature_names_out().tolist() == X.columns.tolist()
        np.testing.assert_array_equal(filled, clone(imputer).fit(holed[:40]).transform(holed[40:]))
    y = holed[:, 0].astype(float)
    assert np.isfinite(make_pipeline(MarkerImputer("knn", missing=-1), Ridge()).fit(X, y).predict(X)).all()
    wide = MarkerImputer("most_frequent", missing=-1).set_output(transform="pandas").fit_transform(holed)
    assert isinstance(wide, pd.DataFrame) and wide.shape == holed.shape


def test_markers_of_a_population_are_not_copied_to_floats(holed):
    pop = Population.from_array(holed, missing=-1)
    for strategy in ("most_frequent", "binomial", "knn"):
        complete = impute(pop, strategy, train=slice(0, 40), **({"random_state": 1} if strategy == "binomial" else {}))
        assert complete.dosage.dtype == np.int8 and complete.ds.call_dosage.to_numpy().flags.c_contiguous
        assert complete.markers().shape == (60, 90) and strategy in str(complete.provenance.detail.iloc[-1])
    lines = Population.from_array(np.where(holed > 0, 1, holed), missing=-1, coding="0/1")
    assert impute(lines, "knn").coding == "0/1"


def test_nan_and_a_code_may_both_mark_missing_calls():
    X = np.array([[0, np.nan], [2, 1], [-9, 1], [2, 2]])
    assert missing_calls(X, -9).sum() == 2
    np.testing.assert_allclose(MarkerImputer(missing=-9).fit_transform(X), [[0, 4 / 3], [2, 1], [4 / 3, 1], [2, 2]])
    numbers = MarkerImputer(missing=-9, coding=None).fit_transform(X)
    np.testing.assert_allclose(numbers[[0, 2]], [[0, 4 / 3], [4 / 3, 1]])


@settings(deadline=None)
@given(st.floats(0.01, 0.99), st.integers(0, 5))
def test_hidden_calls_leave_one_in_each_marker(share, seed):
    calls = families(6, 20, seed=seed)
    holed, hidden = hide_calls(calls, share, seed)
    assert (holed >= 0).any(axis=0).all() and (holed[~hidden] == calls[~hidden]).all() and (holed[hidden] == -1).all()


def test_accuracy_table():
    imputers = {s: MarkerImputer(s, missing=-1, random_state=0) for s in STRATEGIES}
    table = imputation_accuracy(families(), imputers, 0.1, seed=2)
    assert table.index.tolist() == list(STRATEGIES) and table.found.between(0, 1).all()
    assert table.rmse["em"] < table.rmse["mean"] and table.found["knn"] > table.found["binomial"]


# --- what is refused -------------------------------------------------------------------------------------------------


def fit(X, *args, **kwargs):
    return MarkerImputer(*args, **{"missing": -1} | kwargs).fit(X)


def named(X, prefix="m"):
    return pd.DataFrame(X).add_prefix(prefix)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda X: fit(np.where(np.arange(90) == 7, -1, X).astype(np.int8)), "marker 7, counted from 0"),
        (lambda X: fit(named(X).assign(m3=-1)), "the first is m3"),
        (lambda X: fit(X, missing=np.nan), "pass missing=-1"),
        (lambda X: fit(X, coding="-1/0/1"), "itself a genotype"),
        (lambda X: fit(X, coding="0/1"), "outside the declared coding 0/1"),
        (lambda X: fit(X, coding="a/b"), "is not known"),
        (lambda X: fit(X).transform(X + 1), "outside the declared coding"),
        (lambda X: fit(X, "median"), "strategy='median' is not known"),
        (lambda X: fit(X, "knn", n_neighbors=61), "n_samples = 60"),
        (lambda X: fit(X, "knn", n_neighbors=0), "n_neighbors=0"),
        (lambda X: fit(X, "knn").transform(np.full_like(X, -1)), "line 0 .* has no call"),
        (lambda X: fit(X, "em", coding=None), "needs genotype codes"),
        (lambda X: fit(X[:, :50], "em"), "at least as many markers as lines, got 50 markers for 60 lines"),
        (lambda X: fit(np.vstack([X[1:], np.full((1, 90), -1, np.int8)]), "em"), "line 59 .* has no call"),
        (lambda X: fit(X).transform(X[:, :10]), "the markers it was fitted on"),
        (lambda X: fit(named(X)).transform(named(X, "x")), "feature_names_in_"),
        (lambda X: fit(named(X)).transform(named(X).iloc[:, ::-1]), "same order"),
        (lambda X: impute(Population.from_array(X, missing=-1), "em"), "gives fractions"),
        (lambda X: hide_calls(X, 1), "share must lie between 0 and 1"),
        (lambda X: fit(X * 0, "em"), "no marker varies"),
        (lambda X: em_relationship(np.where(X < 0, np.nan, X)), "outside the declared coding -1/0/1"),
        (lambda X: em_relationship(X * 0 - 1, coding="0/1/2", missing=-1), "first is marker 0"),
    ],
)
def test_refusals_name_place_and_remedy(holed, action, message):
    with pytest.raises(ValueError, match=message):
        action(holed)
