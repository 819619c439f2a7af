"""gp_literate.multiple_comparisons against hand computation, published output, definitions and simulation."""
import itertools

import numpy as np
import pandas as pd
import pytest
from conftest import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import studentized_range
from scipy.stats import t as student_t

from gp_literate import multiple_comparisons as mc

SOILS = {"Clarion": [32.7, 32.3, 31.5], "Clinton": [32.1, 29.7, 29.1], "Knox": [35.7, 35.9, 33.1],
         "O'Neill": [36.0, 34.2, 31.2], "Compost": [31.8, 28.0, 29.2], "Wabash": [38.2, 37.8, 31.9],
         "Webster": [32.5, 31.1, 29.7]}


def long(scores):
    "Long table of a dict of method -> scores by fold."
    table = pd.DataFrame(scores, index=pd.RangeIndex(1, len(next(iter(scores.values()))) + 1, name="fold"))
    return table.melt(ignore_index=False, var_name="method", value_name="correlation").reset_index()


TOY = long({"A": [5.0, 4, 6], "B": [5.0, 7, 9], "C": [8.0, 10, 9]})


# --- two-way analysis -------------------------------------------------------------------------------------------------


def test_by_hand():
    a = mc.two_way(TOY)
    np.testing.assert_allclose(a.anova.loc[["fold", "method", "Residual"], "sum_sq"], [6, 24, 6])
    assert a.anova["df"].tolist() == [2, 2, 4] and a.df == 4 and a.n == 3
    assert np.isclose(a.mse, 1.5) and a.means.to_dict() == {"A": 5, "B": 7, "C": 9}
    assert np.isclose(a.anova.loc["method", "F"], 8) and np.isclose(a.anova.loc["fold", "F"], 2)


def test_rows_in_any_order_and_labels_of_any_kind():
    a = mc.two_way(TOY)
    names = {1: "north", 2: "x y", 3: "C(b)"}
    shuffled = TOY.sample(frac=1, random_state=1).assign(fold=lambda t: t["fold"].map(names))
    b = mc.two_way(shuffled.rename(columns={"correlation": "grain yield"}), "grain yield")
    assert np.isclose(a.mse, b.mse) and a.means.sort_index().to_dict() == b.means.sort_index().to_dict()
    assert mc.two_way(TOY.assign(repeat=1), block=["repeat", "fold"]).anova.index[0] == "repeat.fold"


def test_two_way_equals_the_formulas():
    rng = np.random.default_rng(3)
    y = rng.normal(size=(7, 5)) + rng.normal(size=(7, 1)) + rng.normal(size=5)
    a = mc.two_way(long({f"m{j}": y[:, j] for j in range(5)}))
    r = y - y.mean(1, keepdims=True) - y.mean(0) + y.mean()
    assert np.isclose(a.mse, (r**2).sum() / 24) and a.df == 24
    assert np.isclose(a.anova.loc["method", "sum_sq"], 7 * ((y.mean(0) - y.mean()) ** 2).sum())


@pytest.mark.parametrize(
    "table, options, message",
    [
        (TOY.iloc[:-1], {}, "method 'C' has no finite correlation in fold 3 .1 gaps"),
        (TOY.replace({"correlation": {4.0: np.nan}}), {}, "method 'A' has no finite"),
        (TOY.replace({"correlation": {4.0: np.inf}}), {}, "no finite"),
        (pd.concat([TOY, TOY]), {}, "more than one row"),
        (TOY, {"response": "mse"}, "lacks the columns .'mse'"),
        (TOY, {"block": ["repeat", "fold"]}, "lacks the columns .'repeat'"),
        (TOY, {"incomplete": "ignore"}, "incomplete must be"),
        (TOY[TOY["fold"] == 1], {}, "at least 2 complete blocks"),
        (TOY[TOY["method"] == "A"], {}, "2 treatments: got 3 and 1"),
        (TOY.iloc[1:-1], {"incomplete": "drop"}, "at least 2 complete blocks"),
    ],
)
def test_two_way_refuses(table, options, message):
    with pytest.raises(ValueError, match=message):
        mc.two_way(table, **options)


def test_incomplete_blocks_are_dropped_when_asked():
    a = mc.two_way(TOY.replace({"correlation": {4.0: np.nan}}), incomplete="drop")
    b = mc.two_way(TOY[TOY["fold"] != 2])
    assert a.n == 2 and a.means.equals(b.means) and a.mse == b.mse


# --- limits -----------------------------------------------------------------------------------------------------------


def test_error_rates():
    np.testing.assert_allclose(mc.range_alphas(7), [1 - 0.95 ** (p / 7) for p in range(2, 6)] + [0.05, 0.05])
    np.testing.assert_allclose(mc.range_alphas(2, 0.01), [0.01])
    np.testing.assert_allclose(mc.range_alphas(3, 0.01), [0.01, 0.01])


@pytest.mark.parametrize("k", [2, 3, 4, 5, 8])
def test_limits_are_monotone_and_between_newman_keuls_and_tukey(k):
    limits = mc.regwq_limits(k, 9 * (k - 1))
    keuls = np.array([studentized_range.isf(0.05, p, 9 * (k - 1)) for p in range(2, k + 1)])
    assert limits["limit"].is_monotonic_increasing and np.isclose(limits["limit"].iloc[-1], keuls[-1])
    assert (limits["limit"] >= keuls - 1e-9).all() and (limits["limit"] <= keuls[-1] + 1e-9).all()
    for p, row in limits.iterrows():
        assert np.isclose(studentized_range.sf(row["q"], p, 9 * (k - 1)), row["alpha"], rtol=1e-8)


@pytest.mark.parametrize("k, df, alpha", [(1, 5, 0.05), (3, 0, 0.05), (3, 5, 0), (3, 5, 5), (3, np.nan, 0.05)])
def test_limits_refuse(k, df, alpha):
    with pytest.raises(ValueError, match="expected k >= 2"):
        mc.regwq_limits(k, df, alpha)


# --- published --------------------------------------------------------------------------------------------------------


def test_sas_snapdragons():
    "SAS/STAT User's Guide, GLM: randomised complete blocks; printed mean square and critical ranges."
    a = mc.two_way(long(SOILS))
    assert round(a.mse, 6) == 1.645238 and a.df == 12
    result = mc.regwq(a)
    printed = [2.9876649, 3.2838330, 3.4396257, 3.5402242, 3.5402242, 3.6653734]
    np.testing.assert_allclose(result.limits["limit"], printed, rtol=2e-5)
    assert list(result.letters.index[:3]) == ["Wabash", "Knox", "O'Neill"]


def test_two_treatments_are_tukey_and_t():
    a = mc.two_way(TOY[TOY["method"] != "B"])
    limit = mc.regwq(a).limits.loc[2, "limit"]
    assert np.isclose(limit, studentized_range.isf(0.05, 2, a.df) * np.sqrt(a.mse / a.n))
    assert np.isclose(limit, student_t.isf(0.025, a.df) * np.sqrt(2 * a.mse / a.n))


def test_letters_of_endelmans_table_3_from_r_correlations():
    "Environments 1 and 2, fold correlations by R's kinship.BLUP: a, a, b and a, a, a (Endelman 2011, Table 3)."
    folds = reference("rrblup_cv_wheat_folds.json")["environments"]
    table = mc.letter_table({env: long(scores) for env, scores in folds.items()}, order=["GAUSS", "EXP", "RR"])
    assert table["env1"].tolist() == ["0.58a", "0.57a", "0.51b"]
    assert table["env2"].tolist() == ["0.49a", "0.49a", "0.48a"]


# --- the stepwise rule ------------------------------------------------------------------------------------------------


def by_definition(means, limits):
    "Different iff every range that contains the pair exceeds its limit."
    k, out = len(means), np.zeros((len(means),) * 2, bool)
    for i, j in itertools.combinations(range(k), 2):
        out[i, j] = all(means[a] - means[b] > limits[b - a - 1] for a in range(i + 1) for b in range(j, k))
    return out


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=9),
    st.lists(st.integers(0, 6), min_size=8, max_size=8),
    st.integers(1, 10),
)
def test_verdicts_and_letters(values, steps, first):
    means = np.sort(np.array(values, float))[::-1]
    limits = first + np.cumsum(steps[: len(means) - 1])
    tested, different = mc.step_down(means, limits)
    np.testing.assert_array_equal(different, by_definition(means, limits))
    assert not (different & ~tested).any() and not np.tril(tested).any() and tested[0, -1]
    names = mc._letters(different)
    assert names[0][0] == "a" and "".join(dict.fromkeys("".join(names))) == "".join(sorted(set("".join(names))))
    for i, j in itertools.combinations(range(len(means)), 2):
        assert bool(set(names[i]) & set(names[j])) == (not different[i, j])
        if means[i] == means[j]:
            assert names[i] == names[j]
    for letter in set("".join(names)):
        rows = [i for i, s in enumerate(names) if letter in s]
        assert rows == list(range(rows[0], rows[-1] + 1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.sampled_from([2, 7]), st.floats(0.01, 100), st.floats(-9, 9))
def test_invariances(seed, k, n, scale, shift):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, k)) + rng.normal(0, 2, size=k)
    scores = {f"m{j}": y[:, j] for j in range(k)}
    letters = mc.letters(mc.two_way(long(scores)))
    moved = mc.letters(mc.two_way(long({m: v * scale + shift for m, v in scores.items()})))
    assert letters.to_dict() == moved.to_dict()
    mirrored = mc.regwq(mc.two_way(long({m: -v for m, v in scores.items()})), larger_is_better=False)
    assert mirrored.letters.to_dict() == letters.to_dict()
    renamed = dict(zip(scores, rng.permutation(list(scores)), strict=True))
    other = mc.letters(mc.two_way(long({renamed[m]: v for m, v in scores.items()})))
    assert other.to_dict() == {renamed[m]: s for m, s in letters.items()}


def test_nothing_inside_a_homogeneous_range():
    means = {"a": 4.0, "b": 3.9, "c": 3.8, "d": 3.7, "e": 0.96}
    result = mc.regwq(means, mse=1.0, df=1000, n=1.6)
    assert means["d"] - means["e"] > result.limits.loc[2, "limit"] > 0 and (result.letters == "a").all()
    assert result.pairs["tested"].sum() == 1 and not result.pairs["different"].any()


def test_pairs_table():
    result = mc.regwq(mc.two_way(TOY))
    assert list(result.pairs) == ["better", "worse", "p", "difference", "limit", "tested", "different"]
    row = result.pairs.set_index(["better", "worse"]).loc[("C", "A")]
    assert row["p"] == 3 and row["difference"] == 4 and row["different"]
    assert np.isclose(row["limit"], result.limits.loc[3, "limit"])
    assert result.letters.to_dict() == {"C": "a", "B": "ab", "A": "b"} and result.alpha == 0.05


def test_no_residual_and_rounding():
    result = mc.regwq({"A": 1.0, "B": 1.0 + 1e-14, "C": 2.0}, mse=0, df=4, n=3)
    assert result.letters.to_dict() == {"C": "a", "B": "b", "A": "b"}
    same = long({"A": [0.5, 0.6, 0.7], "B": [0.5, 0.6, 0.7 + 1e-16]})
    assert (mc.letters(mc.two_way(same)) == "a").all()
    apart = long({"A": [0.5, 0.6, 0.7], "B": [0.4, 0.5, 0.6]})
    assert mc.letters(mc.two_way(apart)).to_dict() == {"A": "a", "B": "b"}


@pytest.mark.parametrize(
    "means, options, message",
    [
        ({"A": 1.0}, {}, "at least 2"),
        ({"A": 1.0, "B": np.nan}, {}, "finite"),
        (pd.Series([1.0, 2.0], ["A", "A"]), {}, "unique names"),
        ({"A": 1.0, "B": 2.0}, {"mse": None}, "mse must be one positive number"),
        ({"A": 1.0, "B": 2.0}, {"mse": -1}, "mse must be"),
        ({"A": 1.0, "B": 2.0}, {"df": 0}, "df must be"),
        ({"A": 1.0, "B": 2.0}, {"n": [3, 4]}, "n must be"),
        ({"A": 1.0, "B": 2.0}, {"alpha": 1.0}, "alpha in"),
    ],
)
def test_regwq_refuses(means, options, message):
    with pytest.raises(ValueError, match=message):
        mc.regwq(means, **{"mse": 1.0, "df": 4, "n": 3} | options)


def test_more_sets_than_letters():
    with pytest.raises(ValueError, match="52 letters"):
        mc._letters(np.triu(np.ones((53, 53), bool), 1))


# --- error rate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "true, expected",
    [((0, 0, 0, 0), 0.05), ((0, 0, 50, 50), 0.05), ((0, 0, 0, 50), 0.05), ((0, 0, 50, 100), 0.0253)],
)
def test_familywise_error(true, expected):
    rng, n, hits = np.random.default_rng(4), 8000, 0
    limits, same = mc.regwq_limits(4, 27)["limit"].to_numpy(), np.equal.outer(true, true)
    x, s = rng.standard_normal((n, 4)) + np.array(true), np.sqrt(rng.chisquare(27, n) / 27)
    for v, scale in zip(x, s, strict=True):
        o = np.argsort(-v)
        hits += (mc.step_down(v[o], limits * scale)[1] & same[np.ix_(o, o)]).any()
    assert abs(hits / n - expected) < 4 * np.sqrt(expected * (1 - expected) / n)


# --- display ----------------------------------------------------------------------------------------------------------


def test_letter_table():
    worse = long({"A": [5.0, 4, 6], "C": [1.0, 2, 0]})
    given_ = {"x": TOY, "y": mc.two_way(worse), "z": mc.regwq(mc.two_way(TOY))}
    table = mc.letter_table(given_, digits=1, order=["C", "B"])
    assert table.index.tolist() == ["C", "B", "A"] and table["x"].tolist() == ["9.0a", "7.0ab", "5.0b"]
    assert table.loc["B", "y"] == "" and table["z"].equals(table["x"].rename("z"))
    errors = long({"A": [0.5, 0.4, 0.6], "B": [2.5, 2.7, 2.9]})
    small = mc.regwq(mc.two_way(errors), larger_is_better=False)
    assert mc.letter_table({"error": small})["error"].to_dict() == {"A": "0.50a", "B": "2.70b"}
    with pytest.raises(TypeError, match="dict of column name"):
        mc.letter_table([TOY])


def test_plot_takes_and_returns_axes():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    ax = plt.figure().subplots()
    assert mc.plot_letters(mc.regwq(mc.two_way(TOY)), ax, "yield") is ax and ax.get_xlabel() == "yield"
    assert mc.plot_letters(mc.regwq({"A": 1.0, "B": 1.0}, mse=1, df=4, n=2)) is not ax
    plt.close("all")
