"""gwas against R's rrBLUP, statsmodels and dense algebra, and under changes that must not matter."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gp_literate.association import single_trait
from gp_literate.datasets import DataUnavailableError, fetch_maize
from gp_literate.genotypes import Population
from gp_literate.gwas import (
    GWAS,
    column_space,
    genome_position,
    gwas,
    manhattan_plot,
    marker_kernel,
    marker_source,
    significance,
)
from gp_literate.kernels import a_mat
from gp_literate.kin_blup import design_columns
from gp_literate.mixed_model import mixed_solve, one_thread

matplotlib.use("Agg")


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread():
    "The matrices are small: threads would only wait for each other."
    with one_thread():
        yield


# --- small data with known structure -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lines(synthetic):
    "The synthetic population as tables: markers -1/0/1 with ids, phenotypes with a factor and a covariate."
    G, table = synthetic
    names = [f"id{i + 1}" for i in range(len(G))]
    geno = pd.DataFrame(G, names, [f"m{j + 1}" for j in range(G.shape[1])])
    pheno = table[["y1", "y2"]].set_axis(names).assign(block=np.arange(len(G)) % 4, height=np.sin(np.arange(len(G))))
    return geno, pheno


def some_missing(geno, share=0.08, seed=0):
    "The same with calls missing at random."
    return geno.mask(np.random.default_rng(seed).random(geno.shape) < share)


def gls_test(y, W, H):
    "(effect, se, p) of the last column of W by generalised least squares with covariance H, densely."
    inverse = np.linalg.inv(H)
    covariance = np.linalg.inv(W.T @ inverse @ W)
    b = covariance @ W.T @ inverse @ y
    e, df = y - W @ b, len(y) - W.shape[1]
    se = np.sqrt(e @ inverse @ e / df * covariance[-1, -1])
    return b[-1], se, 2 * stats.t.sf(abs(b[-1] / se), df)


def columns(pheno):
    "Mean, factor, covariate, written out."
    dummies = pd.get_dummies(pheno.block.astype("category"), dtype=float).iloc[:, 1:]
    return np.column_stack([np.ones(len(pheno)), dummies, pheno.height])


OPTIONS = {"traits": "y1", "fixed": "block", "covariate": "height"}


def assert_tests(row, expected):
    np.testing.assert_allclose(row[["effect", "se", "p"]].astype(float), expected, rtol=1e-6)


@pytest.mark.parametrize("missing", [False, True])
def test_least_squares_is_statsmodels(lines, missing):
    geno, pheno = lines
    geno = some_missing(geno) if missing else geno
    table = gwas(pheno, geno, method="least squares", **OPTIONS).table.set_index("marker")
    for marker in table.index[::25]:
        g = geno[marker].to_numpy(float)
        ok = ~np.isnan(g)
        ols = sm.OLS(pheno.y1.to_numpy()[ok], np.column_stack([columns(pheno), g])[ok]).fit()
        assert_tests(table.loc[marker], (ols.params[-1], ols.bse[-1], ols.pvalues[-1]))


@pytest.mark.parametrize("missing", [False, True])
def test_p3d_is_dense_gls(lines, missing):
    "Dropping the lines without a call is exact: their part of H, inverted."
    geno, pheno = lines
    K, y, X = a_mat(geno.to_numpy()), pheno.y1.to_numpy(), columns(pheno)
    geno = some_missing(geno) if missing else geno
    fit = mixed_solve(y, K=K, X=X)
    result = gwas(pheno, geno, K=pd.DataFrame(K, geno.index, geno.index), **OPTIONS)
    np.testing.assert_allclose(result.traits.loc["y1", ["Vu", "Ve"]].astype(float), [fit.Vu, fit.Ve], rtol=1e-6)
    table, H = result.table.set_index("marker"), K + fit.lambda_ * np.eye(len(y))
    for marker in table.index[::25]:
        g = geno[marker].to_numpy(float)
        ok = ~np.isnan(g)
        W = np.column_stack([X, g])[ok]
        assert_tests(table.loc[marker], gls_test(y[ok], W, H[np.ix_(ok, ok)]))


@pytest.mark.parametrize("missing", [False, True])
def test_exact_is_mixed_solve(lines, missing):
    geno, pheno = lines
    K, y, X = a_mat(geno.to_numpy()), pheno.y1.to_numpy(), columns(pheno)
    geno = some_missing(geno) if missing else geno
    table = gwas(pheno, geno, K=pd.DataFrame(K, geno.index, geno.index), p3d=False, **OPTIONS).table
    for row in table.iloc[::25].itertuples():
        g = geno[row.marker].to_numpy(float)
        ok = ~np.isnan(g)
        fit = mixed_solve(y[ok], K=K[np.ix_(ok, ok)], X=np.column_stack([X, g])[ok], se=True)
        np.testing.assert_allclose(row.lambda_, fit.lambda_, rtol=1e-4)
        np.testing.assert_allclose([row.effect, row.se], [fit.beta[-1], fit.beta_se[-1]], rtol=1e-4)


@pytest.mark.parametrize("p3d", [True, False])
@pytest.mark.parametrize("missing", [False, True])
def test_repeated_records(lines, p3d, missing):
    "Lines with one to three records, a trial effect: against the same model written out record by record."
    geno, pheno = lines
    rng = np.random.default_rng(4)
    line = np.sort(np.concatenate([np.arange(80), rng.integers(0, 80, 60)]))
    trial = rng.integers(0, 2, len(line))
    y = pheno.y1.to_numpy()[line] + trial + rng.normal(0, 0.5, len(line))
    records = pd.DataFrame({"plant": geno.index[line], "trial": trial, "y": y}).sample(frac=1, random_state=1)
    K, calls = a_mat(geno.to_numpy()), (some_missing(geno) if missing else geno)
    given_k = pd.DataFrame(K, geno.index, geno.index)
    result = gwas(records, calls, fixed="trial", line="plant", K=given_k, p3d=p3d)
    assert result.traits.loc["y", ["records", "lines"]].tolist() == [140, 80]
    at = geno.index.get_indexer(records.plant)
    y, KZ, X = records.y.to_numpy(), K[np.ix_(at, at)], np.column_stack([np.ones(140), records.trial])
    null = mixed_solve(y, K=K, Z=np.eye(80)[at], X=X).lambda_
    for row in result.table.iloc[::40].itertuples():
        g = calls[row.marker].to_numpy(float)[at]
        ok = ~np.isnan(g)
        W, part = np.column_stack([X, g])[ok], np.ix_(ok, ok)
        lam = null if p3d else mixed_solve(y[ok], K=KZ[part], X=W).lambda_
        found = gls_test(y[ok], W, KZ[part] + lam * np.eye(ok.sum()))
        np.testing.assert_allclose([row.effect, row.se, row.p], found, rtol=1e-4)


# --- R ----------------------------------------------------------------------------------------------------------------

R = reference("rrblup_gwas_maize.json")


@pytest.fixture(scope="module")
def maize():
    "What the stored calls of rrBLUP's GWAS got: pheno, geno (300 markers), the same with missing calls, K."
    try:
        pop = fetch_maize()
    except DataUnavailableError as error:
        pytest.skip(f"maize data cannot be had: {str(error)[:120]}")
    ids, at = pop.sample_id, np.array(R["columns_1based"]) - 1
    i, j = np.meshgrid(np.arange(1, len(ids) + 1), np.arange(1, len(at) + 1), indexing="ij")
    geno = pd.DataFrame(pop.dosage[:, at] - 1, ids, pop.variant_id[at])
    pheno = pd.DataFrame({"EarHT": pop.phenotype("EarHT"), "grp": np.arange(1, len(ids) + 1) % 3 + 1}, ids)
    K = pd.DataFrame(a_mat(pop.dosage - 1), ids, ids)
    return pheno, geno, geno.mask((31 * i + 17 * j) % 53 == 0), K


@pytest.mark.parametrize("case", R["cases"])
def test_scores_of_rrblup(maize, case):
    "Every stored score to 1e-3; the markers that R gave a score of zero are the ones left out."
    pheno, geno, holes, K = maize
    options = {
        "K_P3D": {},
        "K_P3D_minMAF0.2": {"min_maf": 0.2},
        "K_PC3_P3D": {"n_pc": 3},
        "K_fixed_P3D": {"fixed": "grp"},
        "K_P3D_missing": {"geno": holes, "missing": "rrBLUP"},
        "noK_P3D": {"K": None},
        "K_exact_first40": {"geno": geno.iloc[:, :40], "p3d": False},
    }[case]
    found = gwas(pheno, **({"geno": geno, "K": K, "traits": "EarHT"} | options)).table.set_index("marker").score
    expected = pd.Series(R["cases"][case], geno.columns[: len(R["cases"][case])])
    expected = expected[expected != 0]
    assert found.index.equals(expected.index)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_dropping_differs_from_rrblup_with_missing_calls(maize):
    "R cuts records out of H⁻¹; dropping them from H moves some scores, and most of them little."
    pheno, geno, holes, K = maize
    difference = gwas(pheno, holes, K=K, traits="EarHT").table.set_index("marker").score
    expected = pd.Series(R["cases"]["K_P3D_missing"], geno.columns)[difference.index]
    gap = (difference - expected).abs()
    assert gap.max() < 0.3 and gap.median() < 0.05


# --- changes that must not matter -------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100), p3d=st.booleans())
def test_order_coding_and_scale(seed, scale, shift, p3d):
    rng = np.random.default_rng(seed)
    names = [f"a{i}" for i in range(40)]
    X = pd.DataFrame(rng.integers(0, 3, (40, 30)).astype(np.int8), names, [f"m{j}" for j in range(30)])
    y = pd.Series(X.iloc[:, 0] + rng.normal(size=40), names, name="y")
    K = pd.DataFrame(a_mat(X.to_numpy() - 1), names, names)
    plain = gwas(y, X, K=K, coding="0/1/2", p3d=p3d).table.set_index("marker")
    turned, mixed = rng.permutation(30), rng.permutation(40)
    other = gwas((y * scale + shift).iloc[mixed], X.iloc[rng.permutation(40), turned] - 1, K=K, p3d=p3d)
    other = other.table.set_index("marker").loc[plain.index]
    np.testing.assert_allclose(other.score, plain.score, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(other.effect / scale, plain.effect, rtol=1e-3, atol=1e-4)
    flipped = gwas(y, 2 - X, K=K, coding="0/1/2", p3d=p3d).table.set_index("marker")
    np.testing.assert_allclose(flipped.effect, -plain.effect, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(flipped.maf, plain.maf)


@pytest.mark.parametrize("options", [{}, {"p3d": False}, {"method": "least squares"}, {"missing": "mean"}])
def test_jobs_and_blocks_give_the_same(lines, options, monkeypatch):
    geno, pheno = lines
    geno = some_missing(geno)
    one = gwas(pheno, geno, fixed="block", **options)
    monkeypatch.setattr("gp_literate.gwas.block_size", lambda n: 37)
    for n_jobs in (1, 2):
        two = gwas(pheno, geno, fixed="block", n_jobs=n_jobs, **options)
        assert one.table.marker.equals(two.table.marker) and one.table.trait.equals(two.table.trait)
        np.testing.assert_allclose(one.table.score, two.table.score, atol=1e-7)
        pd.testing.assert_frame_equal(one.traits, two.traits)


def test_population_and_table_agree(lines, tmp_path):
    "A Population in memory and on disk, and a DataFrame with a map; missing calls in each."
    geno, pheno = lines
    holes = some_missing(geno)
    place = pd.DataFrame({"chrom": np.repeat(["1", "2", "3"], 100), "pos": np.tile(np.arange(100), 3)}, geno.columns)
    pop = Population.from_array(holes, coding="-1/0/1", contig=place.chrom.to_numpy(), position=place.pos.to_numpy())
    a, b = gwas(pheno[["y1"]], pop).table, gwas(pheno[["y1"]], holes, marker_map=place).table
    stored = gwas(pheno[["y1"]], pop.memory_map(tmp_path / "calls.npy")).table
    columns = ["marker", "chromosome", "position", "trait", "maf", "effect", "se", "p", "score", "r2"]
    pd.testing.assert_frame_equal(a[columns], b[columns], check_dtype=False)
    pd.testing.assert_frame_equal(a, stored)
    np.testing.assert_allclose(marker_kernel(marker_source(geno)), a_mat(geno.to_numpy()), atol=1e-12)
    np.testing.assert_allclose(marker_kernel(marker_source(holes)), a_mat(holes.to_numpy()), atol=1e-10)


def test_traits_together_or_alone(lines):
    "Several traits at once, one with fewer records, are what each is alone."
    geno, pheno = lines
    pheno = pheno.assign(y3=pheno.y2.where(np.arange(80) % 5 > 0))
    together = gwas(pheno, geno, covariate="height", fixed="block")
    assert together.table.trait.unique().tolist() == ["y1", "y2", "y3"]
    assert together.traits.records.tolist() == [80, 80, 64]
    K = pd.DataFrame(a_mat(geno.to_numpy()), geno.index, geno.index)
    for trait in ("y1", "y3"):
        alone = gwas(pheno, geno, K=K, traits=trait, covariate="height", fixed="block").table
        both = single_trait(together.table, trait)
        np.testing.assert_allclose(alone.score, both.score, atol=1e-6)


def test_effect_of_a_two_code_coding(lines):
    "The effect is that of one unit of the code."
    geno, pheno = lines
    inbred = pd.DataFrame(np.where(geno > 0, 1, -1), geno.index, geno.columns)
    a = gwas(pheno.y1, inbred, coding="-1/1").table
    b = gwas(pheno.y1, (inbred + 1) // 2, coding="0/1").table
    np.testing.assert_allclose(a.effect * 2, b.effect)
    np.testing.assert_allclose(a.score, b.score, atol=1e-8)


def test_fractional_dosages(lines):
    geno, pheno = lines
    half = geno.astype(float).mask(np.random.default_rng(2).random(geno.shape) < 0.1, 0.25)
    table = gwas(pheno.y1, half, method="least squares").table
    g = half[table.marker[3]].to_numpy()
    ols = sm.OLS(pheno.y1.to_numpy(), np.column_stack([np.ones(80), g])).fit()
    assert_tests(table.iloc[3], (ols.params[1], ols.bse[1], ols.pvalues[1]))


# --- cases at the edge ------------------------------------------------------------------------------------------------


def test_markers_that_cannot_be_tested(lines):
    "Constant and rare markers are left out and counted; a marker equal to a fixed effect is NaN with a reason."
    geno, pheno = lines
    geno = geno.iloc[:, :20].copy()
    geno["constant"], geno["rare"], geno["factor"] = 1, -1, np.where(pheno.block == 2, 1, -1)
    geno.loc["id1", "rare"] = 0
    for options in ({}, {"p3d": False}, {"method": "least squares"}):
        result = gwas(pheno, geno, traits="y1", fixed="block", **options)
        table = result.table.set_index("marker")
        assert not {"constant", "rare"} & set(table.index)
        assert np.isnan(table.p["factor"]) and table.note["factor"] == "combination of the fixed effects"
        row = result.traits.loc["y1"]
        assert row.collinear == 1 and row.monomorphic >= 1 and row.low_maf >= 1
        assert row.tested + row.collinear + row.monomorphic + row.low_maf == 23
        assert (significance(result.table).tested == row.tested).all()


def test_redundant_fixed_effects(lines):
    "A factor nested in another, a constant covariate: the space counts, not the columns."
    geno, pheno = lines
    more = pheno.assign(coarse=pheno.block // 2, one=3.0)
    plain = gwas(pheno, geno, traits="y1", fixed="block")
    extra = gwas(more, geno, traits="y1", fixed=["block", "coarse"], covariate="one")
    assert plain.traits.df.equals(extra.traits.df)
    np.testing.assert_allclose(plain.table.score, extra.table.score, atol=1e-7)


def test_column_space_is_kin_blups_design(lines):
    "The same columns as `kin_blup` takes, whatever stands among them twice."
    _, pheno = lines
    X = design_columns(pheno, "block", "height").to_numpy()
    np.testing.assert_allclose(np.linalg.lstsq(columns(pheno), X, rcond=None)[1], 0, atol=1e-12)
    for Q in (column_space(X), column_space(np.hstack([X, X[:, :2] * 1e6, 0 * X[:, :1]]))):
        assert Q.shape == (80, 5)
        np.testing.assert_allclose(Q @ (Q.T @ X), X, atol=1e-10)


def test_perfect_marker(lines):
    "A phenotype that is a marker: the score is huge, not an error."
    geno, _ = lines
    y = geno["m5"].astype(float).rename("y")
    for options in ({}, {"p3d": False}, {"method": "least squares"}):
        table = gwas(y, geno, min_maf=0.01, **options).table.set_index("marker")
        assert table.score["m5"] > 100 and table.score["m5"] == table.score.max()
        np.testing.assert_allclose(table.effect["m5"], 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g, p: (p.y1.rename({"id2": "other"}), g, {}), "not in geno.*other"),
        (lambda g, p: (p.y1 * 0 + 2, g, {}), "does not vary"),
        (lambda g, p: (p.y1 * 0 + 2, g, {"method": "least squares"}), "does not vary"),
        (lambda g, p: (p.y1 * np.nan, g, {}), "every value is missing"),
        (lambda g, p: (p.y1[:1], g, {}), "too few"),
        (lambda g, p: (p.y1[:1], g, {"method": "least squares"}), "too few"),
        (lambda g, p: (p, g, {"fixed": "nothing"}), "pheno has no column"),
        (lambda g, p: (p[["block"]], g, {"fixed": "block"}), "no trait"),
        (lambda g, p: (p.assign(block=p.block.where(p.block > 0)), g, {"fixed": "block"}), "'block'. have missing"),
        (lambda g, p: (p.y1, g + 1, {}), "outside the coding"),
        (lambda g, p: (p.y1, g, {"K": np.eye(3)}), "must have 80"),
        (lambda g, p: (p.y1, g, {"K": pd.DataFrame(np.eye(79), g.index[1:], g.index[1:])}), "not in K.*id1"),
        (lambda g, p: (p.y1, g, {"method": "bayes"}), "not known"),
        (lambda g, p: (p.y1, g, {"missing": "zero"}), "not known"),
        (lambda g, p: (p.y1, g, {"min_maf": 0.5}), "min_maf"),
        (lambda g, p: (p.y1, g, {"min_maf": 0.49999}), "no marker"),
        (lambda g, p: (p.y1, g, {"n_pc": 80}), "n_pc"),
        (lambda g, p: (p.y1, g * 0, {}), "no marker varies"),
        (lambda g, p: (p.y1, g, {"marker_map": pd.DataFrame({"chrom": [1]}, ["m1"])}), "marker_map"),
        (lambda g, p: (p.y1, pd.concat([g, g.iloc[:1]]), {}), "more than one row"),
        (lambda g, p: (p.y1.replace(p.y1.iloc[0], np.inf), g, {}), "infinity"),
    ],
)
def test_errors_at_the_door(lines, change, message):
    geno, pheno = lines
    pheno, geno, options = change(geno.iloc[:, :60], pheno)
    with pytest.raises(ValueError, match=message):
        gwas(pheno, geno, **options)


def test_wrong_types(lines):
    geno, pheno = lines
    with pytest.raises(TypeError, match="Population or a DataFrame"):
        gwas(pheno.y1, geno.to_numpy())
    with pytest.raises(TypeError, match="pheno must be a DataFrame"):
        gwas(pheno.y1.to_numpy(), geno)


def test_no_genetic_and_no_residual_variance(lines):
    "λ at either end of its range is an answer, and is said."
    geno, _ = lines
    K = pd.DataFrame(a_mat(geno.to_numpy()), geno.index, geno.index)
    values, vectors = np.linalg.eigh(K.to_numpy())
    g = pd.Series(vectors @ (values * np.random.default_rng(1).normal(size=80)), geno.index)
    for p3d in (True, False):
        result = gwas(g, geno, K=K, p3d=p3d)
        assert result.traits.bound.iloc[0] == "lower" and np.isfinite(result.table.score).all()
    noise = pd.Series(vectors[:, :5].sum(axis=1), geno.index)  # varies only where the kernel does not
    mixed, plain = gwas(noise, geno, K=K), gwas(noise, geno, method="least squares")
    assert mixed.traits.bound.iloc[0] == "upper"
    np.testing.assert_allclose(mixed.table.score, plain.table.score, atol=1e-5)


# --- many tests, figures ----------------------------------------------------------------------------------------------


def test_thresholds():
    table = pd.DataFrame({"p": [1e-6, 1e-3, 0.02, 0.5, np.nan]})
    table["score"] = -np.log10(table.p)
    lines = significance(table).set_index("method")
    assert lines.significant.tolist() == [2, 3] and lines.tested.tolist() == [4, 4]
    np.testing.assert_allclose(lines.score, [-np.log10(0.05 / 4), -np.log10(0.02)])
    assert np.isnan(significance(table.assign(p=0.9)).score[1])


def test_figures(lines):
    geno, pheno = lines
    place = pd.DataFrame({"chromosome": np.repeat(["1", "2", "X"], 100), "position": np.tile(np.arange(100), 3)})
    result = gwas(pheno[["y1", "y2"]], geno, marker_map=place.set_index(geno.columns))
    assert isinstance(result, GWAS)
    one = single_trait(result.table, "y1")
    x, ticks = genome_position(one)
    assert list(ticks) == ["1", "2", "X"] and (np.diff(x) > 0).all()
    ax = manhattan_plot(result.table, trait="y1")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "X"]
    assert manhattan_plot(one.drop(columns=["chromosome", "position"])).get_xlabel() == "marker"
    with pytest.raises(ValueError, match="2 traits"):
        manhattan_plot(result.table)
    matplotlib.pyplot.close("all")
