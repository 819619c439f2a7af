"""Quality control: exact thresholds, filters against brute force, reports, and the counts of the real data sets."""

import itertools
import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gp_literate import datasets
from gp_literate.genotypes import Population
from gp_literate.quality_control import (
    Filtered,
    as_fraction,
    compare,
    duplicate_markers,
    filter_call_rate,
    filter_contigs,
    filter_covariate,
    filter_duplicate_markers,
    filter_duplicate_samples,
    filter_hardy_weinberg,
    filter_heterozygosity,
    filter_ld,
    filter_maf,
    filter_monomorphic,
    filter_phenotyped,
    genotype_counts,
    hardy_weinberg_test,
    identity_by_state,
    marker_statistics,
    minor_copies,
    squared_correlations,
)

matrices = hnp.arrays(np.int8, st.tuples(st.integers(2, 9), st.integers(1, 12)), elements=st.integers(-1, 2))


def population(calls, **kwargs):
    return Population.from_array(calls, missing=-1, **kwargs)


def inverted(calls, which=None):
    "The other allele counted, at all markers or some."
    flipped = np.where(calls < 0, -1, 2 - calls).astype(np.int8)
    return flipped if which is None else np.where(which, flipped, calls)


# --- thresholds ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 1000))
def test_comparisons_are_those_of_fractions(count, total, thousandths):
    threshold = thousandths / 1000
    share, exact = Fraction(count, total), Fraction(thousandths, 1000)
    expected = {">": share > exact, ">=": share >= exact, "<": share < exact, "<=": share <= exact}
    for keep, answer in expected.items():
        assert compare(np.array([count]), np.array([total]), keep, threshold).item() == answer


@pytest.mark.parametrize("threshold", [0.05, "0.05", Fraction(1, 20), np.float64(0.05), np.float32(0.05)])
def test_a_threshold_is_the_decimal_that_was_typed(threshold):
    assert as_fraction(threshold) == Fraction(1, 20)


@pytest.mark.parametrize("threshold", [-0.1, 1.01, 5, "a lot", np.nan, np.inf, None])
def test_thresholds_outside_the_unit_interval_are_refused(threshold):
    with pytest.raises(ValueError, match="between 0 and 1"):
        filter_maf(population(np.eye(3, dtype=np.int8)), threshold)


@pytest.mark.parametrize("n", [20, 40, 100, 1940])
def test_a_marker_exactly_at_the_threshold_is_decided_by_the_sign_alone(n):
    rare = np.zeros(n, np.int8)
    rare[: n // 20] = 2
    pop = population(np.column_stack([rare, 2 - rare, np.arange(n) % 3]))
    assert filter_maf(pop, 0.05, ">=").population.n_variants == 3
    assert filter_maf(pop, 0.05, ">").population.n_variants == 1


# --- filters against plain code --------------------------------------------------------------------------------------


@settings(deadline=None)
@given(matrices)
def test_counts_and_frequencies(calls):
    pop = population(calls)
    for k, column in enumerate(calls.T):
        assert genotype_counts(pop)[k].tolist() == [(column == c).sum() for c in (0, 1, 2, -1)]
        seen = column[column >= 0].astype(int)
        f = Fraction(int(seen.sum()), 2 * len(seen)) if len(seen) else None
        minor, called = (x[k] for x in minor_copies(genotype_counts(pop)))
        assert called == 2 * len(seen) and (f is None or Fraction(int(minor), int(called)) == min(f, 1 - f))
    np.testing.assert_array_equal(genotype_counts(pop, "samples"), genotype_counts(population(calls.T)))


FILTERS = [
    lambda p: filter_maf(p, 0.2), lambda p: filter_maf(p, 0.2, ">"), filter_monomorphic,
    lambda p: filter_call_rate(p, 0.5), lambda p: filter_call_rate(p, 0.5, "samples"),
    lambda p: filter_heterozygosity(p, 0.6), lambda p: filter_hardy_weinberg(p, 0.3),
    lambda p: filter_duplicate_markers(p, "pattern"), lambda p: filter_duplicate_markers(p, "fill", True),
    lambda p: filter_duplicate_markers(p, "ignore", True), lambda p: filter_duplicate_samples(p, 0.9),
    lambda p: filter_ld(p, 0.5, 3, "distance"),
]


def left(step, pop):
    "What a filter keeps and removes, as sets; None when it would remove everything."
    try:
        filtered = step(pop)
    except ValueError as error:
        assert "would remove all" in str(error)
        return None
    return set(filtered.population.variant_id), set(filtered.population.sample_id)


@settings(deadline=None, max_examples=60)
@given(matrices, st.sampled_from(FILTERS))
def test_filters_are_idempotent_and_their_report_adds_up(calls, step):
    pop = population(calls, contig=["1"] * calls.shape[1], position=np.arange(calls.shape[1]))
    try:
        once = step(pop)
    except ValueError:
        return
    twice = step(once)
    assert twice.population.ds.identical(once.population.ds) and len(twice.steps) == 2
    line = once.steps[0]
    before, after = ((p.variant_id if line.of == "markers" else p.sample_id) for p in (pop, once.population))
    assert line.before == len(before) and line.after == len(after) == line.before - len(line.removed)
    assert set(line.removed.index) == set(before) - set(after)


@settings(deadline=None, max_examples=60)
@given(matrices, st.sampled_from(FILTERS), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(calls, step, random):
    pop = population(calls, contig=["1"] * calls.shape[1], position=np.arange(calls.shape[1]))
    order = list(range(len(calls)))
    random.shuffle(order)
    assert left(step, pop) == left(step, pop.sel(samples=np.array(order)))


@settings(deadline=None, max_examples=60)
@given(matrices, st.sampled_from(FILTERS), st.data())
def test_the_counted_allele_does_not_matter(calls, step, data):
    position = {"contig": ["1"] * calls.shape[1], "position": np.arange(calls.shape[1])}
    assert left(step, population(calls, **position)) == left(step, population(inverted(calls), **position))
    which = np.array(data.draw(st.lists(st.booleans(), min_size=calls.shape[1], max_size=calls.shape[1])))
    some = population(inverted(calls, which), **position)
    pd.testing.assert_frame_equal(marker_statistics(population(calls)), marker_statistics(some))
    for missing in ("pattern", "fill", "ignore"):
        found = (duplicate_markers(p, missing, inverted=True) for p in (population(calls), some))
        pd.testing.assert_series_equal(*found)


# --- Hardy-Weinberg --------------------------------------------------------------------------------------------------


def exact_distribution(a, n):
    "P(heterozygotes) given a copies of the rarer allele in n individuals, as fractions."
    f = math.factorial
    ways = {h: Fraction(f(n) * 2**h, f((a - h) // 2) * f(h) * f(n - (a + h) // 2)) for h in range(a % 2, a + 1, 2)}
    return {h: w / sum(ways.values()) for h, w in ways.items()}


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_hardy_weinberg_is_the_sum_over_outcomes_no_more_probable(zero, one, two):
    n = zero + one + two
    found, midp = (hardy_weinberg_test(np.array([[zero, one, two]]), m).item() for m in (False, True))
    if n == 0:
        assert np.isnan(found)
        return
    P = exact_distribution(2 * min(zero, two) + one, n)
    rarer, level = sum(p for p in P.values() if p < P[one]), sum(p for p in P.values() if p == P[one])
    np.testing.assert_allclose([found, midp], [float(rarer + level), float(rarer + level / 2)], rtol=1e-9)


def test_hardy_weinberg_of_many_individuals_approaches_chi_square():
    from scipy.stats import chi2

    counts = np.array([[2500, 5100, 2400], [2550, 4950, 2500], [3600, 4750, 1650]])
    n, f = counts.sum(axis=1), (counts @ [0, 1, 2]) / (2 * counts.sum(axis=1))
    expected = n[:, None] * np.column_stack([(1 - f) ** 2, 2 * f * (1 - f), f**2])
    approximate = chi2.sf(((counts - expected) ** 2 / expected).sum(axis=1), 1)
    np.testing.assert_allclose(hardy_weinberg_test(counts, midp=True), approximate, rtol=0.05)


# --- duplicates ------------------------------------------------------------------------------------------------------


def brute_duplicates(calls, missing, invert):
    "The definition in the text, marker by marker."
    kept, out = [], {}
    for k, b in enumerate(calls.T):
        for j in kept:
            same = False
            for c in (b, inverted(b)) if invert else (b,):
                x, y = calls[:, j].copy(), c.copy()
                if missing == "fill":
                    for z in (x, y):
                        zeros, twos = (z == 0).sum(), (z == 2).sum()
                        z[z < 0] = -1 if zeros == twos else 0 if zeros > twos else 2
                shared = (x >= 0) & (y >= 0) if missing == "ignore" else np.ones(len(x), bool)
                same |= bool((x[shared] == y[shared]).all() and 2 * shared.sum() >= len(x))
            if same:
                out[f"marker{k + 1}"] = f"marker{j + 1}"
                break
        else:
            kept.append(k)
    return out


@settings(deadline=None)
@given(hnp.arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.integers(-1, 2)),
       st.sampled_from(["pattern", "fill", "ignore"]), st.booleans())
def test_duplicate_markers_are_those_of_the_definition(calls, missing, invert):
    assert duplicate_markers(population(calls), missing, invert).to_dict() == brute_duplicates(calls, missing, invert)


@pytest.mark.parametrize("n", [63, 64, 65, 130])
def test_duplicates_beyond_one_word_of_bits(n):
    rng = np.random.default_rng(n)
    calls = rng.integers(-1, 3, (n, 40)).astype(np.int8)
    calls[:, 30], calls[:, 31] = calls[:, 3], inverted(calls[:, 5])
    calls[rng.random(n) < 0.1, 30] = -1
    calls[:, 32] = calls[:, 7]
    calls[-1, 32] = (np.maximum(calls[-1, 7], 0) + 1) % 3
    calls[-1, 7] = max(calls[-1, 7], 0)
    expected = {"marker31": "marker4", "marker32": "marker6"}
    assert duplicate_markers(population(calls), "ignore", True).to_dict() == expected


def test_lines_of_a_two_code_population_have_duplicates_too():
    calls = np.array([[0, 1, 0], [1, 0, 1], [1, 0, -1]], np.int8)
    pop = population(calls, coding="0/1")
    assert duplicate_markers(pop, "ignore").to_dict() == {"marker3": "marker1"}
    assert duplicate_markers(pop, "pattern", inverted=True).to_dict() == {"marker2": "marker1"}
    assert identity_by_state(pop)["sample3"].tolist() == [0, 1, 1]


@settings(deadline=None)
@given(matrices)
def test_identity_by_state_is_the_mean_over_shared_calls(calls):
    found = identity_by_state(population(calls)).to_numpy()
    for i, j in itertools.product(range(len(calls)), repeat=2):
        both = (calls[i] >= 0) & (calls[j] >= 0)
        expected = 1 - np.abs(calls[i] - calls[j])[both].mean() / 2 if both.any() else np.nan
        np.testing.assert_allclose(found[i, j], expected, rtol=1e-12)


def test_of_two_samples_the_better_called_stays_and_of_three_one():
    rng = np.random.default_rng(1)
    calls = rng.integers(0, 3, (5, 200)).astype(np.int8)
    calls[3], calls[4] = calls[0], calls[0]
    calls[0, :5] = -1
    filtered = filter_duplicate_samples(population(calls))
    assert filtered.steps[0].removed.to_dict() == {"sample1": "sample4", "sample5": "sample4"}


# --- linkage disequilibrium ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(matrices)
def test_squared_correlations_are_numpys_over_shared_calls(calls):
    found = squared_correlations(population(calls))
    for j, k in itertools.combinations(range(calls.shape[1]), 2):
        both = (calls[:, j] >= 0) & (calls[:, k] >= 0)
        x, y = calls[both, j].astype(float), calls[both, k].astype(float)
        varies = both.sum() > 1 and x.std() > 0 and y.std() > 0
        np.testing.assert_allclose(found[j, k], np.corrcoef(x, y)[0, 1] ** 2 if varies else 0, atol=1e-9)


def test_pruning_keeps_a_valid_and_maximal_subset_and_common_alleles():
    rng = np.random.default_rng(2)
    base = rng.integers(0, 3, (60, 30))
    calls = np.repeat(base, 4, axis=1).astype(np.int8)
    calls = np.where(rng.random(calls.shape) < 0.1, rng.integers(-1, 3, calls.shape), calls).astype(np.int8)
    contig, position = np.repeat(["1", "2"], 60), np.tile(np.arange(60), 2)
    pop = population(calls, contig=contig, position=position)
    kept = filter_ld(pop, 0.2, 5, "distance").population
    r2 = squared_correlations(pop)
    near = (np.abs(position[:, None] - position) <= 5) & (contig[:, None] == contig) & ~np.eye(120, dtype=bool)
    mask = np.isin(pop.variant_id, kept.variant_id)
    assert (r2[near & np.outer(mask, mask)] <= 0.2).all()
    removed = filter_ld(pop, 0.2, 5, "distance").steps[0].removed
    maf = marker_statistics(pop).minor_allele_frequency
    assert all(maf[rival] >= maf[gone] for gone, rival in removed.items()) and len(removed) > 60
    by_count = filter_ld(pop, 0.2, 6)  # the marker itself and five more: the same pairs
    assert set(by_count.population.variant_id) == set(kept.variant_id)


def test_pruning_follows_the_map_not_the_order_of_the_file():
    rng = np.random.default_rng(3)
    calls = np.repeat(rng.integers(0, 3, (50, 10)), 3, axis=1).astype(np.int8)
    calls = np.where(rng.random(calls.shape) < 0.1, rng.integers(0, 3, calls.shape), calls).astype(np.int8)
    pop = population(calls, contig=["1"] * 30, position=np.arange(30))
    shuffled = pop.sel(variants=rng.permutation(30))
    assert left(lambda p: filter_ld(p, 0.2, 3), pop) == left(lambda p: filter_ld(p, 0.2, 3), shuffled)


# --- the rest --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mapped():
    rng = np.random.default_rng(4)
    traits = pd.DataFrame({"a": [1, np.nan, 3, np.nan], "b": [np.nan, 2.0, 3, np.nan]}, [f"s{i}" for i in range(4)])
    return population(rng.integers(0, 3, (4, 6)), sample_id=traits.index, contig=["1", "1", "2", "2", "X", "X"],
                      position=range(6), phenotypes=traits)


def test_contigs_and_records(mapped):
    assert filter_contigs(mapped, "X").population.n_variants == 4
    removed = filter_contigs(mapped, ["1", "X"]).steps[0].removed
    assert removed.to_dict() == {"marker1": "1", "marker2": "1", "marker5": "X", "marker6": "X"}
    assert filter_phenotyped(mapped).population.sample_id.tolist() == ["s0", "s1", "s2"]
    assert filter_phenotyped(mapped, how="all").population.sample_id.tolist() == ["s2"]
    assert filter_phenotyped(mapped, "b").population.sample_id.tolist() == ["s1", "s2"]


def test_a_covariate_keeps_samples_and_a_missing_one_does_not_pass():
    covariates = pd.DataFrame({"sex": ["F", "M", None, "F"], "year": [1, 2, 2, 3]}, [f"s{i}" for i in range(4)])
    pop = population(np.eye(4, dtype=np.int8), sample_id=covariates.index, covariates=covariates)
    females = filter_covariate(pop, "sex", "F")
    assert females.population.sample_id.tolist() == ["s0", "s3"] and females.steps[0].removed["s1"] == "M"
    assert filter_covariate(females, "year", [1]).population.sample_id.tolist() == ["s0"]
    with pytest.raises(KeyError, match="no covariate 'colour'; there are .*sex"):
        filter_covariate(pop, "colour", "red")
    with pytest.raises(KeyError, match=r"no sample has sex \['f'\]; the values are \['F', 'M'\]"):
        filter_covariate(pop, "sex", "f")


def test_filters_chain_keep_everything_in_step_and_remember(mapped):
    chain = Filtered(mapped).pipe(filter_contigs, "X").pipe(filter_phenotyped, "a").pipe(filter_call_rate, 1)
    pop, steps = chain
    assert [s.name for s in steps] == ["chromosome", "phenotyped", "call rate"]
    assert chain.table.columns.tolist() == ["step", "kept", "of", "before", "removed", "after"]
    assert pop.phenotype("a").tolist() == [1, 3]
    np.testing.assert_array_equal(pop.dosage, mapped.sel(samples=["s0", "s2"], variants=slice(0, 4)).dosage)
    assert chain.removed("samples").value.to_dict() == {"s1": 0, "s3": 0} and "not on X" in chain._repr_html_()
    assert any("not on X" in str(line) for line in pop.provenance.detail)


def test_a_population_on_disk_is_filtered_as_one_in_memory(tmp_path, mapped):
    stored = mapped.to_zarr(tmp_path / "p.zarr")
    for step in (lambda p: filter_maf(p, 0.2), lambda p: filter_duplicate_samples(p, 0.9), filter_duplicate_markers,
                 lambda p: filter_ld(p, 0.3)):
        assert left(step, stored) == left(step, mapped)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda p: filter_maf(p, 0.05, keep="=>"), "keep='=>' is not known"),
        (lambda p: filter_call_rate(p, 0.5, of="lines"), "of='lines' is not known"),
        (lambda p: filter_maf(p, 0.5, keep=">"), "would remove all 6 markers"),
        (lambda p: filter_heterozygosity(p, maximum=0, minimum=0.9), "values go from"),
        (lambda p: filter_duplicate_markers(p, "drop"), "missing='drop' is not known"),
        (lambda p: filter_ld(p, 0.2, 0), "window must be a positive whole number"),
        (lambda p: filter_ld(p, 0.2, 2.5), "whole number"),
        (lambda p: filter_ld(p, 0.2, 5, by="kb"), "by='kb' is not known"),
        (lambda p: filter_ld(p, 2), "between 0 and 1"),
        (lambda p: filter_phenotyped(p, how="most"), "how='most' is not known"),
        (lambda p: filter_phenotyped(p.sel(samples=["s3"])), "would remove all 1 samples"),
    ],
)
def test_refusals_name_the_remedy(mapped, action, message):
    with pytest.raises(ValueError, match=message):
        action(mapped)


def test_more_refusals(mapped):
    with pytest.raises(KeyError, match="no chromosomes"):
        filter_contigs(mapped, "Y")
    with pytest.raises(KeyError, match="no trait"):
        filter_phenotyped(mapped, "height")
    with pytest.raises(TypeError, match="a Population"):
        filter_maf(np.eye(3), 0.05)
    bare, lines = population(np.eye(3, dtype=np.int8)), population(np.eye(3, dtype=np.int8), coding="0/1")
    for action in (lambda: filter_contigs(bare, "1"), lambda: filter_ld(bare, 0.5, 10, "distance")):
        with pytest.raises(ValueError, match="when making"):
            action()
    for action in (lambda: filter_heterozygosity(lines), lambda: filter_hardy_weinberg(lines)):
        with pytest.raises(ValueError, match="no heterozygotes"):
            action()
    with pytest.raises(ValueError, match="no traits"):
        filter_phenotyped(bare)
    nothing = population(np.full((3, 2), -1))
    for step in (lambda p: filter_maf(p, 0), filter_monomorphic, lambda p: filter_call_rate(p, 0.1)):
        with pytest.raises(ValueError, match="would remove all 2 markers"):
            step(nothing)


# --- the real data sets ----------------------------------------------------------------------------------------------


def fetched(name):
    "A public data set by its fetch function; None while there is none, skipped where the data cannot be had."
    if not hasattr(datasets, f"fetch_{name}"):
        return None
    try:
        return getattr(datasets, f"fetch_{name}")()
    except datasets.DataUnavailableError as error:
        pytest.skip(f"{name} data cannot be had: {str(error)[:120]}")


def mirrored(name):
    "A file of the local mirror."
    path = Path(os.environ.get("GP_LITERATE_DATA", ""), name)
    if not os.environ.get("GP_LITERATE_DATA") or not path.is_file():
        pytest.skip(f"{name} is in no local mirror (GP_LITERATE_DATA)")
    return path


def pine_from_files():
    calls = datasets.read_rdata(mirrored("asrdata/geno_pine926.rda"))["geno.pine926"]
    records = datasets.read_rdata(mirrored("asrdata/pheno_pine.rda"))["pheno.pine"]
    dbh = pd.Series(records["DBH_Adj"].to_numpy(), records["Genotype"].astype(str).str.removesuffix(".0"), name="DBH")
    ids = calls.coords["dim_0"].to_numpy().astype(str)
    return Population.from_array(calls.to_numpy(), missing=-9, sample_id=ids, phenotypes=dbh)


def rice_from_files():
    table = pd.read_csv(mirrored("rice/RiceDiversity.44K.MSU6.Genotypes.csv.gz"), dtype=str, keep_default_na=False)
    letters = table.iloc[:, 3:].to_numpy()
    numbers, seen = pd.factorize(letters.ravel())
    first, last = (np.array(["ACGT".find(call[end]) for call in seen], np.int8)[numbers] for end in (0, -1))
    first, last = first.reshape(letters.shape), last.reshape(letters.shape)
    copies = np.column_stack([(first == a).sum(axis=1) + (last == a).sum(axis=1) for a in range(4)])
    assert ((copies > 0).sum(axis=1) == 2).all()
    counted = np.where(copies > 0, copies, copies.max() + 1).argmin(axis=1)[:, None].astype(np.int8)
    dosage = np.where(first < 0, -1, (first == counted).astype(np.int8) + (last == counted))
    traits = pd.read_csv(mirrored("rice/RiceDiversity_44K_Phenotypes_34traits_PLINK.txt"), sep="\t")
    traits.index = "NSFTV_" + traits["NSFTVID"].astype(str)
    records = traits.iloc[:, 2:].rename(columns=str.strip)
    return Population.from_array(dosage.T, missing=-1, sample_id=traits.index, phenotypes=records)


@pytest.fixture(scope="module")
def pine():
    return fetched("pine") or pine_from_files()


@pytest.fixture(scope="module")
def rice():
    return fetched("rice") or rice_from_files()


def traits_like(pop, *words):
    "Traits whose name contains all the words, whatever the case and the separators."
    plain = {t: t.lower().replace("_", " ") for t in pop.phenotypes}
    plain = {t: name for t, name in plain.items() if "year0" not in name and "ratio" not in name}
    return [t for t, name in plain.items() if all(w in name for w in words)]


@pytest.mark.data
def test_pine_counts(pine):
    assert pine.n_samples == 926
    assert filter_call_rate(pine, 0.8).population.n_variants == 4698  # the count of the paper: at most 20 % missing
    dbh = [t for t in pine.phenotypes if "dbh" in t.lower()][0]
    with_dbh = filter_phenotyped(pine, dbh)
    assert with_dbh.population.n_samples == 861 and with_dbh.pipe(filter_call_rate, 0.8).population.n_variants == 4699
    assert filter_monomorphic(pine).population.n_variants == 4829


@pytest.mark.data
def test_mice_counts():
    mice = fetched("mice")
    if mice is None:
        pytest.skip("the reader of the mice file is not there yet")
    mice = mice if mice.n_variants == 12545 else pytest.fail(f"12,545 markers are expected, got {mice.n_variants}")
    genotyped = mice.sel(samples=np.flatnonzero((mice.dosage >= 0).any(axis=1)))
    assert genotyped.n_samples == 1940
    assert filter_maf(genotyped, 0.05, ">").population.n_variants == 10344
    inclusive = filter_maf(genotyped, 0.05, ">=").population
    assert inclusive.n_variants == 10346
    strict = set(filter_maf(genotyped, 0.05, ">").population.variant_id)
    assert set(inclusive.variant_id) - strict == {"M6250", "M10185"}
    both = filter_phenotyped(genotyped, how="all")
    assert both.population.n_samples == 1911 and both.pipe(filter_maf, 0.05, ">").population.n_variants == 10345
    assert filter_maf(genotyped, 0.05, ">").pipe(filter_call_rate, 0.8, keep=">").population.n_variants == 10279
    assert filter_maf(genotyped, 0.05, ">").pipe(filter_duplicate_markers).population.n_variants > 9000
    assert filter_contigs(genotyped, "X").steps[0].removed.size == 319


# One marker has frequency exactly 1/2 in the 413, so no rule says which of its alleles is the rarer one to count. In
# the 301 lines of the last row it repeats another marker under one choice and not under the other (then 32,592 and
# 31,351). The filter is therefore asked not to mind which allele is counted.
RICE = [  # trait (all words in its name) or None, how; lines; MAF > .05; + identical removed; + missing < 20 %; + both
    (None, "any", 413, 34444, 33909, 33163, 32628),
    (("amylose",), "any", 401, 34407, 33621, 33151, 32365),
    (("protein",), "any", 393, 34346, 33545, 33104, 32303),
    (("flowering", "at"), "any", 384, 34373, 33773, 33065, 32465),
    (("flowering", "arkansas"), "any", 374, 34306, 33437, 33021, 32152),
    (("flowering", "aberdeen"), "any", 359, 34315, 33610, 33019, 32314),
    (("flowering", "at"), "all", 301, 33966, 32591, 32725, 31350),
]


@pytest.mark.data
@pytest.mark.parametrize("row", RICE, ids=str)
def test_rice_table_of_filters(rice, row):
    words, how, lines, common, unlike, called, called_unlike = row
    chosen = Filtered(rice) if words is None else filter_phenotyped(rice, traits_like(rice, *words), how)
    assert chosen.population.n_samples == lines
    frequent = chosen.pipe(filter_maf, 0.05, keep=">")
    well = frequent.pipe(filter_call_rate, 0.8, keep=">")  # less than 20 % missing
    assert frequent.population.n_variants == common and well.population.n_variants == called
    assert frequent.pipe(filter_duplicate_markers, inverted=True).population.n_variants == unlike
    assert well.pipe(filter_duplicate_markers, inverted=True).population.n_variants == called_unlike


@pytest.mark.data
def test_rice_other_counts(rice):
    counts = genotype_counts(rice)
    assert counts[:, -1].sum() == 660_751 and counts[:, 1].sum() == 6_009 and (minor_copies(counts)[0] > 0).all()
    assert filter_call_rate(rice, 0.8, keep=">").population.n_variants == 35453
    called = filter_call_rate(rice, 0.8, keep=">")
    assert called.pipe(filter_duplicate_markers, inverted=True).population.n_variants == 34884
    assert filter_call_rate(rice, 0.8, of="samples", keep=">").population.n_samples == 413
    frequent = filter_maf(rice, 0.05, ">")
    assert frequent.pipe(filter_call_rate, 0.78, keep=">").population.n_variants == 33548
    assert frequent.pipe(filter_call_rate, 0.77, keep=">").population.n_variants == 33689


@pytest.mark.data
def test_rice_duplicates_after_filling(rice):
    "One marker's homozygotes are tied: with the tie filled by one of them, 32,878 or 32,879 by the allele counted."
    frequent = filter_maf(rice, 0.05, ">")
    well = frequent.pipe(filter_call_rate, 0.8, keep=">")
    assert frequent.pipe(filter_duplicate_markers, "fill", inverted=True).population.n_variants == 32879
    assert well.pipe(filter_duplicate_markers, "fill", inverted=True).population.n_variants == 31606
