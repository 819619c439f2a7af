"The verdicts, the notebooks with parameters, the runner, the reports, and the papers' tables themselves."

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import reference
from hypothesis import given
from hypothesis import strategies as st

from gp_literate import parts as lr
from gp_literate import replication as rp
from gp_literate import reports
from gp_literate.datasets import DataUnavailableError, fetch_maize
from gp_literate.mixed_model import RRBLUP, KernelBLUP
from gp_literate.multiple_comparisons import letters, two_way
from gp_literate.validation import cross_validate_methods, given_folds

# --- targets and verdicts ---


def test_targets_are_text_with_unique_keys_and_consistent_with_themselves():
    targets = rp.load_targets("endelman2011")
    assert not targets.duplicated(["table", "row", "column"]).any() and (targets != "").all().all()
    sizes = targets.groupby("table").size()
    assert sizes[["Table 1", "Table 2", "Table 3", "Table 3, letters"]].tolist() == [54, 44, 28, 28]
    one = targets[targets["table"] == "Table 1"].pivot(index="row", columns="column", values="printed")
    number = one.drop(columns="cross").astype(float)
    for column, intensity in (("spv_20", 1.39981), ("spv_1", 2.66521)):
        assert (number[column] - number["mean"] - intensity * number["sd"]).abs().max() < 0.0025
    two = targets[targets["table"] == "Table 2"].pivot(index="row", columns="column", values="printed").astype(float)
    assert (two.drop("mean").mean() - two.loc["mean"]).abs().max() <= 0.0101
    three = targets[targets["table"] == "Table 3"].pivot(index="row", columns="column", values="printed").astype(float)
    assert three.loc[["RR", "GAUSS"], "wheat yield 1"].tolist() == two.loc["mean", ["env1 RR", "env1 GAUSS"]].tolist()
    assert three.loc[["RR", "GAUSS"], "wheat yield 2"].tolist() == two.loc["mean", ["env2 RR", "env2 GAUSS"]].tolist()
    found = targets[targets["table"] == "Table 3, letters"]["printed"]
    assert set(found) == {"a", "b", "ab"} and found.value_counts()["ab"] == 2
    with pytest.raises(ValueError, match="unknown paper 'endelmann2011'. Did you mean 'endelman2011'"):
        rp.load_targets("endelmann2011")
    with pytest.raises(ValueError, match="unknown table of endelman2011 'Table 11'"):
        rp.load_targets("endelman2011", ["Table 11"])


@given(st.decimals(-1000, 1000, allow_nan=False, places=6), st.integers(0, 5))
def test_a_number_equals_its_own_rounding_and_not_the_next(value, digits):
    printed = f"{value:.{digits}f}"
    assert rp.verdict(printed, float(value)) == "equal"
    assert rp.verdict(printed, float(value) + 1.01 * 10.0**-digits).startswith("differs by +")


@pytest.mark.parametrize("printed, ours, expected", [
    ("0.34", 0.345, "equal"), ("0.35", 0.345, "equal"), ("0.34", 0.3451, "differs by +0.0051 (ours 0.3451)"),
    ("0.009", 0.0085, "equal"), ("0.009", 0.008494, "differs by -0.00051 (ours 0.00849)"),
    ("0.2", 0.225, "equal"), ("< 0.001", 1e-9, "equal"), ("<0.001", 0.001, "differs by +0.00000 (ours 0.00100)"),
    ("179,101", 179101, "equal"), ("179,101", 179100, "differs by -1.00 (ours 179100.00)"), ("−0.30", -0.3, "equal"),
    (".49", np.float64(0.4889), "equal"), ("1×4", "1×4", "equal"), ("1×4", "1×5", "differs (ours 1×5)"),
    ("0.5", None, "not run"), ("0.5", np.nan, "not run"), ("2e-5", 2.4e-5, "equal"),
])
def test_verdicts(printed, ours, expected):
    assert rp.verdict(printed, ours) == expected


def test_standard_error_is_shown_and_changes_no_verdict():
    assert rp.verdict("0.50", 0.52, se=0.01) == "differs by +0.0200 (ours 0.5200, 2.0 SE away)"
    assert rp.verdict("0.50", 0.52, se=100).startswith("differs")


@pytest.mark.parametrize("printed, ours, spread, expected", [
    ("0.51", 0.514, (0.48, 0.55), "equal"),
    ("0.51", 0.527, (0.48, 0.55), "within the spread (ours 0.5270, spread 0.4800 to 0.5500)"),
    ("0.51", 0.527, (0.515, 0.54), "within the spread (ours 0.5270, spread 0.5150 to 0.5400)"),  # 0.51 may be 0.515
    ("0.51", 0.527, (0.516, 0.54), "differs by +0.0170 (ours 0.5270, spread 0.5160 to 0.5400)"),
    ("0.55", 0.527, (0.516, 0.544), "differs by -0.0230 (ours 0.5270, spread 0.5160 to 0.5440)"),
    ("0.51", np.nan, (0.48, 0.55), "not run"), ("a", "b", (0, 1), "differs (ours b)"),
])
def test_a_printed_number_within_the_spread_of_random_partitions(printed, ours, spread, expected):
    assert rp.verdict(printed, ours, spread=spread) == expected


def test_within_the_spread_is_counted_apart():
    targets = rp.load_targets("endelman2011", ["Table 3"]).query("column == 'maize ear height'")
    ours = pd.DataFrame({"table": "Table 3", "column": "maize ear height", "row": ["GAUSS", "EXP", "RR"],
                         "ours": [0.512, 0.53, 0.6], "low": [np.nan, 0.5, 0.59], "high": [np.nan, 0.56, 0.61]})
    table = rp.compare_with_paper(targets, ours)
    assert {"low", "high"} <= set(table)
    assert "low" not in rp.compare_with_paper(targets, ours.drop(columns=["low", "high"]))
    counts = rp.count_verdicts(table).loc["Table 3"]
    assert counts[["cells", "equal", "within", "differs", "not_run"]].tolist() == [4, 1, 1, 1, 1]
    assert counts["status"] == "1 of 4 within the spread, 1 of 4 differ, 1 of 4 not run"
    assert rp.summary_line(table) == "Table 3: 1 of 4 equal, 1 within the spread"
    shown = rp.side_by_side(table, "Table 3")["maize ear height", "ours"]
    assert shown.to_dict() == {"GAUSS": "0.512", "EXP": "0.5300 ≈", "RR": "0.6000 ✗", "BL": "not run"}


@pytest.fixture
def comparison():
    targets = rp.load_targets("endelman2011", ["Table 1"])
    ours = targets[["table", "row", "column"]].assign(ours=[p if "×" in p else float(p) for p in targets["printed"]])
    ours.loc[1, "ours"] = 0.6
    return rp.compare_with_paper(targets, ours.drop(index=5))


def test_comparison_counts_and_keeps_the_order_of_the_paper(comparison):
    assert comparison["verdict"].value_counts().to_dict() == {
        "equal": 52, "differs by +0.0300 (ours 0.6000)": 1, "not run": 1}
    assert rp.count_verdicts(comparison).loc["Table 1", "status"] == "1 of 54 differ, 1 of 54 not run"
    assert rp.summary_line(comparison) == "Table 1: 52 of 54 equal"
    wide = rp.side_by_side(comparison, "Table 1")
    assert wide.shape == (9, 12) and wide.loc["1", ("kinship", "ours")] == "0.6000 ✗"
    assert wide.loc["1", ("sd", "ours")] == "not run" and wide.loc["8", ("cross", "ours")] == "1×12"
    text = rp.results_markdown(comparison, "crosses", "words")
    assert "| 1×4 | 1×4 |" in text and "1 of 54 differ" in text


def test_comparison_refuses_keys_that_do_not_exist_or_occur_twice(comparison):
    targets = rp.load_targets("endelman2011", ["Table 1"])
    cell = pd.DataFrame({"table": ["Table 1"], "row": [10], "column": ["sd"], "ours": [0.2]})
    with pytest.raises(ValueError, match=r"no cell \('Table 1', '10', 'sd'\)"):
        rp.compare_with_paper(targets, cell)
    with pytest.raises(ValueError, match="two numbers for"):
        rp.compare_with_paper(targets, pd.concat([cell, cell]))
    assert (rp.compare_with_paper(targets, cell.iloc[:0])["verdict"] == "not run").all()


# --- notebooks with parameters ---


def test_every_replication_has_its_parameters_tag_and_the_common_parameters():
    known = rp.list_replications()
    endelman = {f"endelman2011_{part}" for part in ("table1", "table2", "table3", "figure1", "figure2")}
    assert endelman == {name for name in known if name.startswith("endelman2011")} and "demo" in known
    for r in known.values():
        assert {"profile", "seed", "n_jobs", "data_dir", "results_dir"} <= set(r.parameters), r.name
        assert r.parameters["profile"].default == "smoke" and r.title and r.subtitle
        assert all(p.help for p in r.parameters.values()), f"{r.name}: a parameter without a comment"


def notebook(path, *cells):
    "Write a notebook from (tags, source) pairs."
    cells = [{"cell_type": "code", "id": f"c{k}", "metadata": {"tags": tags}, "source": source, "outputs": [],
              "execution_count": None} for k, (tags, source) in enumerate(cells)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": cells}))


def test_a_notebook_without_the_tag_is_refused(tmp_path):
    notebook(tmp_path / "lost.ipynb", ([], "seed = 1"))
    with pytest.raises(ValueError, match="lost.ipynb has 0 cells tagged `parameters`"):
        rp.list_replications(tmp_path)


def test_parameters_cell_is_read_and_not_run():
    found = rp.parse_parameters_cell("a = -1  # one\nb = [\n    1, 2,\n]  # two\nc = '#'\n# a remark")
    assert found == {"a": rp.Parameter(-1, "one"), "b": rp.Parameter([1, 2], "two"), "c": rp.Parameter("#", "")}
    for bad in ("import os", "a = b = 1", "a = f(1)", "a, b = 1, 2"):
        with pytest.raises(ValueError, match="line 1 of the parameters cell"):
            rp.parse_parameters_cell(bad)


@pytest.mark.parametrize("text, default, value", [
    ("7", 1, 7), ("7", 1.0, 7.0), ("1e-3", 1.0, 0.001), ("7", "x", "7"), ("True", False, True), ("false", True, False),
    ("[1, 2]", [0], [1, 2]), ("(1, 2)", [0], [1, 2]), ("none", None, None), ("/a/b", None, "/a/b"), ("3", None, 3),
    ("{'a': 1}", {}, {"a": 1}),
])
def test_typed_text_becomes_the_type_of_the_default(text, default, value):
    out = rp.parse_value("x", text, default)
    assert out == value and type(out) is type(value)


@pytest.mark.parametrize("text, default", [("ten", 1), ("2.5", 1), ("True", 1), ("1", True), ("5", [0]), ("x", 0.5)])
def test_wrong_types_are_refused(text, default):
    with pytest.raises(ValueError, match="parameter x: got"):
        rp.parse_value("x", text, default)


def test_values_of_an_earlier_run_are_not_read_and_not_used(tmp_path, folder):
    pytest.importorskip("papermill", reason="papermill is not installed")
    cells = json.loads((folder / "small.ipynb").read_text())["cells"]
    carried = [(c["metadata"]["tags"], c["source"]) for c in cells]
    notebook(folder / "small.ipynb", carried[0], (["injected-parameters"], "n = 99"), carried[1])
    assert rp.read_replication(folder / "small.ipynb").parameters["n"].default == 1
    for parameters, n in (({}, 1), ({"n": 3}, 3)):
        run = rp.run_replication("small", parameters, tmp_path / "out", folder, progress=False)
        assert pd.read_parquet(tmp_path / "out/small.parquet")["ours"].item() == n
        tags = [c["metadata"].get("tags", []) for c in json.loads(run.notebook.read_text())["cells"]]
        assert tags.count(["injected-parameters"]) == 1  # results_dir at least
    assert "n = 99" not in run.notebook.read_text()


def test_a_results_folder_in_use_is_refused_before_anything_runs(folder):
    with rp.hold_lock(folder / "out/.lock", "x"):
        with pytest.raises(rp.LockHeld, match=r"the results folder .*out: in use by process \d+ on .* since"):
            rp.run_replication("small", {}, folder / "out", folder, progress=False)
    assert [f.name for f in (folder / "out").iterdir()] == [".lock"]


# --- running ---


@pytest.fixture
def folder(tmp_path):
    "A folder with one small replication."
    save = ("from pathlib import Path\nimport pandas as pd\nfrom gp_literate.replication import save_results\n"
            "assert n > 0, 'n must be positive'\nresults = pd.DataFrame({'ours': [n], 'cwd': [str(Path.cwd())]})\n"
            "save_results('small', results, results, results_dir=results_dir)")
    knobs = "n = 1  # a number\nresults_dir = 'results'  # folder"
    notebook(tmp_path / "small.ipynb", (["parameters"], knobs), ([], save))
    return tmp_path


def test_a_run_leaves_everything_and_a_failure_keeps_the_earlier_result(folder, monkeypatch):
    pytest.importorskip("papermill", reason="papermill is not installed")
    monkeypatch.chdir(folder)
    run = rp.run_replication("small", {"n": 3}, "out", folder, progress=False)
    left = {f.name for f in (folder / "out").iterdir()}
    kinds = ("parquet", "csv", "md", "provenance.json", "ipynb", "html")
    assert left == {f"small.{kind}" for kind in kinds} | {".lock"}
    row = pd.read_parquet(folder / "out/small.parquet").iloc[0]
    assert row["ours"] == 3 and Path(row["cwd"]).resolve() == folder.resolve()
    record = json.loads((folder / "out/small.provenance.json").read_text())["run"]
    assert record["given_parameters"] == {"n": 3} == record["settings"] and not record["cluster"]
    before = run.notebook.read_bytes()
    with pytest.raises(rp.ReplicationFailed, match="AssertionError: n must be positive\n.*small.partial.ipynb"):
        rp.run_replication("small", {"n": -1}, "out", folder, progress=False)
    assert run.notebook.read_bytes() == before and (folder / "out/small.partial.ipynb").exists()


def test_names_are_checked_before_anything_runs(folder):
    for name, parameters, message in [
        ("smal", {}, "unknown replication 'smal'. Did you mean 'small'"),
        ("small", {"m": 1}, "unknown parameter of small 'm'"),
        ("small", {"n": "1"}, "parameter n: got '1'"),
    ]:
        with pytest.raises(ValueError, match=message):
            rp.run_replication(name, parameters, folder / "out", folder, progress=False)
    assert not (folder / "out").exists()


# --- files ---


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    file = rp.write_text(tmp_path / "deep" / "a.txt", "old")

    def fail(path):
        Path(path).write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        rp.write_atomically(file, fail)
    assert file.read_text() == "old" and [f.name for f in file.parent.iterdir()] == ["a.txt"]


# --- reports ---


def test_every_table_of_the_papers_is_in_the_notes_and_every_name_in_the_notes_exists():
    notes, known = reports.load_notes(), rp.list_replications()
    assert not notes.duplicated(["paper", "item"]).any() and (notes["about"] != "").all()
    assert set(notes["data"]) <= {"public", "partly public", "not public", "none needed"}
    assert notes.loc[notes["data"].isin(["partly public", "not public"]), "why"].ne("").all()
    for paper in rp.papers_with_targets():
        named = [t for tables in notes.loc[notes["paper"] == paper, "targets"] for t in tables]
        assert sorted(named) == sorted(rp.load_targets(paper)["table"].unique()), paper
    for paper, names in zip(notes["paper"], notes["replications"], strict=True):
        assert names and all(name.startswith(paper) for name in names)
        assert all(name in known for name in names) or paper not in rp.papers_with_targets(), names
    assert [*notes["paper"].unique()] == ["endelman2011", "gianola2020", "mathew2022", "pungpapong2012"]


def test_report_lists_what_was_not_run_and_says_why_something_differs(tmp_path, comparison):
    made = rp.provenance(seed=1, parameters={"profile": "paper", "n": 5}, seconds=3.5)
    rp.save_results("endelman2011_table1", comparison[["row"]], comparison, provenance=made, results_dir=tmp_path)
    (tmp_path / "endelman2011_table1_map.png").write_bytes(b"")
    table = reports.overview(tmp_path).set_index(["paper", "item"])
    one = table.loc[("endelman2011", "Table 1")]
    assert one["status"] == "differs: 52 of 60 equal, 1 of 60 differ, 7 of 60 not run" and one["profile"] == "paper"
    assert table.loc[("endelman2011", "Table 2"), "status"] == "not run"
    assert table.loc[("no paper", "demo"), "status"] == "not run"
    rust = table.loc[("gianola2020", "Figures 9 to 11")]
    assert rust["status"] == "data not public" and "not public" in rust["why"]
    files = {f.name: f.read_text() for f in reports.write_report(tmp_path)}
    assert {"index.html", "report.md", "endelman2011.html", "gianola2020.html"} <= set(files)
    assert "52 of 60 equal" in files["index.html"] and "Table 2" in files["report.md"]
    page = files["endelman2011.html"]
    for text in ("0.6000 ✗", "differs by +0.0300 (ours 0.6000)", "profile paper, seed 1, 3.5 s", "<td>n</td><td>5</td>",
                 'src="endelman2011_table1_map.png" alt="endelman2011_table1, map"', "prefers-color-scheme: dark",
                 'name="viewport"', "scikit-learn"):
        assert text in page, text
    for name, text in files.items():  # nothing from the net, and every link leads somewhere
        links = re.findall(r'(?:href|src)="([^"]+)"', text)
        ids = set(re.findall(r'id="([^"]+)"', text))
        for link in links:
            assert link[1:] in ids if link.startswith("#") else (tmp_path / link).exists(), (name, link)
    with pytest.raises(FileNotFoundError, match="run a replication first"):
        reports.write_report(tmp_path / "nothing")


@pytest.mark.parametrize("verdicts, data, drawn, status", [
    (["equal", "equal"], "public", True, "replicated"), (["equal", "equal"], "not public", True, "replicated"),
    (["equal", "within the spread (x)"], "public", True, "within the spread: 1 of 2 equal, 1 of 2 within the spread"),
    (["equal", "differs by +1"], "public", True, "differs: 1 of 2 equal, 1 of 2 differ"),
    (["equal", "not run"], "public", True, "equal as far as run: 1 of 2 equal, 1 of 2 not run"),
    (["not run"] * 2, "public", True, "not run"), (["not run"] * 2, "not public", True, "data not public"),
    ([], "none needed", True, "drawn"), ([], "public", False, "not run"), ([], "not public", True, "data not public"),
])
def test_status_of_a_table(verdicts, data, drawn, status):
    assert reports.item_status(pd.DataFrame({"table": "t", "verdict": verdicts}), data, drawn) == status


def test_a_saved_comparison_comes_back(tmp_path, comparison):
    rp.save_results("x", comparison[["row"]], comparison, results_dir=tmp_path)
    back = reports.read_comparison(tmp_path, "x")
    assert back["paper"].tolist() == comparison["paper"].tolist() and back.loc[1, "ours"] == 0.6
    pd.testing.assert_frame_equal(rp.side_by_side(back, "Table 1"), rp.side_by_side(comparison, "Table 1"))
    assert reports.read_comparison(tmp_path, "y").empty


def test_markdown_table_escapes_and_leaves_blanks():
    text = rp.markdown_table(pd.DataFrame({"a|b": ["x|y", None], "n": [1.0, np.nan]}))
    assert "x\\|y" in text and text.endswith("|  |  |\n")


# --- long runs in parts ---


def squares(repeat):
    return pd.DataFrame({"square": [repeat**2]})


def other_squares(repeat):
    return pd.DataFrame({"square": [repeat * repeat]})


def test_part_key_depends_on_everything_that_matters(monkeypatch, tmp_path):
    key = lr.part_key({"a": 1, "b": 2}, {"seed": 1}, "code")
    assert key == lr.part_key({"b": 2, "a": 1}, {"seed": 1}, "code")
    others = [lr.part_key({"a": 1, "b": 3}, {"seed": 1}, "code"), lr.part_key({"a": 1, "b": 2}, {"seed": 2}, "code"),
              lr.part_key({"a": 1, "b": 2}, {"seed": 1}, "other")]
    (tmp_path / "module.py").write_text("x = 1")
    monkeypatch.setattr(lr, "__path__", [str(tmp_path)])
    lr.package_digest.cache_clear()
    others.append(lr.part_key({"a": 1, "b": 2}, {"seed": 1}, "code"))
    (tmp_path / "module.py").write_text("x = 2")
    lr.package_digest.cache_clear()
    others.append(lr.part_key({"a": 1, "b": 2}, {"seed": 1}, "code"))
    assert len({key, *others}) == 6
    with pytest.raises(TypeError):
        lr.part_key({"a": object()}, {})
    lr.package_digest.cache_clear()


def test_source_code_holds_the_helpers_and_needs_a_written_function():
    text = lr.source_code(test_a_notebook_without_the_tag_is_refused)
    assert text.startswith("def test_a_notebook") and "def notebook(" in text and "def folder(" not in text
    assert lr.source_code(squares) == "def squares(repeat):\n    return pd.DataFrame({\"square\": [repeat**2]})\n"
    for wrong in (len, 3, eval("lambda repeat: repeat")):
        with pytest.raises(ValueError, match="compute must be a function written"):
            lr.source_code(wrong)


def test_parts_are_computed_once_and_anew_when_something_changes(tmp_path):
    def files():
        return {f.name: f.stat().st_mtime_ns for f in (tmp_path / "x.parts").iterdir()}

    parts = [{"repeat": r} for r in range(1, 5)]
    first = lr.run_parts("x", parts[:2], squares, {"seed": 1}, tmp_path)
    before = files()
    table = lr.run_parts("x", parts, squares, {"seed": 1}, tmp_path, n_jobs=2)
    assert table.to_dict("list") == {"square": [1, 4, 9, 16], "repeat": [1, 2, 3, 4]}
    pd.testing.assert_frame_equal(table.head(2), first)
    after = files()
    assert len(after) == 4 and {name: after[name] for name in before} == before
    for compute, shared in ((squares, {"seed": 2}), (other_squares, {"seed": 1})):
        n = len(files())
        pd.testing.assert_frame_equal(lr.run_parts("x", parts, compute, shared, tmp_path), table)
        assert len(files()) == n + 4
    for wrong in ([], parts + parts[:1]):
        with pytest.raises(ValueError, match="parts must be different dicts"):
            lr.run_parts("x", wrong, squares, {}, tmp_path)


# --- the replications themselves ---


def replicate(name, tmp_path, **parameters):
    pytest.importorskip("papermill", reason="papermill is not installed")
    rp.run_replication(name, parameters, tmp_path, progress=False)
    return pd.read_csv(tmp_path / f"{name}.csv", dtype=str, keep_default_na=False)


@pytest.mark.slow
def test_demo_needs_no_data_and_beats_guessing(tmp_path):
    table = replicate("demo", tmp_path, n_lines=120, n_markers=400, n_qtl=20, n_repeats=3).set_index("method")
    assert table.index.tolist() == ["RRBLUP", "GBLUP", "GAUSS", "EXP", "BayesB", "POCRE"]
    assert (table["accuracy"].astype(float) > 0.2).all()
    page = (tmp_path / "demo.html").read_text()
    assert page.count("data:image/png") >= 3 and "<details class=" in page


@pytest.mark.data
@pytest.mark.slow
def test_table_1_every_digit(wheat, tmp_path):
    counts = rp.count_verdicts(replicate("endelman2011_table1", tmp_path))
    assert counts.loc["Table 1", ["cells", "equal"]].tolist() == [54, 54]
    assert (counts["status"] == "replicated").all()


@pytest.mark.data
@pytest.mark.slow
def test_figure_1_has_every_cross(wheat, tmp_path):
    counts = rp.count_verdicts(replicate("endelman2011_figure1", tmp_path))
    assert counts.index.tolist() == ["Figure 1", "Text on Figure 1"] and (counts["status"] == "replicated").all()
    assert len(pd.read_parquet(tmp_path / "endelman2011_figure1.parquet")) == 179_101


@pytest.mark.data
@pytest.mark.slow
def test_figure_2_and_the_sentence_that_does_not_hold_as_worded(wheat, tmp_path):
    table = replicate("endelman2011_figure2", tmp_path, n_jobs=2)
    misses = table[table["verdict"] != "equal"]
    assert len(table) == 7 and misses["verdict"].tolist() == ["differs (ours 1 of 10 sets)"]
    assert misses["row"].item() == "environment 2"


@pytest.mark.data
@pytest.mark.slow
def test_table_2_every_digit_and_the_numbers_of_the_r_package(wheat, tmp_path):
    table = replicate("endelman2011_table2", tmp_path, n_jobs=2)
    counts = rp.count_verdicts(table)
    assert counts.loc["Table 2", ["cells", "equal"]].tolist() == [44, 44]
    # The p-value of environment 1 is 0.008494, here and from R's correlations; the paper prints 0.009: a miss, kept.
    misses = table[table["verdict"] != "equal"]
    assert misses[["table", "row", "column"]].to_numpy().tolist() == [["Text on Table 2", "env1", "p-value"]]
    assert abs(float(misses["ours"].item()) - 0.0084945) < 2e-6
    ours = pd.read_parquet(tmp_path / "endelman2011_table2.parquet").set_index(["environment", "method"])["ours"]
    for environment, methods in reference("rrblup_cv_wheat.json")["environments"].items():
        for method, answer in methods.items():
            np.testing.assert_allclose(ours[environment, method], answer["fold_cor"], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def maize():
    try:
        return fetch_maize()
    except DataUnavailableError as error:
        pytest.skip(f"maize data cannot be had: {str(error)[:120]}")


@pytest.mark.data
@pytest.mark.slow
def test_maize_ear_height_with_the_folds_of_the_r_package(maize):
    answer, y = reference("rrblup_cv_maize_EarHT.json"), maize.phenotype("EarHT")
    methods = {"RR": RRBLUP(), "GAUSS": KernelBLUP("gaussian", refine_theta=False),
               "EXP": KernelBLUP("exponential", refine_theta=False)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="θ = ")  # at the end of the grid, as in R
        results = cross_validate_methods(methods, maize.markers("-1/0/1"), y, given_folds(answer["folds"]))
    ours = results.set_index("method")["correlation"]
    for method, case in answer["cases"].items():
        np.testing.assert_allclose(ours[method], case["fold_cor"], rtol=0, atol=1e-4, err_msg=method)  # R's search of λ


@pytest.mark.data
@pytest.mark.slow
def test_table_3_wheat_every_digit_and_maize_within_the_spread(wheat, maize, tmp_path):
    short = {"n_iterations": 200, "n_seeds": 2}  # of the Bayesian LASSO
    table = replicate("endelman2011_table3", tmp_path, n_jobs=2, **short).set_index(["table", "row", "column"])
    verdicts = table["verdict"]
    for method in ("GAUSS", "EXP", "RR"):
        for k in (1, 2, 3, 4):
            assert verdicts["Table 3", method, f"wheat yield {k}"] == "equal"
    # two partitions and short chains judge nothing that depends on them; they come close all the same
    judged = verdicts != "not run"
    assert judged["Table 3"].sum() == 12 and not judged["Table 3, letters"].any()
    text = verdicts["Text on Table 3"][judged["Text on Table 3"]]
    assert len(text) == 5 and (text == "equal").all()
    scores = pd.read_parquet(tmp_path / "endelman2011_table3.parquet")
    printed = table.loc["Table 3"]["paper"].astype(float)
    for (trait, method), part in scores.groupby(["trait", "method"]):
        assert abs(part["ours"].mean() - printed[method, trait]) < (0.02 if "wheat" in trait else 0.06), (trait, method)
    for trait, part in scores[scores["trait"].str.contains("wheat")].groupby("trait"):
        first = part[part["repeat"] == 1].rename(columns={"ours": "correlation"})
        found = letters(two_way(first))
        assert found.to_dict() == table.loc["Table 3, letters"]["paper"].xs(trait, level=1).to_dict()
    parts = sorted((tmp_path / "endelman2011_table3.parts").iterdir())
    assert len(parts) == (4 + 3 * 2) + (4 * 2 + 3 * 2)
    times = [f.stat().st_mtime_ns for f in parts]
    before = pd.read_parquet(tmp_path / "endelman2011_table3.parquet")
    replicate("endelman2011_table3", tmp_path, **short)
    assert parts == sorted((tmp_path / "endelman2011_table3.parts").iterdir()), "did the package change meanwhile?"
    assert [f.stat().st_mtime_ns for f in parts] == times  # nothing was computed again
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "endelman2011_table3.parquet"), before)
