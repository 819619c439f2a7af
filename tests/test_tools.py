"The checks of `make test` find each fault that they are there for: planted in a tiny project, one at a time."

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat import v4

pytest.importorskip("nbdev", reason="nbdev is not installed: pip install -e .[dev]")
check_notebooks, check_parameters, common = (  # tools/, by pytest.ini
    pytest.importorskip(name) for name in ("check_notebooks", "check_parameters", "common"))

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"

QUARTO = """
project: {type: website, output-dir: _docs, render: ["nbs/*.ipynb", "nbs/replications/*.ipynb"]}
website:
  sidebar:
    contents:
      - nbs/index.ipynb
      - section: Library
        contents: [nbs/00_thing.ipynb, nbs/01_other.ipynb]
      - nbs/replications/demo.ipynb
execute: {enabled: false}
ipynb-filters: [nbdev_filter]
filters: [tools/source_links.lua]
format: {html: {html-math-method: mathml}}
"""
PARAMETERS = 'profile = "smoke"\nseed = 1\nn_jobs = 1\ndata_dir = ""\nresults_dir = "results"'


def raw(text):
    return v4.new_raw_cell(f"---\n{text}\n---")


def code(text, shown=None, **metadata):
    "A code cell, with the text it shows as its stored output."
    outputs = [] if shown is None else [v4.new_output("execute_result", {"text/plain": shown})]
    return v4.new_code_cell(text, outputs=outputs, metadata=metadata)


def write(path, *cells):
    nb = v4.new_notebook(cells=[v4.new_markdown_cell(c) if isinstance(c, str) else c for c in cells])
    nb.metadata["kernelspec"] = {"display_name": "python3", "language": "python", "name": "python3"}
    for i, cell in enumerate(nb.cells):
        cell.id = f"{path.stem[:4]}-{i}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(nb))


def run(tool, root, *options):
    command = [sys.executable, str(TOOLS / tool), "--root", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    "A project in order."
    root = tmp_path_factory.mktemp("sound")
    for name in ("settings.ini", "tools/source_links.lua"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "_quarto.yml").write_text(QUARTO)
    nbs = root / "nbs"
    write(nbs / "index.ipynb", "# Project\n\n> Front page\n\nSee [the thing](00_thing.ipynb#twice), and `double`.")
    write(nbs / "00_thing.ipynb", raw("output-file: thing.html"), "# Thing\n\n> Twice as much",
          code("#| default_exp thing"), "## Twice\n\n$$ y = 2x $$ {#eq-twice}\n\nBy @eq-twice:",
          code('#| export\ndef double(\n    x, # number\n):\n    "Twice `x`."\n    return 2 * x'),
          code("double(2)", shown="4"), code("double(2) == 4", shown="True"))
    write(nbs / "01_other.ipynb", raw("output-file: other.html"), "# Other\n\n> Four times as much",
          code("#| default_exp other"), code("#| export\nfrom gp_literate.thing import double"),
          code('#| export\ndef fourfold(x):  # number\n    "Four times `x`."\n    return double(double(x))'),
          code("fourfold(1)", shown="4"))
    write(nbs / "replications" / "demo.ipynb", "# Demo\n\n> A table", code(PARAMETERS, tags=["parameters"]),
          code("f'Profile: {profile}'", shown="'Profile: smoke'"), code("seed", shown="1"))
    (root / "gp_literate").mkdir()
    (root / "gp_literate" / "__init__.py").write_text("")
    for command in ("nbdev_export", "nbdev_clean"):
        subprocess.run([Path(sys.executable).with_name(command)], cwd=root, check=True, capture_output=True)
    return root


@pytest.fixture
def project(sound, tmp_path):
    "A copy of the sound project, to be damaged."
    return Path(shutil.copytree(sound, tmp_path / "project"))


def change(project, name, old, new):
    "Replace some text of a file; in a notebook, the text as JSON writes it."
    path = project / name
    text = path.read_text()
    if path.suffix == ".ipynb":
        old, new = (json.dumps(s)[1:-1] for s in (old, new))
    assert old in text, f"{old} is not in {name}"
    path.write_text(text.replace(old, new))


def edit(project, name, function):
    "Change a notebook by a function of its cells."
    path = project / "nbs" / name
    nb = json.loads(path.read_text())
    function(nb["cells"])
    path.write_text(json.dumps(nb, indent=1))


@pytest.mark.parametrize("tool", ["check_export.py", "check_notebooks.py", "check_parameters.py", "check_docs.py"])
def test_sound_project_passes(tool, sound):
    done = run(tool, sound)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok  ")


def must_fail(tool, project, *named):
    done = run(tool, project)
    assert done.returncode == 1, done.stdout + done.stderr
    for words in named:
        assert words in done.stderr


# --- check_export -----------------------------------------------------------------------------------------------------


def test_stale_module(project):
    change(project, "gp_literate/thing.py", "2 * x", "x + x")
    must_fail("check_export.py", project, "gp_literate/thing.py: differs from its notebook")
    assert "x + x" in (project / "gp_literate/thing.py").read_text()  # nothing is repaired in passing


def test_missing_and_surplus_modules(project):
    (project / "gp_literate/thing.py").rename(project / "gp_literate/stray.py")
    must_fail("check_export.py", project, "stray.py: comes from no notebook", "thing.py: not exported yet")


def test_development_import(project):
    change(project, "nbs/00_thing.ipynb", "#| export\ndef double", "#| export\nimport fastcore.basics\ndef double")
    subprocess.run([Path(sys.executable).with_name("nbdev_export")], cwd=project, check=True)
    must_fail("check_export.py", project, "gp_literate/thing.py:", "imports fastcore.basics")


def test_upward_import(project):
    edit(project, "00_thing.ipynb", lambda cells: cells.append(code("from gp_literate.other import fourfold")))
    must_fail("check_export.py", project, "nbs/00_thing.ipynb, cell 8: imports other of notebook 01")


def test_import_of_unknown_module(project):
    change(project, "nbs/01_other.ipynb", "gp_literate.thing", "gp_literate.nothing")
    must_fail("check_export.py", project, "cell 4: imports gp_literate.nothing, which no numbered notebook exports")


# --- check_notebooks --------------------------------------------------------------------------------------------------


def untag(cells):
    cells[1]["metadata"].clear()


def store_error(cells):
    cells[5]["outputs"] = [v4.new_output("error", ename="ValueError", evalue="x", traceback=["x"])]


def drop_output(cells):
    cells[6]["outputs"] = []


def mix_imports(cells):
    cells.append(code("import numpy as np\nnp.ones(2)", shown="array([1., 1.])"))


def draw_without_picture(cells):
    cells.append(code("ax = plt.subplots()[1]"))


PICTURE = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}


def show_picture(cells, *options):
    source = "\n".join([*options, "double(4)"])
    cells.append(v4.new_code_cell(source, outputs=[v4.new_output("display_data", PICTURE)]))


def picture_without_words(cells):
    show_picture(cells, "#| slow")


def picture_with_few_words(cells):
    show_picture(cells, '#| fig-alt: "A plot"')


def picture_with_words_not_quoted(cells):
    show_picture(cells, "#| fig-alt: Doubles of numbers: a straight line")


def lengthen(cells):
    cells[4]["source"] = "#| export\n" + "\n".join(f"a{i} = {i}" for i in range(41))


def widen(cells):
    cells[4]["source"] = "#| export\nx = " + "1" * 117


def name_own_path(cells):
    cells[5]["outputs"][0]["data"]["text/plain"] = "PosixPath('/home/someone/project/x.csv')"


def skip_data_cell(cells):
    cells.append(code("#| data\ndouble(3)"))


def code_first(cells):
    cells.insert(1, code("1 + 1", shown="2"))


def run_counter(cells):
    cells[5]["execution_count"] = 7


def computed_parameter(cells):
    cells[1]["source"] = PARAMETERS.replace("seed = 1", "seed = len('a')")


def missing_parameter(cells):
    cells[1]["source"] = PARAMETERS.replace("seed = 1\n", "")


@pytest.mark.parametrize(("name", "damage", "message"), [
    ("00_thing.ipynb", store_error, "nbs/00_thing.ipynb: cell 6: a stored error output"),
    ("00_thing.ipynb", drop_output, "nbs/00_thing.ipynb: cell 7: ends in a value, but stores no output"),
    ("00_thing.ipynb", skip_data_cell, "nbs/00_thing.ipynb: cell 8: flagged data, but stores no output"),
    ("00_thing.ipynb", mix_imports, "nbs/00_thing.ipynb: cell 8: imports and other code"),
    ("00_thing.ipynb", draw_without_picture, "nbs/00_thing.ipynb: draws figures, but stores no picture"),
    ("00_thing.ipynb", picture_without_words, "nbs/00_thing.ipynb: cell 8: shows a picture without words"),
    ("00_thing.ipynb", picture_with_few_words, "nbs/00_thing.ipynb: cell 8: the words for the picture are too few"),
    ("00_thing.ipynb", picture_with_words_not_quoted, "nbs/00_thing.ipynb: cell 8: shows a picture without words"),
    ("00_thing.ipynb", lengthen, "nbs/00_thing.ipynb: cell 5: exports 41 lines"),
    ("00_thing.ipynb", name_own_path, "cell 6: an output names a path of the machine it ran on: /home/s"),
    ("00_thing.ipynb", widen, "nbs/00_thing.ipynb: cell 5: exports a line of 121 characters"),
    ("00_thing.ipynb", code_first, "nbs/00_thing.ipynb: no title"),
    ("replications/demo.ipynb", untag, "nbs/replications/demo.ipynb: 0 cells tagged `parameters`"),
    ("replications/demo.ipynb", computed_parameter, "cell 2: `seed = len('a')` assigns no literal"),
    ("replications/demo.ipynb", missing_parameter, "nbs/replications/demo.ipynb: cell 2: parameters lack seed"),
])
def test_faulty_notebook(project, name, damage, message):
    edit(project, name, damage)
    path = project / "nbs" / name
    found = [f"nbs/{name}: {p}" for p in check_notebooks.notebook_problems(common.read(path), path)]
    assert any(message in p for p in found), found


def test_unclean_and_faulty_notebooks_are_reported(project):
    edit(project, "00_thing.ipynb", run_counter)
    edit(project, "01_other.ipynb", mix_imports)
    must_fail("check_notebooks.py", project, "nbs/00_thing.ipynb: not clean",
              "nbs/01_other.ipynb: cell 7: imports and other code")


def test_wrong_output_file(project):
    change(project, "nbs/00_thing.ipynb", "thing.html", "things.html")
    must_fail("check_notebooks.py", project, "nbs/00_thing.ipynb: output-file is things.html, not thing.html")
    must_fail("check_docs.py", project, "nbs/00_thing.ipynb: the page is things.html, but nbdev links to thing.html",
              "nbs/index.ipynb: the link /nbs/thing.html#double leads to no page")


def test_tags_would_be_stripped(project):
    change(project, "settings.ini", "allowed_cell_metadata_keys = tags", "allowed_cell_metadata_keys =")
    must_fail("check_notebooks.py", project, "allowed_cell_metadata_keys lacks `tags`")


# --- check_parameters -------------------------------------------------------------------------------------------------

RECORD = 'class R(NamedTuple):\n    "A record."\n\n    a: int  # number\n    kind: ClassVar[str] = "r"\n    b: int{}\n'
CLASS = 'class {}:\n    "A thing."\n\n    def step(self, x, y):{}\n        "One step."\n'


@pytest.mark.parametrize(("code", "found"), [
    ('def f(\n    x,  # (n,) lines, sorted\n    *,\n    y=1,  # number\n):\n    "All."', []),
    ('def f(\n    x,  # number\n    *more,\n    y=1,\n):\n    "Half."', ["f: no comment describes more, y"]),
    ('def f(x, y):  # (n, p), number\n    "Shared."', []),
    ('def f(x, y):  # (n, p)\n    "Shared."', ["f: no comment describes x, y"]),
    ('def f(x) -> int:  # number\n    "Of the result."', ["f: no comment describes x"]),
    ("def f(x):  # number\n    return x", ["f: no docstring"]),
    ("def _f(x):\n    return x", []),
    (RECORD.format("  # number"), []),
    (RECORD.format(""), ["R: no comment describes b"]),
    ('class C:\n    "A thing."\n\n    def __init__(self, x):\n        self.x = x',
     ["C.__init__: no comment describes x"]),
    (CLASS.format("C", "") + CLASS.format("D", "  # number, number"), []),
    (CLASS.format("C", "") + CLASS.format("D", ""), [f"{c}.step: no comment describes x, y" for c in "CD"]),
])
def test_parameters_without_comments(project, code, found):
    public = re.findall(r"^(?:def|class) ([a-zA-Z]\w*)", code, re.MULTILINE)
    (project / "gp_literate" / "thing.py").write_text(f"__all__ = {public}\n{code}\n")
    problems, _ = check_parameters.lacking(project)
    assert [p.split(": ", 1)[1] for p in problems] == found


def test_glossary_of_parameters(project):
    change(project, "gp_literate/thing.py", "x, # number", "x,")
    must_fail("check_parameters.py", project, "gp_literate/thing.py:", "double: no comment describes x")
    table = "| name | what it is |\n|---|---|\n| {} | a number |"
    page = project / "nbs" / "explanations" / "reference.ipynb"
    write(page, "# Reference\n\n> Names", table.format("`x`"))
    assert run("check_parameters.py", project).returncode == 0
    write(page, "# Reference\n\n> Names", table.format("`x`, `seed`"))
    must_fail("check_parameters.py", project, "explains seed, which no parameter is called")


# --- check_docs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new", "message"), [
    ("00_thing.ipynb#twice", "00_things.ipynb", "nbs/index.ipynb: the link 00_things.ipynb leads to no page"),
    ("00_thing.ipynb#twice", "00_thing.ipynb#thrice", "the link 00_thing.ipynb#thrice leads to a page without"),
    ("Front page", r"Front $\frac{1}{$ page", "nbs/index.ipynb: [WARNING] Could not convert TeX math"),
    ("See ", "By @eq-twice, see ", "nbs/index.ipynb: @eq-twice refers to nothing on this page"),
    ("See ", "Formula {#eq-a} ", "nbs/index.ipynb: cell 1: the label eq-a stands at no displayed formula"),
    ("See ", "$$a$$ {#eq-a}\n\n$$b$$ {#eq-a}\n\n", "nbs/index.ipynb: cell 1: the label eq-a is used twice"),
    ("See ", "| a | b |\n|---|---|\n| 1 | 2 |\n\n| 3 | 4 |\n\nSee ",
     "nbs/index.ipynb: cell 1: a table without a header begins at | 3 | 4 |"),
    ("See ", "See ![](nothing.png) ", "nbs/index.ipynb: the link nothing.png leads to no page and no file"),
])
def test_faulty_page(project, old, new, message):
    change(project, "nbs/index.ipynb", old, new)
    must_fail("check_docs.py", project, message)


def test_faults_of_the_site(project):
    shutil.copy(project / "nbs/replications/demo.ipynb", project / "nbs/replications/orphan.ipynb")
    change(project, "_quarto.yml", "nbs/index.ipynb", "nbs/front.ipynb")
    change(project, "_quarto.yml", "mathml", "katex")
    edit(project, "00_thing.ipynb", store_error)
    must_fail("check_docs.py", project, "nbs/replications/orphan.ipynb is not in the sidebar",
              "the navigation names nbs/front.ipynb, which does not exist", "html-math-method is not mathml",
              "nbs/00_thing.ipynb: cell 6: a stored error output")


def test_words_for_pictures(project):
    words = '#| fig-alt: "A straight line: \\"double\\" against x"'
    edit(project, "00_thing.ipynb", lambda cells: show_picture(cells, words))
    path = project / "nbs" / "00_thing.ipynb"
    assert not [p for p in check_notebooks.notebook_problems(common.read(path), path) if "picture" in p]
    assert run("check_docs.py", project).returncode == 0
    edit(project, "00_thing.ipynb", picture_without_words)
    must_fail("check_docs.py", project, "nbs/00_thing.ipynb: 1 pictures without alternative text")


def test_missing_style_sheet(project):
    change(project, "_quarto.yml", "mathml}", "mathml, theme: {light: [cosmo, nbs/site.scss], dark: darkly}}")
    must_fail("check_docs.py", project, "the style sheet nbs/site.scss does not exist")
    (project / "nbs" / "site.scss").write_text("/*-- scss:rules --*/")
    assert run("check_docs.py", project).returncode == 0


def test_stale_reference_and_benchmarks(project):
    patterns = '"nbs/replications/*.ipynb", "nbs/explanations/*.ipynb"'
    change(project, "_quarto.yml", '"nbs/replications/*.ipynb"', patterns)
    pages = [project / "nbs" / "explanations" / f"{name}.ipynb" for name in ("reference", "benchmarks")]
    items = "".join(f"- nbs/explanations/{page.name}\n      " for page in pages)
    change(project, "_quarto.yml", "- nbs/replications/demo", f"{items}- nbs/replications/demo")
    (project / "benchmarks").mkdir()
    (project / "benchmarks" / "README.md").write_text("| call | seconds |\n|---|---|\n| `double` | 1.0 |\n")
    write(pages[0], "# Reference\n\n> Names", code("names", shown="`double` ([thing](#thing))"))
    old = "| call | seconds |\n|---|---|\n| `double` | 0.9 |"
    write(pages[1], "# Benchmarks\n\n> Numbers", code("text", shown=old))
    must_fail("check_docs.py", project, "reference.ipynb: lacks other.fourfold; execute it again",
              "benchmarks.ipynb: lacks 1 lines of benchmarks/README.md")
    names = "([thing](#thing)), `fourfold` ([other](#other))"
    change(project, "nbs/explanations/reference.ipynb", "([thing](#thing))", names)
    change(project, "nbs/explanations/benchmarks.ipynb", "0.9", "1.0")
    assert run("check_docs.py", project).returncode == 0


def test_key_given_twice(project):
    change(project, "_quarto.yml", "execute: {enabled: false}", "execute: {enabled: false, enabled: true}")
    must_fail("check_docs.py", project, "key 'enabled' is given twice")


@pytest.fixture
def quarto(tmp_path, monkeypatch):
    "A stand-in for Quarto that says what it is given to say, and makes one page."
    def install(says):
        program = tmp_path / "bin" / "quarto"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\nmkdir -p _docs/nbs && touch _docs/nbs/index.html\necho '{says}' >&2\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return install


def test_quarto_warning_is_a_failure(project, quarto):
    quarto("WARN: Unable to resolve link target: 00_thing.ipynb")
    must_fail("check_docs.py", project, "quarto: WARN: Unable to resolve link target: 00_thing.ipynb")


def test_quarto_pages_are_kept_only_on_demand(project, quarto):
    quarto("Output created: _docs/nbs/index.html")
    assert "rendered with Quarto" in run("check_docs.py", project).stdout
    assert not (project / "_docs").exists()
    assert "the site is in _docs/index.html" in run("check_docs.py", project, "--render").stdout
    assert "url=nbs/index.html" in (project / "_docs" / "index.html").read_text()


# --- run_notebooks ----------------------------------------------------------------------------------------------------


def test_failing_notebook_is_named(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(project))
    change(project, "nbs/01_other.ipynb", "fourfold(1)", "fourfold(undefined_name)")
    done = run("run_notebooks.py", project, "--no-data")
    assert done.returncode == 1
    assert "nbs/01_other.ipynb" in done.stderr and "undefined_name" in done.stderr
    assert "nbs/00_thing.ipynb" in done.stdout
