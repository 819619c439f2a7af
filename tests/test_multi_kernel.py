"""Kernel objects and MultiKernelBLUP: against single-kernel estimators, full kernels, dominance, bad input."""

import numpy as np
import pandas as pd
import pytest
from conftest import NamedKernel
from sklearn.base import clone
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from gp_literate.kernels import a_mat
from gp_literate.mixed_model import GBLUP, KernelBLUP
from gp_literate.multi_kernel import DistanceKernel, MultiKernelBLUP, marker_kernel
from gp_literate.variance_components import fit_variance_components, likelihood_ratio_test

PRECISION = {
    "check_sample_weight_equivalence_on_dense_data": "a weight is the precision of one record; repeating it says "
    "more: identical repeats leave no residual variance"
}


CHECKED = [MultiKernelBLUP(), MultiKernelBLUP(["additive", "exponential"], theta=0.5)]


@parametrize_with_checks(
    [*CHECKED, MultiKernelBLUP({"rbf": NamedKernel()})],
    expected_failed_checks=lambda e: PRECISION,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def lines():
    rng = np.random.default_rng(21)
    founders = rng.integers(0, 2, (30, 250))
    G = (founders[rng.integers(0, 30, 140)] + founders[rng.integers(0, 30, 140)]).astype(np.int8)
    ids = [f"line{i}" for i in range(140)]
    g = G @ rng.normal(size=250)
    X = pd.DataFrame(G, ids, [f"m{j}" for j in range(250)])
    return X, pd.Series(g / g.std() + 0.8 * rng.normal(size=140), ids, name="yield")


def test_one_kernel_estimators_agree(lines):
    X, y = lines
    for several, single in [
        (MultiKernelBLUP(["additive"], coding="0/1/2"), GBLUP(coding="0/1/2")),
        (MultiKernelBLUP(["gaussian"], theta=0.5), KernelBLUP(theta=0.5)),
        (MultiKernelBLUP(["exponential"]), KernelBLUP("exponential")),
    ]:
        a, b = several.fit(X[:110], y[:110]), single.fit(X[:110], y[:110])
        for got, expected in zip(a.predict(X, return_std=True), b.predict(X, return_std=True), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(a.heritability_, b.heritability_, rtol=1e-4)
        np.testing.assert_allclose(a.fit_.LL, b.fit_.LL, rtol=1e-7)
        np.testing.assert_allclose(a.theta_ or 0, getattr(b, "theta_", 0), rtol=1e-2)


def test_components_add_up_and_carry_ids(lines):
    X, y = lines
    model = MultiKernelBLUP(theta=0.4).fit(X[:110], y[:110].sample(frac=1, random_state=0))
    total, error = model.predict(X[110:], return_std=True)
    parts = [model.predict(X[110:], component=name) for name in ("additive", "gaussian")]
    np.testing.assert_allclose(total, model.intercept_ + sum(parts), rtol=1e-10)
    assert total.index.equals(X.index[110:]) and total.name == "yield" and parts[0].name == "additive"
    assert (error > 0).all() and model.variance_components_.index.tolist() == ["additive", "gaussian", "residual"]
    components = model.variance_components_
    np.testing.assert_allclose(model.heritability_, components.iloc[:2].sum() / components.sum())
    with pytest.raises(ValueError, match="component='dominance' is not a kernel of this model"):
        model.predict(X, component="dominance")


def test_prediction_is_that_of_the_full_kernel(lines):
    "Kernel objects on new lines against one kernel of all lines, the new ones without records; errors included."
    X, y = lines
    seen = np.arange(140) < 110
    model = MultiKernelBLUP(theta=0.4).fit(X[seen], y[seen])
    K = {name: np.zeros((140, 140)) for name in model.kernels_}
    for name, kernel in model.kernels_.items():
        cross = kernel.cross(X.to_numpy())
        K[name][:, seen], K[name][seen] = cross, cross.T
        new = marker_kernel(name if name != "gaussian" else DistanceKernel("gaussian", 0.4))
        if name == "gaussian":
            K[name] = new.fit(X.to_numpy()).train()
        else:
            centred = X.to_numpy() - kernel.mean_
            K[name] = centred @ centred.T / kernel.scale_
    fit = fit_variance_components(np.where(seen, y, np.nan), K, pev=True)
    np.testing.assert_allclose(model.predict(X), fit.u.sum(axis=1) + fit.beta.iloc[0], rtol=1e-6, atol=1e-8)
    for name in K:
        effect, error = model.predict(X, component=name, return_std=True)
        np.testing.assert_allclose(effect, fit.u[name], atol=1e-6)
        np.testing.assert_allclose(error**2, fit.pev[name], atol=1e-6)


def test_dominance_of_new_lines_and_by_hand(lines):
    X, y = lines
    G, f = X.to_numpy()[:110].astype(float), X.to_numpy()[:110].mean(axis=0) / 2
    h = np.where(G == 1, 2 * f * (1 - f), np.where(G == 0, -2 * f**2, -2 * (1 - f) ** 2))
    D = h @ h.T / ((2 * f * (1 - f)) ** 2).sum()
    for shift, coding in ((0, None), (0, "0/1/2"), (-1, "-1/0/1")):
        kernel = marker_kernel("dominance").fit(X.to_numpy()[:110] + shift, coding=coding)
        np.testing.assert_allclose(kernel.train(), D, atol=1e-10)
        np.testing.assert_allclose(kernel.cross(X.to_numpy()[:9] + shift), D[:9], atol=1e-10)
        np.testing.assert_allclose(kernel.own(X.to_numpy()[:9] + shift), np.diag(D)[:9], atol=1e-10)
    model = MultiKernelBLUP(["additive", "dominance"]).fit(X[:110], y[:110])
    np.testing.assert_allclose(model.fit_.u["dominance"], model.predict(X[:110], component="dominance"), atol=1e-9)
    with pytest.raises(ValueError, match="no call is heterozygous"):
        MultiKernelBLUP(["dominance"]).fit(X // 2 * 2, y)
    with pytest.raises(ValueError, match="-1/0/1|whole genotypes"):
        MultiKernelBLUP(["dominance"]).fit(X * 0.7, y)


def test_theta_profile_names_the_genetic_variance(lines):
    X, y = lines
    model = MultiKernelBLUP(theta_grid=[0.3, 0.5], refine_theta=False).fit(X, y)
    best = model.theta_profile_.set_index("theta").loc[model.theta_]
    np.testing.assert_allclose(best[["genetic", "residual"]], [model.fit_.genetic_variance, model.fit_.Ve])
    np.testing.assert_allclose(model.fit_.genetic_variance, model.variance_components_.iloc[:-1].sum())


def test_score_and_cross_validation_leave_out_missing_records(lines):
    X, y = lines
    gaps = y.where(np.arange(len(y)) % 4 > 0)
    model = MultiKernelBLUP(["additive"]).fit(X, gaps)
    np.testing.assert_allclose(model.score(X, gaps), model.score(X[gaps.notna()], gaps.dropna()))


def test_dominance_variance_is_found_where_there_is_some():
    rng = np.random.default_rng(14)
    G = rng.binomial(2, 0.5, (300, 120)).astype(np.int8)
    kernels = {name: marker_kernel(name).fit(G).train() for name in ("additive", "dominance")}
    effects = rng.normal(size=120)
    for name, value in (("additive", (G - 1.0) @ effects), ("dominance", (G == 1) @ effects)):
        y = value / value.std() + 0.5 * rng.normal(size=300)
        fit = fit_variance_components(y, kernels)
        assert fit.proportions[name] > 0.6 and fit.proportions.drop([name, "residual"]).iloc[0] < 0.2
        reduced = fit_variance_components(y, {k: K for k, K in kernels.items() if k != name})
        assert likelihood_ratio_test(fit, reduced).p_value < 1e-6


def test_functions_tables_and_objects_as_kernels(lines):
    X, y = lines
    A = pd.DataFrame(a_mat(X.to_numpy() - 1), X.index, X.index)
    named = MultiKernelBLUP({"pedigree": A, "rbf": rbf_kernel, "near": DistanceKernel("gaussian", 0.2)}, coding="0/1/2")
    model = clone(named).fit(X[:110], y[:110])
    assert list(model.kernels_) == ["pedigree", "rbf", "near"] and model.theta_ is None
    assert np.isfinite(model.predict(X[110:], return_std=True)).all()
    by_table, by_marker = MultiKernelBLUP({"a": A}).fit(X, y), MultiKernelBLUP(["additive"]).fit(X, y)
    np.testing.assert_allclose(by_table.predict(X), by_marker.predict(X), rtol=1e-5)
    with pytest.raises(ValueError, match="X as a DataFrame with line ids"):
        clone(named).fit(X.to_numpy(), y.to_numpy())
    with pytest.raises(ValueError, match="no row and column for 1 lines"):
        MultiKernelBLUP({"a": A.iloc[1:, 1:]}).fit(X, y)
    assert cross_val_score(MultiKernelBLUP(theta=0.5), X, y, cv=3).shape == (3,)


def test_sample_weight_and_missing_phenotypes(lines):
    X, y = lines
    w = pd.Series(np.random.default_rng(0).uniform(0.5, 3, 140), y.index)
    model = MultiKernelBLUP(["additive"]).fit(X, y, sample_weight=w.sample(frac=1, random_state=1))
    np.testing.assert_allclose(model.predict(X), GBLUP().fit(X, y, sample_weight=w).predict(X), rtol=1e-5)
    gaps, zero = y.where(np.arange(140) % 3 > 0), w.where(np.arange(140) % 3 > 0, 0)
    a = MultiKernelBLUP(theta=0.5).fit(X, gaps, sample_weight=w)
    b = MultiKernelBLUP(theta=0.5).fit(X, y, sample_weight=zero)
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-9)


def test_html_names_every_component(lines):
    X, y = lines
    html = MultiKernelBLUP(theta=0.5).fit(X, y)._repr_html_()
    assert all(word in html for word in ("additive", "gaussian", "residual", "heritability", "θ", "REML"))


@pytest.mark.parametrize(
    ("error", "message", "model"),
    [
        (ValueError, "kernel 'cubic' is not known", MultiKernelBLUP(["cubic"])),
        (TypeError, "list of names or a dict", MultiKernelBLUP("additive")),
        (TypeError, "got int", MultiKernelBLUP({"a": 1})),
        (ValueError, "kernels is empty", MultiKernelBLUP([])),
        (ValueError, "theta='ml'", MultiKernelBLUP(theta="ml")),
        (ValueError, "method='reml'", MultiKernelBLUP(method="reml")),
        (ValueError, "outside coding=", MultiKernelBLUP(coding="0/1")),
    ],
)
def test_bad_parameters_are_refused_at_fit(error, message, model, lines):
    with pytest.raises(error, match=message):
        model.fit(*lines)
