"What the replication of Endelman (2011), Table 3, concludes from letters whose answer is known: a tie decides nothing."

import ast
import json

import numpy as np
import pandas as pd
import pytest

from gp_literate import replication as rp

METHODS = ["GAUSS", "EXP", "RR", "BL"]


def judges(four, three=()):
    "Functions of the page that judge letters, given the patterns of every draw."
    path = rp.replications_dir() / "endelman2011_table3.ipynb"
    found, kernels = pd.Series(four), pd.Series(dict(three), dtype=object)
    for series in (found, kernels):
        series.index = pd.MultiIndex.from_tuples(series.index, names=["trait", "repeat"])
    space = {"np": np, "methods": METHODS, "kernels": METHODS[:3], "found": found, "three": kernels}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for node in ast.parse("".join(cell["source"])).body if cell["cell_type"] == "code" else []:
            if isinstance(node, ast.FunctionDef) and node.name in ("alike", "settled", "statement"):
                exec(compile(ast.Module([node], []), "endelman2011_table3", "exec"), space)
    return space


@pytest.mark.parametrize("patterns, said", [
    (["b a b b", "ab a b ab", "a a a a"], [None] * 4),  # alphabetical order decides nothing
    (["b a b b", "a a a a"], [None] * 4),
    (["b a b b", "b a b b", "a a a a"], ["b", "a", "b", "b"]),
    (["a a b ab"], ["a", "a", "b", "ab"]),
])
def test_letters_need_more_than_half_of_the_draws(patterns, said):
    four = {("maize ear height", r): p for r, p in enumerate(patterns)}
    assert judges(four)["settled"](pd.Series(patterns)) == said


def test_two_methods_are_equivalent_when_most_draws_say_so():
    maize = {(trait, 1): "b a b b" for trait in ("maize ear height", "maize other")}
    half = {("maize ear height", r): p for r, p in enumerate(["b a b", "b a b", "a a a", "ab a b"])}
    space = judges(maize | {("wheat yield 1", 1): "a a b b"}, half | {("maize other", 1): "b a b"})
    assert space["alike"]("wheat yield 1", "EXP", "GAUSS") == (1, 1)
    assert space["alike"]("maize ear height", "EXP", "GAUSS") == (2, 4)  # kernels: all partitions
    assert space["alike"]("maize ear height", "BL", "RR") == (1, 1)  # only where the Bayesian LASSO ran
    statement, among = space["statement"], ["wheat yield 1", "maize ear height"]
    assert statement(("EXP", "GAUSS"), among[:1], "both") == "both"
    assert statement(("EXP", "GAUSS"), among, "both") is None  # half is not most
    assert statement(("EXP", "GAUSS"), [*among, "maize other"], "all") == "1 of 3 traits"
    assert statement(("GAUSS", "RR"), among[1:], "one") == "one"
