"A long run becomes the committed page: its outputs and parameters, nothing of the machine; only when the code fits."

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat import v4

pytest.importorskip("nbdev", reason="nbdev is not installed: pip install -e .[dev]")
common, check_notebooks, run_notebooks, store_page = (
    pytest.importorskip(name) for name in ("common", "check_notebooks", "run_notebooks", "store_page"))  # tools/

ROOT = Path(__file__).resolve().parent.parent
KNOBS = 'profile = "smoke"  # size\nseed = 1  # seed\nn_jobs = 1  # jobs\ndata_dir = None  # in\nresults_dir = ""  # to'
STATED = 'print(f"Profile: {profile}")'


def code(text, shown=None, tags=()):
    outputs = [] if shown is None else [v4.new_output("stream", name="stdout", text=shown)]
    return v4.new_code_cell(text, outputs=outputs, metadata={"tags": list(tags)} if tags else {}, execution_count=1)


def write(path, *cells):
    nb = v4.new_notebook(cells=[v4.new_markdown_cell("# A table\n\n> of a paper"), *cells])
    nb.metadata["kernelspec"] = {"display_name": "python3", "language": "python", "name": "python3"}
    for i, cell in enumerate(nb.cells):
        cell.id = f"cell-{i}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(nb))


@pytest.fixture
def project(tmp_path):
    "A project with one page of a smoke run."
    shutil.copy(ROOT / "settings.ini", tmp_path)
    write(tmp_path / "nbs/replications/table.ipynb", code("import numpy as np\nimport pandas as pd"),
          code(KNOBS, tags=["parameters"]), code(STATED, "Profile: smoke\n"),
          code('#| fig-alt: "none"\nn = {"smoke": 2, "paper": 50}[profile]\nprint(n, "draws")', "2 draws\n"))
    return tmp_path


def executed(project, values, *cells):
    "A run with these parameters, by an older version of the page."
    imports, knobs = code("import numpy as np"), code(KNOBS, tags=["parameters"])
    write(project / "results/table.ipynb", imports, knobs, code(values, tags=["injected-parameters"]), *cells)


def store(project):
    command = [sys.executable, ROOT / "tools/store_page.py", "--root", project, project / "results", "table"]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


DRAWS = 'n = {"smoke": 2, "paper": 50}[profile]  # draws\nprint(n, "draws")'
VALUES = '# Parameters\nprofile = "paper"\nn_jobs = 8\nresults_dir = "/home/somebody/results"\n'


def test_the_page_shows_the_run_and_its_parameters_and_runs_with_its_defaults(project):
    executed(project, VALUES, code(DRAWS, f"50 draws in {project.resolve()}/results\n"))
    done = store(project)
    assert done.returncode == 0 and "a run with profile='paper'" in done.stdout, done.stderr
    path = project / "nbs/replications/table.ipynb"
    nb = common.read(path)
    tagged = [c for c in nb["cells"] if c["metadata"].get("tags") == ["injected-parameters"]]
    assert [common.source(c) for c in tagged] == ["profile = 'paper'"]
    said = ["".join(o["text"]) for c in nb["cells"] for o in c.get("outputs", [])]
    assert said == ["Profile: paper\n", "50 draws in results\n"]
    assert [*check_notebooks.notebook_problems(nb, path)] == []
    assert store(project).returncode == 0 and common.read(path) == nb  # once more changes nothing
    run_notebooks.with_defaults(path)
    assert not any("injected-parameters" in c["metadata"].get("tags", []) for c in common.read(path)["cells"])


@pytest.mark.parametrize("cells, why", [
    ([code(DRAWS.replace("50", "5"), "5 draws\n")], "cell 5 has changed since the run"),
    ([], "cell 5 has changed since the run, or was not part of it"),
    ([code(DRAWS, "50 draws\n"), code("print(1)", "1\n")], "the page no longer has a cell of the run"),
    ([code(DRAWS, "50 draws in /home/somebody/x\n")], "an output names a path of the machine"),
])
def test_a_run_that_does_not_fit_is_refused_and_the_page_stays(project, cells, why):
    path = project / "nbs/replications/table.ipynb"
    before = path.read_bytes()
    executed(project, VALUES, *cells)
    done = store(project)
    assert done.returncode == 1 and why in done.stderr, done.stdout + done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("source, place, why", [
    ("profile = 'paper'", 3, None), ("profil = 'paper'", 3, "sets profil"),
    ("profile = 'paper'\nn_jobs = 2", 3, "sets n_jobs"),
    ("profile = 'paper'", 4, "belong right after the parameters"), ("seed = len('ab')", 3, "assigns no literal"),
    ("seed = 2", 3, "the page states ['paper'] instead of `Profile: smoke`"),
])
def test_the_check_of_injected_parameters(project, source, place, why):
    path = project / "nbs/replications/table.ipynb"
    nb = common.read(path)
    nb["cells"][3]["outputs"][0]["text"] = "Profile: paper\n"
    nb["cells"].insert(place, json.loads(json.dumps(code(source, tags=["injected-parameters"]))))
    problems = [*check_notebooks.notebook_problems(nb, path)]
    assert problems == [] if why is None else any(why in problem for problem in problems), problems
