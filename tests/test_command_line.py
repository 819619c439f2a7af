"The command gp-literate: its exit codes, all replications after each other, a cluster, the wheel's entry point."

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import joblib
import pandas as pd
import pytest

from gp_literate import command_line as cl
from gp_literate import replication as rp
from gp_literate import reports
from gp_literate.parts import use_cluster

ROOT = Path(__file__).resolve().parent.parent


def notebook(path, *cells):
    "Write a notebook from (tags, source) pairs."
    cells = [{"cell_type": "code", "id": f"c{k}", "metadata": {"tags": tags}, "source": source, "outputs": [],
              "execution_count": None} for k, (tags, source) in enumerate(cells)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": cells}))


def in_folder(monkeypatch, folder):
    "The notebooks of this folder are the installed ones, and it is the working directory."
    for module in (rp, reports):
        monkeypatch.setattr(module, "replications_dir", lambda: folder)
    monkeypatch.chdir(folder)


@pytest.fixture
def folder(tmp_path):
    "A folder with one small replication."
    save = ("import pandas as pd\nfrom gp_literate.replication import save_results\n"
            "assert n > 0, 'n must be positive'\nresults = pd.DataFrame({'ours': [n]})\n"
            "save_results('small', results, results, results_dir=results_dir)")
    knobs = "n = 1  # a number\nresults_dir = 'results'  # folder"
    notebook(tmp_path / "small.ipynb", (["parameters"], knobs), ([], save))
    return tmp_path


def test_exit_codes_of_the_command_line(folder, monkeypatch, capsys):
    in_folder(monkeypatch, folder)
    run = ["replicate", "run", "small", "--no-progress"]
    assert cl.main(["--version"]) == 0 and rp.__version__ in capsys.readouterr().out
    assert cl.main(["replicate", "list"]) == 0 and "-p n 1   a number" in capsys.readouterr().out
    for words in ([], ["replicate"], ["replicate", "run"], ["replicate", "run", "nothing"], [*run, "-p", "m", "1"],
                  [*run, "-p", "n", "many"], [*run, "--profile", "full"], ["replicate", "report"],
                  [*run, "--n-jobs", "2"]):
        assert cl.main(words) == 2, words
    assert "unknown parameter of small 'n_jobs'" in capsys.readouterr().err
    pytest.importorskip("papermill", reason="papermill is not installed")
    assert cl.main([*run, "-p", "n", "-1"]) == 1 and "n must be positive" in capsys.readouterr().err
    assert cl.main([*run, "-p", "n", "5", "-p", "results_dir", "elsewhere"]) == 0
    assert (folder / "elsewhere/small.html").exists()
    assert cl.main(["replicate", "report", "--results-dir", "elsewhere"]) == 0
    assert "small" in (folder / "elsewhere/index.html").read_text()


def test_no_jobs_are_refused_before_anything_starts(folder, monkeypatch, capsys):
    in_folder(monkeypatch, folder)
    notebook(folder / "parts.ipynb", (["parameters"], KNOBS), ([], PARTS))
    alone = ["replicate", "run", "parts", "--no-progress"]
    for words in ([*alone, "--n-jobs", "0"], [*alone, "-p", "n_jobs", "0"], ["replicate", "all", "--n-jobs", "0"]):
        assert cl.main(words) == 2, words
        assert "--n-jobs) must be a whole number of at least 1" in capsys.readouterr().err
    assert not (folder / "results").exists()


def test_the_name_of_a_paper_stands_for_all_its_replications(folder, monkeypatch, capsys):
    known = ["demo", "endelman2011_figure1", "endelman2011_table1", "endelman2011b_x"]
    assert cl.replications_named("endelman2011", known) == known[1:3]
    assert cl.replications_named("demo", known) == ["demo"]
    with pytest.raises(ValueError, match="Did you mean 'endelman2011_table1'"):
        cl.replications_named("endelman2011_tabel1", known)
    pytest.importorskip("papermill", reason="papermill is not installed")
    in_folder(monkeypatch, folder)
    for part in ("one", "two"):
        (folder / f"paper_{part}.ipynb").write_bytes((folder / "small.ipynb").read_bytes())
    run = ["replicate", "run", "paper", "--no-progress"]
    assert cl.main([*run, "-p", "m", "1"]) == 2 and not (folder / "results").exists()
    assert cl.main([*run, "-p", "n", "2"]) == 0
    assert (folder / "results/paper_one.html").exists() and (folder / "results/paper_two.html").exists()


def test_missing_papermill_is_explained(folder, monkeypatch, capsys):
    in_folder(monkeypatch, folder)
    monkeypatch.setitem(sys.modules, "papermill", None)
    assert cl.main(["replicate", "run", "small"]) == 1
    assert 'pip install "gp_literate[replicate]"' in capsys.readouterr().err


KNOBS = "profile = 'smoke'  # size\nn_jobs = 1  # parts\nresults_dir = 'results'  # folder"
PARTS = """import os
import pandas as pd
from gp_literate.parts import run_parts
from gp_literate.replication import save_results
def part(k): return pd.DataFrame({"square": [k**2], "process": [os.getpid()]})
results = run_parts("parts", [{"k": k} for k in range(6)], part, {}, results_dir, n_jobs)
save_results("parts", results.assign(profile=profile, kernel=os.getpid()), results, results_dir=results_dir)"""


@pytest.mark.slow
def test_all_goes_on_after_a_failure_and_says_what_became_of_each(folder, monkeypatch, capsys):
    pytest.importorskip("papermill", reason="papermill is not installed")
    in_folder(monkeypatch, folder)
    notebook(folder / "broken.ipynb", (["parameters"], KNOBS), ([], "raise OSError('no data here')"))
    notebook(folder / "parts.ipynb", (["parameters"], KNOBS), ([], PARTS))
    everything = ["replicate", "all", "--no-progress", "--profile", "paper"]
    assert cl.main(everything) == 1
    said = capsys.readouterr().out
    assert "3 of 3 replications in" in said and re.search(r"FAILED .* broken\n.*OSError: no data here", said)
    assert len(re.findall(r"  ok .* (?:small|parts)\n", said)) == 2 and "index.html" in said
    results = pd.read_parquet("results/parts.parquet")
    assert (results["profile"] == "paper").all() and results["square"].tolist() == [k**2 for k in range(6)]
    (folder / "broken.ipynb").unlink()
    assert cl.main(everything) == 0
    assert (folder / "results/index.html").exists()


def test_the_rest_is_named_when_all_is_interrupted(folder, monkeypatch, capsys):
    in_folder(monkeypatch, folder)
    notebook(folder / "more.ipynb", (["parameters"], KNOBS), ([], "1"))

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cl, "run_replication", interrupt)
    assert cl.main(["replicate", "all"]) == 1
    said = capsys.readouterr()
    assert "not begun        more" in said.out and "the same command goes on from there" in said.err


@pytest.mark.slow
def test_a_replication_on_a_cluster_of_its_own(folder, monkeypatch, capsys):
    pytest.importorskip("papermill", reason="papermill is not installed")
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    notebook(folder / "parts.ipynb", (["parameters"], KNOBS), ([], PARTS))
    code = ("import sys, pathlib, gp_literate.replication as rp, gp_literate.command_line as cl\n"
            "rp.replications_dir = lambda: pathlib.Path('.')\n"
            "words = 'replicate run parts --no-progress --cluster local --n-jobs 2'.split()\n"
            "if __name__ == '__main__': sys.exit(cl.main(words))")
    (folder / "run.py").write_text(code)
    done = subprocess.run([sys.executable, "run.py"], cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert re.search(r"dashboard of the cluster: http://127.0.0.1:\d+/status", done.stdout)
    results = pd.read_parquet(folder / "results/parts.parquet")
    assert results["square"].tolist() == [k**2 for k in range(6)]
    assert not set(results["process"]) & set(results["kernel"])
    record = json.loads((folder / "results/parts.provenance.json").read_text())
    assert record["run"]["cluster"] is True and "GP_LITERATE_CLUSTER" not in os.environ


def test_minus_one_job_is_all_cores_of_a_local_cluster(monkeypatch):
    distributed, asked = pytest.importorskip("distributed", reason="dask.distributed is not installed"), {}

    def remember(**options):
        asked.update(options)
        raise ConnectionError("stop here")

    monkeypatch.setattr(distributed, "LocalCluster", remember)
    for n_workers, cores in ((-1, joblib.cpu_count()), (3, 3), (None, None)):
        with pytest.raises(ConnectionError, match="stop here"), use_cluster("local", n_workers):
            pass
        assert asked["n_workers"] == cores


def test_a_cluster_that_is_not_there(folder, monkeypatch, capsys):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    in_folder(monkeypatch, folder)
    run = ["replicate", "run", "small", "--no-progress", "--cluster"]
    assert cl.main([*run, "nowhere"]) == 2 and "expected 'local' or the address" in capsys.readouterr().err
    assert cl.main([*run, "tcp://127.0.0.1:9"]) == 1 and "no Dask scheduler answers" in capsys.readouterr().err
    assert not (folder / "results").exists()


def test_predict_is_a_command_too(capsys):
    assert cl.main(["--help"]) == 0 and "predict" in capsys.readouterr().out
    assert cl.main(["predict"]) == 2 and "--genotypes" in capsys.readouterr().err


def test_import_is_light():
    code = ("import sys, gp_literate.command_line as c; c.main(['replicate', 'list'])\n"
            "heavy = {'papermill', 'nbconvert', 'matplotlib', 'sklearn', 'numba', 'distributed'}\n"
            "print(sorted(heavy & set(sys.modules)))")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_the_entry_point_is_this_command():
    text = (ROOT / "setup.py").read_text()
    assert "gp-literate = gp_literate.command_line:main" in text
