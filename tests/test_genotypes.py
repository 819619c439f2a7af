"The container: codings, alignment by id, cutting, views, walking over blocks, the store on disk, provenance."

import errno
import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gp_literate.genotypes import (
    CODINGS,
    Population,
    align_table,
    block_rows,
    collect,
    decode,
    encode,
    is_loaded,
    load_calls,
    positions,
    write_zarr,
    writing,
)

shapes = st.tuples(st.integers(1, 12), st.integers(1, 15))
calls = shapes.flatmap(lambda s: arrays(np.int8, s, elements=st.integers(-1, 2)))


def make(n=20, p=50, seed=1, missing=0.1, **known):
    "A random population with two traits, covariates of several types and a map."
    rng = np.random.default_rng(seed)
    dosage = np.where(rng.random((n, p)) < missing, -9, rng.integers(0, 3, (n, p)))
    ids = [f"línea-{i}" for i in range(n)]
    traits = pd.DataFrame(rng.normal(size=(n - 3, 2)), ids[3:], ["yield", "höhe"])
    notes = {"sex": rng.choice(["f", "m"], n), "note": [None, "x"] * (n // 2), "age": np.arange(n)}
    covariates = pd.DataFrame(notes, ids)
    known = {"phenotypes": traits, "covariates": covariates, "contig": ["1"] * (p // 2) + ["X"] * (p - p // 2),
             "position": np.arange(p), "allele": [("A", "G")] * p, "source": "made up"} | known
    return Population.from_array(dosage, missing=-9, sample_id=ids, **known)


def same(a, b):
    "Everything of two populations is equal."
    np.testing.assert_array_equal(a.dosage, b.dosage)
    assert a.sample_id.tolist() == b.sample_id.tolist() and a.variant_id.tolist() == b.variant_id.tolist()
    pd.testing.assert_frame_equal(a.phenotypes, b.phenotypes)
    pd.testing.assert_frame_equal(a.covariates, b.covariates[a.covariates.columns])
    assert a.coding == b.coding
    for name in ("variant_contig", "variant_position", "variant_allele"):
        assert (name in a.ds) == (name in b.ds)
        if name in a.ds:
            np.testing.assert_array_equal(a.ds[name], b.ds[name])


@pytest.mark.parametrize("coding", CODINGS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_coding_comes_back(coding, data):
    "encode and decode are inverse, missing calls apart."
    codes = CODINGS[coding]
    matrix = data.draw(shapes.flatmap(lambda s: arrays(np.int8, s, elements=st.sampled_from(codes))))
    dosage = encode(matrix, coding)
    np.testing.assert_array_equal(decode(dosage, "0/1/2" if len(codes) == 3 else "0/1", coding), matrix.T)
    assert dosage.dtype == np.int8 and dosage.flags.c_contiguous


@given(calls)
@settings(max_examples=25, deadline=None)
def test_missing_codes_are_found_whatever_they_are(matrix):
    for mark in (np.nan, -9):
        pop = Population.from_array(np.where(matrix < 0, mark, matrix), missing=-9)
        np.testing.assert_array_equal(pop.dosage, matrix)
    if (matrix >= 0).any(axis=0).all():
        np.testing.assert_allclose(pop.allele_frequency(), np.nanmean(np.where(matrix < 0, np.nan, matrix / 2), axis=0))


def test_phenotypes_are_joined_by_name_and_strangers_refused():
    pop = make()
    assert pop.phenotypes["yield"].isna().sum() == 3
    shuffled = make(phenotypes=pop.phenotypes.dropna().sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(pop.phenotypes, shuffled.phenotypes)
    with pytest.raises(ValueError, match="have no genotypes"):
        align_table(pd.DataFrame({"y": [1.0]}, ["nobody"]), pop.sample_id)
    with pytest.raises(ValueError, match="more than one row"):
        align_table(pd.DataFrame({"y": [1.0, 2.0]}, [pop.sample_id[0]] * 2), pop.sample_id)
    with pytest.raises(ValueError, match="allele must have two letters"):
        make(allele=[("A", "G")] * 3)


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_cutting_in_memory_lazily_and_from_a_store_is_numpys_cutting(data):
    pop = make(n=10, p=12)
    size = {"samples": 10, "variants": 12}
    wanted = {d: np.array(data.draw(st.lists(st.integers(-n, n - 1), min_size=1, unique_by=lambda i, n=n: i % n)))
              for d, n in size.items()}
    expected = pop.dosage[np.ix_(wanted["samples"], wanted["variants"])]
    part = pop.sel(**wanted)
    np.testing.assert_array_equal(part.dosage, expected)
    assert part.sample_id.tolist() == pop.sample_id[wanted["samples"]].tolist()
    lazy = pop.split(test=wanted["samples"])[1].sel(variants=wanted["variants"])
    assert not is_loaded(lazy.ds)
    np.testing.assert_array_equal(lazy.dosage, expected)
    same(part.sel(samples=part.sample_id[::-1]).sel(samples=part.sample_id), part)


def test_runs_are_views_and_picks_keep_markers_contiguous():
    pop = make()
    for run in (slice(2, 9), np.arange(2, 9), np.arange(0, 20, 3), np.arange(20) < 7, pop.sample_id[4:9]):
        assert np.shares_memory(pop.sel(samples=run).dosage, pop.dosage)
    assert load_calls(pop.sel(samples=[5, 0, 9]).ds).flags.c_contiguous
    assert load_calls(pop.sel(samples=[5, 0, 9], variants=[3, 1]).ds).flags.c_contiguous
    for bad, error in (([99], IndexError), ([-21], IndexError), (["nobody"], KeyError), ([True] * 3, ValueError)):
        with pytest.raises(error):
            positions(bad, pop.sample_id)


def test_a_split_copies_no_calls_and_covers_everything():
    pop = make()
    train, test = pop.split(test=[3, 17, 4])
    base = train.ds.call_dosage.variable._data
    while hasattr(base, "array"):
        base = base.array
    assert np.shares_memory(base, pop.dosage)
    assert sorted([*train.sample_id, *test.sample_id]) == sorted(pop.sample_id)
    np.testing.assert_array_equal(train.load().dosage, pop.sel(samples=train.sample_id).dosage)
    with pytest.raises(ValueError, match="training and test set"):
        pop.split(test=[1], train=[1, 2])
    only = pop.split(test=[1], train=[5, 2])[0]
    assert only.sample_id.tolist() == pop.sample_id[[5, 2]].tolist()


@pytest.mark.parametrize("size", [1, 7, 50, 500, None])
def test_blocks_put_together_are_the_whole(size):
    pop = make()
    parts = list(pop.blocks(size))
    np.testing.assert_array_equal(np.hstack([b.dosage for b in parts]), pop.dosage)
    assert np.concatenate([b.variant_id for b in parts]).tolist() == pop.variant_id.tolist()
    assert all(np.shares_memory(b.dosage, pop.dosage) for b in parts)


@given(calls)
@settings(max_examples=20, deadline=None)
def test_zarr_and_memory_map_give_the_same_calls_back(tmp_path_factory, matrix):
    folder = tmp_path_factory.mktemp("store")
    pop = Population.from_array(np.where(matrix < 0, -9, matrix), missing=-9)
    same(pop.to_zarr(folder / "a.zarr"), pop)
    same(pop.memory_map(folder / "a.npy"), pop)


def test_a_store_keeps_everything_and_reads_no_call_before_it_is_asked(tmp_path):
    pop = make().noted("first step").sel(samples=slice(0, 18))
    stored = pop.to_zarr(tmp_path / "a.zarr")
    same(stored, pop)
    assert not is_loaded(stored.ds) and is_loaded(stored.load().ds)
    assert not is_loaded(stored.sel(variants=[4, 2], samples=[3, 1]).ds)
    pd.testing.assert_frame_equal(stored.provenance, pop.provenance)
    assert stored.covariates.note.isna().tolist() == pop.covariates.note.isna().tolist()
    assert "read when asked for" in stored._repr_html_() and "missing calls" in stored.load()._repr_html_()
    np.testing.assert_allclose(stored.allele_frequency(), pop.allele_frequency())
    again = stored.sel(variants=[4, 2]).to_zarr(tmp_path / "b.zarr")
    same(again, pop.sel(variants=[4, 2]))
    assert xr.open_zarr(tmp_path / "a.zarr", chunks=None).sizes["samples"] == 18


def test_a_store_of_several_chunks_in_blocks_that_do_not_fit_them(tmp_path):
    pop = make(n=6, p=5000, covariates=None, phenotypes=None)
    assert pop.n_variants > block_rows(6)
    parts = (load_calls(b.ds) for b in pop.blocks(999))
    write_zarr(tmp_path / "a.zarr", pop.ds.drop_vars("call_dosage"), parts)
    same(Population.open_zarr(tmp_path / "a.zarr"), pop)


def test_a_damaged_store_is_refused(tmp_path):
    pop = make(n=6, p=5000, covariates=None, phenotypes=None)
    store = tmp_path / "a.zarr"
    pop.to_zarr(store)
    chunks = sorted(f for f in (store / "call_dosage").iterdir() if not f.name.startswith("."))
    assert len(chunks) == 2
    whole = chunks[0].read_bytes()
    chunks[0].write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="a.zarr is damaged"):
        Population.open_zarr(store).load()
    chunks[0].unlink()
    with pytest.raises(ValueError, match="lost 1 of its 2 chunks"):
        Population.open_zarr(store)
    with pytest.raises(FileNotFoundError, match="not a folder"):
        Population.open_zarr(tmp_path / "nothing.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ValueError, match="empty.zarr"):
        Population.open_zarr(tmp_path / "empty.zarr")
    xr.Dataset({"x": ("a", [1])}).to_zarr(tmp_path / "other.zarr", zarr_format=2, consolidated=False)
    with pytest.raises(ValueError, match="no store of dosages"):
        Population.open_zarr(tmp_path / "other.zarr")


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(FileExistsError, match="overwrite=True"), writing(target):
        pass
    for error in (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, writing(target, overwrite=True) as new:
            new.write_text("half")
            raise error
        assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]
    assert "KeyboardInterrupt" in repr(caught)
    with writing(target, overwrite=True) as new:
        new.write_text("new")
    assert target.read_text() == "new"


@pytest.mark.parametrize("name", ["a.zarr", "a.npy"])
def test_a_stream_that_breaks_off_leaves_no_store(tmp_path, name):
    pop = make(n=6, p=5000, covariates=None, phenotypes=None)

    def broken():
        yield load_calls(pop.ds)[:4096]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=f"{name} was not written: No space left"):
        collect(pop.ds.drop_vars("call_dosage"), broken(), tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_overwriting_replaces_stores_but_no_other_folder(tmp_path):
    pop, store = make(), tmp_path / "a.zarr"
    pop.to_zarr(store)
    with pytest.raises(FileExistsError):
        pop.to_zarr(store)
    same(pop.sel(samples=[1, 2]).to_zarr(store, overwrite=True), pop.sel(samples=[1, 2]))
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="no Zarr store"):
        pop.to_zarr(tmp_path / "mine.zarr", overwrite=True)
    assert (tmp_path / "mine.zarr" / "thesis.txt").exists()
    with pytest.raises(ValueError, match="must end in .zarr"):
        pop.to_zarr(tmp_path / "a.hdf5")
    mixed = make(covariates=pd.DataFrame({"x": [1, "a"] * 10}, pop.sample_id, dtype=object))
    with pytest.raises(TypeError, match="mixes int, str"):
        mixed.to_zarr(tmp_path / "mixed.zarr")
    assert not (tmp_path / "mixed.zarr").exists()


def test_provenance_lists_source_files_and_steps():
    pop = make(files={"a.bed": "00ff"}).noted("filtered").sel(variants=slice(0, 10))
    assert pop.provenance.detail.tolist() == [
        "made up", "sha256 00ff", "filtered", "sel: 20 × 50 → 20 × 10 (samples × markers)"]


def test_a_relationship_matrix_is_cut_with_its_samples():
    pop = Population.from_array(np.array([[0, 1], [1, 2], [2, 0]]))
    pop.ds["stat_pedigree_relationship"] = ("samples_0", "samples_1"), np.arange(9.0).reshape(3, 3)
    part = pop.sel(samples=["sample3", "sample1"])
    assert part.ds.stat_pedigree_relationship.to_numpy().tolist() == [[8, 6], [2, 0]]
    assert [p.ds.stat_pedigree_relationship.shape for p in pop.split(test=[1])] == [(2, 2), (1, 1)]
