"""gp_literate.nam_design: founders, mosaics, dense markers, the whole population, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_literate import nam_design as nd
from gp_literate import simulation as sim
from gp_literate.genotypes import Population

SMALL = {"n_families": 4, "lines_per_family": 30, "n_markers": 500, "n_chromosomes": 3, "n_qtl": 20}


@pytest.fixture(scope="module")
def nam():
    return nd.simulate_nam(**SMALL, seed=1)


def write(mosaic, gmap, common, others, sizes, block=None):
    return np.concatenate(list(nd.mosaic_blocks(mosaic, gmap, common, others, sizes, block)))


# --- founders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_lines", [2, 5, 26])
def test_founders_differ_at_every_marker(n_lines):
    panel = nd.founder_lines(n_lines, 2000, seed=2)
    assert panel.alleles.shape == (n_lines, 2000) and panel.alleles.dtype == np.int8
    assert ((panel.alleles.min(axis=0) == 0) & (panel.alleles.max(axis=0) == 1)).all()
    sim.genetic_map(panel.gmap.contig, panel.gmap.position)


def test_founders_have_ld():
    panel = nd.founder_lines(26, 2000, seed=3)
    table = sim.ld_decay(np.repeat(panel.alleles[:, None], 2, axis=1), panel.gmap, [0, 1, 5, 20, 80, 150])
    assert table["r2"].is_monotonic_decreasing and table["r2"].iloc[0] > 0.2 > 0.06 > table["r2"].iloc[-1]


# --- mosaics ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selfings", [1, 4])
def test_junctions_and_heterozygosity(selfings):
    mosaic = nd.ril_mosaic(1500, selfings, 4, 100, seed=4)
    probe = sim.uniform_map(4 * 51, 4, 100)
    x = write(mosaic, probe, np.zeros(204, int), np.ones((1, 204), int), [1500])
    het, rate = (x == 1).mean(), 0.5**selfings
    assert abs(het - rate) < 5 * np.sqrt(rate / 1500 / 4)
    assert abs(x.mean() - 1) < 5 / np.sqrt(1500 * 4)
    before = np.zeros(len(mosaic.line))
    for c in range(4):
        current = mosaic.start[c].astype(int)
        for e in np.flatnonzero(mosaic.contig == c):
            before[e], current[mosaic.line[e]] = current[mosaic.line[e]], mosaic.copies[e]
    steps = np.abs(mosaic.copies - before)
    assert (steps > 0).all()
    per_line = np.bincount(mosaic.line, steps, 1500) / (2 * 4)
    assert abs(per_line.mean() - 2 * (1 - rate)) < 5 * per_line.std() / np.sqrt(1500)


def test_recombination_below_and_above_the_skeleton():
    far = np.r_[0, 0.05, 0.5, 5, 50]
    probe = sim.GeneticMap(np.repeat(np.arange(10), 5), np.tile(far + 7.77, 10))
    x = write(nd.ril_mosaic(3000, 10, seed=5), probe, np.zeros(50, int), np.ones((1, 50), int), [3000]).reshape(
        10, 5, 3000
    )
    R, theory = (np.abs(x - x[:, :1]) / 2).mean(axis=(0, 2)), sim.ril_recombination(sim.haldane(far))
    assert (np.abs(R - theory)[1:] < 4.5 * np.sqrt(theory[1:] / 30_000)).all()


def test_changes_are_sorted_and_inside():
    mosaic = nd.ril_mosaic(50, 3, 3, 80, seed=6)
    assert (np.lexsort((mosaic.position, mosaic.contig)) == np.arange(len(mosaic.line))).all()
    assert 0 <= mosaic.position.min() and mosaic.position.max() <= 80
    assert set(np.unique(mosaic.copies)) <= {0, 1, 2} and mosaic.start.shape == (3, 50)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), block=st.integers(1, 40))
def test_dense_markers_against_a_slow_loop(seed, block):
    "Marker by marker and line by line: the last change before the marker, and the alleles of the two parents."
    rng = np.random.default_rng(seed)
    sizes, e, p = rng.integers(1, 5, 3), 25, 30
    n = sizes.sum()
    where = np.column_stack([rng.integers(0, 3, e), rng.uniform(0, 10, e)])
    where = where[np.lexsort((where[:, 1], where[:, 0]))]
    mosaic = nd.Mosaic(
        rng.integers(0, 3, (3, n), dtype=np.int8),
        where[:, 0].astype(int),
        where[:, 1],
        rng.integers(0, n, e),
        rng.integers(0, 3, e, dtype=np.int8),
    )
    gmap = sim.genetic_map(np.sort(np.r_[rng.integers(0, 3, p - 3), 0, 1, 2]), np.zeros(p))
    gmap = gmap._replace(position=np.concatenate([np.sort(rng.uniform(0, 10, m)) for m in np.bincount(gmap.contig)]))
    common, others = rng.integers(0, 2, p), rng.integers(0, 2, (3, p))
    x = write(mosaic, gmap, common, others, sizes, block)
    family = np.repeat(np.arange(3), sizes)
    for m in range(p):
        for i in range(n):
            before = np.flatnonzero(
                (mosaic.line == i) & (mosaic.contig == gmap.contig[m]) & (mosaic.position <= gmap.position[m])
            )
            k = mosaic.copies[before[-1]] if len(before) else mosaic.start[gmap.contig[m], i]
            assert x[m, i] == (2 - k) * common[m] + k * others[family[i], m]


def test_chromosomes_without_markers_are_skipped():
    mosaic = nd.ril_mosaic(20, 2, 5, 100, seed=7)
    whole = sim.uniform_map(500, 5, 100)
    all_of_it = write(mosaic, whole, np.zeros(500, int), np.ones((1, 500), int), [20])
    some = np.isin(whole.contig, [1, 4])
    part = write(
        mosaic,
        sim.GeneticMap(whole.contig[some], whole.position[some]),
        np.zeros(200, int),
        np.ones((1, 200), int),
        [20],
    )
    assert np.array_equal(part, all_of_it[some])


# --- the population --------------------------------------------------------------------------------------------------


def test_population(nam):
    pop = nam.population
    assert (pop.n_samples, pop.n_variants, pop.coding) == (120, 500, "0/1/2")
    assert pop.covariates["family"].value_counts().to_dict() == dict.fromkeys(["F1", "F2", "F3", "F4"], 30)
    assert pop.ds.call_dosage.to_numpy().flags.c_contiguous and pop.dosage.dtype == np.int8
    a, y = pop.breeding_values["days_to_anthesis"], pop.phenotypes["days_to_anthesis"]
    assert np.isclose(a.var(ddof=0), 0.94 * 25) and abs(a.mean()) < 1e-9 and abs(y.mean() - 75) < 1
    assert abs(np.corrcoef(a, y)[0, 1] ** 2 - 0.94) < 0.03
    effect = pop.ds["variant_effect"].to_numpy()[:, 0]
    score = pop.dosage @ effect
    np.testing.assert_allclose(score - score.mean(), a, atol=1e-9)
    assert np.array_equal(np.flatnonzero(effect), nam.trait.qtl)


def test_lines_have_only_alleles_of_their_parents(nam):
    x, parents = nam.population.dosage, nam.founders.dosage
    assert list(nam.founders.covariates["family"]) == ["common", "F1", "F2", "F3", "F4"]
    for f in range(4):
        lines = x[30 * f : 30 * (f + 1)]
        same = parents[0] == parents[f + 1]
        assert (lines[:, same] == parents[0, same]).all()
        share = lines[:, ~same].mean() / 2
        assert 0.35 < share < 0.65
    score = nam.founders.dosage @ nam.founders.ds["variant_effect"].to_numpy()[:, 0]
    gap = score - nam.founders.breeding_values["days_to_anthesis"]
    np.testing.assert_allclose(gap, gap.iloc[0], atol=1e-9)


@pytest.mark.parametrize("name", ["nam.zarr", "nam.npy"])
def test_stores_hold_the_same(nam, tmp_path, name):
    kept = nd.simulate_nam(**SMALL, store=tmp_path / name, seed=1).population
    assert np.array_equal(kept.dosage, nam.population.dosage) and kept.phenotypes.equals(nam.population.phenotypes)
    if name.endswith("zarr"):
        assert Population.open_zarr(tmp_path / name).covariates.equals(nam.population.covariates)


def test_seeds(nam):
    again, other = (nd.simulate_nam(**SMALL, seed=s).population for s in (1, 2))
    assert np.array_equal(again.dosage, nam.population.dosage) and again.phenotypes.equals(nam.population.phenotypes)
    assert not np.array_equal(other.dosage, nam.population.dosage)
    high = nd.simulate_nam(**SMALL, h2=0.2, seed=1).population
    assert np.array_equal(high.dosage, nam.population.dosage)


def test_families_of_different_sizes():
    pop = nd.simulate_nam(**SMALL | {"lines_per_family": [5, 1, 12, 3]}, seed=3).population
    assert pop.covariates["family"].value_counts(sort=False).tolist() == [5, 1, 12, 3] and pop.sample_id[6] == "F3_01"


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"n_families": 0}, "n_families"),
        ({"lines_per_family": 0}, "lines_per_family"),
        ({"lines_per_family": 2.5}, "lines_per_family"),
        ({"lines_per_family": [5, 5]}, "lines_per_family"),
        ({"n_qtl": 0}, "n_qtl"),
        ({"n_qtl": 501}, "n_qtl"),
        ({"h2": 0}, "h2"),
        ({"sd": 0}, "sd"),
        ({"mean": np.inf}, "mean"),
        ({"n_selfing": 0}, "n_selfing"),
        ({"founder_ne": 4}, "n_lines"),
        ({"founder_ne": 5, "founder_generations": 500}, "differ among"),
        ({"effects": "cauchy"}, "effects"),
        ({"chromosome_cm": -1}, "chromosome_cm"),
        ({"store": "nam.txt"}, "store"),
    ],
)
def test_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        nd.simulate_nam(**SMALL | wrong, seed=1)


def test_blocks_refuse():
    mosaic, gmap = nd.ril_mosaic(6, 2, 2, 50, seed=1), sim.uniform_map(10, 2, 50)
    for common, others, sizes in [
        (np.zeros(9), np.ones((1, 9)), [6]),
        (np.zeros(10), np.ones((2, 10)), [6]),
        (np.zeros(10), np.ones((1, 10)), [5]),
    ]:
        with pytest.raises(ValueError, match="must have|families have"):
            write(mosaic, gmap, common, others, sizes)
    with pytest.raises(ValueError, match="skeleton_cm"):
        nd.ril_mosaic(5, skeleton_cm=500)
