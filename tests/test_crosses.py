"""gp_literate.crosses against counting, simulated progeny and Endelman's (2011) Table 1."""
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_literate import crosses as cr
from gp_literate import simulation as sim

PUBLISHED = """1 4 0.57 2.261 2.524 1.971 0.207
1 5 0.57 2.260 2.522 1.970 0.207
1 3 0.69 2.256 2.487 2.000 0.183
2 4 0.58 2.245 2.507 1.954 0.208
2 5 0.58 2.243 2.506 1.953 0.208
2 3 0.69 2.236 2.466 1.982 0.181
1 7 0.57 2.227 2.486 1.940 0.205
1 12 0.60 2.210 2.481 1.910 0.214
2 7 0.59 2.209 2.469 1.923 0.205"""


def example(seed, n=12, p=40, codes=(-1, 1)):
    rng = np.random.default_rng(seed)
    return rng.choice(np.array(codes, np.int8), (n, p)), rng.normal(0, 0.1, p)


def test_selection_intensity():
    assert [round(float(cr.selection_intensity(a)), 2) for a in (0.2, 0.01, 0.5)] == [1.40, 2.67, 0.80]
    np.testing.assert_allclose(cr.selection_intensity([0.1, 0.05]), [1.7549833, 2.0627128], rtol=1e-7)
    assert np.isfinite(cr.selection_intensity(1e-300))


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20, np.nan, [0.2, 2]])
def test_selection_intensity_refuses(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        cr.selection_intensity(fraction)


def test_usefulness():
    mean, sd = np.array([1.0, 2.0]), np.array([0.5, 0.1])
    np.testing.assert_array_equal(cr.usefulness(mean, sd, 0.1), cr.superior_progeny_value(mean, sd, 0.1))
    np.testing.assert_allclose(cr.usefulness(mean, sd, 0.1, 0.6), mean + cr.selection_intensity(0.1) * 0.6 * sd)
    np.testing.assert_array_equal(cr.usefulness(mean, sd, 0.1, 0), mean)
    for accuracy in (1.1, -0.1, np.nan, [0.5, 2]):
        with pytest.raises(ValueError, match="accuracy"):
            cr.usefulness(mean, sd, 0.1, accuracy)


def test_usefulness_of_progeny_selected_by_phenotype():
    "200,000 progeny with phenotypes of heritability 0.36: the best 5 % gain i h sigma."
    rng, n = np.random.default_rng(3), 200_000
    value = rng.normal(1, 0.7, n)
    phenotype = value + rng.normal(0, 0.7 * np.sqrt(1 / 0.36 - 1), n)
    kept = value[np.argsort(-phenotype)[: n // 20]]
    assert abs(kept.mean() - cr.usefulness(1, 0.7, 0.05, 0.6)) < 4 * 0.7 / np.sqrt(n // 20)


@pytest.mark.parametrize("codes", [(-1, 1), (-1, 0, 1)])
def test_matrices_equal_the_loop(codes):
    G, u = example(1, codes=codes)
    for i, j in itertools.product(range(len(G)), repeat=2):
        a, b = G[i].astype(float), G[j].astype(float)
        assert np.isclose(cr.progeny_mean(G, u)[i, j], (a + b) @ u / 2)
        assert np.isclose(cr.progeny_variance(G, u)[i, j], (u**2 * (1 - ((a + b) / 2) ** 2)).sum(), atol=1e-14)
        assert np.isclose(cr.kinship_ibs(G)[i, j], 1 - np.abs(a - b).mean() / 2)
    np.testing.assert_array_equal(cr.progeny_sd(G, u), np.sqrt(cr.progeny_variance(G, u)))


def test_all_progeny_counted():
    G, u = example(2, n=2, p=12)
    progeny = np.array(list(itertools.product(*[sorted({a, b}) for a, b in G.T]))) @ u
    assert np.isclose(progeny.mean(), cr.progeny_mean(G, u)[0, 1])
    assert np.isclose(progeny.var(), cr.progeny_variance(G, u)[0, 1])


@pytest.mark.parametrize("p", [7, 255, 256, 257, 3000])
def test_identical_parents_have_no_variance_and_near_ones_the_right_one(p):
    rng = np.random.default_rng(p)
    G = np.repeat(rng.choice(np.array([-1, 1], np.int8), (1, p)), 40, axis=0)
    G[20:, p // 2] *= -1
    u = rng.normal(0, 10.0 ** rng.uniform(-3, 3), p)
    sd = cr.progeny_sd(G, u)
    assert (sd[:20, :20] == 0).all() and (sd[20:, 20:] == 0).all()
    np.testing.assert_allclose(sd[:20, 20:], abs(u[p // 2]), rtol=1e-6)
    assert (cr.kinship_ibs(G)[:20, :20] == 1).all()


@pytest.mark.parametrize("scale", [0.0, 1e-100, 1e100])
def test_effects_of_any_size(scale):
    G, u = example(3)
    np.testing.assert_allclose(cr.progeny_sd(G, u * scale), cr.progeny_sd(G, u) * scale, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(2, 30), st.floats(1e-3, 1e3))
def test_invariances(seed, n, p, factor):
    G, u = example(seed, n, p, (-1, 0, 1))
    G[0, 0] = -1
    rng = np.random.default_rng(seed)
    order, flip, lines = rng.permutation(p), rng.choice(np.array([-1, 1], np.int8), p), rng.permutation(n)
    V = cr.progeny_variance(G, u)
    assert (V >= 0).all() and np.array_equal(V, V.T)
    np.testing.assert_array_equal(cr.progeny_variance(G[:, order], u[order]), V)
    np.testing.assert_array_equal(cr.progeny_variance(G[lines], u), V[np.ix_(lines, lines)])
    recoded = G * flip
    if recoded.min() == -1:
        np.testing.assert_array_equal(cr.progeny_variance(recoded, u * flip), V)
    np.testing.assert_allclose(cr.progeny_variance(G, u * factor), V * factor**2, rtol=1e-9)
    doubled = cr.progeny_variance(np.hstack([G, G]), np.r_[u, u])
    np.testing.assert_allclose(doubled, 2 * V, rtol=1e-9)
    np.testing.assert_allclose(cr.kinship_ibs(np.hstack([G, G])), cr.kinship_ibs(G), rtol=1e-12)


def test_table():
    G, u = example(4, n=15)
    frame = pd.DataFrame(G, [f"L{i}" for i in range(15)], [f"m{k}" for k in range(40)])
    table = cr.cross_table(frame, pd.Series(u, frame.columns)[::-1], fractions=(0.1, 0.005))
    assert list(table) == ["parent_1", "parent_2", "rank_1", "rank_2", "kinship", "mean", "sd", "spv_10", "spv_0.5"]
    assert len(table) == 105 and table["spv_10"].is_monotonic_decreasing
    assert (table["rank_1"] < table["rank_2"]).all() and not table.duplicated(["parent_1", "parent_2"]).any()
    rank = (-frame @ u).rank().astype(int)
    for row in table.itertuples():
        assert (rank[row.parent_1], rank[row.parent_2]) == (row.rank_1, row.rank_2)
        a, b = frame.loc[row.parent_1], frame.loc[row.parent_2]
        assert np.isclose(row.mean, (a @ u + b @ u) / 2) and np.isclose(row.sd**2, (u[a != b] ** 2).sum())
        assert np.isclose(row.spv_10, row.mean + cr.selection_intensity(0.1) * row.sd)


def test_table_of_an_array_and_of_other_types():
    G, u = example(5, n=4)
    table = cr.cross_table(G, u)
    assert set(table["parent_1"]) | set(table["parent_2"]) == {0, 1, 2, 3} and "spv_1" in table
    for same in (G.astype(float), G.astype(int), np.asfortranarray(G)):
        pd.testing.assert_frame_equal(cr.cross_table(same, u), table)
    assert set(cr.cross_table(G, u, ids=list("abcd"))["parent_1"]) <= set("abcd")


def test_table_with_a_map_and_with_accuracy():
    G, u = example(11, n=10)
    gmap = sim.uniform_map(40, 2)
    for lines, function in itertools.product(("ril", "dh"), ("haldane", "kosambi")):
        table = cr.cross_table(G, u, gmap=gmap, lines=lines, map_function=function)
        sd = cr.linked_progeny_sd(G, u, gmap, lines, function)
        assert list(table)[-3:] == ["spv_20", "spv_1", "sd_unlinked"] and table["spv_20"].is_monotonic_decreasing
        np.testing.assert_array_equal(table["sd"], sd[table["parent_1"], table["parent_2"]])
        np.testing.assert_array_equal(table["sd_unlinked"], cr.progeny_sd(G, u)[table["parent_1"], table["parent_2"]])
        pd.testing.assert_frame_equal(table.drop(columns="sd_unlinked"), cr.cross_table(G, u, sd=sd))
    useful = cr.cross_table(G, u, (0.05,), accuracy=0.5)
    assert list(useful)[-1] == "uc_5" and useful["uc_5"].is_monotonic_decreasing
    np.testing.assert_allclose(useful["uc_5"], cr.usefulness(useful["mean"], useful["sd"], 0.05, 0.5))
    assert cr.cross_table(G, u, accuracy=0).iloc[0][["rank_1", "rank_2"]].tolist() == [1, 2]


BAD_G = example(6, n=6, p=10)[0]
BAD_U = np.arange(10.0)
NAN = BAD_G.astype(float)
NAN[2, 3] = np.nan
FRAME = pd.DataFrame(BAD_G, list("abcdef"), list("ABCDEFGHIJ"))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"G": NAN}, "NaN"),
        ({"G": BAD_G + 1}, "-1/0/1"),
        ({"G": BAD_G * 0.5}, "-1/0/1"),
        ({"G": (BAD_G + 1) // 2}, "2 \\* G - 1"),
        ({"G": BAD_G[:1]}, "at least 2 lines"),
        ({"G": BAD_G[0]}, "matrix"),
        ({"G": BAD_G.astype(str)}, "numbers"),
        ({"effects": BAD_U[1:]}, "one value for each of 10 markers"),
        ({"effects": BAD_U[:, None]}, "one value for each"),
        ({"effects": BAD_U * np.nan}, "finite"),
        ({"G": FRAME, "effects": pd.Series(BAD_U, list("ABCDEFGHIX"))}, "same marker ids: 2"),
        ({"G": FRAME, "effects": pd.Series(BAD_U, list("ABCDEFGHII"))}, "effects has duplicate"),
        ({"G": FRAME.set_axis(list("ABCDEFGHII"), axis=1), "effects": pd.Series(BAD_U)}, "G has duplicate"),
        ({"G": FRAME.set_axis(list("aabcde"))}, "ids must be unique"),
        ({"ids": list("abc")}, "ids must name the 6 lines"),
        ({"ids": list("abcdee")}, "'e' occurs"),
        ({"fractions": (0.2, 1)}, "between 0 and 1"),
        ({"fractions": 5}, "between 0 and 1"),
        ({"sd": np.ones((2, 2))}, "sd must be"),
        ({"sd": np.full((6, 6), np.nan)}, "finite and not negative"),
        ({"sd": -np.ones((6, 6))}, "finite and not negative"),
        ({"sd": np.ones((6, 6)), "gmap": sim.uniform_map(10, 2)}, "sd or gmap"),
        ({"gmap": sim.uniform_map(9, 2)}, "gmap must place the 10 markers"),
        ({"gmap": sim.uniform_map(10, 2), "map_function": "morgan"}, "map_function"),
        ({"accuracy": 1.5}, "accuracy"),
    ],
)
def test_refused(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cr.cross_table(**{"G": BAD_G, "effects": BAD_U} | wrong)


# --- progeny ---------------------------------------------------------------------------------------------------------


def progeny_sd_simulated(pair, u, gmap, lines, n, seed):
    rng = np.random.default_rng(seed)
    f1 = sim.mate(np.repeat((pair == 1).astype(np.int8)[:, None], 2, axis=1), [0], [1], gmap, rng)
    if lines == "dh":
        h = sim.doubled_haploids(f1, np.zeros(n, int), gmap, rng)
    else:
        h = sim.self_pollinate(np.repeat(f1, n, axis=0), 10, gmap, rng)
    return ((sim.dosage(h) - 1) @ u).std()


@pytest.mark.parametrize("lines", ["ril", "dh"])
@pytest.mark.parametrize("n_chromosomes", [2, 60])
def test_simulated_progeny(lines, n_chromosomes):
    G, u = example(7, n=2, p=60)
    gmap = sim.uniform_map(60, n_chromosomes)
    predicted = cr.linked_progeny_sd(G, u, gmap, lines)[0, 1]
    assert abs(progeny_sd_simulated(G, u, gmap, lines, 10_000, 1) / predicted - 1) < 4 / np.sqrt(20_000)
    if n_chromosomes == 60:
        assert np.isclose(predicted, cr.progeny_sd(G, u)[0, 1])


@pytest.mark.parametrize("lines", ["ril", "dh"])
@pytest.mark.parametrize("distance", [8.0, 40.0, 90.0])
def test_kosambi_against_two_locus_progeny(lines, distance):
    """Two loci per chromosome: only their r matters, so Haldane's meiosis at the distance with Kosambi's r will do.

    20,000 lines: the standard error of an SD is 0.5 %; 4 of them are allowed.
    """
    n, contig, second = 20_000, np.repeat(np.arange(15), 2), np.tile([0.0, 1.0], 15)
    u, pair = np.random.default_rng(1).uniform(0.1, 0.5, 30), np.repeat(np.array([[1], [-1]], np.int8), 30, axis=1)
    stated = sim.genetic_map(contig, second * distance)
    played = sim.genetic_map(contig, -50 * second * np.log(1 - 2 * sim.kosambi(distance)))
    simulated = progeny_sd_simulated(pair, u, played, lines, n, 2)
    assert abs(simulated / cr.linked_progeny_sd(pair, u, stated, lines, "kosambi")[0, 1] - 1) < 4 / np.sqrt(2 * n)
    same = cr.linked_progeny_sd(pair, u, played, lines)
    np.testing.assert_allclose(cr.linked_progeny_sd(pair, u, stated, lines, "kosambi"), same, rtol=1e-12)


@pytest.mark.parametrize("map_function", ["haldane", "kosambi"])
def test_linked_sd_equals_the_double_sum(map_function):
    G, u = example(8, n=5, p=30)
    G[1] = G[0]
    gmap = sim.uniform_map(30, 3, 80, seed=1)
    r = np.where(np.equal.outer(gmap.contig, gmap.contig),
                 sim.recombination(np.abs(np.subtract.outer(gmap.position, gmap.position)), map_function), 0.5)
    d = (G[:, None].astype(float) - G) / 2 * u
    for lines, R in (("dh", r), ("ril", sim.ril_recombination(r))):
        expected = np.sqrt(np.maximum(np.einsum("ijk,kl,ijl->ij", d, 1 - 2 * R, d), 0))
        sd = cr.linked_progeny_sd(G, u, gmap, lines, map_function)
        np.testing.assert_allclose(sd, expected, atol=1e-8)
        assert sd[0, 1] == 0 and (np.diag(sd) == 0).all()


def test_linkage_in_closed_form_and_positive_definite():
    d = np.linspace(0, 200, 60)
    closed = {("dh", "haldane"): np.exp(-d / 50), ("dh", "kosambi"): 1 - np.tanh(d / 50),
              ("ril", "haldane"): np.exp(-d / 50) / (2 - np.exp(-d / 50)), ("ril", "kosambi"): np.exp(-d / 25)}
    for (lines, function), expected in closed.items():
        np.testing.assert_allclose(cr._linkage(np.zeros(1), d, lines, function)[0], expected, atol=1e-12)
        assert np.linalg.eigvalsh(cr._linkage(d, d, lines, function)).min() > 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["ril", "dh"]), st.sampled_from(["haldane", "kosambi"]))
def test_linked_sd_invariances(seed, lines, function):
    rng = np.random.default_rng(seed)
    G, u = example(seed, 6, 24)
    gmap = sim.uniform_map(24, 3, 120, seed=rng)
    sd = cr.linked_progeny_sd(G, u, gmap, lines, function)
    assert np.isfinite(sd).all() and np.array_equal(np.diag(sd), np.zeros(6))
    np.testing.assert_allclose(sd, sd.T, atol=1e-12)
    flip = rng.choice(np.array([-1, 1], np.int8), 24)
    np.testing.assert_allclose(cr.linked_progeny_sd(G * flip, u * flip, gmap, lines, function), sd, atol=1e-9)
    np.testing.assert_allclose(cr.linked_progeny_sd(G, 3 * u, gmap, lines, function), 3 * sd, atol=1e-9)
    moved = sim.genetic_map(gmap.contig, gmap.position + 7)
    np.testing.assert_allclose(cr.linked_progeny_sd(G, u, moved, lines, function), sd, atol=1e-9)
    apart = sim.uniform_map(24, 24)
    np.testing.assert_allclose(cr.linked_progeny_sd(G, u, apart, lines, function), cr.progeny_sd(G, u), atol=1e-7)


def test_linked_sd_refuses():
    G, u = example(9, n=4, p=10)
    gmap = sim.uniform_map(10, 2)
    mixed = G.copy()
    mixed[0, 0] = 0
    bad = {
        "lines must be": {"lines": "f2"},
        "map_function must be": {"map_function": "morgan"},
        "gmap must place the 10 markers": {"gmap": sim.uniform_map(9, 2)},
        "inbred": {"G": mixed},
        "must not decrease": {"gmap": sim.GeneticMap(gmap.contig, gmap.position[::-1])},
        "finite and not negative": {"gmap": sim.GeneticMap(gmap.contig, gmap.position * np.nan)},
        "keep the loci of a chromosome together": {"gmap": sim.GeneticMap(np.roll(gmap.contig, 1), gmap.position)},
        "positions in cM": {"gmap": sim.GeneticMap(gmap.contig, gmap.position * 1e6)},
        "effects must be finite": {"effects": u * np.nan},
    }
    for message, change in bad.items():
        with pytest.raises(ValueError, match=message):
            cr.linked_progeny_sd(**{"G": G, "effects": u, "gmap": gmap} | change)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.08))
def test_labels_do_not_overlap(heights, gap):
    placed = cr._spread(heights, gap, 0, 1)
    assert (np.diff(np.sort(placed)) > gap * (1 - 1e-9)).all() and placed.min() > -1e-12 and placed.max() < 1 + 1e-9
    order = np.argsort(heights, kind="stable")
    assert (np.diff(placed[order]) > 0).all()
    if len(heights) == 1 or np.diff(np.sort(heights)).min() >= gap:
        np.testing.assert_allclose(placed, heights, atol=1e-12)


def test_plot_names_the_best_crosses():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table = cr.cross_table(*example(10))
    for options, column in (({"fraction": 0.2}, "spv_20"), ({"fraction": 0.01, "n_best": 4}, "spv_1")):
        ax = cr.plot_crosses(table, **options)
        best = table.nlargest(options.get("n_best", 9), column)
        assert [t.get_text() for t in ax.texts] == [f"{r.rank_1}×{r.rank_2}" for r in best.itertuples()]
        ax.figure.canvas.draw()
        boxes = [matplotlib.text.Text.get_window_extent(t) for t in ax.texts]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    plt.close("all")


def test_plot_takes_and_returns_axes():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table = cr.cross_table(*example(10))
    ax = plt.figure().subplots()
    assert cr.plot_crosses(table, ax, fraction=0.01) is ax
    assert cr.plot_crosses(table, n_best=3, n_labels=0) is not ax
    plt.close("all")


# --- the paper --------------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_endelman_table_1():
    datasets, mixed_model = pytest.importorskip("gp_literate.datasets"), pytest.importorskip("gp_literate.mixed_model")
    try:
        wheat = datasets.fetch_wheat()
    except datasets.DataUnavailableError as error:
        pytest.skip(f"wheat data not available: {error}")
    G = wheat.markers("-1/1")
    fit = mixed_model.mixed_solve(wheat.phenotype("env1"), Z=G)
    table = cr.cross_table(G, pd.Series(np.asarray(fit.u), G.columns))
    assert len(table) == 179_101
    shown = [f"{r.rank_1} {r.rank_2} {r.kinship:.2f} {r.spv_20:.3f} {r.spv_1:.3f} {r.mean:.3f} {r.sd:.3f}"
             for r in table.head(9).itertuples(index=False)]
    assert shown == PUBLISHED.splitlines()
    best_two = table[(table["rank_1"] == 1) & (table["rank_2"] == 2)].iloc[0]
    assert round(best_two["kinship"], 2) == 0.96 and round(best_two["sd"], 2) == 0.07
