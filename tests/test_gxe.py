"""Genotype x environment: against kernels built by hand, mixed_solve, analysis of variance, missing cells, errors."""

import numpy as np
import pandas as pd
import pytest

from gp_literate.gxe import fit_gxe, gxe_kernels
from gp_literate.kernels import a_mat
from gp_literate.mixed_model import mixed_solve
from gp_literate.variance_components import fit_variance_components


@pytest.fixture(scope="module")
def trial():
    "40 lines in three environments, cells missing, two records in some cells."
    rng = np.random.default_rng(31)
    ids = [f"g{i}" for i in range(40)]
    K = pd.DataFrame(a_mat(rng.integers(-1, 2, (40, 80))) + 0.01 * np.eye(40), ids, ids)
    L = np.linalg.cholesky(K)
    value = (L @ rng.normal(size=40))[:, None] + 0.7 * L @ rng.normal(size=(40, 3)) + [5, 7, 6]
    data = pd.DataFrame({"line": np.repeat(ids, 3), "environment": np.tile(list("ABC"), 40), "y": value.ravel()})
    data = pd.concat([data, data.sample(20, random_state=0)], ignore_index=True)
    data["y"] += 0.5 * rng.normal(size=len(data))
    return data.sample(frac=0.8, random_state=1).reset_index(drop=True), K


@pytest.mark.parametrize("heterogeneous", [False, True])
def test_gxe_equals_kernels_built_by_hand(trial, heterogeneous):
    data, K = trial
    found = fit_gxe(data, K, heterogeneous=heterogeneous)
    main = K.loc[data.line, data.line].to_numpy()
    e = data.environment.to_numpy()
    both = np.equal.outer(e, e)
    parts = (
        {f"specific {x}": main * np.outer(e == x, e == x) for x in pd.unique(e)}
        if heterogeneous
        else {"specific": main * both}
    )
    X = np.column_stack([e == x for x in "ABC"]).astype(float)
    hand = fit_variance_components(data.y.to_numpy(), {"main": main} | parts, X=X)
    np.testing.assert_allclose(found.fit.variances, hand.variances, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.fit.LL, hand.LL, rtol=1e-10)
    of_records = found.cells.stack().loc[list(zip(data.line, e, strict=True))].to_numpy()
    np.testing.assert_allclose(of_records, hand.u.sum(axis=1) + X @ hand.beta, rtol=1e-6)
    assert found.cells.shape == (40, 3) and found.cells.notna().all(axis=None)


def test_gxe_missing_cells_are_predicted_like_lines_without_records(trial):
    data, K = trial
    gaps = data.assign(y=data.y.where(np.arange(len(data)) % 4 > 0))
    a, b = fit_gxe(gaps, K), fit_gxe(gaps.dropna(), K)
    pd.testing.assert_frame_equal(a.cells, b.cells)
    shuffled = fit_gxe(
        gaps.sample(frac=1, random_state=3),
        K.sample(frac=1, random_state=4).loc[:, K.index[::-1]].loc[K.index, K.index],
    )
    np.testing.assert_allclose(shuffled.cells, a.cells, rtol=1e-6)
    np.testing.assert_allclose(a.cells, a.specific.add(a.main, axis=0) + a.fit.beta.to_numpy())


def test_specific_effects_alone_are_separate_analyses(trial):
    data, K = trial
    alone = fit_gxe(data, K, terms=["specific"], heterogeneous=True, method="ML")
    assert (alone.main == 0).all() and (alone.correlation.to_numpy() == np.eye(3)).all()
    main = fit_gxe(data, K, terms=["main"])
    assert np.allclose(main.correlation, 1) and (main.specific == 0).all(axis=None)
    both = fit_gxe(data, K)
    v = both.fit.variances
    np.testing.assert_allclose(both.correlation.loc["A", "B"], v["main"] / (v["main"] + v["specific"]))


def test_gxe_main_effect_is_mixed_solve(trial):
    data, K = trial
    X = pd.get_dummies(data.environment).to_numpy(float)
    Z = (data.line.to_numpy()[:, None] == K.index.to_numpy()).astype(float)
    known, ours = mixed_solve(data.y.to_numpy(), Z=Z, K=K.to_numpy(), X=X), fit_gxe(data, K, terms=["main"])
    np.testing.assert_allclose(ours.fit.variances, [known.Vu, known.Ve], rtol=1e-6)
    np.testing.assert_allclose(ours.main, known.u, atol=1e-6)


def test_gxe_weights_and_positions(trial):
    data, K = trial
    w = np.random.default_rng(2).uniform(1, 3, len(data))
    a, b = fit_gxe(data.assign(w=w), K, weights="w"), fit_gxe(data, K, weights=w)
    pd.testing.assert_frame_equal(a.cells, b.cells)
    numbered = data.assign(line=K.index.get_indexer(data.line))
    np.testing.assert_allclose(fit_gxe(numbered, K.to_numpy()).cells, fit_gxe(data, K).cells, rtol=1e-9)


def test_gxe_bad_input(trial):
    data, K = trial
    with pytest.raises(ValueError, match=r"1 lines with records are not in K, for example \['g7'\]"):
        fit_gxe(data, K.drop(index="g7", columns="g7"))
    with pytest.raises(ValueError, match=r"no column \['y'\]: its columns are \['line', 'environment'\]"):
        fit_gxe(data.drop(columns="y"), K)
    with pytest.raises(ValueError, match=r"no column \['w'\]"):
        fit_gxe(data, K, weights="w")
    with pytest.raises(ValueError, match=r"no record at all in environment \['B'\]"):
        fit_gxe(data.assign(y=data.y.where(data.environment != "B")), K)
    with pytest.raises(ValueError, match="'main', 'specific' or both"):
        gxe_kernels(K, data.line, data.environment, terms=["gxe"])


def test_gxe_balanced_trial_is_the_analysis_of_variance():
    "Ten unrelated lines, four environments, three plots a cell: variances and cells by hand."
    rng = np.random.default_rng(3)
    value = 2 * rng.normal(size=(10, 1)) + 1.5 * rng.normal(size=(10, 4)) + [3, 5, 4, 8]
    table = value[:, :, None] + rng.normal(size=(10, 4, 3))
    cell, ms_e = table.mean(axis=2), table.var(axis=2, ddof=1).mean()
    rest = cell - cell.mean(axis=1, keepdims=True) - cell.mean(axis=0) + cell.mean()
    ms_line, ms_le = 12 * cell.mean(axis=1).var(ddof=1), 3 * (rest**2).sum() / 27
    line, environment = np.repeat(range(10), 12), np.tile(np.repeat([*"ABCD"], 3), 10)
    found = fit_gxe(pd.DataFrame({"y": table.ravel(), "line": line, "environment": environment}), np.eye(10))
    v = (ms_line - ms_le) / 12, (ms_le - ms_e) / 3, ms_e
    np.testing.assert_allclose(found.fit.variances, v, rtol=1e-6)
    deviation = cell - cell.mean(axis=0)
    mean = deviation.mean(axis=1, keepdims=True)
    of_mean, of_rest = v[0] + v[1] / 4, v[1] / (v[1] + v[2] / 3)
    by_hand = cell.mean(axis=0) + of_mean / (of_mean + v[2] / 12) * mean + of_rest * (deviation - mean)
    np.testing.assert_allclose(found.cells, by_hand, rtol=1e-6)
