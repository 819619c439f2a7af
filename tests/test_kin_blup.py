"""kin_blup against R's rrBLUP, against full matrices of all records, in degenerate cases, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from conftest import REFERENCE, reference
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_literate.kernels import a_mat, euclidean_distance, exponential_kernel, gaussian_kernel
from gp_literate.kin_blup import fixed_design, kin_blup
from gp_literate.mixed_model import mixed_solve


def assert_matches_r(ours, r, slack=1e-7):
    "Variances to the tolerance of R's search, values and their errors accordingly."
    np.testing.assert_allclose([ours.Vg, ours.Ve], [r["Vg"], r["Ve"]], rtol=1e-3)
    parts = {"g": ours.g, "pred": ours.predicted, "PEV": ours.pev, "resid": ours.residuals.dropna()}
    for name, found in parts.items():
        if name in r and found is not None:
            expected = np.array([v for v in r[name] if v is not None], float)
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max(), err_msg=name)
            assert np.corrcoef(found, expected)[0, 1] > 0.99999 or np.ptp(expected) < 1e-6
    if "profile" in r:
        theta, LL = np.array(r["profile"]).T
        df = ours.residuals.notna().sum() - len(ours.fixed_effects)
        np.testing.assert_allclose(ours.theta_profile.theta, theta, rtol=1e-9)
        shift = df / 2 * np.log(np.pi / 3.14159)  # R computes with 3.14159 for π
        np.testing.assert_allclose(ours.theta_profile.LL + shift, LL, rtol=0, atol=1e-3)  # R stops early near a bound
        assert (ours.theta_profile.LL + shift >= LL - slack).all()
        assert ours.theta == pytest.approx(theta[LL.argmax()])


# --- the synthetic population: always -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plots():
    return pd.read_csv(REFERENCE / "synthetic/records.csv")


@pytest.fixture(scope="module")
def markers():
    return pd.read_csv(REFERENCE / "synthetic/genotypes.csv", index_col=0).astype(np.int8) - 1


def framed(K, lines):
    return pd.DataFrame(K, lines, lines)


@pytest.fixture(scope="module")
def A(markers):
    return framed(a_mat(markers.to_numpy()), markers.index)


@pytest.fixture(scope="module")
def D(markers):
    return framed(euclidean_distance(markers.to_numpy()), markers.index)


SYNTHETIC = reference("synthetic/rrblup_kin_blup.json")


def test_synthetic_additive_matches_r(plots, A):
    assert_matches_r(kin_blup(plots, "id", "y", K=A, fixed="rep", pev=True), SYNTHETIC["additive"])


def test_synthetic_gauss_matches_r(plots, D):
    grid = np.arange(1, 11) / 10
    ours = kin_blup(plots, "id", "y", gauss=True, K=D, fixed="rep", theta_grid=grid)
    assert_matches_r(ours, SYNTHETIC["gauss"], slack=2e-4)  # R adds 1e-6 to the diagonal of K on this route


# --- wheat: where the data can be had ------------------------------------------------------------------------------

WHEAT = reference("rrblup_kinblup_wheat.json")["cases"]


@pytest.fixture(scope="module")
def wheat_lines(wheat):
    X = wheat.markers("-1/1")
    lines = X.index.astype(str)
    return framed(a_mat(X.to_numpy()), lines), framed(euclidean_distance(X.to_numpy()), lines)


def wheat_call(case, wheat, A, D):
    "The table and arguments of each case in rrblup_kinblup_wheat.json (tests/reference/README.md)."
    i = np.arange(1, 600)
    y1, y2 = wheat.phenotype("env1").to_numpy(), wheat.phenotype("env2").to_numpy()
    if "missing" in case:
        y1 = np.where(wheat.covariates.fold == 2, np.nan, y1)
    table = pd.DataFrame({"line": A.index, "y": y1, "blk": i % 3 + 1, "cov": np.sin(i / 5)})
    call = {"K": A, "pev": "PEV" in case or case == "repeated_noK"}
    if case.startswith("gauss"):
        grid = np.array(WHEAT[case]["profile"])[:, 0] if "theta" in case else None
        call |= {"K": D, "gauss": True, "theta_grid": grid}
    if case.startswith("additive_fixed"):
        call |= {"fixed": "blk", "covariate": "cov" if "covariate" in case else None}
    if case.startswith("repeated"):
        one, two = (pd.DataFrame({"line": A.index, "y": v, "env": e}) for e, v in enumerate((y1, y2)))
        table = pd.concat([one, two[:400]], ignore_index=True)
        call |= {"fixed": "env", "K": None if "noK" in case else A}
    return table, call


@pytest.mark.parametrize("case", WHEAT)
def test_wheat_matches_r(case, wheat, wheat_lines):
    table, call = wheat_call(case, wheat, *wheat_lines)
    ours = kin_blup(table, "line", "y", **call)
    assert_matches_r(ours, WHEAT[case])
    if "PEV" in WHEAT[case]:
        assert ours.pev is not None


# --- against full matrices -----------------------------------------------------------------------------------------


def trial(seed, lines=12, most=4, spare=4):
    "A small unbalanced trial: table, kernel of all lines (some without records)."
    rng = np.random.default_rng(seed)
    ids = [f"L{j}" for j in range(lines + spare)]
    F = rng.normal(size=(lines + spare, 60))
    K = framed(F @ F.T / 60, ids)
    line = np.repeat(ids[:lines], rng.integers(1, most + 1, lines))
    table = pd.DataFrame({"line": line, "env": rng.choice(["a", "b", "c"], len(line)), "x": rng.normal(size=len(line))})
    table["w"] = rng.integers(1, 6, len(line)) / 2
    g = pd.Series(np.linalg.cholesky(K) @ rng.normal(size=len(ids)), ids)
    table["y"] = (
        10 + (table.env == "b") - 0.5 * table.x + g[line].to_numpy() + rng.normal(size=len(line)) / table.w**0.5
    )
    return table.sample(frac=1, random_state=seed), K


def dense(table, K, fit, fixed=True, weighted=False):
    "Generalised least squares with the covariance of all records, at the variances of a fit."
    X = fixed_design(table, "env", "x").to_numpy() if fixed else np.ones((len(table), 1))
    Z = (table.line.to_numpy()[:, None] == K.index.to_numpy()).astype(float)
    w, Kv, y = table.w.to_numpy() if weighted else np.ones(len(table)), K.to_numpy(), table.y.to_numpy()
    V = Z @ Kv @ Z.T * fit.Vg + np.diag(fit.Ve / w)
    Vi = np.linalg.inv(V)
    inverse = np.linalg.inv(X.T @ Vi @ X)
    beta = inverse @ X.T @ Vi @ y
    r, C = y - X @ beta, Kv @ Z.T * fit.Vg
    P = Vi - Vi @ X @ inverse @ X.T @ Vi
    logs = np.linalg.slogdet(V)[1] - np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(X.T @ X)[1]
    LL = -0.5 * (logs + r @ Vi @ r + (len(y) - X.shape[1]) * np.log(2 * np.pi))
    return {"beta": beta, "se": np.diag(inverse) ** 0.5, "g": C @ Vi @ r, "error": Kv * fit.Vg - C @ P @ C.T, "LL": LL}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_collapsed_records_are_the_model_of_all_records(seed, weighted):
    table, K = trial(seed)
    fit = kin_blup(table, "line", "y", K=K, fixed="env", covariate="x", pev=True, weights="w" if weighted else None)
    full = dense(table, K, fit, weighted=weighted)
    scale = np.ptp(table.y)
    np.testing.assert_allclose(fit.LL, full["LL"], rtol=1e-6)
    np.testing.assert_allclose(
        fit.fixed_effects, np.column_stack([full["beta"], full["se"]]), rtol=1e-5, atol=1e-8 * scale
    )
    np.testing.assert_allclose(fit.g, full["g"], rtol=1e-5, atol=1e-7 * scale)
    np.testing.assert_allclose(fit.pev, np.diag(full["error"]), rtol=1e-4, atol=1e-7 * scale**2)
    if fit.bound is None:
        one = np.isin(K.index, table.line) / table.line.nunique()
        contrast = np.eye(len(K)) - one
        explained = 1 - np.diag(contrast @ full["error"] @ contrast.T) / np.diag(contrast @ K @ contrast.T) / fit.Vg
        np.testing.assert_allclose(fit.reliability, explained, rtol=1e-4, atol=1e-6)


def test_residuals_and_predicted_values_add_up():
    table, K = trial(3)
    table.iloc[2, table.columns.get_loc("y")] = np.nan
    fit = kin_blup(table, "line", "y", K=K, fixed="env", covariate="x")
    seen = table.y.notna()
    part = fixed_design(table, "env", "x") @ fit.fixed_effects.estimate
    np.testing.assert_allclose(fit.residuals, table.y - part - fit.g[table.line].to_numpy(), rtol=1e-9)
    assert fit.residuals.index.equals(table.index) and fit.residuals.isna().sum() == 1
    np.testing.assert_allclose(fit.predicted, fit.g + part[seen].mean(), rtol=1e-12)
    assert fit.records.sum() == seen.sum() and (fit.records == 0).sum() == 4


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_one_record_per_line_is_mixed_solve(method):
    table, K = trial(8, lines=25, most=1)
    fit = kin_blup(table, "line", "y", K=K, pev=True, method=method)
    y = table.set_index("line").y.reindex(K.index)
    solved = mixed_solve(y, K=K, method=method, se=True)
    np.testing.assert_allclose([fit.Vg, fit.Ve, fit.LL], [solved.Vu, solved.Ve, solved.LL], rtol=1e-7)
    np.testing.assert_allclose(fit.g, solved.u, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fit.pev, solved.u_se**2, rtol=1e-6)


def test_means_with_weights_and_records_differ_by_the_within_line_part():
    "At any variances, LL(records) - LL(means) = within-line part + half the log of |X'X| of the two."
    table, K = trial(5)
    n = table.groupby("line").size()
    means = pd.DataFrame({"line": n.index, "w": n.to_numpy(), "y": table.groupby("line").y.mean().to_numpy()})
    within = ((table.y - table.groupby("line").y.transform("mean")) ** 2).sum()
    lost = len(table) - len(means)
    fit = kin_blup(table, "line", "y", K=K)
    for vg, ve in ((fit.Vg, fit.Ve), (0.3, 2.0), (4.0, 0.1)):
        at = fit._replace(Vg=vg, Ve=ve)
        a, b = dense(table, K, at, fixed=False), dense(means, K, at, fixed=False, weighted=True)
        part = -0.5 * (lost * np.log(2 * np.pi * ve) + within / ve + np.log(n).sum())
        np.testing.assert_allclose(a["LL"] - b["LL"], part + 0.5 * np.log(len(table) / len(means)), rtol=1e-9)
        np.testing.assert_allclose(a["g"], b["g"], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(np.diag(a["error"]), np.diag(b["error"]), rtol=1e-8)
    by_weight = kin_blup(means, "line", "y", K=K, weights="w", pev=True)
    full = dense(means, K, by_weight, fixed=False, weighted=True)
    np.testing.assert_allclose(by_weight.g, full["g"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(by_weight.LL, full["LL"], rtol=1e-8)


def test_without_a_kernel_lines_are_shrunk_one_by_one():
    table, _ = trial(4, lines=20)
    fit = kin_blup(table, "line", "y", pev=True)
    n, mean = table.groupby("line").y.size(), table.groupby("line").y.mean()
    by_hand = n / (n + fit.lambda_) * (mean - fit.fixed_effects.estimate["intercept"])
    np.testing.assert_allclose(fit.g[n.index], by_hand, rtol=1e-8)
    assert fit.g.index.tolist() == list(dict.fromkeys(table.line))
    identity = kin_blup(table, "line", "y", K=framed(np.eye(20), fit.g.index), pev=True)
    np.testing.assert_allclose(identity.pev, fit.pev, rtol=1e-6)


def test_heritability_of_a_mean_is_above_that_of_a_record(plots, A):
    h2 = kin_blup(plots, "id", "y", K=A).h2  # two records of each line
    np.testing.assert_allclose(h2["line mean"], 2 * h2["record"] / (1 + h2["record"]), rtol=1e-9)


# --- what must not matter ------------------------------------------------------------------------------------------


def test_order_of_records_and_lines_does_not_matter():
    table, K = trial(6)
    a = kin_blup(table, "line", "y", K=K, fixed="env", pev=True)
    order = K.sample(frac=1, random_state=0).index
    b = kin_blup(table.sample(frac=1, random_state=1), "line", "y", K=K.loc[order, order], fixed=["env"], pev=True)
    for x, y in ((a.g, b.g), (a.pev, b.pev), (a.reliability, b.reliability), (a.residuals, b.residuals)):
        np.testing.assert_allclose(y[x.index], x, rtol=1e-6, atol=1e-9)
    c = kin_blup(table, "line", "y", K=K.to_numpy(), ids=K.index, fixed="env")
    np.testing.assert_allclose(c.g, a.g, rtol=1e-9)


def test_a_constant_in_the_kernel_changes_neither_heritability_nor_reliability():
    table, K = trial(6)
    a, b = (kin_blup(table, "line", "y", K=K + c, pev=True) for c in (0.0, 5.0))
    np.testing.assert_allclose(b.h2, a.h2, rtol=1e-6)
    np.testing.assert_allclose(b.reliability, a.reliability, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(b.predicted - b.predicted.mean(), a.predicted - a.predicted.mean(), rtol=1e-6, atol=1e-8)


def test_reliability_of_a_centred_kernel_is_the_textbooks(plots, A):
    fit = kin_blup(plots, "id", "y", K=A, pev=True)
    np.testing.assert_allclose(fit.reliability, 1 - fit.pev / (np.diag(A) * fit.Vg), atol=0.005)


def test_scale_of_the_weights_is_the_scale_of_the_residual():
    table, K = trial(7)
    a = kin_blup(table, "line", "y", K=K, weights="w")
    b = kin_blup(table.assign(w=table.w * 3), "line", "y", K=K, weights="w")
    np.testing.assert_allclose([b.Vg, b.Ve / 3, b.LL], [a.Vg, a.Ve, a.LL], rtol=1e-6)
    same = kin_blup(table.assign(w=1), "line", "y", K=K, weights="w")
    np.testing.assert_allclose(same.LL, kin_blup(table, "line", "y", K=K).LL, rtol=1e-10)


def test_weight_zero_leaves_a_record_out():
    table, K = trial(7)
    w = np.ones(len(table))
    w[:5] = 0
    a = kin_blup(table.assign(w=w), "line", "y", K=K, weights="w")
    b = kin_blup(table.iloc[5:], "line", "y", K=K)
    np.testing.assert_allclose([a.Vg, a.LL], [b.Vg, b.LL], rtol=1e-9)
    np.testing.assert_allclose(a.g, b.g, rtol=1e-9)
    assert a.residuals.iloc[:5].isna().all() and a.records.equals(b.records)


# --- distances -----------------------------------------------------------------------------------------------------


def test_the_kernel_of_a_distance_is_the_kernel_itself(plots, D):
    for name, function in (("gaussian", gaussian_kernel), ("exponential", exponential_kernel)):
        a = kin_blup(plots, "id", "y", K=D, kernel=name, theta_grid=[0.4], pev=True)
        b = kin_blup(plots, "id", "y", K=framed(function(D.to_numpy(), 0.4), D.index), pev=True)
        np.testing.assert_allclose(a.g, b.g, rtol=1e-8)
        np.testing.assert_allclose(a.pev, b.pev, rtol=1e-6)
        assert a.theta == 0.4 and b.theta is None and len(a.theta_profile) == 1


def test_theta_is_refined_when_asked_for(plots, D):
    grid = kin_blup(plots, "id", "y", gauss=True, K=D, fixed="rep")
    refined = kin_blup(plots, "id", "y", gauss=True, K=D, fixed="rep", refine_theta=True)
    np.testing.assert_allclose(grid.theta_profile.theta, D.to_numpy().max() * np.arange(1, 11) / 10)
    assert refined.LL >= grid.LL and len(refined.theta_profile) > 10


def test_theta_on_the_end_of_the_grid_is_said(plots, D):
    with pytest.warns(UserWarning, match="θ = 0.9 is the smallest value of theta_grid"):
        fit = kin_blup(plots, "id", "y", gauss=True, K=D, fixed="rep", theta_grid=[0.9, 1.7])
    assert "smallest value" in repr(fit) and "smallest value of theta_grid, and the likelihood" in fit._repr_html_()


# --- degenerate cases ----------------------------------------------------------------------------------------------


def test_bounds_are_said():
    table, K = trial(9, lines=30)
    noise = table.y - table.groupby("line").y.transform("mean")
    noise = kin_blup(table.assign(y=noise), "line", "y", K=K, pev=True)
    assert noise.bound == "upper" and "h² = 0" in repr(noise) and noise.h2["record"] < 1e-6
    g = pd.Series(np.random.default_rng(0).multivariate_normal(np.zeros(len(K)), K), K.index)
    exact = kin_blup(table.assign(y=g[table.line].to_numpy()), "line", "y", K=K, pev=True)
    assert exact.bound == "lower" and "h² = 1" in exact._repr_html_() and exact.h2["record"] > 1 - 1e-6
    np.testing.assert_allclose(exact.predicted[table.line.unique()], g[table.line.unique()], atol=1e-4)
    assert np.isfinite(noise.pev).all() and np.isfinite(exact.pev).all()


def test_identical_lines_have_identical_values():
    table, K = trial(10)
    twins = K.copy()
    twins.loc["L1"], twins["L1"] = twins.loc["L0"], twins["L0"]
    twins.loc["L1", "L1"] = twins.loc["L0", "L0"]
    fit = kin_blup(table, "line", "y", K=twins, pev=True)
    np.testing.assert_allclose([fit.g["L1"], fit.pev["L1"]], [fit.g["L0"], fit.pev["L0"]], rtol=1e-7)


def test_kernel_of_rank_one():
    table, K = trial(11)
    a = np.random.default_rng(1).normal(size=len(K))
    fit = kin_blup(table, "line", "y", K=framed(np.outer(a, a), K.index), pev=True)
    np.testing.assert_allclose(fit.g, a * (fit.g.iloc[0] / a[0]), rtol=1e-6, atol=1e-9)
    assert np.isfinite(fit.LL) and np.isfinite(fit.pev).all()


def test_one_line_with_many_records_has_no_variance_between_lines():
    table = pd.DataFrame({"line": "a", "y": np.arange(6.0)})
    with pytest.raises(ValueError, match="same value once the fixed effects"):
        kin_blup(table, "line", "y", K=framed([[1.0]], ["a"]))


# --- what is refused -----------------------------------------------------------------------------------------------

TABLE, KERNEL = trial(1)
UNSEEN = KERNEL.copy()
UNSEEN.iloc[15, 15] = 0.0  # a line without records that covaries with others, but does not vary


@pytest.mark.parametrize(
    ("error", "message", "change", "call"),
    [
        (ValueError, r"no column \['height'\]", {}, {"pheno": "height"}),
        (TypeError, "must be a DataFrame", None, {}),
        (TypeError, "phenotype 'env' holds", {}, {"pheno": "env"}),
        (ValueError, "every value is missing", {"y": np.nan}, {}),
        (ValueError, "contains infinity", {"y": np.inf}, {}),
        (ValueError, "does not vary beyond", {"y": 3.0}, {}),
        (ValueError, "'line' is missing in", {"line": None}, {}),
        (ValueError, r"records are of 3 lines that K does not have", {}, {"K": KERNEL.iloc[3:, 3:]}),
        (ValueError, "K has no ids", {}, {"K": KERNEL.to_numpy()}),
        (ValueError, "lines of the same id", {}, {"K": KERNEL.to_numpy(), "ids": ["L0"] * 16}),
        (ValueError, "same ids in the same order", {}, {"K": KERNEL.iloc[::-1]}),
        (ValueError, "not symmetric", {}, {"K": KERNEL + np.triu(np.ones((16, 16)), 1)}),
        (ValueError, "not positive semidefinite", {}, {"K": KERNEL - 3}),
        (ValueError, "not positive semidefinite", {}, {"K": UNSEEN}),
        (ValueError, "needs distances as K", {}, {"gauss": True}),
        (ValueError, "needs distances as K", {}, {"gauss": True, "K": None}),
        (ValueError, "disagree", {}, {"gauss": True, "kernel": "exponential"}),
        (ValueError, "kernel='cubic'", {}, {"kernel": "cubic"}),
        (ValueError, "are for a kernel that has a θ", {}, {"theta_grid": [0.2, 0.4]}),
        (ValueError, "are for a kernel that has a θ", {}, {"refine_theta": True}),
        (ValueError, r"\['copy'\] are determined", {"copy": 2.0}, {"covariate": ["x", "copy"]}),
        (ValueError, r"\['env'\] have missing values", {"env": None}, {"fixed": "env"}),
        (TypeError, "covariate 'env' holds", {}, {"covariate": "env"}),
        (ValueError, "weights must be finite and not negative", {"w": -1.0}, {"weights": "w"}),
        (ValueError, "weights must be finite and not negative", {"w": np.nan}, {"weights": "w"}),
        (ValueError, "weights are zero", {"w": 0.0}, {"weights": "w"}),
        (ValueError, "method='reml'", {}, {"method": "reml"}),
    ],
)
def test_bad_input_has_its_own_message(error, message, change, call):
    data = TABLE.to_numpy() if change is None else TABLE.assign(**change)
    arguments = {"geno": "line", "pheno": "y", "K": KERNEL} | call
    with pytest.raises(error, match=message):
        kin_blup(data, **arguments)


def test_single_records_of_unrelated_lines_are_refused():
    with pytest.raises(ValueError, match="cannot be told apart"):
        kin_blup(TABLE.drop_duplicates("line"), "line", "y")


def test_too_few_records_for_the_fixed_effects():
    with pytest.raises(ValueError, match="too few|are determined"):
        kin_blup(TABLE.iloc[:4], "line", "y", K=KERNEL, fixed="env", covariate=["x", "w"])
