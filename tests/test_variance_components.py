"""Several variance components: against the spectral fit, against plain maximisation, invariances, bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2
from sklearn.exceptions import ConvergenceWarning

from gp_literate.kernels import a_mat, euclidean_distance, gaussian_kernel
from gp_literate.mixed_model import average_variance, mixed_solve
from gp_literate.variance_components import (
    BlockKernel,
    add_kernel,
    as_blocks,
    block_diagonal,
    block_kernel,
    em_step,
    fit_variance_components,
    inverse_and_logdet,
    kernel_product,
    kernel_scale,
    likelihood_ratio_test,
    moments,
    take_records,
    trace_product,
    triangular_inverse,
)


def dense(kernel):
    "A BlockKernel as a matrix."
    return add_kernel(np.zeros((kernel.n, kernel.n)), as_blocks(kernel))


def log_likelihood(variances, y, X, kernels, noise, reml=True):
    "The definition, term by term (notebook, equation of the likelihood)."
    V = sum(v * K for v, K in zip(variances, kernels, strict=False)) + variances[-1] * np.diag(noise)
    Vi = np.linalg.inv(V)
    XVX = X.T @ Vi @ X
    P = Vi - Vi @ X @ np.linalg.solve(XVX, X.T @ Vi)
    out = len(y) * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + y @ P @ y
    if reml:
        out += np.linalg.slogdet(XVX)[1] - np.linalg.slogdet(X.T @ X)[1] - X.shape[1] * np.log(2 * np.pi)
    return -out / 2


def maximum(y, X, kernels, noise, reml, starts=4):
    "Variances by scipy's general optimiser on the log scale, from several starts."
    rng = np.random.default_rng(0)
    target = lambda x: -log_likelihood(np.exp(x), y, X, kernels, noise, reml)
    tries = [
        minimize(
            target, rng.normal(size=len(kernels) + 1) - 1, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9}
        )
        for _ in range(starts)
    ]
    best = min(tries, key=lambda r: r.fun)
    return np.exp(best.x), -best.fun


@pytest.fixture(scope="module")
def case():
    "90 lines, three kernels that are not alike, two fixed effects, weights, phenotypes with all of them."
    rng = np.random.default_rng(11)
    G = rng.integers(-1, 2, (90, 60)).astype(np.int8)
    kernels = {
        "additive": a_mat(G),
        "gaussian": gaussian_kernel(euclidean_distance(rng.integers(-1, 2, (90, 8))), 0.5),
        "group": dense(block_kernel(np.arange(90) % 12)),
    }
    X = np.column_stack([np.ones(90), rng.normal(size=90)])
    w = rng.uniform(0.5, 4, 90)
    roots = [np.linalg.cholesky(K + 1e-8 * np.eye(90)) for K in kernels.values()]
    u = sum(s * L @ rng.normal(size=90) for s, L in zip((1.0, 0.8, 0.9), roots, strict=True))
    return X @ [5, 1] + u + rng.normal(size=90) / np.sqrt(w), X, kernels, w


# --- the pieces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 5, 64, 65, 200])
def test_triangular_inverse(n):
    rng = np.random.default_rng(n)
    L = np.tril(rng.normal(size=(n, n))) / n + np.eye(n)
    np.testing.assert_allclose(triangular_inverse(L, leaf=16) @ L, np.eye(n), atol=1e-10)


def test_inverse_and_logdet():
    W = np.random.default_rng(0).normal(size=(150, 300))
    inverse, logdet = inverse_and_logdet(W @ W.T)
    np.testing.assert_allclose(inverse, np.linalg.inv(W @ W.T), atol=1e-12)
    np.testing.assert_allclose(logdet, np.linalg.slogdet(W @ W.T)[1], rtol=1e-12)
    with pytest.raises(np.linalg.LinAlgError):
        inverse_and_logdet(-np.eye(3))


def test_block_kernels_do_what_the_matrix_does():
    rng = np.random.default_rng(2)
    W = rng.normal(size=(20, 20))
    K, groups, line = W @ W.T, rng.integers(0, 4, 35), rng.integers(0, 20, 35)
    kernel = block_kernel(groups, K, line)
    matrix = K[np.ix_(line, line)] * np.equal.outer(groups, groups)
    B, A, seen = rng.normal(size=(35, 3)), rng.normal(size=(35, 35)), rng.random(35) < 0.6
    for some in (kernel, as_blocks(matrix)):
        np.testing.assert_allclose(dense(some), matrix)
        np.testing.assert_allclose(kernel_product(some, B), matrix @ B, atol=1e-12)
        np.testing.assert_allclose(trace_product(some, A + A.T), np.trace(matrix @ (A + A.T)))
        np.testing.assert_allclose(dense(take_records(some, seen)), matrix[np.ix_(seen, seen)])
        np.testing.assert_allclose(block_diagonal(some), np.diag(matrix))
    assert sum(block.size for block in kernel.blocks) < matrix.size


@pytest.mark.parametrize("reml", [True, False])
def test_likelihood_and_gradient(case, reml):
    y, X, kernels, w = case
    Q, matrices = np.linalg.qr(X)[0], list(kernels.values())
    rest, at = y - Q @ (Q.T @ y), np.array([0.7, 1.3, 0.4, 0.9])
    evaluate = lambda v: moments(v, [as_blocks(K) for K in matrices], 1 / w, Q, rest, reml)
    found = evaluate(at)
    np.testing.assert_allclose(found.LL, log_likelihood(at, y, X, matrices, 1 / w, reml), rtol=1e-10)
    steps = 1e-5 * np.eye(4)
    np.testing.assert_allclose(
        found.gradient, [(evaluate(at + h).LL - evaluate(at - h).LL) / 2e-5 for h in steps], rtol=1e-5
    )
    V = sum(v * K for v, K in zip(at, matrices, strict=False)) + at[-1] * np.diag(1 / w)
    Vi = np.linalg.inv(V)
    P = Vi - Vi @ X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
    H = np.stack([K @ P @ y for K in [*matrices, np.diag(1 / w)]])
    np.testing.assert_allclose(found.information, H @ P @ H.T / 2, rtol=1e-8)


def test_average_information_is_the_average():
    "Observed and expected information of two kernels, by finite differences of the gradient and by traces."
    rng = np.random.default_rng(3)
    W = rng.normal(size=(40, 40))
    kernels, Q, y, at = [as_blocks(W @ W.T / 40)], np.full((40, 1), 40**-0.5), rng.normal(size=40), np.array([0.5, 0.8])
    y -= y.mean()
    found = moments(at, kernels, np.ones(40), Q, y)
    P = found.inverse - found.VQ @ np.linalg.solve(found.QVQ, found.VQ.T)
    H = [dense(kernels[0]), np.eye(40)]
    expected = np.array([[np.trace(P @ a @ P @ b) / 2 for a in H] for b in H])
    slopes = [moments(at + h, kernels, np.ones(40), Q, y).gradient for h in 1e-5 * np.eye(2)]
    back = [moments(at - h, kernels, np.ones(40), Q, y).gradient for h in 1e-5 * np.eye(2)]
    observed = -(np.array(slopes) - back) / 2e-5
    np.testing.assert_allclose(found.information, (expected + observed) / 2, rtol=1e-5)


# --- one kernel: the spectral fit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_kernel_is_mixed_solve(case, method, weighted):
    y, X, kernels, w = case
    y, weights = np.where(np.arange(90) % 7 == 0, np.nan, y), w if weighted else None
    known = mixed_solve(y, K=kernels["additive"], X=X, method=method, weights=weights, se=True)
    ours = fit_variance_components(y, {"k": kernels["additive"]}, X=X, weights=weights, method=method, pev=True)
    np.testing.assert_allclose(ours.variances, [known.Vu, known.Ve], rtol=1e-6)
    np.testing.assert_allclose(ours.LL, known.LL, rtol=1e-9)
    np.testing.assert_allclose(ours.beta, known.beta, rtol=1e-6)
    np.testing.assert_allclose(ours.beta_se, known.beta_se, rtol=1e-6)
    np.testing.assert_allclose(ours.u["k"], known.u, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(ours.pev["k"]), known.u_se, rtol=1e-6)
    np.testing.assert_allclose(ours.pev["k"], ours.pev["total"], rtol=1e-12)


def test_the_synthetic_population(synthetic):
    G, table = synthetic
    for y in (table.y1.to_numpy(), table.y1_missing.to_numpy()):
        known = mixed_solve(y, K=a_mat(G))
        ours = fit_variance_components(y, {"additive": a_mat(G)})
        np.testing.assert_allclose([*ours.variances, ours.LL], [known.Vu, known.Ve, known.LL], rtol=1e-6)


def test_repeated_records_with_a_design():
    rng = np.random.default_rng(5)
    line, W = np.arange(100) % 30, rng.normal(size=(32, 40))  # two lines have no record
    K, Z = W @ W.T / 40, np.eye(32)[line]
    y = (np.linalg.cholesky(K) @ rng.normal(size=32))[line] + rng.normal(size=100)
    known, ours = mixed_solve(y, Z=Z, K=K, se=True), fit_variance_components(y, {"line": K}, Z=Z, pev=True)
    np.testing.assert_allclose(ours.variances, [known.Vu, known.Ve], rtol=1e-6)
    np.testing.assert_allclose(ours.u["line"], known.u, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(ours.pev["line"]), known.u_se, rtol=1e-6)
    assert len(ours.u) == 32


@pytest.mark.parametrize("env", ["env1", "env2"])
def test_wheat_one_kernel(wheat, env):
    y, K = wheat.phenotype(env).to_numpy(), a_mat(wheat.markers("-1/1").to_numpy())
    known, ours = mixed_solve(y, K=K), fit_variance_components(y, {"additive": K})
    np.testing.assert_allclose([*ours.variances, ours.LL], [known.Vu, known.Ve, known.LL], rtol=1e-6)


# --- several kernels: general maximisation, known answers ------------------------------------------------------------


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("names", [("additive", "gaussian"), ("additive", "gaussian", "group")])
@pytest.mark.parametrize("weighted", [False, True])
def test_several_kernels_against_a_general_optimiser(case, method, names, weighted):
    y, X, kernels, w = case
    some, noise = {name: kernels[name] for name in names}, 1 / w if weighted else np.ones(90)
    ours = fit_variance_components(y, some, X=X, weights=w if weighted else None, method=method)
    variances, LL = maximum(y, X, list(some.values()), noise, method == "REML")
    assert ours.converged and ours.LL >= LL - 1e-7
    np.testing.assert_allclose(ours.LL, LL, rtol=1e-6)
    np.testing.assert_allclose(ours.variances, variances, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(
        ours.LL,
        log_likelihood(ours.variances.to_numpy(), y, X, list(some.values()), noise, method == "REML"),
        rtol=1e-9,
    )


def test_effects_and_errors_are_those_of_the_dense_formulas(case):
    y, X, kernels, w = case
    seen = np.arange(90) % 5 != 0
    ours = fit_variance_components(np.where(seen, y, np.nan), kernels, X=X, weights=w, pev=True)
    v = ours.variances.to_numpy()
    V = sum(a * K for a, K in zip(v, kernels.values(), strict=False))[np.ix_(seen, seen)] + v[-1] * np.diag(1 / w[seen])
    Vi, Xs = np.linalg.inv(V), X[seen]
    XVX = np.linalg.inv(Xs.T @ Vi @ Xs)
    P = Vi - Vi @ Xs @ XVX @ Xs.T @ Vi
    np.testing.assert_allclose(ours.beta, XVX @ Xs.T @ Vi @ y[seen], rtol=1e-9)
    np.testing.assert_allclose(ours.beta_se, np.sqrt(np.diag(XVX)), rtol=1e-9)
    total = 0
    for variance, (name, K) in zip(v, kernels.items(), strict=False):
        C = variance * K[:, seen]
        total = total + C
        np.testing.assert_allclose(ours.u[name], C @ P @ y[seen], atol=1e-9)
        np.testing.assert_allclose(ours.pev[name], np.diag(variance * K - C @ P @ C.T), rtol=1e-7, atol=1e-9)
    own = sum(a * np.diag(K) for a, K in zip(v, kernels.values(), strict=False))
    np.testing.assert_allclose(ours.pev["total"], own - np.einsum("ij,jk,ik->i", total, P, total), rtol=1e-7, atol=1e-9)


def test_proportions_and_standard_errors(case):
    "Delta method against the derivative of the proportions taken numerically, and the scale against its definition."
    y, X, kernels, _ = case
    ours = fit_variance_components(y, kernels, X=X)
    S = np.eye(90) - X @ np.linalg.solve(X.T @ X, X.T)
    matrices = [*kernels.values(), np.eye(90)]
    scales = np.array([np.trace(S @ K @ S) / 88 for K in matrices])
    share = lambda v: scales * v / (scales @ v)
    v = ours.variances.to_numpy()
    np.testing.assert_allclose(ours.proportions, share(v), rtol=1e-10)
    at = moments(v, [as_blocks(K) for K in kernels.values()], np.ones(90), ours.data.Q, ours.data.rest)
    covariance = np.linalg.inv(at.information)
    np.testing.assert_allclose(ours.se, np.sqrt(np.diag(covariance)), rtol=1e-5)
    J = np.array([(share(v + h) - share(v - h)) / 2e-6 for h in 1e-6 * np.eye(4)]).T
    np.testing.assert_allclose(ours.proportions_se, np.sqrt(np.diag(J @ covariance @ J.T)), rtol=1e-5)
    intercept = np.full((90, 1), 90**-0.5)
    np.testing.assert_allclose(kernel_scale(as_blocks(matrices[0]), intercept), average_variance(matrices[0]))


def test_standard_errors_are_of_the_right_size():
    "Spread of the estimates over repeated simulation, two kernels far from the bounds."
    rng = np.random.default_rng(6)
    group, other = np.arange(240) % 40, np.arange(240) // 6 % 24
    kernels = {"a": block_kernel(group), "b": block_kernel(other)}
    fits = []
    for _ in range(60):
        y = 1.2 * rng.normal(size=40)[group] + rng.normal(size=24)[other] + rng.normal(size=240)
        fits.append(fit_variance_components(y, kernels))
    spread = pd.DataFrame([f.variances for f in fits]).std()
    stated = pd.DataFrame([f.se for f in fits]).mean()
    assert ((stated / spread).between(0.75, 1.3)).all()


def test_balanced_data_give_the_anova_estimates():
    line, block = (v.ravel() for v in np.meshgrid(range(8), range(5), indexing="ij"))
    rng = np.random.default_rng(1)
    y = 3 * rng.normal(size=8)[line] + 2 * rng.normal(size=5)[block] + rng.normal(size=40)
    table = y.reshape(8, 5)
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    ms = 5 * table.mean(1).var(ddof=1), 8 * table.mean(0).var(ddof=1), (rest**2).sum() / 28
    ours = fit_variance_components(y, {"line": block_kernel(line), "block": block_kernel(block)})
    np.testing.assert_allclose(ours.variances, [(ms[0] - ms[2]) / 5, (ms[1] - ms[2]) / 8, ms[2]], rtol=1e-7)


def test_random_intercepts_as_statsmodels_has_them():
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(9)
    group = rng.integers(0, 25, 180)
    X = np.column_stack([np.ones(180), rng.normal(size=180)])
    y = X @ [2, 0.5] + rng.normal(size=25)[group] + rng.normal(size=180)
    for reml in (True, False):
        known = sm.MixedLM(y, X, groups=group).fit(reml=reml, gtol=1e-10)
        ours = fit_variance_components(y, {"group": block_kernel(group)}, X=X, method="REML" if reml else "ML")
        np.testing.assert_allclose(ours.variances, [float(known.cov_re[0, 0]), known.scale], rtol=1e-4)
        np.testing.assert_allclose(ours.beta, known.fe_params, rtol=1e-5)
        np.testing.assert_allclose(ours.beta_se, known.bse_fe, rtol=1e-3)
        if not reml:
            np.testing.assert_allclose(ours.LL, known.llf, rtol=1e-7)


# --- bounds, confounding, convergence --------------------------------------------------------------------------------


def test_a_variance_on_its_bound_is_zero_and_reported():
    "The block variance by hand is negative; at zero the analysis is the one without blocks."
    line, block = (v.ravel() for v in np.meshgrid(range(6), range(4), indexing="ij"))
    rng = np.random.default_rng(2)
    y = 3 * rng.normal(size=6)[line] + rng.normal(size=24)
    y -= 0.9 * pd.Series(y).groupby(block).transform("mean").to_numpy()
    both = fit_variance_components(y, {"line": block_kernel(line), "block": block_kernel(block)}, pev=True)
    without = fit_variance_components(y, {"line": block_kernel(line)})
    assert both.variances["block"] == 0 and both.bound == ("block",) and np.isnan(both.se["block"])
    assert (
        "'block' is on its bound" in both.notes[0] and (both.u["block"] == 0).all() and (both.pev["block"] == 0).all()
    )
    np.testing.assert_allclose(both.variances[["line", "residual"]], without.variances, rtol=1e-7)
    np.testing.assert_allclose(both.LL, without.LL, rtol=1e-10)
    at = moments(both.variances.to_numpy(), both.data.observed, both.data.noise, both.data.Q, both.data.rest)
    assert at.gradient[1] < 0


def test_a_climb_from_the_bound_comes_back():
    rng = np.random.default_rng(4)
    group, other = np.arange(120) % 15, np.arange(120) // 15
    y = rng.normal(size=15)[group] + rng.normal(size=8)[other] + rng.normal(size=120)
    kernels = {"a": block_kernel(group), "b": block_kernel(other)}
    free = fit_variance_components(y, kernels)
    for start in ({"a": 0, "b": 0, "residual": 1}, {"a": 100, "b": 0, "residual": 1e-3}, dict(free.variances)):
        again = fit_variance_components(y, kernels, start=start)
        np.testing.assert_allclose(again.variances, free.variances, rtol=1e-5)
    assert len(again.history) <= 4


def test_no_residual_variance_is_reported():
    rng = np.random.default_rng(8)
    W = rng.normal(size=(50, 50))
    y = np.linalg.cholesky(W @ W.T) @ rng.normal(size=50)
    ours = fit_variance_components(y, {"k": W @ W.T, "group": block_kernel(np.arange(50) % 5)})
    assert "residual" in ours.bound and "no residual variance" in " ".join(ours.notes)
    assert ours.proportions["residual"] < 1e-6


def test_noiseless_phenotypes_of_a_kernel_in_single_precision():
    "Rounding gives the kernel eigenvalues slightly below zero: steps to a singular V are shortened, not crashed on."
    rng = np.random.default_rng(13)
    W = rng.normal(size=(80, 20))
    K = np.round(W @ W.T / 20, 6)
    assert np.linalg.eigvalsh(K)[0] < 0
    ours = fit_variance_components(W @ rng.normal(size=20), {"k": K, "group": block_kernel(np.arange(80) % 8)})
    assert ours.converged and ours.proportions["k"] > 0.999 and (ours.variances >= 0).all()


def test_the_likelihood_never_falls_and_em_alone_arrives_too(case):
    y, X, kernels, _ = case
    guarded = fit_variance_components(y, kernels, X=X)
    with pytest.warns(ConvergenceWarning, match="no convergence in 400 steps"):
        em = fit_variance_components(y, kernels, X=X, em_steps=400, max_iter=400)
    for fit in (guarded, em):
        assert (np.diff(fit.history.LL) > -1e-8).all() and (fit.history.iloc[:, 2:] >= 0).all(axis=None)
    assert not em.converged and set(em.history.step[1:]) == {"EM"}
    np.testing.assert_allclose(em.LL, guarded.LL, atol=1e-2)
    assert len(guarded.history) < 20


def test_proportional_kernels_share_a_variance_and_say_so(case):
    y, X, kernels, _ = case
    one = fit_variance_components(y, {"k": kernels["additive"]}, X=X)
    two = fit_variance_components(y, {"k": kernels["additive"], "again": 3 * kernels["additive"]}, X=X)
    np.testing.assert_allclose(two.variances["k"] + 3 * two.variances["again"], one.variances["k"], rtol=1e-6)
    np.testing.assert_allclose(two.LL, one.LL, rtol=1e-9)
    assert np.isinf(two.se[["k", "again"]]).all() and any("only a combination" in note for note in two.notes)
    np.testing.assert_allclose(two.se["residual"], one.se["residual"], rtol=1e-4)


def test_identity_without_repeats_is_confounded_with_the_residual(case):
    y, _, kernels, _ = case
    fit = fit_variance_components(y, {"line": np.eye(90)})
    assert any("line, residual" in note for note in fit.notes) and np.isinf(fit.se).all()


# --- invariance ------------------------------------------------------------------------------------------------------


def test_scale_order_and_units_do_not_matter(case):
    y, X, kernels, w = case
    base = fit_variance_components(y, kernels, X=X, weights=w)
    scaled = fit_variance_components(y, {k: 1e6 * K for k, K in kernels.items()}, X=X, weights=w)
    np.testing.assert_allclose(scaled.variances * [1e6, 1e6, 1e6, 1], base.variances, rtol=1e-7)
    np.testing.assert_allclose(scaled.LL, base.LL, rtol=1e-10)
    turned = fit_variance_components(y, dict(reversed(kernels.items())), X=X, weights=w)
    np.testing.assert_allclose(turned.variances[base.variances.index], base.variances, rtol=1e-7)
    units = fit_variance_components(1e6 + 1e-3 * y, kernels, X=X, weights=10 * w)
    np.testing.assert_allclose(units.variances * [1e6, 1e6, 1e6, 1e5], base.variances, rtol=1e-5)
    np.testing.assert_allclose(units.proportions, base.proportions, rtol=1e-5)
    order = np.random.default_rng(0).permutation(90)
    moved = {k: K[np.ix_(order, order)] for k, K in kernels.items()}
    np.testing.assert_allclose(
        fit_variance_components(y[order], moved, X=X[order], weights=w[order]).variances, base.variances, rtol=1e-7
    )


def test_integer_weights_are_means_of_repeats():
    "With the variances known, weights of means give the BLUPs of the single records."
    rng = np.random.default_rng(12)
    K = a_mat(rng.integers(-1, 2, (25, 40)))
    repeats = rng.integers(1, 5, 25)
    line = np.repeat(np.arange(25), repeats)
    y = (np.linalg.cholesky(K + 1e-6 * np.eye(25)) @ rng.normal(size=25))[line] + rng.normal(size=len(line))
    single = fit_variance_components(y, {"line": K}, Z=np.eye(25)[line])
    means = pd.Series(y).groupby(line).mean().to_numpy()
    with pytest.warns(ConvergenceWarning):
        weighed = fit_variance_components(means, {"line": K}, weights=repeats, start=single.variances, max_iter=0)
    np.testing.assert_allclose(weighed.u["line"], single.u["line"], rtol=1e-7, atol=1e-10)


def test_weight_zero_is_not_observed(case):
    y, _, kernels, w = case
    out = np.arange(90) % 4 == 0
    a = fit_variance_components(y, kernels, weights=np.where(out, 0, w))
    b = fit_variance_components(np.where(out, np.nan, y), kernels, weights=w)
    pd.testing.assert_series_equal(a.variances, b.variances)
    pd.testing.assert_frame_equal(a.u, b.u)


def test_ids_are_matched_and_come_back(case):
    y, X, kernels, w = case
    ids = pd.Index([f"line{i}" for i in range(90)])
    shuffled = ids[np.random.default_rng(1).permutation(90)]
    tables = {k: pd.DataFrame(K, ids, ids).loc[shuffled, shuffled] for k, K in kernels.items()}
    named = fit_variance_components(
        pd.Series(y, ids),
        tables,
        X=pd.DataFrame(X, ids, ["mean", "x"]).loc[shuffled],
        weights=pd.Series(w, ids)[shuffled],
        pev=True,
    )
    plain = fit_variance_components(y, kernels, X=X, weights=w, pev=True)
    np.testing.assert_allclose(named.variances, plain.variances, rtol=1e-9)
    assert named.beta.index.tolist() == ["mean", "x"] and named.u.index.equals(ids) and named.pev.index.equals(ids)
    np.testing.assert_allclose(named.u, plain.u, atol=1e-9)
    assert named.u.columns.tolist() == list(kernels) and named.pev.columns.tolist() == [*kernels, "total"]


def test_no_kernel_is_least_squares(case):
    y, X, _, w = case
    fit = fit_variance_components(y, {}, X=X, weights=w)
    beta = np.linalg.lstsq(X * np.sqrt(w)[:, None], y * np.sqrt(w))[0]
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-9)
    np.testing.assert_allclose(fit.variances["residual"], (w * (y - X @ beta) ** 2).sum() / 88, rtol=1e-7)


# --- likelihood-ratio test -------------------------------------------------------------------------------------------


def test_lrt_of_noise_has_its_distribution():
    rng = np.random.default_rng(7)
    K = a_mat(rng.integers(-1, 2, (60, 200)))
    null = []
    for y in rng.normal(size=(250, 60)):
        null.append(likelihood_ratio_test(fit_variance_components(y, {"k": K}), fit_variance_components(y, {})))
    p = np.array([t.p_value for t in null])
    zero = np.mean([t.statistic < 1e-8 for t in null])
    assert 0.42 < zero < 0.68 and 0.015 < (p < 0.05).mean() < 0.09 and 0.05 < (p < 0.1).mean() < 0.15
    assert null[0].reference == "½ χ²(0) + ½ χ²(1)" and (p[np.array([t.statistic == 0 for t in null])] == 1).all()


def test_lrt_by_hand(case):
    y, X, kernels, _ = case
    full = fit_variance_components(y, kernels, X=X)
    one = fit_variance_components(y, {"additive": kernels["additive"]}, X=X)
    test = likelihood_ratio_test(full, one)
    assert test.variances == ("gaussian", "group") and "upper bound" in test.reference
    np.testing.assert_allclose(test.statistic, 2 * (full.LL - one.LL))
    np.testing.assert_allclose(test.p_value, (chi2.sf(test.statistic, 1) + chi2.sf(test.statistic, 2)) / 2)
    ml = [fit_variance_components(y, {"additive": kernels["additive"]}, X=x, method="ML") for x in (X, X[:, :1])]
    fixed = likelihood_ratio_test(*ml)
    np.testing.assert_allclose(fixed.p_value, chi2.sf(2 * (ml[0].LL - ml[1].LL), 1))
    assert fixed.fixed_effects == 1


def test_lrt_refuses_what_cannot_be_compared(case):
    y, X, kernels, w = case
    a = {"additive": kernels["additive"]}
    full = fit_variance_components(y, kernels, X=X)
    for message, full_, reduced in [
        ("different fixed effects", full, fit_variance_components(y, a)),
        ("not nested", full, fit_variance_components(y, a, X=np.column_stack([np.ones(90), np.arange(90)]))),
        ("different records", full, fit_variance_components(y + 1e-3, a, X=X)),
        ("different records", full, fit_variance_components(np.r_[np.nan, y[1:]], a, X=X)),
        ("different records or weights", full, fit_variance_components(y, a, X=X, weights=w)),
        ("different methods", full, fit_variance_components(y, a, X=X, method="ML")),
        ("give the larger model first", fit_variance_components(y, a, X=X), full),
        ("nothing to test", full, full),
        ("not the same matrix", full, fit_variance_components(y, {"additive": kernels["gaussian"]}, X=X)),
        ("lower log-likelihood", full._replace(LL=-1e4), fit_variance_components(y, a, X=X)),
    ]:
        with pytest.raises(ValueError, match=message):
            likelihood_ratio_test(full_, reduced)


def test_an_em_step_divided_by_more_than_the_effects_still_climbs():
    rng = np.random.default_rng(5)
    Z, y = np.eye(6)[rng.integers(0, 6, 30)], rng.normal(size=30)
    Q = np.full((30, 1), 30**-0.5)
    at = lambda v: moments(v, [as_blocks(Z @ Z.T)], np.ones(30), Q, y - y.mean())
    for start in rng.uniform(0.05, 3, (20, 2)):
        for sizes in ([6, 30], [30, 30]):
            better = start + em_step(start, at(start), np.array(sizes))
            assert (better > 0).all() and at(better).LL >= at(start).LL


# --- what is refused -------------------------------------------------------------------------------------------------

I5, Y5 = np.eye(5) + 0.2, np.array([1.0, 2, 0, 4, 3])


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("kernel 'k': K is not positive semidefinite", {"kernels": {"k": I5 - 0.9}}),
        ("kernel 'k': K is not symmetric", {"kernels": {"k": I5 + np.arange(5)}}),
        ("kernel 'k': K must have 5 rows", {"kernels": {"k": np.eye(4)}}),
        ("kernel 'k': K contains NaN", {"kernels": {"k": np.where(I5 > 1, np.nan, I5)}}),
        ("kernel 'b': a BlockKernel of 4 records was given for 5", {"kernels": {"b": block_kernel([0, 0, 1, 1])}}),
        ("kernel 'b': K is not positive", {"kernels": {"b": BlockKernel(5, (np.arange(2),), (1 - 2 * np.eye(2),))}}),
        ("'residual'", {"kernels": {"residual": I5}}),
        ("every value is NaN", {"y": np.full(5, np.nan)}),
        ("y does not vary", {"y": np.ones(5)}),
        ("need at least", {"y": np.r_[1.0, 2, np.nan, np.nan, np.nan]}),
        ("does not vary beyond the fixed effects", {"kernels": {"k": np.ones((5, 5))}}),
        ("weights must be finite and not negative", {"weights": [1, 1, -1, 1, 1]}),
        ("weights must hold one number", {"weights": [1.0, 2.0]}),
        ("rank 1", {"X": np.ones((5, 2))}),
        ("method='reml'", {"method": "reml"}),
        ("start must give a variance", {"start": {"k": 1.0}}),
    ],
)
def test_bad_input_is_named(message, arguments):
    with pytest.raises(ValueError, match=message):
        fit_variance_components(**({"y": Y5, "kernels": {"k": I5}} | arguments))


def test_kernels_must_be_named_and_ids_must_match():
    with pytest.raises(TypeError, match="dict of name"):
        fit_variance_components(Y5, [I5])
    K = pd.DataFrame(I5, list("abcde"), list("abcde"))
    with pytest.raises(ValueError, match="kernel 'k': y and K have different ids"):
        fit_variance_components(pd.Series(Y5, list("abcdf")), {"k": K})
    with pytest.raises(ValueError, match="group of record 1 is missing"):
        block_kernel(["a", None, "b"])
