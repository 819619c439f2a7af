"""gp_literate.simulation against population genetics, and what it refuses."""
import numpy as np
import pytest

from gp_literate import simulation as sim


def heterozygote(n_loci):
    "One parent, strand 0 all 0 and strand 1 all 1."
    h = np.zeros((1, 2, n_loci), np.int8)
    h[0, 1] = 1
    return h


# --- maps ---------------------------------------------------------------------------------------------------------


def test_map_bounds_and_labels():
    gmap = sim.genetic_map(["b", "b", "a", "c", "c"], [0, 0, 3, 1, 2])
    assert gmap.bounds.tolist() == [0, 2, 3, 5]
    assert gmap.contig.tolist() == [0, 0, 1, 2, 2]


def test_uniform_map_shares_out_loci():
    gmap = sim.uniform_map(11, 3, 50)
    assert np.diff(gmap.bounds).tolist() == [4, 4, 3]
    assert gmap.position.min() == 0 and gmap.position.max() == 50
    random = sim.uniform_map(1000, 4, 80, seed=1)
    assert random.position.max() < 80 and (np.diff(random.position[:250]) >= 0).all()


@pytest.mark.parametrize(
    "contig, position, message",
    [
        ([1, 1], [5, 1], "must not decrease"),
        ([1, 1], [-1, 1], "not negative"),
        ([1, 1], [0, np.nan], "finite"),
        ([1, 2, 1], [0, 0, 1], "keep the loci of a chromosome together"),
        ([1, 1], [0.0], "one length"),
        ([], [], "not empty"),
    ],
)
def test_map_refuses(contig, position, message):
    with pytest.raises(ValueError, match=message):
        sim.genetic_map(contig, position)


@pytest.mark.parametrize("name, value", [("n_chromosomes", 0), ("n_chromosomes", 6), ("chromosome_cm", 0)])
def test_uniform_map_refuses(name, value):
    with pytest.raises(ValueError, match=name):
        sim.uniform_map(5, **{"n_chromosomes": 1} | {name: value})


# --- meiosis ------------------------------------------------------------------------------------------------------


def test_recombination_is_haldanes():
    gmap, n = sim.uniform_map(16, 1, 150), 200_000
    g = sim.gametes(heterozygote(16), np.zeros(n, int), gmap, seed=5)
    r = sim.haldane(gmap.position[1:])
    z = ((g[:, :1] != g[:, 1:]).mean(axis=0) - r) / np.sqrt(r * (1 - r) / n)
    assert np.abs(z).max() < 4
    assert np.abs(g.mean(axis=0) - 0.5).max() < 4 * 0.5 / np.sqrt(n)


def test_no_interference():
    "Recombination in neighbouring intervals is independent: the coincidence is 1."
    g = sim.gametes(heterozygote(3), np.zeros(200_000, int), sim.uniform_map(3, 1, 60), seed=6)
    a, b = g[:, 0] != g[:, 1], g[:, 1] != g[:, 2]
    assert abs((a & b).mean() / (a.mean() * b.mean()) - 1) < 0.04


def test_chromosomes_are_independent():
    g = sim.gametes(heterozygote(40), np.zeros(50_000, int), sim.uniform_map(40, 40), seed=7)
    r = np.corrcoef(g, rowvar=False)[np.triu_indices(40, 1)]
    assert np.abs(r).max() < 5 / np.sqrt(len(g))


def test_loci_at_one_position_never_recombine():
    gmap = sim.genetic_map([0, 0, 0], [10, 10, 10])
    g = sim.gametes(heterozygote(3), np.zeros(1000, int), gmap, seed=8)
    assert (g == g[:, :1]).all() and 0 < g.mean() < 1


def test_haldane_and_ril_formulas():
    assert sim.haldane(0) == 0 and np.isclose(sim.haldane(1e6), 0.5) and np.isclose(sim.haldane(1e-6), 1e-8)
    assert sim.ril_recombination(0.5) == 0.5 and np.isclose(sim.ril_recombination(1e-6), 2e-6)


def test_kosambi():
    d = np.array([0.0, 1e-6, 5, 25, 60, 1e6])
    np.testing.assert_allclose(sim.kosambi(d), np.tanh(d / 50) / 2)
    assert np.isclose(sim.kosambi(1e-6), 1e-8) and sim.kosambi(1e6) == 0.5 and (sim.kosambi(d) >= sim.haldane(d)).all()
    a, b = sim.kosambi(np.array([13.0, 40.0]))
    assert np.isclose(sim.kosambi(53.0), (a + b) / (1 + 4 * a * b))
    np.testing.assert_allclose(25 * np.log((1 + 2 * a) / (1 - 2 * a)), 13.0)  # Kosambi's distance


def test_recombination_by_either_function():
    d = np.array([[0.0, 10], [30, np.inf]])
    np.testing.assert_array_equal(sim.recombination(d), sim.haldane(d))
    np.testing.assert_array_equal(sim.recombination(d, "kosambi"), sim.kosambi(d))
    assert (sim.recombination(np.inf), sim.recombination(0)) == (0.5, 0)


@pytest.mark.parametrize(
    "args, message",
    [((5, "morgan"), "map_function"), ((-1,), "negative or NaN"), (([1, np.nan], "kosambi"), "negative or NaN")],
)
def test_recombination_refuses(args, message):
    with pytest.raises(ValueError, match=message):
        sim.recombination(*args)


def test_gametes_copy_alleles_of_the_named_parent():
    h = np.random.default_rng(1).integers(0, 2, (5, 2, 30), dtype=np.int8)
    h[3] = 1
    g = sim.gametes(h, [3, 3], sim.uniform_map(30, 3), seed=1)
    assert (g == 1).all() and g.dtype == np.int8


@pytest.mark.parametrize(
    "h, message",
    [
        (np.zeros((3, 5), np.int8), "shape"),
        (np.full((3, 2, 5), 2, np.int8), "0 or 1"),
        (np.zeros((3, 2, 5)), "int8"),
        (np.zeros((3, 2, 4), np.int8), "same loci"),
    ],
)
def test_haplotypes_refused(h, message):
    with pytest.raises(ValueError, match=message):
        sim.gametes(h, [0], sim.uniform_map(5, 1))


@pytest.mark.parametrize("parents", [[1], [-1], [0.0], [[0]]])
def test_parents_refused(parents):
    with pytest.raises(ValueError, match="parents"):
        sim.gametes(heterozygote(4), parents, sim.uniform_map(4, 1))


def test_mate_needs_a_father_for_each_mother():
    with pytest.raises(ValueError, match="one length"):
        sim.mate(heterozygote(4), [0, 0], [0], sim.uniform_map(4, 1))


# --- drift, mutation, linkage disequilibrium -----------------------------------------------------------------------


def test_heterozygosity_decays_as_wright_fisher():
    gmap, ratio = sim.uniform_map(100, 20), []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        h = rng.integers(0, 2, (10, 2, 100), dtype=np.int8)
        start = sim.expected_heterozygosity(h)
        for _ in range(10):
            h = sim.random_mating(h, 10, gmap, rng)
        ratio.append(sim.expected_heterozygosity(h) / start)
    assert abs(np.mean(ratio) - (1 - 1 / 20) ** 10) < 4 * np.std(ratio) / np.sqrt(len(ratio))


def test_random_mating_keeps_allele_frequency_and_hardy_weinberg():
    h = np.zeros((100, 2, 200), np.int8)
    h[:30] = 1
    x = sim.dosage(sim.random_mating(h, 20_000, sim.uniform_map(200, 200), seed=2))
    share = np.stack([(x == k).mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(share.mean(axis=1), [0.49, 0.42, 0.09], atol=0.003)


def test_mutation_rates_per_locus():
    h = np.zeros((5000, 2, 3), np.int8)
    np.testing.assert_allclose(sim.mutate(h, [0, 0.01, 0.2], seed=1).mean(axis=(0, 1)), [0, 0.01, 0.165], atol=0.01)
    assert not h.any() and not sim.mutate(h, 0, seed=1).any()


@pytest.mark.parametrize("rate", [-0.1, 0.6, np.nan, [0.1, 0.1]])
def test_mutation_refuses(rate):
    with pytest.raises(ValueError, match="rate"):
        sim.mutate(np.zeros((5, 2, 3), np.int8), rate)


def test_ld_decay_follows_sved():
    gmap = sim.uniform_map(1005, 5)
    table = sim.ld_decay(sim.founders(gmap, 100, 200, mutation_rate=0, seed=3), gmap, [0.01, 0.75, 2, 5, 10, 20, 45])
    theory = sim.sved_r2(sim.haldane(table["distance_cm"]), 100) + 1 / 200
    np.testing.assert_allclose(table["r2"], theory, rtol=0.4, atol=0.01)
    assert table["r2"].is_monotonic_decreasing


def test_ld_needs_common_alleles():
    with pytest.raises(ValueError, match="min_maf"):
        sim.ld_decay(np.zeros((5, 2, 4), np.int8), sim.uniform_map(4, 1), [0, 100])


@pytest.mark.parametrize("n", [0, 1])
def test_random_mating_needs_two_parents(n):
    with pytest.raises(ValueError, match="at least 2 parents"):
        sim.random_mating(np.zeros((n, 2, 4), np.int8), 5, sim.uniform_map(4, 1))


def test_founders_refuse():
    gmap = sim.uniform_map(4, 1)
    for wrong, message in [({"ne": 1}, "ne must"), ({"n_generations": -1}, "n_generations")]:
        with pytest.raises(ValueError, match=message):
            sim.founders(gmap, **wrong)
    with pytest.raises(ValueError, match="n_offspring"):
        sim.random_mating(np.zeros((2, 2, 4), np.int8), 0, gmap)


# --- inbred lines --------------------------------------------------------------------------------------------------


def test_selfing_halves_heterozygosity():
    plants = np.repeat(heterozygote(50), 2000, axis=0)
    gmap = sim.uniform_map(50, 50)
    for t in (1, 2, 3):
        plants = sim.self_pollinate(plants, 1, gmap, seed=t)
        assert abs((sim.dosage(plants) == 1).mean() - 0.5**t) < 0.01


def test_ril_and_dh_recombination():
    gmap, n = sim.uniform_map(2, 1, 20), 50_000
    rils = sim.self_pollinate(np.repeat(heterozygote(2), n, axis=0), 12, gmap, seed=3)
    dh = sim.doubled_haploids(heterozygote(2), np.zeros(n, int), gmap, seed=4)
    for lines, expected in [(rils, sim.ril_recombination(sim.haldane(20))), (dh, sim.haldane(20))]:
        measured = (lines[:, 0, 0] != lines[:, 0, 1]).mean()
        assert abs(measured - expected) < 4 * np.sqrt(expected / n)
    assert (dh[:, 0] == dh[:, 1]).all()


# --- traits and selection -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base():
    gmap = sim.uniform_map(400)
    return gmap, sim.random_mating(sim.founders(gmap, n_generations=50, seed=1), 1000, gmap, seed=2)


@pytest.mark.parametrize("effects", ["normal", "gamma"])
@pytest.mark.parametrize("h2", [0.2, 0.7, 1.0])
def test_trait_has_the_heritability_asked_for(base, effects, h2):
    x = sim.dosage(base[1])
    trait = sim.sample_trait(x, 60, h2, effects, seed=3)
    a, y = sim.breeding_values(x, trait), sim.phenotypes(x, trait, seed=4)
    assert np.isclose(a.var(), h2) and abs(a.mean()) < 1e-9
    assert abs(np.corrcoef(a, y)[0, 1] ** 2 - h2) < 0.1
    assert h2 < 1 or np.array_equal(a, y)
    assert len(trait.qtl) == 60 and (np.diff(trait.qtl) > 0).all()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"h2": 0}, "h2"),
        ({"h2": 1.01}, "h2"),
        ({"h2": np.nan}, "h2"),
        ({"n_qtl": 0}, "n_qtl"),
        ({"n_qtl": 401}, "n_qtl"),
        ({"effects": "cauchy"}, "effects"),
    ],
)
def test_trait_refuses(base, wrong, message):
    with pytest.raises(ValueError, match=message):
        sim.sample_trait(sim.dosage(base[1]), **{"n_qtl": 10} | wrong)


def test_qtl_segregate():
    x = np.zeros((10, 6), np.int8)
    x[:5, :2] = 2
    assert sim.sample_trait(x, 2, seed=1).qtl.tolist() == [0, 1]
    with pytest.raises(ValueError, match="only 2 of 6 loci segregate"):
        sim.sample_trait(x, 3)


def test_breeders_equation(base):
    gmap, h = base
    x, gap = sim.dosage(h), []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        trait = sim.sample_trait(x, 100, 0.4, seed=rng)
        y = sim.phenotypes(x, trait, rng)
        best = sim.select(y, 200)
        response = sim.breeding_values(sim.dosage(sim.random_mating(h[best], 1000, gmap, rng)), trait).mean()
        gap.append(response - 0.4 * (y[best].mean() - y.mean()))
    assert abs(np.mean(gap)) < 4 * np.std(gap) / np.sqrt(10) and np.std(gap) < 0.12


def test_select_keeps_the_best_and_refuses():
    assert sim.select([1, 5, 5, 2], 3).tolist() == [1, 2, 3]
    for values, n in [([1, 2, 3], 1), ([1, 2, 3], 4), ([1, np.nan, 3], 2)]:
        with pytest.raises(ValueError, match="n_selected|finite"):
            sim.select(values, n)


def test_recurrent_selection_gains_and_uses_up_variance(base):
    gmap, h = base
    trait = sim.sample_trait(sim.dosage(h[:200]), 50, 0.5, seed=1)
    table = sim.recurrent_selection(h[:200], trait, gmap, 20, 8, on="breeding value", seed=2)
    assert len(table) == 9 and table["mean"].is_monotonic_increasing
    assert table["variance"].iloc[-1] < 0.5 * table["variance"].iloc[0]
    with pytest.raises(ValueError, match="on must be"):
        sim.recurrent_selection(h, trait, gmap, 20, on="luck")


# --- the population --------------------------------------------------------------------------------------------------

SMALL = {"n_samples": 60, "n_variants": 120, "n_qtl": 20, "n_generations": 20}


@pytest.mark.parametrize("design", ["outbred", "ril", "dh"])
def test_population(design):
    pop = sim.simulate_population(**SMALL, design=design, h2=0.6, seed=1, trait="yield")
    assert (pop.n_samples, pop.n_variants) == (60, 120)
    assert list(pop.phenotypes) == ["yield"] and np.isclose(pop.breeding_values["yield"].var(ddof=0), 0.6)
    f = pop.allele_frequency()
    assert np.minimum(f, 1 - f).min() >= 0.05
    heterozygous = (pop.dosage == 1).mean()
    assert {"outbred": heterozygous > 0.2, "ril": 0 < heterozygous < 0.02, "dh": heterozygous == 0}[design]
    effect = pop.ds["variant_effect"].values[:, 0]
    a = pop.dosage @ effect
    np.testing.assert_allclose(a - a.mean(), pop.breeding_values["yield"], atol=1e-9)
    assert np.count_nonzero(effect) == 20


def test_population_map():
    pop = sim.simulate_population(**SMALL, n_chromosomes=3, chromosome_cm=70, seed=1)
    contig, position = pop.ds["variant_contig"].values, pop.ds["variant_position"].values
    assert len(set(contig)) == 3 and 0 <= position.min() and position.max() <= 70
    assert sim.genetic_map(contig, position).n_loci == 120


def test_one_seed_one_population():
    first, again, other = (sim.simulate_population(**SMALL, seed=s) for s in (3, np.random.SeedSequence(3), 4))
    assert np.array_equal(first.dosage, again.dosage) and first.phenotypes.equals(again.phenotypes)
    assert not np.array_equal(first.dosage, other.dosage)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"h2": 0}, "h2"),
        ({"h2": 1.5}, "h2"),
        ({"n_qtl": 121}, "n_qtl"),
        ({"n_samples": 1}, "n_samples"),
        ({"ne": 1}, "ne must be at least 2 parents"),
        ({"design": "f2"}, "design"),
        ({"effects": "uniform"}, "effects"),
        ({"n_chromosomes": 0}, "n_chromosomes"),
        ({"chromosome_cm": -1}, "chromosome_cm"),
        ({"ne": 4, "n_generations": 100, "mutation_rate": 0}, "minor allele frequency"),
    ],
)
def test_population_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        sim.simulate_population(**SMALL | wrong)
