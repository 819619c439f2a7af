"""A marker's test: p values, inflation, sweeps, dropped records, blocks of markers, against dense algebra."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gp_literate.association import (
    incidence,
    lambda_gc,
    least_squares_model,
    log_p_value,
    marker_tests,
    mixed_trait,
    p3d_moments,
    qq_plot,
    record_spectrum,
    rotation,
    single_trait,
    sweep,
)
from gp_literate.kernels import a_mat
from gp_literate.mixed_model import one_thread

matplotlib.use("Agg")


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread():
    "The matrices are small: threads would only wait for each other."
    with one_thread():
        yield


# --- p values ---------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(t=st.floats(-200, 200), df=st.integers(1, 5000))
def test_log_p_is_scipys_where_scipy_can(t, df):
    p = 2 * stats.t.sf(abs(t), df)
    found = log_p_value(t, df)
    if p > 1e-290:
        np.testing.assert_allclose(found, np.log(p), rtol=1e-9, atol=1e-7)
    else:
        assert np.isfinite(found) and found < np.log(1e-280)


def test_log_p_far_out():
    "The tail of t with 4 degrees of freedom falls with the fourth power."
    t = np.array([1e100, 1e80])
    expected = np.log(2 * stats.t.sf(1e5, 4)) - 4 * (np.log(t) - np.log(1e5))
    np.testing.assert_allclose(log_p_value(t, 4), expected, rtol=1e-9)
    assert log_p_value(np.inf, 4) == -np.inf and np.isnan(log_p_value(np.nan, 4))


def test_inflation():
    p = (np.arange(1, 1001) - 0.5) / 1000
    assert abs(lambda_gc(p) - 1) < 0.01
    with pytest.raises(ValueError, match="p values"):
        lambda_gc(-np.log10(p))
    with pytest.raises(ValueError, match="no p value"):
        lambda_gc([np.nan])


def test_qq_plot():
    table = pd.DataFrame({"trait": ["a"] * 50 + ["b"] * 50, "p": np.tile((np.arange(50) + 0.5) / 50, 2)})
    table["score"] = -np.log10(table.p)
    assert "λ = 1.0" in qq_plot(single_trait(table, "a"), label="a").get_legend().get_texts()[0].get_text()
    with pytest.raises(ValueError, match="2 traits"):
        qq_plot(table)
    with pytest.raises(ValueError, match="no trait"):
        single_trait(table, "yield")
    matplotlib.pyplot.close("all")


# --- the parts of a test ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_sweeping_is_regression(seed):
    "The corner after sweeping is the residual cross-product; a combination of earlier columns is skipped."
    B = np.random.default_rng(seed).normal(size=(20, 6))
    B[:, 2] = B[:, 0] - 2 * B[:, 1]
    M, used = B.T @ B, np.zeros(6, bool)
    sweep(M, np.diag(M).copy(), 0, 4, used)
    assert used.tolist() == [True, True, False, True, False, False]
    X, Y = B[:, [0, 1, 3]], B[:, 4:]
    beta = np.linalg.lstsq(X, Y, rcond=None)[0]
    np.testing.assert_allclose(M[4:, 4:], (Y - X @ beta).T @ (Y - X @ beta), atol=1e-10)
    np.testing.assert_allclose(M[[0, 1, 3], 4:], beta, atol=1e-10)


@pytest.fixture(scope="module", params=["least squares", "one record", "several records"])
def small_model(request, synthetic):
    "(TraitModel, marker rows rotated, markers of the records, dense P) of three kinds of models."
    G = synthetic[0].astype(float)
    rng, kind = np.random.default_rng(6), request.param
    line = np.arange(80) if kind == "one record" else np.sort(np.append(np.arange(80), rng.integers(0, 80, 50)))
    Q = np.linalg.qr(np.column_stack([np.ones(len(line)), rng.normal(size=(len(line), 2))]))[0]
    y, Z, B = G[line, 0] + rng.normal(size=len(line)), incidence(line, 80), (G - G.mean(axis=0)).T[:60]
    if kind == "least squares":
        model, H, A = least_squares_model(kind, y, Q, line, Z), np.eye(len(y)), lambda B: B
    else:
        K = a_mat(G)
        spectrum = record_spectrum(K, line)
        model = mixed_trait(kind, y, Q, line, spectrum, exact=False)
        H, A = K[np.ix_(line, line)] + model.fit.lambda_ * np.eye(len(y)), lambda B: B @ rotation(spectrum, Z).T
    return model, A, B, H


def test_parts_of_p(small_model):
    "dI + ZSZ' - LL' is the projection, densely computed."
    model, _, _, H = small_model
    inverse = np.linalg.inv(H)
    P = inverse - inverse @ model.Q @ np.linalg.solve(model.Q.T @ inverse @ model.Q, model.Q.T @ inverse)
    S = model.between()
    S = S[np.ix_(model.line, model.line)] if len(S) else 0
    np.testing.assert_allclose(model.ridge * np.eye(len(P)) + S - model.projection @ model.projection.T, P, atol=1e-9)
    np.testing.assert_allclose(model.Py, P @ model.y, atol=1e-9)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_dropped_records(small_model, share):
    "Moments without some lines, from few to nearly all, are those of the others alone; whatever stood there is gone."
    model, A, B, H = small_model
    missing = np.random.default_rng(1).random(B.shape) < share
    moments = p3d_moments(model, A(np.where(missing, 0, B)), missing)
    tests = marker_tests(*moments.T)
    for j in range(0, 60, 6):
        stay = ~missing[j][model.line]
        W, inverse = np.column_stack([model.Q, B[j, model.line]])[stay], np.linalg.inv(H[np.ix_(stay, stay)])
        covariance = np.linalg.inv(W.T @ inverse @ W)
        b = covariance @ W.T @ inverse @ model.y[stay]
        e, df = model.y[stay] - W @ b, stay.sum() - W.shape[1]
        assert moments[j, 3] == df
        if df < 1:
            assert np.isnan(tests.p[j])
            continue
        se = np.sqrt(e @ inverse @ e / df * covariance[-1, -1])
        np.testing.assert_allclose(tests.loc[j, ["effect", "se"]].astype(float), [b[-1], se], rtol=1e-6)


def test_no_missing_call_makes_no_matrix(synthetic):
    "What dropping needs is made only when a call is missing, and once."
    G = synthetic[0].astype(float)
    spectrum = record_spectrum(a_mat(G), np.arange(80))
    model = mixed_trait("y", G[:, 0] + np.arange(80), np.full((80, 1), 80**-0.5), np.arange(80), spectrum, exact=False)
    B = (G - G.mean(axis=0)).T[:30] @ rotation(spectrum, incidence(np.arange(80), 80)).T
    missing = np.zeros((30, 80), bool)
    p3d_moments(model, B, missing)
    assert model.between.cache_info().currsize == 0
    missing[3, 5] = True
    for _ in range(2):
        p3d_moments(model, B, missing)
    assert model.between.cache_info().misses == 1
