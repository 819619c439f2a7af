"""Elastic net and lasso: glmnet's coefficients and choices, the optimality conditions, invariances, bad input."""

import numpy as np
import pandas as pd
import pytest
from conftest import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import Lasso as SklearnLasso

from gp_literate.elastic_net import (
    ElasticNet,
    Lasso,
    choose_lambdas,
    cv_table,
    elastic_paths,
    gradients,
    lambda_path,
    path_predictions,
    prepare_training,
    sklearn_penalty,
)
from gp_literate.simulation import simulate_population


def objective(X, y, b, lam, alpha, standardize=True):
    "glmnet's objective for a trait as it is, from its definition."
    n, spread = len(y), X.std(axis=0) if standardize else np.ones(X.shape[1])
    y, b = y - y.mean(), b * np.where(spread > 0, spread, 1)
    r = y - ((X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)) @ b
    return r @ r / (2 * n) + lam * (alpha * np.abs(b).sum() + (1 - alpha) / (2 * y.std()) * b @ b)


@pytest.fixture(scope="module")
def population():
    pop = simulate_population(n_samples=120, n_variants=500, n_qtl=12, h2=0.7, design="dh", n_chromosomes=4, seed=8)
    return pop.markers(), 3 * pop.phenotypes.iloc[:, 0] + 10


# --- R -------------------------------------------------------------------------------------------------------------


def test_glmnet_on_the_synthetic_set(synthetic):
    G, phenotypes = synthetic
    X, y = (G + 1).astype(np.int8), phenotypes["y1"].to_numpy()
    stored = reference("synthetic/glmnet_alpha033.json")
    whole = prepare_training(X.T, y, np.arange(80))
    path = elastic_paths(X.T, [whole], 0.33, np.array([fit["lambda"] for fit in stored]), tol=1e-12)[0]
    assert [np.count_nonzero(fit["beta"]) for fit in stored] == np.diff(path.effects.indptr).tolist() == [5, 17, 54]
    for k, fit in enumerate(stored):
        ours = path.effects[[k]].toarray()[0]
        np.testing.assert_allclose(ours, fit["beta"], atol=1e-5)
        np.testing.assert_allclose(path.intercept[k], fit["a0"], atol=1e-5)
        theirs = objective(X, y, np.array(fit["beta"]), fit["lambda"], 0.33)
        assert objective(X, y, ours, fit["lambda"], 0.33) <= theirs + 1e-9
    model = ElasticNet(lam=stored[1]["lambda"], tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.coef_, stored[1]["beta"], atol=1e-5)
    Z = (X - whole.mean) / whole.spread
    no_sd = SklearnElasticNet(alpha=stored[1]["lambda"], l1_ratio=0.33, tol=1e-10).fit(Z, y)
    assert np.abs(no_sd.coef_ / whole.spread - stored[1]["beta"]).max() > 1e-3  # the map matters: s_y is not 1 here


@pytest.fixture(scope="module")
def wheat_rows(wheat):
    return np.ascontiguousarray(wheat.markers("-1/1").to_numpy().T.astype(np.int8)), wheat.phenotype("env1").to_numpy()


@pytest.mark.data
@pytest.mark.parametrize(
    "name, alpha, standardize", [("enet", 0.33, True), ("enet_nostd", 0.33, False), ("lasso", 1, True)]
)
def test_glmnet_paths_on_wheat(wheat_rows, name, alpha, standardize):
    rows, y = wheat_rows
    fit = reference("glmnet_wheat.json")["fits"][name]
    whole = prepare_training(rows, y, np.arange(599), standardize)
    ours = elastic_paths(rows, [whole], alpha, tol=1e-10, n_lambdas=40, smallest=0.1)[0]
    np.testing.assert_allclose(ours.lambdas, fit["lambda_path"], rtol=1e-12)
    assert np.diff(ours.effects.indptr).tolist() == fit["df_path"]
    X = rows.T.astype(float)
    for place, a0, stored in zip(fit["at_index_1based"], fit["a0"], fit["coef"], strict=True):
        b, lam = np.zeros(1279), fit["lambda_path"][place - 1]
        b[np.atleast_1d(stored["index_1based"]) - 1] = stored["value"]
        mine = ours.effects[[place - 1]].toarray()[0]
        np.testing.assert_allclose(mine, b, atol=1e-4)  # R's own precision, see the next line
        assert objective(X, y, mine, lam, alpha, standardize) <= objective(X, y, b, lam, alpha, standardize) + 1e-9
        np.testing.assert_allclose(ours.intercept[place - 1], a0, atol=1e-3)


@pytest.mark.data
@pytest.mark.parametrize("name, alpha", [("enet", 0.33), ("lasso", 1.0)])
def test_cv_glmnet_on_wheat(wheat_rows, name, alpha):
    "Errors and choices, with R's own sequence of λ in each fold interpolated to the sequence of all lines."
    rows, y = wheat_rows
    stored = reference("glmnet_wheat.json")
    fold, cv, errors = np.array(stored["foldid"]), stored["cv"][name], []
    for k in range(1, 11):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        options = {"n_lambdas": 40, "smallest": 0.1, "tol": 1e-6}
        own = elastic_paths(rows, [prepare_training(rows, y, train)], alpha, **options)[0]
        at = np.clip(cv["lambda"], own.lambdas[-1], own.lambdas[0])
        predicted = [np.interp(-at, -own.lambdas, values) for values in path_predictions(own, rows, test).T]
        errors.append(((np.array(predicted).T - y[test]) ** 2).mean(axis=1))
    table = cv_table(np.array(errors), np.bincount(fold)[1:], own._replace(lambdas=np.array(cv["lambda"])))
    np.testing.assert_allclose(table["error"], cv["cvm"], rtol=2e-4)
    np.testing.assert_allclose(table["se"], cv["cvsd"], rtol=5e-4)
    chosen = [cv["lambda"][row] for row in choose_lambdas(table)]
    np.testing.assert_allclose(chosen, [cv["lambda_min"], cv["lambda_1se"]], rtol=1e-9)


# --- optimality and invariances --------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.33, 1.0]), st.booleans(), st.integers(1, 12))
def test_every_point_of_the_path_satisfies_the_optimality_conditions(seed, alpha, standardize, together):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (25, 40)).astype(np.int8)
    X[:, 3], X[:, 7] = 1, X[:, 5]  # a constant marker, a duplicate
    y = X[:, :4] @ rng.normal(size=4) * rng.choice([0.01, 1, 100]) + rng.normal(size=25)
    s = prepare_training(X.T, y, np.arange(25), standardize)
    path = elastic_paths(X.T, [s], alpha, tol=1e-13, n_lambdas=12, smallest=0.05, together=together)[0]
    Z = (X - s.mean) / s.spread
    for lam, b in zip(path.lambdas, path.effects.toarray() * s.spread, strict=True):
        gradient = Z.T @ (s.y - Z @ b) / 25 - lam * (1 - alpha) / s.sd * b
        limit = alpha * lam * (1 + 2e-5) + 1e-12
        assert (np.abs(gradient) <= limit).all()
        np.testing.assert_allclose(gradient[b != 0], alpha * lam * np.sign(b[b != 0]), rtol=2e-4)
    assert not path.effects[:, [3]].nnz and not path.effects[[0]].nnz


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.33, 1.0]))
def test_recoding_order_and_units_do_not_matter(seed, alpha):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, (30, 20)).astype(np.int8)
    y = X @ rng.normal(size=20) + 2 * rng.normal(size=30)
    order, flip = rng.permutation(20), rng.random(20) < 0.5
    recoded = np.where(flip, 2 - X, X)[:, order].astype(np.int8) - 1
    largest = gradients(X.T, [s := prepare_training(X.T, y, np.arange(30))], [s.y[:, None]])[0].max() / alpha
    a = ElasticNet(alpha, lam=0.2 * largest, tol=1e-12).fit(X, y)
    b = ElasticNet(alpha, lam=7 * 0.2 * largest, tol=1e-12).fit(recoded, 7 * y - 100)
    np.testing.assert_allclose(b.coef_, 7 * np.where(flip, -1, 1)[order] * a.coef_[order], atol=1e-3)
    np.testing.assert_allclose(b.predict(recoded), 7 * a.predict(X) - 100, atol=1e-3)


def test_several_training_sets_are_fitted_as_each_alone(population):
    X, y = population[0].to_numpy(), population[1].to_numpy()
    lines = [np.arange(120), np.arange(0, 120, 2), np.arange(30, 120)]
    sets = [prepare_training(X.T, y, rows) for rows in lines]
    lambdas = lambda_path(2.0, 120, 500, 20, 0.05)
    for rows, path in zip(lines, elastic_paths(X.T, sets, 0.33, lambdas, tol=1e-10), strict=True):
        alone = prepare_training(X[rows].T, y[rows], np.arange(len(rows)))
        own = elastic_paths(X[rows].T, [alone], 0.33, lambdas, tol=1e-10)[0]
        np.testing.assert_allclose(path.effects.toarray(), own.effects.toarray(), atol=1e-5)
        assert path.effects.nnz > 100


def test_duplicates_share_in_the_elastic_net_and_penalties_map_to_scikit_learn(population):
    X, y = population[0].to_numpy(), population[1].to_numpy()
    best = int(np.argmax(np.abs(np.corrcoef(X.T, y)[-1, :-1])))
    twice = np.column_stack([X, X[:, best]])
    net = ElasticNet(lam=0.5, tol=1e-13).fit(twice, y)
    np.testing.assert_allclose(net.coef_[best], net.coef_[-1], rtol=1e-3)
    assert net.coef_[best] != 0
    Z = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    lasso = Lasso(lam=0.5, tol=1e-13).fit(X, y)
    theirs = SklearnLasso(alpha=0.5, tol=1e-12, max_iter=100_000).fit(Z, y)
    np.testing.assert_allclose(lasso.predict(X), theirs.predict(Z), atol=1e-4)
    assert sklearn_penalty(0.5, 1.0, 3.0) == (0.5, 1.0)
    np.testing.assert_allclose(ElasticNet(1.0, lam=0.5, tol=1e-13).fit(X, y).coef_, lasso.coef_)


# --- the estimators ---------------------------------------------------------------------------------------------------


def test_choices_of_lambda(population):
    X, y = population
    least, careful = (ElasticNet(lam=lam, cv=5, random_state=3).fit(X, y) for lam in ("cv", "1se"))
    table = least.cv_results_
    pd.testing.assert_frame_equal(table, careful.cv_results_)
    assert careful.lam_ > least.lam_ == table["lam"][table["error"].idxmin()]
    best = table.loc[table["error"].idxmin()]
    assert table["error"][table["lam"] == careful.lam_].item() <= best["error"] + best["se"]
    assert 0 < len(careful.markers_) < len(least.markers_) < 120 and "λ, one standard error" in least._repr_html_()
    fixed = ElasticNet(lam=least.lam_).fit(X, y)
    np.testing.assert_allclose(fixed.predict(X), least.predict(X), atol=0.02 * y.std())
    everything = ElasticNet(lam=10 * table["lam"][0]).fit(X, y)
    assert not len(everything.markers_) and np.allclose(everything.predict(X), y.mean())


def test_missing_phenotypes_are_left_out_and_predicted(population):
    X, y = population
    gaps = y.copy()
    gaps.iloc[::4] = np.nan
    seen = gaps.notna().to_numpy()
    net = ElasticNet(cv=4, n_lambdas=25, random_state=1)
    with_gaps, without = clone(net).fit(X, gaps), clone(net).fit(X[seen], y[seen])
    np.testing.assert_allclose(with_gaps.coef_, without.coef_, atol=1e-10)
    assert with_gaps.predict(X.iloc[:5]).index.equals(X.index[:5]) and with_gaps.predict(X).name == y.name
    assert np.corrcoef(with_gaps.predict(X)[~seen], y[~seen])[0, 1] > 0.4


def test_folds_can_be_given(population):
    X, y = population
    order = np.random.default_rng(0).permutation(120)
    folds = [(np.setdiff1d(order, part), part) for part in np.split(order, 4)]
    given, errors = Lasso(cv=folds, n_lambdas=15).fit(X, y), []
    for train, test in folds:
        values = X.to_numpy(), y.to_numpy()
        own = elastic_paths(values[0].T, [prepare_training(values[0].T, values[1], train)], 1.0, given.path_.lambdas)[0]
        errors.append(((own.intercept[:, None] + own.effects @ values[0][test].T - values[1][test]) ** 2).mean(axis=1))
    np.testing.assert_allclose(given.cv_results_["error"], np.mean(errors, axis=0), rtol=1e-3)


@pytest.mark.parametrize(
    "options, match",
    [
        ({"alpha": 0}, "alpha must be above 0"),
        ({"alpha": 1.5}, "alpha must be above 0"),
        ({"lam": "bic"}, "lam must be 'cv'"),
        ({"lam": -1.0}, "lam must be 'cv'"),
        ({"n_lambdas": 1}, "n_lambdas must be"),
        ({"smallest": 1.0}, "smallest must be"),
        ({"tol": 0}, "tol must be positive"),
        ({"cv": 1}, "cv must be at least 2"),
        ({"coding": "-1/1"}, "outside coding"),
    ],
)
def test_bad_settings_are_refused(population, options, match):
    with pytest.raises(ValueError, match=match):
        ElasticNet(**options).fit(*population)


def test_bad_data_are_refused(population):
    X, y = population
    with pytest.raises(ValueError, match="impute"):
        Lasso().fit(X.astype(float).mask(X == 2), y)
    with pytest.raises(ValueError, match="constant"):
        Lasso().fit(X, y * 0 + 3)
    with pytest.raises(ValueError, match="different ids"):
        Lasso().fit(X, y.rename(lambda name: f"{name}x"))
