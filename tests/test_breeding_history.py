"""gp_literate.breeding_history against population genetics, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_literate import breeding_history as bh
from gp_literate import simulation as sim

SMALL = {
    "n_pairs": 10,
    "n_generations": 30,
    "expansion": (40, 60, 30),
    "n_snp": 60,
    "n_qtl": 40,
    "n_chromosomes": 3,
    "start_frequency": 0.5,
}


@pytest.fixture(scope="module")
def small():
    return bh.simulate_history(**SMALL, seed=1)


# --- map and families ------------------------------------------------------------------------------------------------


def test_map_of_the_paper():
    gmap, is_qtl = bh.snp_qtl_map(1000, 1000, seed=1)
    snp = sim.GeneticMap(gmap.contig[~is_qtl], gmap.position[~is_qtl])
    assert is_qtl.sum() == 1000 and (np.bincount(snp.contig) == 100).all()
    np.testing.assert_allclose(np.diff(snp.position[:100]), 1)
    assert (
        gmap.position.min() >= 0 and gmap.position.max() <= 100 and len(np.unique(np.bincount(gmap.contig[is_qtl]))) > 1
    )


@settings(max_examples=40, deadline=None)
@given(males=st.integers(1, 9), females=st.integers(1, 9), offspring=st.integers(1, 60), seed=st.integers(0, 1000))
def test_families_are_of_one_size(males, females, offspring, seed):
    male = np.random.default_rng(seed).permutation(np.arange(males + females) < males)
    sire, dam = bh.pair_off(male, offspring, seed)
    assert male[sire].all() and not male[dam].any()
    pairs, size = np.unique(np.column_stack([sire, dam]), axis=0, return_counts=True)
    assert len(pairs) == min(males, females, offspring) and np.ptp(size) <= 1
    assert len(np.unique(pairs[:, 0])) == len(pairs) == len(np.unique(pairs[:, 1]))


def test_offspring_carry_their_parents_alleles():
    parents = bh.founder_pairs(5, 40, 0.5, seed=2)
    gmap = sim.uniform_map(40, 4)
    child = bh.breed(parents, 20, gmap, seed=3)
    for strand, who in ((0, child.dam), (1, child.sire)):
        own = parents.haplotypes[who]
        same = child.haplotypes[:, strand, None] == own
        assert same.any(axis=1).all()
    assert child.male.sum() == 10
    assert not np.array_equal(bh.breed(parents, 20, gmap, 0.4, seed=3).haplotypes, child.haplotypes)


def test_founders_start_where_they_are_told():
    assert not bh.founder_pairs(5, 100).haplotypes.any() and bh.founder_pairs(5, 100, 1.0).haplotypes.all()
    assert abs(bh.founder_pairs(50, 1000, 0.3, seed=1).haplotypes.mean() - 0.3) < 4 * np.sqrt(0.21 / 200_000)


# --- theory ----------------------------------------------------------------------------------------------------------


def test_effective_size_is_about_twice_the_number():
    for n in (20, 50, 200):
        assert abs(bh.effective_size(n) / (4 * n - 1) - 1) < 1e-3


def test_recursion_converges_to_its_balance():
    for start in (0.0, 0.5):
        path = bh.expected_history(10, 3000, 1e-3, start)
        np.testing.assert_allclose(path.iloc[-1], bh.expected_history(10, None, 1e-3).iloc[0], rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(mu=st.floats(1e-6, 0.05), n=st.integers(5, 300))
def test_balance_is_the_two_allele_formula(mu, n):
    theta = 4 * bh.effective_size(n) * mu
    H = bh.expected_history(n, None, mu)["heterozygosity"][0]
    assert abs(H / (theta / (1 + 2 * theta)) - 1) < 0.02 + 2 / n + 5 * mu


def test_recursion_is_the_mean_of_pedigrees():
    "The mean coancestry over random pedigrees, by the tabular method: no genotypes, so no mutation."
    n, t, F, rng = 6, 12, [], np.random.default_rng(4)
    for _ in range(800):
        male, C = np.arange(2 * n) % 2 == 0, np.eye(2 * n) / 2
        for _ in range(t):
            C, inbreeding = bh.next_coancestry(C, *bh.pair_off(male, 2 * n, rng))
        F.append(inbreeding.mean())
    theory = bh.expected_history(n, t, 0, 0.5)["inbreeding"].iloc[-1]
    assert abs(np.mean(F) - theory) < 4 * np.std(F) / np.sqrt(len(F))


def test_tabular_method_on_a_full_sib_mating():
    C, F = bh.next_coancestry(np.eye(2) / 2, [0, 0], [1, 1])
    assert F.tolist() == [0, 0] and C[0, 1] == 0.25
    C, F = bh.next_coancestry(C, [0], [1])
    assert F[0] == 0.25 and C[0, 0] == 0.625


def test_heterozygosity_follows_the_recursion():
    gmap, mu = sim.uniform_map(400, 40), np.repeat([0.01, 1e-3], 200)
    classes, ends = {"fast": mu == 0.01, "slow": mu == 1e-3}, []
    rng = np.random.default_rng(5)
    for _ in range(40):
        ends.append(bh.burn_in(bh.founder_pairs(8, 400, 0.0, rng), 120, gmap, mu, classes, 40, rng)[1].to_numpy())
    mean, se = np.mean(ends, axis=0), np.std(ends, axis=0, ddof=1) / np.sqrt(40)
    theory = np.column_stack([bh.expected_history(8, 120, m)["heterozygosity"][::40] for m in (0.01, 1e-3)])
    assert np.abs((mean - theory)[1:] / se[1:]).max() < 4


def test_random_mating_would_drift_faster():
    "The paired population keeps twice the heterozygosity that Wright-Fisher drift would leave: the check can tell."
    wright_fisher = 0.5 * (1 - 1 / 40) ** 60
    paired = bh.expected_history(10, 60, 0, 0.5)["heterozygosity"].iloc[-1]
    assert paired > 1.8 * wright_fisher


def test_ld_without_mutation_is_hill_and_weirs():
    r = np.array([0, 0.5, 4, 40])
    np.testing.assert_allclose(bh.expected_ld(r / 400, 100), (10 + r) / ((2 + r) * (11 + r)))
    assert (np.diff([bh.expected_ld(0.01, 100, mu) for mu in (0, 1e-4, 1e-3, 1e-2)]) < 0).all()


def test_ld_in_the_simulation():
    gmap, rng, notes = sim.uniform_map(300, 6, 98), np.random.default_rng(6), []
    g = bh.burn_in(bh.founder_pairs(25, 300, 0.5, rng), 200, gmap, 2e-3, seed=rng)[0]
    for _ in range(50):
        g = bh.burn_in(g, 25, gmap, 2e-3, seed=rng)[0]
        notes.append(bh.ld_moments(g.haplotypes, gmap, [1, 3, 5, 7, 9, 11]))
    c, d2, pq = sim.haldane(notes[0]["distance_cm"]), *(np.array([n[k] for n in notes]) for k in ("d2", "pq"))
    ratio = d2.mean(axis=0) / pq.mean(axis=0)
    se = (d2 - ratio * pq).std(axis=0, ddof=1) / np.sqrt(50) / pq.mean(axis=0)
    assert (np.abs(ratio - bh.expected_ld(c, 99, 2e-3, 25)) < 4 * se).all() and (se / ratio < 0.08).all()
    assert (np.abs(ratio - bh.expected_ld(c, 50, 2e-3, 25)) > 4 * se)[:3].all(), "the effective size is not the number"


def test_ld_moments_by_hand():
    h = np.array([[[1, 1, 0], [0, 0, 0]], [[1, 0, 1], [0, 1, 1]]], np.int8)
    table = bh.ld_moments(h, sim.genetic_map([0, 0, 1], [0, 5, 0]), [0, 10])
    assert len(table) == 1 and table["n_pairs"][0] == 1 and table["d2"][0] == 0 and np.isclose(table["pq"][0], 1 / 16)


# --- the population --------------------------------------------------------------------------------------------------


def test_population(small):
    pop = small.population
    about = pop.covariates
    assert about["generation"].value_counts().to_dict() == {31: 40, 32: 60, 33: 30}
    assert pop.n_variants == 60 and small.qtl.shape == (130, 40) and small.qtl_map.n_loci == 40
    y, a = pop.phenotypes["trait"], pop.breeding_values["trait"]
    assert y.notna().tolist() == (about["generation"] < 33).tolist() and a.notna().all()
    assert np.isclose(a[y.notna()].var(ddof=0), 0.5) and abs(a[y.notna()].mean()) < 1e-9
    np.testing.assert_allclose(sim.breeding_values(small.qtl, small.trait), a)
    assert (about["sex"].value_counts() == 65).all()


def test_pedigree_points_to_the_generation_before(small):
    about = small.population.covariates
    young = about[about["generation"] > 31]
    for parent, sex in (("sire", "male"), ("dam", "female")):
        row = about.loc[young[parent]]
        assert (row["sex"] == sex).all() and (row["generation"].to_numpy() == young["generation"] - 1).all()
    assert about.loc[about["generation"] == 31, "sire"].str.startswith("g30_").all()


def test_genotypes_fit_the_pedigree():
    pop = bh.simulate_history(**SMALL | {"snp_mutation": 0.0, "qtl_mutation": 0.0}, seed=2).population
    about, x = pop.covariates, pop.dosage
    young = np.flatnonzero(about["generation"] > 31)
    sire, dam = (x[about.index.get_indexer(about[p].iloc[young])] for p in ("sire", "dam"))
    child = x[young]
    assert (child >= (sire == 2).astype(int) + (dam == 2)).all() and (
        child <= 2 - (sire == 0).astype(int) - (dam == 0)
    ).all()


def test_environment_has_the_heritability():
    pop = bh.simulate_history(**SMALL | {"expansion": (40, 4000), "h2": 0.3}, seed=3).population
    noise = (pop.phenotypes["trait"] - pop.breeding_values["trait"]).dropna()
    assert abs(noise.var() - 0.7) < 5 * 0.7 * np.sqrt(2 / len(noise))


def test_streams_are_apart():
    one, other = (bh.simulate_history(**SMALL, h2=h2, seed=4).population for h2 in (0.2, 0.9))
    assert np.array_equal(one.dosage, other.dosage)
    np.testing.assert_allclose(np.corrcoef(one.breeding_values["trait"], other.breeding_values["trait"])[0, 1], 1)


def test_seeds():
    sequence = np.random.SeedSequence(5)
    runs = [bh.simulate_history(**SMALL, seed=s).population for s in (5, sequence, sequence, 6)]
    assert np.array_equal(runs[0].dosage, runs[1].dosage) and np.array_equal(runs[1].dosage, runs[2].dosage)
    assert not np.array_equal(runs[0].dosage, runs[3].dosage)
    rng = np.random.default_rng(7)
    first, second = (bh.simulate_history(**SMALL, seed=rng).population for _ in range(2))
    assert not np.array_equal(first.dosage, second.dosage)


def test_replicates_do_not_depend_on_their_number():
    few, many = (list(bh.history_replicates(n, 8, **SMALL)) for n in (2, 3))
    for a, b in zip(few, many, strict=False):
        assert np.array_equal(a.population.dosage, b.population.dosage)
    assert not np.array_equal(few[0].population.dosage, few[1].population.dosage)
    spawned = np.random.SeedSequence(8).spawn(2)[1]
    assert np.array_equal(few[1].population.dosage, bh.simulate_history(**SMALL, seed=spawned).population.dosage)


@pytest.mark.parametrize("drop", [False, True])
def test_constant_snp(drop):
    settings = SMALL | {"n_generations": 60, "snp_mutation": 0.0, "drop_monomorphic": drop}
    pop = bh.simulate_history(**settings, seed=9).population
    train = pop.dosage[pop.phenotypes["trait"].notna()]
    constant = (train == train[:1]).all(axis=0).sum()
    said = pop.provenance["detail"].iloc[-1]
    assert (constant, pop.n_variants < 60) == (0, True) if drop else (constant > 0 and pop.n_variants == 60)
    assert ("left out" if drop else f"{constant} of 60") in said


def test_effects_can_be_given():
    effects = np.zeros(40)
    effects[:30] = 1
    run = bh.simulate_history(**SMALL, effects=effects, seed=10)
    assert (run.trait.effect[30:] == 0).all() and np.ptp(run.trait.effect[:30]) < 1e-12


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"n_pairs": 1}, "n_pairs"),
        ({"n_generations": -1}, "n_generations"),
        ({"expansion": ()}, "expansion"),
        ({"expansion": (40, 1)}, "expansion"),
        ({"n_phenotyped": 0}, "n_phenotyped"),
        ({"n_phenotyped": 4}, "n_phenotyped"),
        ({"h2": 0}, "h2"),
        ({"h2": 1.1}, "h2"),
        ({"snp_mutation": 0.6}, "snp_mutation"),
        ({"qtl_mutation": -0.1}, "qtl_mutation"),
        ({"start_frequency": 1.2}, "start_frequency"),
        ({"effects": np.ones(3)}, "effects"),
        ({"effects": "cauchy"}, "effects"),
        ({"n_chromosomes": 61}, "n_snp"),
        ({"chromosome_cm": 0}, "chromosome_cm"),
        ({"start_frequency": 0.0, "qtl_mutation": 0.0}, "do not vary"),
        (
            {"start_frequency": 0.0, "qtl_mutation": 0.1, "snp_mutation": 0.0, "drop_monomorphic": True},
            "all SNP are constant",
        ),
    ],
)
def test_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        bh.simulate_history(**SMALL | wrong, seed=1)


def test_parts_refuse():
    with pytest.raises(ValueError, match="both sexes"):
        bh.pair_off([True, True], 4)
    with pytest.raises(ValueError, match="mutation_rate"):
        bh.expected_history(10, None)
    with pytest.raises(ValueError, match="every"):
        bh.burn_in(bh.founder_pairs(3, 4), 5, sim.uniform_map(4, 1), every=0)
    with pytest.raises(ValueError, match="k must"):
        bh.replicate_seed(1, -1)
