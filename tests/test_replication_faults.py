"Long runs survive killed runners and workers, full disks, damaged files, failing parts and a second runner."

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest

from gp_literate import parts as lr
from gp_literate import replication as rp

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and POSIX locks")

# Each part leaves a file when it begins and one when it has ended: so computations can be counted from outside.
RUN = """
import os, sys, time
from pathlib import Path
import numpy as np
import pandas as pd
import gp_literate.parts
from gp_literate.parts import run_parts, use_cluster

gp_literate.parts.package_digest = lambda: "the same"  # also when somebody edits the package while this test runs

def part(k):
    stamp = f"{k}-{os.getpid()}-{time.monotonic_ns()}"
    (LOG / f"begun-{stamp}").touch()
    time.sleep(SECONDS)
    table = pd.DataFrame({"draw": np.random.default_rng([1, k]).normal(size=SIZE)})
    (LOG / f"ended-{stamp}").touch()
    return table

FOLDER, LOG, SECONDS, SIZE, JOBS, CLUSTER = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]
SIZE, JOBS = int(SIZE), int(JOBS)
if __name__ == "__main__":
    LOG.mkdir(exist_ok=True)
    with use_cluster(CLUSTER if CLUSTER != "none" else None, JOBS):
        table = run_parts("long", [{"k": k} for k in range(1, 9)], part, {"seed": 1}, FOLDER, JOBS)
    table.to_parquet(FOLDER / "all.parquet")
"""


class Bench:
    "A folder in which the same eight parts can be run again and again."

    def __init__(self, folder, seconds=0.25, size=1000, jobs=1, cluster="none"):
        self.folder, self.log, self.script = folder / "results", folder / "log", folder / "long.py"
        self.said = folder / "said.txt"
        self.folder.mkdir(exist_ok=True)
        self.script.write_text(RUN)
        self.options = [str(seconds), str(size), str(jobs), cluster]

    def start(self, **options):
        command = [sys.executable, str(self.script), str(self.folder), str(self.log), *self.options]
        env = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        with open(self.said, "w") as said:  # no pipe: workers that outlive a killed runner would keep it open
            return subprocess.Popen(command, stderr=said, env=env, start_new_session=True, **options)

    def finish(self, run, code=0):
        "What a run has said until its end."
        assert run.wait(timeout=50) == code, self.said.read_text()
        return self.said.read_text()

    def shards(self):
        return {f.name: f.read_bytes() for f in (self.folder / "long.parts").glob("[!.]*.parquet")}

    def wait_for_shards(self, n, run):
        "Until n parts are kept and the run is going on."
        end = time.monotonic() + 40
        while len(self.shards()) < n:
            assert run.poll() is None and time.monotonic() < end, self.said.read_text()
            time.sleep(0.02)

    def times(self, word):
        "How often each part has begun or ended."
        numbers = [int(f.name.split("-")[1]) for f in self.log.glob(f"{word}-*")]
        return {k: numbers.count(k) for k in range(1, 9)}

    def kept(self):
        return {pd.read_parquet(f)["k"].iloc[0] for f in (self.folder / "long.parts").glob("[!.]*.parquet")}

    def table(self):
        return pd.read_parquet(self.folder / "all.parquet")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "The table of a run that nothing happened to."
    bench = Bench(tmp_path_factory.mktemp("whole"), seconds=0)
    bench.finish(bench.start())
    return bench.table()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_runner_leaves_its_parts_and_the_next_run_computes_the_rest(tmp_path, whole, jobs):
    bench = Bench(tmp_path, seconds=0.4, jobs=jobs)
    run = bench.start()
    bench.wait_for_shards(2, run)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    before, kept = bench.shards(), bench.kept()
    assert 2 <= len(kept) < 8 and not (bench.folder / "all.parquet").exists()
    begun = bench.times("begun")
    bench.finish(bench.start())
    pd.testing.assert_frame_equal(bench.table(), whole)
    after = bench.shards()
    assert len(after) == 8 and {name: after[name] for name in before} == before
    assert all(bench.times("begun")[k] == begun[k] for k in kept)  # what was kept was not begun again


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path, whole):
    bench = Bench(tmp_path, seconds=0.3)
    run = bench.start()
    bench.wait_for_shards(2, run)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=30) != 0 and "KeyboardInterrupt" in bench.said.read_text()
    kept = bench.kept()
    assert 2 <= len(kept) < 8
    bench.finish(bench.start())
    pd.testing.assert_frame_equal(bench.table(), whole)
    assert all(bench.times("begun")[k] == 1 for k in kept)


def children(pid):
    "Process ids of the children of a process, and of theirs."
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    found, new = {}, {pid}
    while new:
        rows_of = {int(p): command for p, parent, command in rows if int(parent) in new}
        new = set(rows_of) - set(found)
        found |= rows_of
    return found


@pytest.mark.slow
def test_a_killed_worker_process_costs_only_what_was_in_work(tmp_path, whole):
    bench = Bench(tmp_path, seconds=0.5, jobs=2)
    run = bench.start()
    bench.wait_for_shards(2, run)
    kept, begun = bench.kept(), bench.times("begun")
    workers = [int(f.name.split("-")[2]) for f in bench.log.glob("begun-*")]
    os.kill(workers[-1], signal.SIGKILL)
    said = bench.finish(run)
    assert "a worker was lost" in said
    pd.testing.assert_frame_equal(bench.table(), whole)
    assert all(bench.times("begun")[k] == begun[k] == 1 for k in kept)


@pytest.mark.slow
def test_a_killed_dask_worker_and_then_a_killed_runner(tmp_path, whole):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    bench = Bench(tmp_path, seconds=0.6, jobs=2, cluster="local")
    run = bench.start()
    bench.wait_for_shards(1, run)
    kept = bench.kept()
    worker = int(max(bench.log.glob("begun-*"), key=lambda f: f.stat().st_mtime_ns).name.split("-")[2])
    assert worker != run.pid and worker in children(run.pid)
    os.kill(worker, signal.SIGKILL)
    bench.wait_for_shards(len(kept) + 2, run)  # the other worker, and the one that takes the place of the dead, go on
    kept = bench.kept()
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert len(kept) < 8 and not (bench.folder / "all.parquet").exists()
    kept = bench.kept()
    ended = bench.times("ended")
    bench.finish(bench.start())
    pd.testing.assert_frame_equal(bench.table(), whole)
    assert all(bench.times("ended")[k] == ended[k] == 1 for k in kept)


def die(k):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_parts_that_kill_every_worker_end_the_run(tmp_path):
    with pytest.raises(RuntimeError, match="workers died three times without finishing one of the 2 parts"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lr.run_parts("die", [{"k": 1}, {"k": 2}], die, results_dir=tmp_path, n_jobs=2)


# --- a full disk ---


@pytest.fixture
def small_disk(tmp_path):
    "A file system of 200 kB, where this process may mount one."
    disk = tmp_path / "results"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("no right to mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_done_and_goes_on_with_more_room(tmp_path, small_disk):
    bench = Bench(tmp_path, seconds=0, size=5000)  # 8 shards of 43 kB
    said = bench.finish(bench.start(), code=1)
    match = re.search(r"No space left on device; (\d) of 8 parts are kept in .*make room \(0\.\d MiB are free\)", said)
    assert match and int(match[1]) == len(bench.kept()) > 0
    assert not list((bench.folder / "long.parts").glob(".*"))  # nothing half written
    kept = bench.kept()
    bench.finish(bench.start(), code=1)  # no room yet: the same error, nothing lost
    assert bench.kept() == kept
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    bench.finish(bench.start())
    assert len(bench.table()) == 8 * 5000 and all(bench.times("begun")[k] == 1 for k in kept)


@pytest.mark.slow
def test_a_limit_on_file_size_stops_the_run_and_keeps_the_rest(tmp_path):
    import resource

    bench = Bench(tmp_path, seconds=0, size=5000)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    assert "File too large; 0 of 8 parts are kept" in bench.finish(bench.start(preexec_fn=limit), code=1)
    assert sum(bench.times("begun").values()) == 1  # it does not compute what it cannot keep
    bench.finish(bench.start())
    assert len(bench.table()) == 8 * 5000


def test_no_room_for_the_fourth_part(tmp_path, monkeypatch):
    "The same with an error injected where a shard is written, which needs no rights."
    written, real = [], lr.write_atomically

    def write(path, how):
        if len(written) == 3 and Path(path).suffix == ".parquet":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        return real(path, how)

    monkeypatch.setattr(lr, "write_atomically", write)
    with pytest.raises(OSError, match="No space left on device; 3 of 6 parts are kept") as caught:
        lr.run_parts("x", PARTS, square, results_dir=tmp_path)
    assert caught.value.errno == errno.ENOSPC and len(list((tmp_path / "x.parts").iterdir())) == 3
    monkeypatch.undo()
    CALLS.clear()
    table = lr.run_parts("x", PARTS, square, results_dir=tmp_path)
    assert CALLS == [4, 5, 6] and table["square"].tolist() == [1, 4, 9, 16, 25, 36]


# --- damaged shards and failing parts ---

PARTS, CALLS = [{"k": k} for k in range(1, 7)], []


def square(k):
    CALLS.append(k)
    return pd.DataFrame({"square": [k**2]})


@pytest.mark.parametrize("harm", ["truncated", "empty", "one bit", "other content", "unreadable"])
def test_a_damaged_shard_is_reported_and_computed_again(tmp_path, harm):
    table = lr.run_parts("x", PARTS, square, results_dir=tmp_path)
    key = lr.part_key({"k": 4}, {}, lr.source_code(square))
    (shard,) = (tmp_path / "x.parts").glob(f"{key}-*.parquet")
    data = shard.read_bytes()
    if harm == "unreadable":
        shard.unlink()
        shard.mkdir()
    else:
        bit = data[:200] + bytes([data[200] ^ 4]) + data[201:]
        other = next(f for f in (tmp_path / "x.parts").iterdir() if f != shard).read_bytes()
        shard.write_bytes({"truncated": data[:-1], "empty": b"", "one bit": bit, "other content": other}[harm])
    CALLS.clear()
    if harm == "unreadable":
        with pytest.raises(OSError), pytest.warns(UserWarning):
            lr.run_parts("x", PARTS, square, results_dir=tmp_path)
        return
    with pytest.warns(UserWarning, match=f"{shard.name} is damaged.*computed again"):
        again = lr.run_parts("x", PARTS, square, results_dir=tmp_path)
    assert CALLS == [4] and shard.read_bytes() == data
    pd.testing.assert_frame_equal(again, table)


def one_fails(k):
    CALLS.append(k)
    return pd.DataFrame({"inverse": [1 / (k - 3)]})


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_part_is_reported_at_the_end_and_the_rest_goes_on(tmp_path, jobs):
    with pytest.raises(lr.PartsFailed) as caught:
        lr.run_parts("x", PARTS, one_fails, results_dir=tmp_path, n_jobs=jobs)
    assert '1 of 6 parts failed, 5 are kept:\n  {"k": 3}: ZeroDivisionError' in str(caught.value)
    (trace,) = (tmp_path / "x.failed").iterdir()
    assert trace.read_text().startswith('{"k": 3}\n\nTraceback') and "one_fails" in trace.read_text()
    assert len(list((tmp_path / "x.parts").iterdir())) == 5
    CALLS.clear()
    with pytest.raises(lr.PartsFailed, match="1 of 6 parts failed"):
        lr.run_parts("x", PARTS, one_fails, results_dir=tmp_path)
    assert CALLS == [3]
    assert rp.read_progress(tmp_path, "x") == {
        "name": "x", "total": 6, "done": 5, "failed": 1, "seconds_left": 0.0, "message": ""}


def test_leftovers_of_a_killed_write_are_removed(tmp_path):
    lr.run_parts("x", PARTS[:3], square, results_dir=tmp_path)
    (tmp_path / "x.parts" / ".half.parquet").write_bytes(b"PAR1")
    lr.run_parts("x", PARTS, square, results_dir=tmp_path)
    assert len(list((tmp_path / "x.parts").iterdir())) == 6


def test_the_estimate_comes_from_the_first_parts(tmp_path, capsys):
    lr.run_parts("x", PARTS, slow_square, results_dir=tmp_path, progress=True)
    said = "".join(capsys.readouterr())
    assert re.search(r"a part takes \d s; 5 parts are left, about \d s", said), said
    assert lr.seconds_left([10, 20], 6, 3) == 30


def slow_square(k):
    time.sleep(0.05)
    return square(k)


# --- two runners ---


@pytest.mark.slow
def test_a_second_runner_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    bench = Bench(tmp_path, seconds=30)
    run = bench.start()
    lock, end = bench.folder / ".long.lock", time.monotonic() + 40
    while not (lock.exists() and lock.read_text()):
        assert run.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    with pytest.raises(rp.LockHeld, match=f"in use by process {run.pid} on .* since 20.*Wait for it to end"):
        with rp.hold_lock(lock, "the parts"):
            pass
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    with rp.hold_lock(lock, "the parts"):
        assert f"process {os.getpid()} on" in lock.read_text()


def test_run_parts_waits_for_a_run_that_is_about_to_end(tmp_path, monkeypatch):
    (tmp_path / ".x.lock").touch()
    code = ("import time\nfrom gp_literate.replication import hold_lock\n"
            f"with hold_lock({str(tmp_path / '.x.lock')!r}, 'x'):\n    print('held', flush=True); time.sleep(1)")
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    assert len(lr.run_parts("x", PARTS, square, results_dir=tmp_path)) == 6
    assert other.wait(timeout=10) == 0
    other.stdout.close()


def notebook(path, *cells):
    "Write a notebook from (tags, source) pairs."
    cells = [{"cell_type": "code", "id": f"c{k}", "metadata": {"tags": tags}, "source": source, "outputs": [],
              "execution_count": None} for k, (tags, source) in enumerate(cells)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": cells}))


REPLICATION = """
import time
from pathlib import Path
import pandas as pd
import gp_literate.parts
from gp_literate.parts import run_parts
from gp_literate.replication import save_results

gp_literate.parts.package_digest = lambda: "the same"

def part(k):
    (LOG / f"begun-{k}-{time.monotonic_ns()}").touch()
    time.sleep(0.3)
    return pd.DataFrame({"square": [k**2]})

LOG = Path("log")
LOG.mkdir(exist_ok=True)
results = run_parts("long", [{"k": k} for k in range(1, 9)], part, {}, results_dir, n_jobs)
save_results("long", results, results, results_dir=results_dir)
"""


@pytest.mark.slow
def test_a_killed_replication_resumes_and_a_second_one_is_refused(tmp_path):
    "The whole way: the command, its kernel, its parts."
    pytest.importorskip("papermill", reason="papermill is not installed")
    notebook(tmp_path / "long.ipynb", (["parameters"], "n_jobs = 1  # parts\nresults_dir = 'results'  # folder"),
             ([], "from pathlib import Path"), ([], REPLICATION))
    code = ("import sys, pathlib\nfrom gp_literate.replication import run_replication\n"
            "run_replication('long', {}, 'results', pathlib.Path('.'), progress=False)")

    def start():
        return subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)

    def shards():
        return list((tmp_path / "results/long.parts").glob("[!.]*.parquet"))

    run, end = start(), time.monotonic() + 50
    while len(shards()) < 2:
        assert run.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    with pytest.raises(rp.LockHeld, match=f"the results folder .*results: in use by process {run.pid} on"):
        rp.run_replication("long", {}, tmp_path / "results", tmp_path, progress=False)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    kept = {pd.read_parquet(f)["k"].item() for f in shards()}
    assert start().wait(timeout=50) == 0
    begun = [int(f.name.split("-")[1]) for f in (tmp_path / "log").iterdir()]
    assert all(begun.count(k) == 1 for k in kept)
    assert pd.read_parquet(tmp_path / "results/long.parquet")["square"].tolist() == [k**2 for k in range(1, 9)]
