"""gp_literate.trait_architecture against quantitative genetics, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_literate import simulation as sim
from gp_literate import trait_architecture as ta


def hardy_weinberg(n, f, seed):
    "(n, q) dosages of independent loci in random-mating proportions."
    return np.random.default_rng(seed).binomial(2, f, (n, len(f))).astype(np.int8)


def random_architecture(q, m, seed, frequency=None):
    "Effects of all kinds at q QTL, m pairs of them."
    rng = np.random.default_rng(seed)
    pairs = ta.epistatic_pairs(np.zeros(q), "global", m, rng)
    f = rng.uniform(0.1, 0.9, q) if frequency is None else frequency
    return ta.Architecture(np.arange(q), rng.normal(size=q), rng.normal(size=q), pairs, rng.normal(size=m), f, 1.0)


@pytest.fixture(scope="module")
def base():
    pop = sim.simulate_population(500, 400, n_qtl=1, n_generations=50, seed=1)
    return pop, pop.dosage, pop.ds["variant_contig"].to_numpy()


# --- the decomposition -----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(p=st.floats(0.01, 0.99), a=st.floats(-3, 3), d=st.floats(-3, 3))
def test_one_locus_is_fishers_regression(p, a, d):
    x, weight = np.arange(3), np.array([(1 - p) ** 2, 2 * p * (1 - p), p**2])
    value = np.array([-a, d, a])
    z, h = (c[:, 0] for c in ta.locus_codes(x[:, None], [p]))
    slope = (weight @ (value * z)) / (weight @ z**2)
    one = ta.Architecture(
        np.array([0]), np.array([a]), np.array([d]), np.empty((0, 2), int), np.empty(0), np.array([p]), 0.0
    )
    np.testing.assert_allclose(ta.average_effects(one), slope, atol=1e-9)
    np.testing.assert_allclose(value - weight @ value, slope * z + d * h, atol=1e-9)
    expected = ta.expected_moments(one)
    np.testing.assert_allclose(expected["genetic"], weight @ (value - weight @ value) ** 2, atol=1e-9)
    np.testing.assert_allclose(expected["dominance"], (2 * p * (1 - p) * d) ** 2, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_parts_sum_to_the_functional_value(seed):
    "Written with a, d and products of centred dosages, the genetic value is the same up to a constant."
    arch, x = random_architecture(6, 8, seed), np.random.default_rng(seed).integers(0, 3, (30, 6)).astype(np.int8)
    z = x - 2 * arch.frequency
    plain = x @ arch.additive + (x == 1) @ arch.dominance
    plain = plain + sum(e * z[:, k] * z[:, j] for e, (k, j) in zip(arch.epistasis, arch.pairs, strict=True))
    gap = ta.genetic_parts(x, arch)["genetic_value"] - plain
    np.testing.assert_allclose(gap, gap.iloc[0], atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rebase_keeps_differences_and_is_undone(seed):
    rng = np.random.default_rng(seed)
    arch, x, y = random_architecture(5, 6, seed), rng.integers(0, 3, (20, 5)), rng.integers(0, 3, (10, 5))
    moved = ta.rebase(arch, y)
    gap = ta.genetic_parts(x, arch)["genetic_value"] - ta.genetic_parts(x, moved)["genetic_value"]
    np.testing.assert_allclose(gap, gap.iloc[0], atol=1e-9)
    np.testing.assert_allclose(ta.rebase(moved, x).additive, ta.rebase(arch, x).additive, atol=1e-9)


@pytest.mark.parametrize("inbreeding", [0.0, 0.3, 1.0])
def test_moments_in_a_large_sample(inbreeding):
    rng, n = np.random.default_rng(5), 200_000
    arch = random_architecture(8, 6, 3)
    first, other = (rng.random((2, n, 8)) < arch.frequency).astype(np.int8)
    x = first + np.where(rng.random((n, 8)) < inbreeding, first, other)
    expected, found = ta.expected_moments(arch, inbreeding), ta.observed_moments(x, arch)
    scale = expected["genetic"]
    np.testing.assert_allclose(found[1:] / scale, expected[1:] / scale, atol=0.02)
    assert abs(found["mean"] - expected["mean"]) < 5 * np.sqrt(scale / n)


def test_alleles_can_be_swapped():
    "Counting the other allele changes signs of a and of i's codes, not values."
    arch, x = random_architecture(6, 7, 4), np.random.default_rng(4).integers(0, 3, (40, 6))
    other = arch._replace(additive=-arch.additive, frequency=1 - arch.frequency)
    np.testing.assert_allclose(ta.genetic_parts(2 - x, other), ta.genetic_parts(x, arch), atol=1e-9)


def test_additive_trait_is_the_same_trait(base):
    _, x, _ = base
    arch = ta.sample_architecture(x, 50, 0.4, "gamma", seed=2)
    plain = sim.sample_trait(x, 50, 0.4, "gamma", seed=2)
    np.testing.assert_allclose(ta.additive_trait(arch).effect, plain.effect)
    np.testing.assert_allclose(ta.genetic_parts(x, arch)["genetic_value"], sim.breeding_values(x, plain))
    assert np.isclose(arch.noise_variance, plain.noise_variance)


# --- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sense", ["narrow", "broad"])
@pytest.mark.parametrize(
    "kind", [{}, {"dominance": (0.3, 0.5)}, {"epistasis": "local"}, {"epistasis": "global"}, {"n_large": 4}]
)
def test_heritability_is_what_was_asked_for(base, sense, kind):
    _, x, contig = base
    arch = ta.sample_architecture(x, 60, 0.35, sense=sense, contig=contig, seed=3, **kind)
    found = ta.heritabilities(x, arch).loc["sample"]
    assert np.isclose(found[sense], 0.35) and np.isclose(found["genetic"] + arch.noise_variance, 1)
    records = ta.simulate_records(x, arch, seed=4)
    noise = records["phenotype"] - records["genetic_value"]
    assert abs(noise.var() / arch.noise_variance - 1) < 5 * np.sqrt(2 / len(noise))


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_epistatic_share(base, share):
    _, x, contig = base
    arch = ta.sample_architecture(
        x, 60, 0.2, epistasis="global", epistasis_share=share, dominance=(0, 0.5), contig=contig, seed=5
    )
    found = ta.observed_moments(x, arch)
    assert np.isclose(found["epistasis"] / found[["additive", "dominance", "epistasis"]].sum(), share)


def test_large_qtl_hold_their_share():
    rng = np.random.default_rng(6)
    effects, f = rng.normal(size=80), rng.uniform(0.05, 0.5, 80)
    out = ta.enlarge(effects, f, 3, 0.7, seed=7)
    variance, changed = 2 * f * (1 - f) * out**2, out != effects
    assert changed.sum() == 3 and np.isclose(variance[changed].sum() / variance.sum(), 0.7)
    assert np.ptp(variance[changed]) < 1e-9 and (np.sign(out) == np.sign(effects)).all()


def test_pairs():
    contig = np.repeat([0, 1, 2], [4, 1, 3])
    local = ta.epistatic_pairs(contig, "local")
    assert local.tolist() == [[0, 1], [1, 2], [2, 3], [5, 6], [6, 7]]
    everything = ta.epistatic_pairs(contig, "global", 28, seed=1)
    assert len(np.unique(everything, axis=0)) == 28 and (everything[:, 0] < everything[:, 1]).all()
    assert len(ta.epistatic_pairs(contig, "global", seed=1)) == len(local)


def test_dominance_degree():
    x = hardy_weinberg(300, np.full(5000, 0.5), 8)
    arch = ta.sample_architecture(x, 5000, 0.1, dominance=(0.4, 0.2), seed=9)
    degree = arch.dominance / np.abs(arch.additive)
    assert abs(degree.mean() - 0.4) < 4 * 0.2 / np.sqrt(5000) and abs(degree.std() - 0.2) < 0.01


# --- relatives -------------------------------------------------------------------------------------------------------


def test_relatives_share_what_cockerham_says():
    "Full sibs: V_A / 2 + V_D / 4 + V_AA / 4; parent and offspring: V_A / 2 + V_AA / 4 (unlinked loci)."
    q, n, rng = 12, 60_000, np.random.default_rng(10)
    gmap, arch = sim.uniform_map(q, q), random_architecture(q, 10, 11)
    parents = (rng.random((2 * n, 2, q)) < arch.frequency).astype(np.int8)
    sibs = [sim.mate(parents, np.arange(n), n + np.arange(n), gmap, rng) for _ in range(2)]
    a, b, parent = (ta.genetic_parts(sim.dosage(h), arch)["genetic_value"] for h in (*sibs, parents[:n]))
    V = ta.expected_moments(arch)
    se = V["genetic"] / np.sqrt(n)
    assert abs(np.cov(a, b)[0, 1] - (V["additive"] / 2 + V["dominance"] / 4 + V["epistasis"] / 4)) < 5 * se
    assert abs(np.cov(a, parent)[0, 1] - (V["additive"] / 2 + V["epistasis"] / 4)) < 5 * se


# --- populations and refusals ----------------------------------------------------------------------------------------


def test_add_trait(base):
    pop, x, contig = base
    arch = ta.sample_architecture(x, 40, 0.3, dominance=(0.5, 0.2), seed=12)
    more = ta.add_trait(pop, arch, "height", seed=13)
    assert list(more.phenotypes) == ["trait", "height"] and np.array_equal(more.dosage, x)
    records = ta.simulate_records(x, arch, seed=13)
    np.testing.assert_allclose(more.phenotypes["height"], records["phenotype"])
    np.testing.assert_allclose(more.breeding_values["height"], records["breeding_value"])
    np.testing.assert_allclose(more.covariates["height_genetic_value"], records["genetic_value"])
    np.testing.assert_allclose(more.phenotypes["trait"], pop.phenotypes["trait"])
    assert more.sel(traits=["height"]).phenotypes.shape == (500, 1)
    with pytest.raises(ValueError, match="already"):
        ta.add_trait(more, arch, "height")


def test_same_seed_same_architecture(base):
    _, x, contig = base
    one, two = (
        ta.sample_architecture(x, 30, 0.3, epistasis="local", contig=contig, dominance=(0, 1), seed=14)
        for _ in range(2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"h2": 0}, "h2"),
        ({"h2": 1.5}, "h2"),
        ({"sense": "middle"}, "sense"),
        ({"dominance": (0, -1)}, "dominance"),
        ({"dominance": (np.nan, 1)}, "dominance"),
        ({"h2": 0.95, "dominance": (0, 3)}, "cannot be"),
        ({"n_large": 30}, "n_large"),
        ({"n_large": 3, "large_share": 1}, "large_share"),
        ({"epistasis": "local"}, "contig"),
        ({"epistasis": "near", "contig": np.zeros(400)}, "'local', 'global'"),
        ({"epistasis": "local", "contig": np.zeros(400), "epistasis_share": 1}, "epistasis_share"),
        ({"epistasis": "local", "contig": np.zeros(400), "n_pairs": 30}, "n_pairs"),
        ({"epistasis": "local", "contig": np.arange(400)}, "n_pairs"),
        ({"effects": "cauchy"}, "effects"),
    ],
)
def test_refuses(base, wrong, message):
    with pytest.raises(ValueError, match=message):
        ta.sample_architecture(base[1], 30, **wrong)


@pytest.mark.parametrize("inbreeding", [-0.1, 1.1, np.nan])
def test_inbreeding_refused(inbreeding):
    with pytest.raises(ValueError, match="inbreeding"):
        ta.expected_moments(random_architecture(3, 1, 0), inbreeding)
