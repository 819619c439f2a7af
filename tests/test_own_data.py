"Files in, a comparison and predictions out: what is found, what is refused, and whether the numbers are right."

import argparse
import inspect
import json
import pkgutil
import re
import shutil
import warnings
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone

import gp_literate
from gp_literate import own_data as od
from gp_literate.bayes_alphabet import BRR, FBayesB
from gp_literate.elastic_net import ElasticNet
from gp_literate.genotype_files import write_csv, write_plink
from gp_literate.genotypes import Population
from gp_literate.mixed_model import GBLUP, RRBLUP, KernelBLUP
from gp_literate.pocre import POCRE
from gp_literate.pocre_cv import POCRECV, POCREPath
from gp_literate.priors import ScaledInverseChi2
from gp_literate.simulation import simulate_population
from gp_literate.validation import cross_validate_methods, repeated_kfold

QUICK = {"folds": 4, "repeats": 1, "draws": 60}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A folder of a breeder: 120 lines, 90 with a phenotype, two more that were never genotyped."
    folder = tmp_path_factory.mktemp("mine")
    pop = simulate_population(120, 200, n_qtl=10, h2=0.7, design="ril", ne=15, n_generations=10, trait="yield", seed=4)
    write_plink(pop, folder / "my.bed")
    write_csv(pop, folder / "my_012.csv")
    pop.to_zarr(folder / "my.zarr")
    records = pop.phenotypes.iloc[:90].round(4).rename_axis("line").reset_index()
    records.insert(0, "plot", range(1, 91))
    records.loc[90], records.loc[91] = [91, "check_1", 0.5], [92, "check_2", 0.7]
    records.to_csv(folder / "my.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def found(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what a method warns of belongs in the notes
        return od.predict_own_data(
            folder / "my.bed", folder / "my.csv", "yield", "gblup,bayesb,pocre", out=folder / "out", **QUICK
        )


# --- reading ---


def test_every_format_gives_the_same_genotypes(folder):
    bed = od.read_genotypes(folder / "my.bed")
    for name, coding in (("my", None), ("my.fam", None), ("my.zarr", None), ("my_012.csv", "0/1/2")):
        other = od.read_genotypes(folder / name, coding)
        assert other.sample_id.tolist() == bed.sample_id.tolist()
        np.testing.assert_array_equal(other.dosage, bed.dosage)


@pytest.mark.parametrize(
    "header, row, kind",
    [
        ("rs#\talleles\tchrom\tpos", "m1\tA/C\t1\t5", "hapmap"),
        ("id,chr,position,L1,L2", "m1,1,5,AC,CC", "letters"),
        ("line,m1,m2", "L1,0,2", "numbers"),
        ("line;m1;m2", "L1;-1;NA", "numbers"),
        ("id\tL1\tL2", "m1\tA/C\tC/C", "letters"),
    ],
)
def test_format_of_a_table_is_found_from_its_first_lines(tmp_path, header, row, kind):
    (tmp_path / "g.txt").write_text(f"{header}\n{row}\n")
    assert od.genotype_format(tmp_path / "g.txt") == kind


def test_vcf_text_and_a_bed_without_its_bim_are_refused_with_a_remedy(folder, tmp_path):
    (tmp_path / "a.vcf.gz").write_text("x")
    with pytest.raises(ValueError, match=r"vcf2zarr convert a.vcf.gz a.vcz"):
        od.genotype_format(tmp_path / "a.vcf.gz")
    shutil.copy(folder / "my.bed", tmp_path / "b.bed")
    with pytest.raises(FileNotFoundError, match="b.bim"):
        od.genotype_format(tmp_path / "b.bed")


def test_coding_of_numbers_must_be_stated_and_that_of_a_bed_may_not_contradict_it(folder):
    with pytest.raises(ValueError, match=r"must be stated: coding='0/1/2'"):
        od.read_genotypes(folder / "my_012.csv")
    with pytest.raises(ValueError, match="outside the declared coding -1/0/1"):
        od.read_genotypes(folder / "my_012.csv", "-1/0/1")
    with pytest.raises(ValueError, match="for tables of numbers"):
        od.read_genotypes(folder / "my.bed", "-1/0/1")


def test_direction_of_a_table_is_found_from_the_ids_of_the_phenotypes(folder, tmp_path):
    table = pd.read_csv(folder / "my_012.csv", index_col=0)
    table.T.rename_axis("").to_csv(tmp_path / "turned.csv")  # markers down, lines across, and no word that says so
    known = set(pd.read_csv(folder / "my.csv").line)
    turned = od.read_genotypes(tmp_path / "turned.csv", "0/1/2", known=known)
    np.testing.assert_array_equal(turned.markers().loc[table.index, table.columns], table)
    with pytest.raises(ValueError, match="rows or columns"):
        od.read_genotypes(tmp_path / "turned.csv", "0/1/2")


@pytest.mark.parametrize(
    "text, first",
    [
        ("line;t\nA;1.5\nB;NA\n", ["A", "1.5"]),
        ("line\tt\n007\t2\n8\t3\n", ["007", "2"]),
        ('line,t\n"A, x",1\nB,2\n', ["A, x", "1"]),
        ("\ufeffline,t\r\nA,1\r\nB,2\r\n", ["A", "1"]),
        ("line t\nA 1\nB 2\n", ["A", "1"]),
    ],
)
def test_cells_of_a_table_are_read_as_they_stand(tmp_path, text, first):
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    cells = od.read_cells(tmp_path / "p.csv")
    assert list(cells.columns) == ["line", "t"] and cells.iloc[0].tolist() == first and cells.index.tolist() == [2, 3]


@pytest.mark.parametrize(
    "text, message",
    [
        ("line,t,t\nA,1,2\n", "same name"),
        ("line,t\nA,1,5\n", "line 2: 3 fields"),
        ("line,t\nA\n", "line 2: 1 fields"),
        ("", "empty"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        od.read_cells(tmp_path / "p.csv")


def test_a_table_in_memory_gives_what_its_file_gives(folder):
    table = pd.read_csv(folder / "my.csv").set_index("line")[["yield"]]
    by_file = od.prepare_own_data(folder / "my.bed", folder / "my.csv", "yield")
    for pheno in (table, table["yield"]):
        by_table = od.prepare_own_data(Population.open_zarr(folder / "my.zarr"), pheno, "yield")
        pd.testing.assert_series_equal(by_table.y, by_file.y)
        pd.testing.assert_frame_equal(by_table.X, by_file.X)


# --- the door ---


def cells_with(folder, **changes):
    return od.read_cells(folder / "my.csv").assign(**changes)


def test_id_column_is_found_by_its_ids_and_asked_for_when_two_would_do(folder):
    ids = od.read_genotypes(folder / "my.bed").sample_id
    cells = od.read_cells(folder / "my.csv")
    assert od.find_id_column(cells, ids, "yield") == "line"
    assert od.find_id_column(cells.assign(same=cells.line), ids, "yield") == "line"
    with pytest.raises(ValueError, match="'line' and 'father' both hold ids"):
        od.find_id_column(cells.assign(father=cells.line[::-1].to_numpy()), ids, "yield")
    with pytest.raises(ValueError, match="differ from genotyped ones in spelling only, such as 'S-001' and 's001'"):
        od.find_id_column(cells.assign(line=cells.line.str.replace("s", "S-")), ids, "yield")
    with pytest.raises(ValueError, match="no id in common: the genotyped lines are called"):
        od.find_id_column(cells.assign(line="X" + cells.line), ids, "yield")
    with pytest.raises(ValueError, match="Did you mean 'line'"):
        od.find_id_column(cells, ids, "yield", "lines")


def test_cells_that_are_no_numbers_are_named_with_their_line(folder):
    cells = cells_with(folder)
    for bad, message in (
        ("1,5", r"1 cells of trait 'yield' are no numbers: line 7 \(id s006\): '1,5'.*decimal points"),
        ("tall", "'tall'"),
        ("inf", "'inf'"),
    ):
        cells.loc[7, "yield"] = bad
        with pytest.raises(ValueError, match=message):
            od.trait_records(cells, "line", "yield")
    cells.loc[7, "yield"] = "absent"
    assert od.trait_records(cells, "line", "yield", ["absent"]).values.isna().sum() == 1
    cells.loc[8, "line"] = ""
    with pytest.raises(ValueError, match="line 8 of the phenotypes has no id"):
        od.trait_records(cells, "line", "yield", ["absent"])


def test_ids_that_occur_twice_are_refused_and_codes_of_missing_values_noted(folder):
    cells = cells_with(folder)
    with pytest.raises(ValueError, match=r"2 ids occur more than once .*\['s001', 's002'\]"):
        od.trait_records(pd.concat([cells, cells.iloc[:2]]), "line", "yield")
    cells.loc[2:4, "yield"] = "-99"
    assert "-99 in 3 of 92 records" in od.trait_records(cells, "line", "yield").notes[0]
    assert not od.trait_records(cells, "line", "yield", [-99]).notes
    assert not od.trait_records(cells_with(folder), "line", "yield").notes


@pytest.mark.parametrize(
    "change, message",
    [
        ({"trait": "yeild"}, "unknown trait 'yeild'. Did you mean 'yield'"),
        ({"methods": "gblup,bayesd"}, "unknown method 'bayesd'"),
        ({"methods": ""}, "no method named"),
        ({"folds": 60}, "90 lines have genotype and phenotype, and 60 folds need at least 240"),
        ({"folds": 1}, "folds must be a whole number of at least 2"),
        ({"genotypes": "mi.bed"}, "did you mean 'my.bed'"),
        ({"phenotypes": "mx.csv"}, "there is no table of phenotypes"),
        ({"id_column": "plot"}, "no id in common"),
    ],
)
def test_bad_input_is_refused_before_any_fit(folder, monkeypatch, change, message):
    monkeypatch.setattr(od, "cross_validate_methods", lambda *a, **k: pytest.fail("a fit was begun"))
    monkeypatch.chdir(folder)
    call = {"genotypes": "my.bed", "phenotypes": "my.csv", "trait": "yield"} | change
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        od.predict_own_data(**call)


@pytest.mark.parametrize(
    "value, message", [("3", "is 3 in all 90 lines"), ("NA", "all phenotypes .* are missing"), ("", "are missing")]
)
def test_a_trait_without_information_is_refused(folder, tmp_path, value, message):
    cells_with(folder, **{"yield": value}).to_csv(tmp_path / "flat.csv", index=False)
    with pytest.raises(ValueError, match=message):
        od.predict_own_data(folder / "my.bed", tmp_path / "flat.csv", "yield")


# --- what happens to the data ---


def test_every_line_is_accounted_for(folder, found):
    steps = dict(found.steps[["step", "what"]].to_numpy())
    assert (
        "(these train): 90; genotype only (candidates): 30; phenotype only (left out): 2 (check_1, check_2)"
        in steps["matching"]
    )
    assert found.left_out.id.tolist() == ["check_1", "check_2"] and len(found.predictions) == 120
    assert (found.predictions.set == "training").sum() == found.predictions.phenotype.notna().sum() == 90


def test_bad_lines_and_markers_go_and_holes_are_filled(folder):
    pop = od.read_genotypes(folder / "my.bed")
    calls = pop.dosage.copy()
    calls[7, :150], calls[:40, 3] = -1, -1
    calls[np.random.default_rng(0).random(calls.shape) < 0.02] = -1
    holed = Population(pop.ds.assign(call_dosage=(("variants", "samples"), np.ascontiguousarray(calls.T))))
    data = od.prepare_own_data(holed, folder / "my.csv", "yield")
    assert pop.sample_id[7] not in data.X.index and pop.variant_id[3] not in data.X.columns
    assert data.left_out.id.tolist() == ["check_1", "check_2", pop.sample_id[7]]
    assert data.X.index.equals(data.y.index) and (data.X >= 0).all().all()
    what = dict(data.steps)
    assert "imputed" in what["imputation"] and pop.sample_id[7] in " ".join(words for _, words in data.steps)
    strict = od.prepare_own_data(holed, folder / "my.csv", "yield", cleaning=od.Cleaning(min_maf=0.2))
    frequency = strict.X.mean() / 2
    assert strict.X.shape[1] < data.X.shape[1] and np.minimum(frequency, 1 - frequency).min() >= 0.199


# --- the comparison ---


def table_of(**correlations):
    "Scores of methods on ten splits."
    rows = [
        {
            "method": m,
            "repeat": 1,
            "fold": k,
            "n_train": 90,
            "n_test": 10,
            "correlation": r,
            "slope": 1.0,
            "mse": 1.0,
            "seconds": 0.1,
        }
        for m, values in correlations.items()
        for k, r in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_the_highest_mean_is_taken_and_what_cannot_be_told_apart_is_said():
    rng = np.random.default_rng(3)
    base = rng.normal(0.5, 0.05, 10)
    scores = table_of(
        gblup=base, bayesb=base + 0.01 + rng.normal(0, 0.05, 10), pocre=base - 0.3 + rng.normal(0, 0.01, 10)
    )
    table = od.judge_methods(scores)
    assert table.index[-1] == "pocre" and table.verdict.tolist() == ["highest", "within the noise", "lower"]
    best = scores[scores.method == table.index[0]].correlation
    assert table.standard_error.iloc[0] == pytest.approx(best.std() * np.sqrt(1 / 10 + 10 / 90))
    words = od.answer(table)
    assert "cannot be told apart" in words and words.endswith("Lower beyond the noise: POCRE.")


def test_equal_methods_go_to_the_first_and_silence_counts_as_zero():
    same = np.linspace(0.3, 0.5, 10)
    table = od.judge_methods(table_of(rrblup=same, gblup=same + 1e-13, pocre=[np.nan] * 6 + [0.9] * 4))
    assert table.index.tolist() == ["rrblup", "gblup", "pocre"]
    assert table.correlation["pocre"] == pytest.approx(0.36) and table.silent_splits.tolist() == [0, 0, 6]
    alone = od.judge_methods(table_of(gblup=same))
    assert alone.verdict.tolist() == [""] and "nothing was compared" in od.answer(alone)


def test_all_methods_saw_the_same_splits_and_predictions_are_from_fits_without_the_line(found):
    keys = ["repeat", "fold", "line"]
    first, *others = (
        found.crossed[found.crossed.method == m][keys].reset_index(drop=True) for m in found.comparison.index
    )
    assert len(others) == 2 and first.line.is_unique and len(first) == 90
    for other in others:
        pd.testing.assert_frame_equal(first, other)


@pytest.mark.parametrize("name", [m for m in od.METHODS if m != "neurallasso"])
def test_every_method_fits_and_predicts_all_lines(folder, name):
    data = od.prepare_own_data(folder / "my.bed", folder / "my.csv", "yield")
    settings = od.Settings(n_chains=1, tune=20, draws=30, inner_folds=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, table = od.prediction_list(name, settings, data.X, data.y)
    assert table.predicted.is_monotonic_decreasing and np.isfinite(table.predicted).all() and table.predicted.std() > 0
    own = od.has_errors(model)
    assert (table.error_from == (name if own else "gblup")).all()
    assert (table.standard_error > 0).all() and table.reliability.between(0, 1).all()


def test_nested_tuning_sees_the_training_lines_only(folder, monkeypatch):
    data = od.prepare_own_data(folder / "my.bed", folder / "my.csv", "yield")
    seen = data.y.notna()
    X, y = data.X.loc[seen, data.X.columns[::4]], data.y[seen]
    split = repeated_kfold(90, 3, 1, seed=1)
    wild = y.copy()
    wild.iloc[split[0].test] = 1e6  # nothing of it may reach the fit
    for name in ("pocre", "elasticnet"):
        model = od.METHODS[name].build(od.Settings(inner_folds=3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one = cross_validate_methods({name: model}, X, y, split[:1], return_predictions=True)[1]
            two = cross_validate_methods({name: clone(model)}, X, wild, split[:1], return_predictions=True)[1]
        np.testing.assert_array_equal(one.predicted, two.predicted)


# --- standard errors and reliabilities ---


def test_reliability_of_gblup_is_that_of_the_mixed_model_equations(folder):
    data = od.prepare_own_data(folder / "my.bed", folder / "my.csv", "yield")
    model = GBLUP()
    table = od.predict_all(model, data.X, data.y)
    seen, n = data.y.notna().to_numpy(), len(data.y)
    Z = data.X.to_numpy(float) - data.X[seen].to_numpy(float).mean(axis=0)
    K = Z @ Z.T / model.scale_
    Vu, Ve = model.fit_.Vu, model.fit_.Ve
    W = np.column_stack([np.ones(seen.sum()), np.eye(n)[seen]])  # mean and all lines, Henderson's equations
    C = W.T @ W / Ve
    C[1:, 1:] += np.linalg.inv(K + 1e-9 * np.eye(n)) / Vu
    inverse, L = np.linalg.inv(C), np.column_stack([np.ones(n), np.eye(n)])
    pev = np.einsum("ij,jk,ik->i", L, inverse, L)
    np.testing.assert_allclose(table.standard_error, np.sqrt(pev), rtol=1e-4)
    np.testing.assert_allclose(table.reliability, np.maximum(0, 1 - pev / (np.diag(K) * Vu)), atol=1e-4)


def test_rrblup_and_gblup_agree_in_everything(folder):
    data = od.prepare_own_data(folder / "my.bed", folder / "my.csv", "yield")
    pd.testing.assert_frame_equal(
        od.predict_all(GBLUP(), data.X, data.y), od.predict_all(RRBLUP(), data.X, data.y), rtol=1e-6
    )


def test_sampled_standard_errors_are_those_of_gblup_where_the_variances_are_the_same(folder):
    data = od.prepare_own_data(folder / "my.bed", folder / "my.csv", "yield")
    model, sure = RRBLUP(), 1e8  # degrees of freedom: the priors fix the variances at those of REML
    exact = od.predict_all(model, data.X, data.y)
    residual = ScaledInverseChi2(sure, sure * model.fit_.Ve)
    chains = {"n_chains": 2, "tune": 100, "draws": 4000, "random_state": 1, "n_jobs": 1}
    drawn = od.predict_all(BRR(df=sure, scale=sure * model.fit_.Vu, residual=residual, **chains), data.X, data.y)
    assert np.abs(drawn.predicted - exact.predicted).max() < 6 * exact.standard_error.max() / np.sqrt(8000)
    np.testing.assert_allclose(drawn.standard_error, exact.standard_error, rtol=0.05)  # 8,000 draws: 0.8 %, 120 lines
    np.testing.assert_allclose(drawn.reliability, exact.reliability, atol=0.04)


# --- what is written ---


def test_files_hold_what_was_found_and_the_page_needs_nothing_else(folder, found):
    out = folder / "out"
    names = {f.name for f in out.iterdir()}
    assert names == {
        "predictions.csv",
        "comparison.csv",
        "splits.csv",
        "left_out.csv",
        "provenance.json",
        "report.html",
    }
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "predictions.csv", index_col="id"), found.predictions, check_dtype=False
    )
    columns = ["phenotype", "predicted", "standard_error", "reliability", "set", "error_from"]
    assert list(found.predictions) == columns and found.predictions.index.name == "id"
    made = json.loads((out / "provenance.json").read_text())
    assert set(made["data_sha256"]) == {"my.bed", "my.bim", "my.fam", "my.csv"} and made["parameters"]["folds"] == 4
    page = (out / "report.html").read_text(encoding="utf-8")
    bare = re.sub(r'xmlns(:\w+)?="[^"]*"|<metadata>.*?</metadata>', "", page, flags=re.DOTALL)
    assert "http" not in bare and not re.search(r"<(script|link|img|iframe)\b|\burl\((?!#)|@import", bare)
    assert (
        page.count('role="img" aria-label=') == 3 and "color-scheme: light dark" in page and 'name="viewport"' in page
    )
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) and all(
        f'id="{at}"' in page for at in re.findall(r'(?:href="|url\()#([^")]+)', page)
    )
    assert od.answer(found.comparison).split(":")[0] in page and "check_1, check_2" in page


def test_the_same_seed_gives_the_same_numbers_and_low_values_can_be_wanted(folder, found):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = od.predict_own_data(
            folder / "my.bed", folder / "my.csv", "yield", "gblup,bayesb,pocre", lowest=True, **QUICK
        )
    pd.testing.assert_frame_equal(again.crossed, found.crossed)
    pd.testing.assert_frame_equal(again.predictions.loc[found.predictions.index], found.predictions)
    assert again.predictions.predicted.is_monotonic_increasing


def test_a_method_without_standard_errors_says_whose_they_are(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = od.predict_own_data(folder / "my.bed", folder / "my.csv", "yield", "fbayesb", **QUICK)
    assert (found.predictions.error_from == "gblup").all() and "those of GBLUP" in od.report_page(found)
    assert "nothing was compared" in od.report_page(found)


def test_names_from_the_files_do_not_become_html(folder, tmp_path):
    cells = cells_with(folder).rename(columns={"yield": "<b>t</b>"})
    cells.loc[92, "line"] = "<i>odd</i>"
    cells.to_csv(tmp_path / "odd.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page = od.report_page(
            od.predict_own_data(folder / "my.bed", tmp_path / "odd.csv", "<b>t</b>", "gblup", **QUICK)
        )
    assert "<b>" not in page and "<i>odd" not in page and "&lt;b&gt;t" in page


def run_command(*words):
    parser = argparse.ArgumentParser(prog="gp-literate")
    od.add_predict_command(parser.add_subparsers(required=True))
    return od.run_predict(parser.parse_args(["predict", *words]))


def test_the_command_does_the_same(folder, found, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    words = "--genotypes my_012.csv --coding=0/1/2 --phenotypes my.csv --trait yield --methods gblup "
    words += "--folds 4 --repeats 1 --out here"
    assert run_command(*words.split(), "--no-progress") == 0
    said = capsys.readouterr().out
    assert "wrote here/report.html" in said and "genotype only (candidates): 30" in said and "GBLUP is fitted" in said
    other = found.comparison.loc["gblup", "correlation"]
    assert pd.read_csv("here/comparison.csv", index_col=0).correlation["gblup"] == pytest.approx(other)


@pytest.mark.parametrize(
    "words, said",
    [
        ("--seed -1", r"--seed.* whole number of at least 0.* got -1"),
        ("--n-jobs 0", r"--n-jobs.* at least 1, or -1 for all cores, got 0"),
        ("--repeats 0", r"--repeats.* whole number of at least 1, got 0"),
        ("--draws 0", r"--draws.* whole number of at least 10, got 0"),
        ("--min-call-rate 1.5", r"--min-call-rate.* between 0 and 1, got 1.5"),
        ("--min-line-call-rate -1", r"--min-line-call-rate.* between 0 and 1, got -1"),
        ("--min-maf 5", r"--min-maf.* between 0 and 1, got 5"),
        ("--trait line", r"no cell of trait 'line' is a number .*--trait.* columns: plot, yield"),
        ("--trait plot --id-column plot", r"trait 'plot' is the column of ids, too.* other columns: line, yield"),
    ],
)
@pytest.mark.parametrize("genotypes", ["my.bed", "my_012.csv --coding=0/1/2"])
def test_a_value_without_meaning_is_refused_by_the_name_of_its_option(folder, monkeypatch, genotypes, words, said):
    monkeypatch.chdir(folder)
    usual = f"--genotypes {genotypes} --phenotypes my.csv --trait yield --methods gblup --folds 4 --repeats 1"
    with pytest.raises(ValueError, match=said):
        run_command("--no-progress", *f"{usual} {words}".split())


@pytest.mark.parametrize("columns", [["line", "yield"], ["line", "remark", "yield"]])
def test_numbered_ids_as_trait_are_refused_as_such(folder, tmp_path, columns):
    calls = pd.read_csv(folder / "my_012.csv", index_col=0)
    calls.index = range(1, len(calls) + 1)
    calls.to_csv(tmp_path / "g.csv", index_label="line")
    records = pd.DataFrame({"line": range(1, 91), "remark": "x", "yield": np.linspace(4.01, 6.97, 90)})
    records[columns].to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(ValueError, match="trait 'line' is the column of ids: .*other columns: "):
        od.predict_own_data(tmp_path / "g.csv", tmp_path / "p.csv", "line", "gblup", coding="0/1/2", **QUICK)
    found = od.prepare_own_data(tmp_path / "g.csv", tmp_path / "p.csv", "yield", coding="0/1/2")
    assert found.y.notna().sum() == 90


def test_one_method_gets_no_verdict(folder, tmp_path):
    found = od.predict_own_data(folder / "my.bed", folder / "my.csv", "yield", "gblup", out=tmp_path, **QUICK)
    assert found.comparison.verdict.tolist() == [""] and "highest" not in (tmp_path / "report.html").read_text()


def test_wheat_gauss_is_ahead_as_published(wheat, tmp_path):
    "Endelman (2011), Table 2: the Gaussian kernel is ahead of ridge regression in environment 1."
    write_plink(wheat, tmp_path / "wheat.bed")
    found = od.predict_own_data(tmp_path / "wheat.bed", wheat.phenotypes, "env1", "rrblup,gauss", folds=5, repeats=1)
    assert found.comparison.index.tolist() == ["gauss", "rrblup"] and found.comparison.difference["rrblup"] < -0.03
    assert (found.predictions.set == "training").all() and "every genotyped line has a phenotype" in od.report_page(
        found
    )


# --- what a notebook shows of the package's objects ---


def public(kind):
    "Public functions or classes of all modules, once each."
    for module in sorted(m.name for m in pkgutil.iter_modules(gp_literate.__path__) if not m.name.startswith("_")):
        found = import_module(f"gp_literate.{module}")
        for name, thing in vars(found).items():
            if kind(thing) and thing.__module__ == found.__name__ and not name.startswith("_"):
                yield pytest.param(thing, id=f"{module}.{name}")


@pytest.mark.parametrize("plot", public(lambda f: inspect.isfunction(f) and f.__name__.startswith("plot_")))
def test_every_plot_takes_axes_and_returns_them(plot):
    parameters = inspect.signature(plot).parameters
    given = [name for name in ("ax", "axes") if name in parameters]
    assert len(given) == 1 and parameters[given[0]].default is None
    lines = inspect.getsource(plot).rstrip().splitlines()
    assert re.fullmatch(rf" +return {given[0]}", lines[-1]), f"the last line is {lines[-1]!r}"


def rich(thing):
    "The HTML that JupyterLab shows."
    return thing._repr_html_() if hasattr(thing, "_repr_html_") else ""


@pytest.mark.parametrize(
    "model",
    [
        GBLUP(),
        RRBLUP(),
        KernelBLUP(theta=0.5),
        BRR(n_chains=1, tune=10, draws=30),
        FBayesB(),
        POCRE(),
        POCRECV(cv=3),
        POCREPath([0.8, 1.0]),
        ElasticNet(cv=3),
    ],
    ids=lambda m: type(m).__name__,
)
def test_fits_show_what_they_found(folder, model):
    data = od.prepare_own_data(folder / "my.bed", folder / "my.csv", "yield")
    seen = data.y.notna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = clone(model).fit(data.X[seen], data.y[seen])
    assert isinstance(model, BaseEstimator) and "<table" in rich(model) and type(model).__name__ in rich(model)


def test_population_filters_and_comparisons_show_tables(folder, found):
    pop = od.read_genotypes(folder / "my.bed")
    for thing in (pop, od.clean(pop), found, found.comparison):
        assert "<table" in rich(thing)
    assert "120" in rich(pop) and "cannot be told apart" in rich(found) or "Lower" in rich(found)


@pytest.mark.parametrize(
    "name", ["VarianceComponentsFit", "MultiTraitFit", "GxEFit", "GWAS", "RegwqResult", "MixedModelFit", "KinBLUPFit"]
)
def test_results_of_functions_have_a_rich_display(name):
    (kind,) = [p.values[0] for p in public(inspect.isclass) if p.values[0].__name__ == name]
    assert callable(getattr(kind, "_repr_html_", None))
