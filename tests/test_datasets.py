"""Where files come from, and what happens when they are cut off, altered or out of reach."""

import bz2
import shutil
import struct

import numpy as np
import pandas as pd
import pooch
import pytest

from gp_literate import datasets
from gp_literate.datasets import (
    DATASETS,
    REGISTRY,
    DataUnavailableError,
    counted_first,
    dataset_hashes,
    fetch_file,
    fetch_maize,
    fetch_mice,
    fetch_pine,
    fetch_rice,
    fetch_wheat,
    pair_dosages,
    pair_numbers,
    read_gpdata,
    unpacked,
)
from gp_literate.genotype_letters import read_hapmap
from gp_literate.genotype_tables import read_table, write_csv
from gp_literate.genotypes import Population
from gp_literate.population_plots import ld_pairs, pair_r2, plot_glance, principal_components
from gp_literate.quality_control import (
    filter_call_rate,
    filter_duplicate_markers,
    filter_maf,
    filter_monomorphic,
    filter_phenotyped,
)

FILE = "bglr/wheat.RData"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    "No mirror, an empty cache, and a network that refuses."
    monkeypatch.delenv("GP_LITERATE_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    import requests

    def refuse(*args, **kwargs):
        raise requests.exceptions.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests, "get", refuse)
    return tmp_path


def serve(monkeypatch, content):
    "A network that answers every request with these bytes."
    import requests

    class Answer:
        headers = {"content-length": str(len(content))}

        def __enter__(self):
            return self

        def __exit__(self, *args):
            return False

        def raise_for_status(self):
            return None

        def iter_content(self, chunk_size):
            yield content

        def close(self):
            return None

    monkeypatch.setattr(requests, "get", lambda *args, **kwargs: Answer())


@pytest.fixture
def small_file(monkeypatch, tmp_path):
    "A registered file that is small enough to serve."
    content = b"twelve bytes"
    path = tmp_path / "original"
    path.write_bytes(content)
    monkeypatch.setitem(REGISTRY, "made/up.txt", (pooch.file_hash(str(path)), "https://example.org/up.txt"))
    return content


def test_every_data_set_has_registered_files_with_hash_and_commit():
    for name, files in DATASETS.items():
        assert dataset_hashes(name) == {f: REGISTRY[f][0] for f in files}
    for sha256, url in REGISTRY.values():
        assert len(sha256) == 64 and url.startswith("https://")


def test_without_network_or_mirror_the_message_says_what_to_do(offline):
    with pytest.raises(
        DataUnavailableError, match=r"(?s)wheat.RData could not be downloaded .*GP_LITERATE_DATA=/my/data"
    ):
        fetch_wheat()


def test_a_download_is_kept_and_used_again(offline, monkeypatch, small_file):
    serve(monkeypatch, small_file)
    assert fetch_file("made/up.txt").read_bytes() == small_file
    serve(monkeypatch, b"the network is not asked again")
    assert fetch_file("made/up.txt").read_bytes() == small_file


@pytest.mark.parametrize("content", [b"twelve", b"Twelve bytes", b""])
def test_a_truncated_or_altered_download_is_refused_and_not_kept(offline, monkeypatch, small_file, content):
    serve(monkeypatch, content)
    with pytest.raises(ValueError, match="made/up.txt from https://example.org/up.txt was cut off or altered"):
        fetch_file("made/up.txt")
    assert not [f for f in (offline / "cache").rglob("*") if f.is_file()]
    serve(monkeypatch, small_file)
    assert fetch_file("made/up.txt").read_bytes() == small_file


def test_an_altered_cache_is_refused_and_named(offline, monkeypatch, small_file):
    serve(monkeypatch, small_file)
    path = fetch_file("made/up.txt")
    path.write_bytes(b"somebody edited this")
    with pytest.raises(ValueError, match=r"made-up.txt is not the file .* Remove it and fetch it again"):
        fetch_file("made/up.txt")


def test_an_altered_mirror_is_refused(offline, small_file):
    mirror = offline / "mirror"
    (mirror / "made").mkdir(parents=True)
    (mirror / "made/up.txt").write_bytes(small_file[:5])
    with pytest.raises(ValueError, match="cut off or altered"):
        fetch_file("made/up.txt", data_home=mirror)
    (mirror / "made/up.txt").write_bytes(small_file)
    assert fetch_file("made/up.txt", data_home=mirror) == mirror / "made/up.txt"


def test_mirror_by_environment(offline, monkeypatch, small_file):
    (offline / "mirror/made").mkdir(parents=True)
    (offline / "mirror/made/up.txt").write_bytes(small_file)
    monkeypatch.setenv("GP_LITERATE_DATA", str(offline / "mirror"))
    assert fetch_file("made/up.txt").read_bytes() == small_file
    monkeypatch.setenv("GP_LITERATE_DATA", str(offline / "nowhere"))
    with pytest.raises(FileNotFoundError, match="GP_LITERATE_DATA names .*nowhere"):
        fetch_file("made/up.txt")


def test_a_mirror_without_the_file_falls_back_to_the_network(offline, monkeypatch, small_file):
    (offline / "mirror").mkdir()
    serve(monkeypatch, small_file)
    assert fetch_file("made/up.txt", data_home=offline / "mirror").read_bytes() == small_file


def test_a_full_disk_is_not_mistaken_for_a_missing_network(offline, monkeypatch, small_file):
    serve(monkeypatch, small_file)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "move", full)
    with pytest.raises(OSError, match="No space left"):
        fetch_file("made/up.txt")


def test_unknown_names_list_the_known_ones():
    with pytest.raises(KeyError, match="barley.*bglr/wheat.RData"):
        fetch_file("bglr/barley.RData")
    with pytest.raises(KeyError, match="barley.*wheat"):
        dataset_hashes("barley")


def test_wheat_is_what_r_reads(wheat):
    assert (wheat.n_samples, wheat.n_variants, wheat.coding) == (599, 1279, "0/1")
    assert list(wheat.phenotypes) == ["env1", "env2", "env3", "env4"]
    G = wheat.markers("-1/1").to_numpy().astype(int)
    assert G.sum() == 92945
    assert (np.arange(1, 600) * G.sum(axis=1)).sum() == 27321492
    assert (np.arange(1, 1280) * G.sum(axis=0)).sum() == 44506300
    y = wheat.phenotype("env1").to_numpy()
    np.testing.assert_allclose([(y**2).sum(), (np.arange(1, 600) * y).sum()], [598, -50957.6514811697], rtol=1e-10)
    assert wheat.covariates.fold.value_counts().sort_index().tolist() == [57, 50, 61, 73, 52, 68, 51, 64, 63, 60]
    A = wheat.ds.stat_pedigree_relationship.to_numpy()
    assert A.shape == (599, 599) and abs(np.diag(A).mean() - 1.98) < 0.01
    assert wheat.ds.attrs["files"] == dataset_hashes("wheat") and "Crossa" in wheat.ds.attrs["source"]


def test_wheat_can_be_fetched_from_the_network_into_an_empty_cache(wheat, offline, monkeypatch):
    "The same bytes over the (pretended) network give the same population."
    monkeypatch.undo()
    content = fetch_file(FILE).read_bytes()
    monkeypatch.delenv("GP_LITERATE_DATA", raising=False)
    monkeypatch.setattr(datasets.pooch, "os_cache", lambda name: offline / "other")
    serve(monkeypatch, content)
    np.testing.assert_array_equal(fetch_wheat().dosage, wheat.dosage)


# --- the reader of R's strings ----------------------------------------------------------------------------------------

HEADER, MISSING = bytes.fromhex("0004000900000003"), bytes.fromhex("00000009ffffffff")


def integer(k):
    return struct.pack(">i", k)


def string(text):
    return integer(0x00040009) + integer(len(text)) + text.encode()


def strings(texts, flags=0x10):
    return integer(flags) + integer(len(texts)) + b"".join(map(string, texts))


def reals(values):
    return integer(0x0E) + integer(len(values)) + struct.pack(f">{len(values)}d", *values)


def attribute(name, content, last=False):
    "One entry of a pairlist; the symbol is written in full."
    return integer(0x402) + integer(1) + string(name) + content + (integer(0xFE) if last else b"")


def data_frame(columns, rows):
    body = integer(0x313) + integer(len(columns)) + b"".join(columns.values())
    return body + attribute("names", strings(list(columns))) + attribute("row.names", strings(rows)) + attribute(
        "class", strings(["data.frame"]), last=True)


def gpdata(calls, samples, markers):
    "The bytes of a small RDX2 file with one gpData object: `calls` (p, n) texts, None for missing."
    content = b"".join(MISSING if c is None else HEADER + c.encode() for row in calls for c in row)
    names = integer(0x13) + integer(2) + strings(samples) + strings(markers)
    dim = integer(0x0D) + integer(2) + integer(len(samples)) + integer(len(markers))
    geno = integer(0x210) + integer(len(samples) * len(markers)) + content
    geno += attribute("dim", dim) + attribute("dimnames", names, last=True)
    covar = data_frame({"id": strings(samples)}, samples)
    pheno = data_frame({"weight": reals([20.0 + i for i in range(len(samples))])}, samples)
    place = data_frame({"chr": strings(["1"] * len(markers)), "pos": reals(list(range(len(markers))))}, markers)
    items = {"covar": covar, "pheno": pheno, "geno": geno, "map": place}
    body = integer(0x313) + integer(len(items)) + b"".join(items.values())
    body += attribute("names", strings(list(items))) + attribute("class", strings(["gpData"]), last=True)
    version = b"RDX2\nX\n" + integer(2) + integer(0x030202) + integer(0x020300)
    return version + integer(0x402) + integer(1) + string("mice") + body + integer(0xFE)


def random_calls(p, n, missing, seed):
    rng = np.random.default_rng(seed)
    calls = rng.choice(["A/A", "A/G", "G/A", "G/G", "T/C"], (p, n)).astype(object)
    calls[rng.random((p, n)) < missing] = None
    return calls


def number(call):
    return 0 if call is None else 1 + 4 * "ACGT".index(call[0]) + "ACGT".index(call[2])


@pytest.mark.parametrize("missing", [0.0, 0.05, 0.5, 1.0])
def test_strings_become_numbers_whatever_is_missing(missing):
    calls = random_calls(7, 11, missing, 1).ravel()
    content = b"".join(MISSING if c is None else HEADER + c.encode() for c in calls)
    assert pair_numbers(content).tolist() == [number(c) for c in calls]


@pytest.mark.parametrize("content", [HEADER + b"A-G", HEADER + b"A/N", HEADER + b"A/", HEADER[:4] + b"\0\0\0\2A/G",
                                     MISSING + HEADER + b"a/g"])
def test_other_strings_are_refused(content):
    with pytest.raises(ValueError, match="something else than calls"):
        pair_numbers(content)


@pytest.mark.parametrize("size", [40, 97, 1000, 2**23])
@pytest.mark.parametrize("missing", [0.0, 0.1, 0.7])
def test_a_small_gpdata_file_is_read_whatever_the_size_of_the_pieces(tmp_path, monkeypatch, size, missing):
    samples, markers = [f"A{i:03d}" for i in range(9)], [f"M{j}" for j in range(13)]
    calls = random_calls(13, 9, missing, 2)
    calls[0, 0] = "A/A"
    path = tmp_path / "mice.RData"
    path.write_bytes(bz2.compress(gpdata(calls, samples, markers)))
    if size < 1000:  # the matrix must begin in the first piece, as it does in the file; the others may be small
        whole = gpdata(calls, samples, markers)
        start = whole.index(integer(0x210)) + 30
        pieces = [whole[:start]] + [whole[i : i + size] for i in range(start, len(whole), size)]
        monkeypatch.setattr(datasets, "unpacked", lambda path: iter(pieces))
    parts = read_gpdata(path)
    assert parts["geno"].tolist() == [[number(c) for c in row] for row in calls]
    assert list(parts["samples"]) == samples and list(parts["markers"]) == markers
    assert parts["map"]["pos"].tolist() == list(range(13))
    assert parts["pheno"]["weight"].tolist() == [20.0 + i for i in range(9)]


def test_damaged_gpdata_files_are_refused_with_place_and_remedy(tmp_path):
    whole = gpdata(random_calls(13, 9, 0.1, 3), [f"A{i}" for i in range(9)], [f"M{j}" for j in range(13)])
    path = tmp_path / "mice.RData"
    for content, message in (
        (bz2.compress(whole)[:-20], "cut off"),
        (b"RDX2 not compressed", "no whole bz2 file"),
        (b"", "cut off"),
        (bz2.compress(b"RDX2\nX\n" + bytes(5000)), "no matrix of calls"),
        (bz2.compress(whole[: whole.rindex(HEADER)]), "no whole gpData"),
        (bz2.compress(whole.replace(string("covar"), string("other"))), "no whole gpData"),
        (bz2.compress(whole[: whole.index(integer(0x210)) + 200]), "cut off"),
        (bz2.compress(whole.replace(integer(117) + HEADER, integer(118) + HEADER)), "118 are announced"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            read_gpdata(path)
        assert str(path) in str(error.value)


def test_unpacking_keeps_to_the_size_of_the_pieces(tmp_path):
    (tmp_path / "zeros.bz2").write_bytes(bz2.compress(bytes(1_000_000)))
    pieces = list(unpacked(tmp_path / "zeros.bz2", 65_536))
    assert max(map(len, pieces)) <= 65_536 and sum(map(len, pieces)) == 1_000_000


def test_pairs_of_letters_count_the_rarer_allele_and_refuse_a_third():
    numbers = np.array([[number(c) for c in ("A/A", "A/G", "G/A", None)], [number("C/C")] * 4, [0] * 4], np.uint8)
    dosage, allele = pair_dosages(numbers, ["a", "b", "c"])
    assert dosage.tolist() == [[0, 1, 1, -1], [0, 0, 0, 0], [-1, -1, -1, -1]]
    assert allele == [("A", "G"), ("C", ""), ("", "")]
    with pytest.raises(ValueError, match="marker x has more than two alleles"):
        pair_dosages(np.array([[number("A/C"), number("G/G")]], np.uint8), ["x"])


def test_which_allele_was_counted():
    letters = np.array([[0, 2, -1], [2, 0, 1], [1, 2, 0]])
    assert counted_first(np.abs(letters), letters).tolist() == [False] * 3
    assert counted_first(2 - np.abs(letters), letters).tolist() == [True, True, True]


# --- the data sets: they are skipped where a file cannot be had -------------------------------------------------------


def had(fetch, *args, **kwargs):
    try:
        return fetch(*args, **kwargs)
    except DataUnavailableError as error:
        pytest.skip(str(error)[:120])


@pytest.fixture(scope="module")
def mice():
    return had(fetch_mice)


@pytest.fixture(scope="module")
def maize():
    return had(fetch_maize)


@pytest.fixture(scope="module")
def pine():
    return had(fetch_pine)


@pytest.fixture(scope="module")
def rice():
    return had(fetch_rice)


def after(population, *steps):
    "Markers left after filters."
    for step, *args in steps:
        population = step(population, *args[:-1], **args[-1])
    return population.population.n_variants


def test_mice(mice):
    assert mice.dosage.shape == (1940, 12545) and (mice.dosage < 0).sum() == 107_985
    assert mice.phenotypes.count().tolist() == [1928, 1920] and len(mice.phenotypes.dropna()) == 1911
    contig = mice.ds.contig_id.to_numpy()[mice.ds.variant_contig]
    assert (contig == "X").sum() == 319 and set(contig) == {*map(str, range(1, 20)), "X"}
    assert mice.ds.variant_position.attrs["unit"] == "cM" and (mice.allele_frequency() <= 0.5).all()
    assert after(mice, (filter_monomorphic, {})) == 11_301
    assert (mice.dosage < 0).mean(axis=0).max() == pytest.approx(0.244, abs=5e-4)
    assert (mice.dosage < 0).mean(axis=1).max() < 0.0605
    assert set(mice.covariates) == {"sex", "birth_month", "birth_year", "coat_colour", "cage_density", "litter"}
    assert mice.covariates.coat_colour.nunique() == 9 and set(mice.covariates.sex) == {"F", "M"}
    assert "587 of 2,527 animals" in mice.ds.attrs["history"][1] and mice.ds.attrs["files"] == dataset_hashes("mice")


def test_mice_counts_around_the_papers(mice):
    assert [after(mice, (filter_maf, 0.05, keep, {})) for keep in (">", ">=")] == [10_344, 10_346]
    both = filter_phenotyped(mice, how="all")
    assert after(both, (filter_maf, 0.05, ">", {})) == 10_345
    assert after(filter_phenotyped(mice, "weight"), (filter_maf, 0.05, ">", {})) == 10_346
    assert after(mice, (filter_maf, 0.05, ">", {}), (filter_call_rate, 0.8, {"keep": ">"})) == 10_279
    assert after(mice, (filter_maf, 0.05, ">", {}), (filter_duplicate_markers, {})) == 9_519


def test_the_mice_of_bglr_are_the_same_animals(mice):
    bglr = had(fetch_mice, source="bglr")
    assert bglr.dosage.shape == (1814, 10346) and (bglr.dosage >= 0).all() and bglr.phenotypes.shape[1] == 21
    common = filter_maf(mice, 0.05).population.sel(samples=bglr.sample_id)
    np.testing.assert_allclose(common.ds.variant_position, bglr.ds.variant_position)
    counted = [pop.ds.variant_allele.to_numpy()[:, 1] for pop in (common, bglr)]
    theirs = np.where(counted[0] == counted[1], bglr.dosage, 2 - bglr.dosage)
    assert ((theirs == common.dosage) | (common.dosage < 0)).all()
    with pytest.raises(ValueError, match="'synbreed' or 'bglr'"):
        fetch_mice(source="jackson")


def test_maize(maize):
    assert maize.dosage.shape == (279, 3093) and fetch_maize("polymorphic").dosage.shape == (279, 2953)
    assert maize.phenotypes.count().to_dict() == {"EarHT": 279, "dpoll": 276, "EarDia": 249}
    assert not {"CML61", "W22R-RSTD"} & set(maize.sample_id)
    assert "CML61, W22R-RSTD (no traits) and 22 lines" in maize.ds.attrs["history"][-1]
    traits = pd.read_csv(fetch_file("gapit/mdp_traits.txt"), sep="\t", index_col=0)
    np.testing.assert_array_equal(maize.phenotypes, traits.loc[maize.sample_id])
    with pytest.raises(ValueError, match="'all' or 'polymorphic'"):
        fetch_maize(markers="2953")
    with pytest.raises(ValueError, match="'numeric' or 'hapmap'"):
        fetch_maize(genotypes="vcf")


def test_numbers_and_letters_of_maize_agree_by_name_but_for_the_documented_calls(maize, tmp_path):
    letters = fetch_maize(genotypes="hapmap").sel(samples=maize.sample_id)
    first = counted_first(maize.dosage, letters.dosage)
    assert first.sum() == 73
    # the alleles of the numeric population say the same, so counting the same letter gives the same call
    same = maize.ds.variant_allele.to_numpy()[:, 1] == letters.ds.variant_allele.to_numpy()[:, 1]
    np.testing.assert_array_equal(same, ~first)
    file = read_table(fetch_file("gapit/mdp_numeric.txt"))
    with pytest.warns(UserWarning, match="48 SNPs have letters outside"):
        column = read_hapmap(fetch_file("gapit/mdp_genotype_test.hmp.txt"), outside="missing")
    with pytest.warns(UserWarning, match="27 calls set to missing"):
        called = read_hapmap(fetch_file("gapit/mdp_genotype_test.hmp.txt"), outside="calls")
    column, called = (pop.sel(samples=file.sample_id).dosage for pop in (column, called))
    turned = np.where(counted_first(file.dosage, column), 2 - column, column)
    differ = (turned != file.dosage) & (column >= 0)
    n_called = 281 * 3093 - 31_411
    outside = n_called - (column >= 0).sum()
    assert (n_called, differ.sum(), outside, differ.sum() + outside) == (837_722, 1_290, 2_277, 3_567)
    assert (differ | ((called >= 0) & (column < 0))).any(axis=0).sum() == 89
    write_csv(maize, tmp_path / "maize.csv")
    np.testing.assert_array_equal(read_table(tmp_path / "maize.csv").dosage, maize.dosage)


def test_pine(pine):
    assert pine.dosage.shape == (926, 4853) and (pine.dosage < 0).sum() == 170_472
    assert [(pine.dosage == k).sum() for k in (0, 1, 2)] == [170_923, 974_893, 3_177_590]
    assert pine.phenotypes.count().tolist() == [861, 861, 861, 925, 925]
    assert pine.phenotypes["rootnum_BV"].index[pine.phenotypes["rootnum_BV"].isna()].tolist() == ["1086180"]
    assert pine.covariates.family.nunique() == 71
    assert round(pine.phenotypes["DBH"].corr(pine.phenotypes["CWAC_deregressed"]), 2) == 0.63
    assert after(pine, (filter_monomorphic, {})) == 4_829 and after(pine, (filter_call_rate, 0.8, {})) == 4_698
    measured = filter_phenotyped(pine, "DBH")
    assert after(measured, (filter_call_rate, 0.8, {})) == 4_699
    trees = [len(measured.pipe(filter_call_rate, rate, of="samples").population) for rate in (0.8, 0.78, 0.75)]
    assert trees == [847, 849, 851]


def test_rice(rice):
    assert rice.dosage.shape == (413, 36901) and rice.phenotypes.shape == (413, 36)
    assert (rice.dosage < 0).sum() == 660_751 and (rice.dosage == 1).sum() == 6_009
    assert sorted(rice.variant_id[22250:22252]) == ["fd6", "id6009695"]
    place = pd.read_csv(fetch_file("rice/sativas413.map"), sep="\t", header=None, dtype={1: str})
    assert rice.variant_id.tolist() == place[1].tolist() and (rice.ds.variant_position == place[3]).all()
    assert not [name for name in rice.phenotypes if name != name.strip()]
    shown = ["Flowering time at Arkansas", "Leaf pubescence", "Amylose content", "Alkali spreading value"]
    assert rice.phenotypes.count()[shown].tolist() == [374, 288, 401, 403]
    assert rice.covariates.hybrid_id.nunique() == 413 and (
        "NSFTV_" + rice.covariates.nsftv_id.astype(str) == rice.covariates.index).all()


RICE_FILTERS = {  # accessions with a record of: number, then MAF > .05; + identical removed; + missing < 20 %; + both
    (): (413, 34444, 33909, 33163, 32628),
    ("Amylose content",): (401, 34407, 33621, 33151, 32365),
    ("Protein content",): (393, 34346, 33545, 33104, 32303),
    ("Flowering time at Arkansas",): (374, 34306, 33437, 33021, 32152),
    ("Flowering time at Aberdeen",): (359, 34315, 33610, 33019, 32314),
}


@pytest.mark.parametrize("traits", RICE_FILTERS)
def test_rice_filters(rice, traits):
    lines = filter_phenotyped(rice, traits) if traits else rice
    maf = filter_maf(lines, 0.05, ">")
    called = maf.pipe(filter_call_rate, 0.8, keep=">")
    steps = (maf, maf.pipe(filter_duplicate_markers), called, called.pipe(filter_duplicate_markers))
    assert (len(maf.population), *(step.population.n_variants for step in steps)) == RICE_FILTERS[traits]


def test_populations_survive_a_store(pine, tmp_path):
    pine.to_zarr(tmp_path / "pine.zarr")
    back = Population.open_zarr(tmp_path / "pine.zarr")
    np.testing.assert_array_equal(back.dosage, pine.dosage)
    pd.testing.assert_frame_equal(back.covariates[list(pine.covariates)], pine.covariates, check_dtype=False)


def test_every_data_set_cites_its_source(wheat, mice, maize, pine, rice):
    for pop, author in zip((wheat, mice, maize, pine, rice), ("Crossa", "Valdar", "Flint-Garcia", "Resende", "Zhao"),
                           strict=True):
        assert author in pop.ds.attrs["source"] and "(" in pop.ds.attrs["source"]
        assert set(pop.ds.attrs["files"]) <= set(REGISTRY)


# --- looking at them --------------------------------------------------------------------------------------------------


def mapped(n=60, p=200, seed=1):
    "Random walk along two chromosomes: near markers are correlated, a tenth of the calls is missing."
    rng = np.random.default_rng(seed)
    calls = np.empty((n, p), int)
    calls[:, 0] = rng.integers(0, 3, n)
    for j in range(1, p):
        fresh = rng.random(n) < (1.0 if j == p // 2 else 0.2)
        calls[:, j] = np.where(fresh, rng.integers(0, 3, n), calls[:, j - 1])
    calls[rng.random((n, p)) < 0.1] = -9
    return Population.from_array(calls, missing=-9, contig=np.repeat(["1", "2"], p // 2),
                                 position=np.tile(np.arange(p // 2) * 100, 2),
                                 phenotypes=pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n)},
                                                         [f"sample{i + 1}" for i in range(n)]))


def test_pair_r2_is_the_squared_correlation_over_shared_calls():
    pop = mapped()
    first, second = np.array([0, 3, 7, 120]), np.array([1, 90, 8, 5])
    for i, j, r2 in zip(first, second, pair_r2(pop, first, second), strict=True):
        a, b = pop.dosage[:, i], pop.dosage[:, j]
        both = (a >= 0) & (b >= 0)
        assert r2 == pytest.approx(np.corrcoef(a[both], b[both])[0, 1] ** 2, abs=1e-5)


def test_ld_pairs_stay_on_their_chromosome_and_within_the_distance():
    pop = mapped()
    pairs = ld_pairs(pop, 500, n_pairs=2000)
    near = pairs.dropna()
    assert near.distance.between(100, 500).all() and pairs.distance.isna().any()
    assert near.r2[near.distance == 100].mean() > 2 * near.r2[near.distance == 500].mean()
    np.testing.assert_array_equal(ld_pairs(pop, 500, n_pairs=2000).r2, pairs.r2)


def test_principal_components_are_those_of_the_filled_and_centred_markers():
    pop = mapped()
    calls = np.where(pop.dosage < 0, np.nan, pop.dosage.astype(float))
    calls = np.nan_to_num(calls - np.nanmean(calls, axis=0))
    left, singular, _ = np.linalg.svd(calls, full_matrices=False)
    scores = principal_components(pop, 3)
    np.testing.assert_allclose(np.abs(scores), np.abs(left[:, :3] * singular[:3]), atol=1e-3)
    np.testing.assert_allclose(scores.attrs["share"], (singular**2 / (singular**2).sum())[:3], atol=1e-5)


@pytest.mark.parametrize("groups", [True, False])
def test_a_page_of_pictures_uses_the_axes_it_is_given(groups):
    from matplotlib import pyplot as plt

    pop = mapped()
    fig, axes = plt.subplots(2, 3)
    colour = np.arange(60) % 3 if not groups else np.array(["x", "y", None] * 20, object)
    assert plot_glance(pop, colour, "group", max_distance=None if groups else 500, axes=axes) is axes
    assert all(ax.get_xlabel() or ax.get_images() for ax in axes.ravel())
    plt.close(fig)
