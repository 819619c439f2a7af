"""The store on disk: nothing lost whatever happens on the way, and no run taken for another."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from chain_samplers import SMALL, Broken, Walk, same

from gp_literate import draw_store
from gp_literate.chains import ChainError, estimate, sample
from gp_literate.draw_store import DiskFull, checkpoint_file, open_posterior, read_checkpoint


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(draw_store, "BLOCK_BYTES", 1000)


def test_a_store_changes_nothing(tmp_path, small_blocks):
    stored = sample(Walk(), store=tmp_path / "run", **SMALL)
    same(stored, sample(Walk(), **SMALL))
    assert zarr.open_group(tmp_path / "run" / "draws.zarr")["x"].chunks[1] < 40
    assert zarr.open_group(tmp_path / "run" / "draws.zarr").metadata.zarr_format == 3


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[3])
from chain_samplers import Walk
from gp_literate import chains, draw_store
draw_store.BLOCK_BYTES = 20_000
chains.sample(Walk(200, pause=float(sys.argv[2])), n_chains=2, tune=60, draws=200, thin=2, seed=5, n_jobs=2,
              store=sys.argv[1], checkpoint=0.05)
"""


PROGRAMMED = {"n_chains": 2, "tune": 60, "draws": 200, "thin": 2, "seed": 5}


def start_program(store, pause):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(store), str(pause), str(Path(__file__).parent)])


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_twice_at_random_moments(tmp_path, seed):
    store, rng, ends = tmp_path / "run", np.random.default_rng(seed + time.time_ns()), []
    for _ in range(2):
        begun, process = time.time(), start_program(store, 0.003)
        while process.poll() is None:
            file = checkpoint_file(store, 0)
            if file.exists() and file.stat().st_mtime > begun:
                break
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.returncode == -signal.SIGKILL and checkpoint_file(store, 0).exists():
            ends.append(read_checkpoint(store, 0)[0]["iteration"])
    assert ends and min(ends) < 460  # killed on the way
    resumed = sample(Walk(200), n_jobs=2, store=store, **PROGRAMMED)
    assert resumed.info["complete"] and not list(store.rglob("*.partial"))
    same(resumed, sample(Walk(200), **PROGRAMMED))


def test_killed_while_the_store_is_made(tmp_path):
    process = start_program(tmp_path / "run", 0.001)
    while not (tmp_path / "run.partial").exists() and not (tmp_path / "run").exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    resumed = sample(Walk(200), n_jobs=2, store=tmp_path / "run", **PROGRAMMED)
    same(resumed, sample(Walk(200), **PROGRAMMED))


def full_disk_after(writes, monkeypatch, part=False):
    "The k-th file that Zarr writes, or a checkpoint, meets a full disk, once; perhaps half written."
    module = pytest.importorskip("zarr.storage._local")
    put, replace, left = module._put, draw_store.write_whole, [writes]

    def count(path):
        left[0] -= 1
        if left[0] < 0:
            if part:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(f"{path}.abc.partial").write_bytes(b"half a")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def counted_put(path, value, *args, **options):
        count(path)
        return put(path, value, *args, **options)

    def counted_checkpoint(path, write):
        count(path)
        return replace(path, write)

    monkeypatch.setattr(module, "_put", counted_put)
    monkeypatch.setattr(draw_store, "write_whole", counted_checkpoint)


MOMENTS = [(0, False), (5, True), (11, False), (14, True), (17, False), (40, True), (61, False)]


@pytest.mark.parametrize("writes, part", MOMENTS)
def test_disk_full_at_the_kth_write(tmp_path, small_blocks, writes, part):
    options = SMALL | {"n_chains": 2, "keep": ["x", "first"]}
    stored = options | {"store": tmp_path / "run"}
    with pytest.MonkeyPatch.context() as patch:
        full_disk_after(writes, patch, part)
        with pytest.raises(DiskFull, match="no space left for the store") as caught:
            sample(Walk(), checkpoint=0, **stored)
    assert caught.value.errno == errno.ENOSPC and str(tmp_path / "run") in str(caught.value)
    assert "go" in str(caught.value)
    if (tmp_path / "run").exists():
        try:
            open_posterior(tmp_path / "run")
        except ValueError as error:
            assert "no draws so far" in str(error)
    same(sample(Walk(), **stored), sample(Walk(), **options))


def test_a_real_disk_that_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(draw_store, "BLOCK_BYTES", 100_000)
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk], capture_output=True)
    if made.returncode:
        pytest.skip("no right to mount a small disk here")
    try:
        options = {"n_chains": 2, "tune": 10, "draws": 800, "seed": 3, "keep": ["x", "first"]}
        with pytest.warns(UserWarning, match="may need"), pytest.raises(DiskFull, match="is safe up to") as caught:
            sample(Walk(500), store=disk / "run", checkpoint=0.01, **options)
        assert caught.value.errno == errno.ENOSPC
        partly = open_posterior(disk / "run")
        whole = sample(Walk(500), **options)
        some = whole.draws.isel(draw=slice(0, partly.n_draws)).sel(chain=partly.draws["chain"])
        xr.testing.assert_equal(partly.draws.load(), some)
        assert subprocess.run(["mount", "-o", "remount,size=20m", disk]).returncode == 0
        same(sample(Walk(500), store=disk / "run", **options), whole)
    finally:
        subprocess.run(["umount", disk])


def test_an_error_keeps_what_was_stored(tmp_path):
    with pytest.raises(ChainError):
        sample(Broken("raises", 60), store=tmp_path / "run", checkpoint=0, **SMALL)
    assert open_posterior(tmp_path / "run").info["count"][0] == 22


def test_finished_stores_are_opened_and_extended(tmp_path, small_blocks):
    store = tmp_path / "run"
    sample(Walk(), store=store, **SMALL)
    times = [checkpoint_file(store, k).stat().st_mtime_ns for k in range(3)]
    again = sample(Walk(), store=store, **SMALL)
    assert times == [checkpoint_file(store, k).stat().st_mtime_ns for k in range(3)]
    same(again, sample(Walk(), **SMALL))
    same(sample(Walk(), store=store, **SMALL | {"seed": None}), again)  # the store knows its seed
    longer = SMALL | {"draws": 75}
    same(sample(Walk(), store=store, **longer), sample(Walk(), **longer))
    with pytest.raises(ValueError, match="more than the 40 asked for"):
        sample(Walk(), store=store, **SMALL)


def test_an_extension_that_was_killed_while_making_room(tmp_path):
    store = tmp_path / "run"
    short = sample(Walk(), store=store, **SMALL)
    zarr.open_group(store / "draws.zarr", mode="r+")["pair"].resize((3, 75, 2, 20))
    same(open_posterior(store), short)
    longer = SMALL | {"draws": 75}
    same(sample(Walk(), store=store, **longer), sample(Walk(), **longer))


OTHERS = {
    "n_chains is 3 there and 2": {"n_chains": 2},
    "tune is 15 there and 16": {"tune": 16},
    "thin is 2 there and 1": {"thin": 1},
    "seed is": {"seed": 12},
    "keep is": {"keep": "scalars"},
    "names, shapes or types": {"sampler": Walk(21)},
    "labels differ along": {"sampler": Walk(20, labels=np.arange(20))},
    "the sampler differs": {"sampler": Walk(20, shift=1.0)},
}


@pytest.mark.parametrize("words", OTHERS)
def test_another_run_is_refused(tmp_path, words):
    sample(Walk(), store=tmp_path / "run", **SMALL)
    with pytest.raises(ValueError, match=f"holds another run: .*{words}"):
        sample(**{"sampler": Walk(), "store": tmp_path / "run"} | SMALL | OTHERS[words])


def test_fingerprints_are_used(tmp_path):
    walk = Walk()
    walk.fingerprint = lambda: "one"
    sample(walk, store=tmp_path / "run", **SMALL)
    walk.fingerprint = lambda: "two"
    with pytest.raises(ValueError, match="the sampler differs"):
        sample(walk, store=tmp_path / "run", **SMALL)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["sampler"] == {"fingerprint": "one"}


def test_what_is_not_a_store(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no chains"):
        sample(Walk(), store=tmp_path, **SMALL)
    with pytest.raises(ValueError, match="there is no store"):
        open_posterior(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert sample(Walk(), store=tmp_path / "empty", **SMALL).n_draws == 40


def test_a_checkpoint_of_another_run(tmp_path):
    sample(Walk(), store=tmp_path / "a", **SMALL)
    sample(Walk(), store=tmp_path / "b", **SMALL | {"seed": 1})
    shutil.copy(checkpoint_file(tmp_path / "a", 1), checkpoint_file(tmp_path / "b", 1))
    with pytest.raises(ValueError, match="belongs to another run"):
        sample(Walk(), store=tmp_path / "b", **SMALL | {"seed": 1})


def test_unfinished_stores_can_be_read(tmp_path):
    with pytest.raises(ChainError):
        sample(Broken("raises", 60), store=tmp_path / "run", checkpoint=0, **SMALL)
    posterior = open_posterior(tmp_path / "run")
    assert not posterior.info["complete"] and posterior.draws.sizes["draw"] == 22
    assert posterior.n_chains == 1 and "unfinished" in repr(posterior)
    np.testing.assert_allclose(posterior.mean["first"], posterior.draws["first"].mean())
    with pytest.raises(ValueError, match=r"draws of chains \[0\] so far"):
        open_posterior(tmp_path / "run", chains=[1])


def test_draws_are_read_when_asked_for(tmp_path):
    sample(Walk(), store=tmp_path / "run", **SMALL)
    draws = open_posterior(tmp_path / "run", chains=[2, 0]).draws
    assert list(draws["chain"]) == [2, 0]
    assert not any(values.variable._in_memory for values in draws.values())
    np.testing.assert_array_equal(draws["x"].values, sample(Walk(), **SMALL).draws["x"].values[[2, 0]])


def test_two_writers_of_one_chain_are_kept_apart(tmp_path):
    pytest.importorskip("fcntl")
    sample(Walk(), store=tmp_path / "run", **SMALL)
    with draw_store.lock_chain(tmp_path / "run", 1), pytest.raises(RuntimeError, match="is writing chain 1"):
        sample(Walk(), store=tmp_path / "run", **SMALL | {"draws": 50})


def test_no_pickle_is_loaded(tmp_path):
    sample(Walk(), store=tmp_path / "run", n_chains=1, tune=1, draws=2, seed=1)
    file = checkpoint_file(tmp_path / "run", 0)
    with np.load(file) as saved:
        arrays = dict(saved)
    np.savez(file, **arrays | {"meta": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        open_posterior(tmp_path / "run")


def test_samplers_that_draw_seeds_resume(tmp_path):
    "A step may spawn generators of its own: how many there were is part of the checkpoint."

    class Spawning(Walk):
        def step(self, state, rng):
            super().step(state, rng.spawn(1)[0])

    sample(Spawning(), store=tmp_path / "run", **SMALL)
    longer = SMALL | {"draws": 60}
    same(sample(Spawning(), store=tmp_path / "run", **longer), sample(Spawning(), **longer))


def test_memory_is_bounded_by_a_block(tmp_path, small_blocks):
    estimates = [estimate(Walk(), draws=n, store=tmp_path / "a", timed=False).memory for n in (100, 100_000)]
    assert estimates[0] == estimates[1]
