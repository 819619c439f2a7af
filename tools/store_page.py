"""Put an executed replication from a results folder back as the committed page.

    gp-literate replicate run endelman2011_table3 --profile paper
    python tools/store_page.py results endelman2011_table3

The page keeps its own sources and takes the outputs of the run. The parameters of the run, without those that belong
to the machine, stand in a cell tagged `injected-parameters`, so that the reader sees with what it was made; whoever
runs the page next (gp-literate, make test) removes that cell first. Refused when the code has changed since the run.
"""

import ast
import contextlib
import io
import json
import re
import sys
from pathlib import Path

import check_notebooks
import common
from gp_literate.replication import parse_parameters_cell, read_replication, without_injected


def code_of(cell):
    "What a cell computes: its statements without directives, comments and layout."
    tree = common.parse(cell)
    return common.source(cell) if tree is None else "\n".join(map(ast.unparse, tree))


def only_imports(cell):
    return all(isinstance(statement, ast.Import | ast.ImportFrom) for statement in common.parse(cell) or [])


def given_parameters(nb, defaults):
    "What the run was asked for and differs from the defaults, without what belongs to the machine."
    cells = [c for _, c in check_notebooks.tagged_cells(nb, "injected-parameters")]
    given = {name: p.default for cell in cells for name, p in parse_parameters_cell(common.source(cell)).items()}
    return {name: value for name, value in given.items()
            if name not in check_notebooks.OF_THE_MACHINE and value != defaults[name]}


def output_of(cell, parameters):
    "Run a cell that uses nothing but the parameters; None when it uses more or prints nothing."
    names = {n.id for s in common.parse(cell) or [] for n in ast.walk(s) if isinstance(n, ast.Name)}
    if not names <= {"print", *parameters} or not names & set(parameters):
        return None
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(common.source(cell), dict(parameters))
    text = said.getvalue().splitlines(True)
    return [{"name": "stdout", "output_type": "stream", "text": text}] if text else None


def without_folder(outputs, folder):
    "Outputs in which the results folder is called results."
    text = json.dumps(outputs, ensure_ascii=False)
    return json.loads(text.replace(str(folder.resolve()), "results"))


def filled(page, run, parameters, folder):
    "The page with the outputs of the run. ValueError where the code differs."
    executed = [c for _, c in common.code_cells(without_injected(run)) if not only_imports(c)]
    for i, cell in common.code_cells(page):
        if "parameters" in cell["metadata"].get("tags", []) or only_imports(cell):
            cell["outputs"] = []
            executed = executed[1:] if executed and code_of(executed[0]) == code_of(cell) else executed
        elif executed and code_of(executed[0]) == code_of(cell):
            cell["outputs"] = without_folder(executed.pop(0)["outputs"], folder)
        elif (outputs := output_of(cell, parameters)) is not None:
            cell["outputs"] = outputs  # the run is older than this cell, which only says what the parameters are
        else:
            raise ValueError(f"cell {i} has changed since the run, or was not part of it:\n{common.source(cell)[:300]}")
    if executed:
        raise ValueError(f"the page no longer has a cell of the run:\n{common.source(executed[0])[:300]}")
    return page


def store(path, folder):
    "Make the page of one replication from its run; leaves it as it was when anything is wrong."
    before, run_file = path.read_bytes(), folder / path.name
    page, run = without_injected(common.read(path)), common.read(run_file)
    defaults = {name: p.default for name, p in read_replication(path).parameters.items()}
    given = given_parameters(run, defaults)
    page = filled(page, run, defaults | given, folder)
    if given:
        at = next(k for k, c in enumerate(page["cells"]) if "parameters" in c["metadata"].get("tags", []))
        lines = [f"{name} = {value!r}\n" for name, value in given.items()]
        cell = {"cell_type": "code", "execution_count": None, "id": "injected", "outputs": [],
                "metadata": {"tags": ["injected-parameters"]}, "source": [*lines[:-1], lines[-1].rstrip()]}
        page["cells"].insert(at + 1, cell)
    path.write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    common.nbdev("nbdev_clean", path.parent.parent.parent, "--fname", str(path))
    problems = [*check_notebooks.notebook_problems(common.read(path), path)]
    if problems:
        path.write_bytes(before)
        raise ValueError("\n  ".join(["the page would not be in order:", *problems]))
    return ", ".join(f"{k}={v!r}" for k, v in given.items()) or "its defaults"


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("results", type=Path, help="results folder with NAME.ipynb")
    parser.add_argument("name", nargs="+", help="replications")
    args = parser.parse_args()
    for name in args.name:
        path = args.root.resolve() / "nbs" / "replications" / f"{re.sub('[.]ipynb$', '', name)}.ipynb"
        try:
            print(f"ok  {path.name}: a run with {store(path, args.results)}")
        except (ValueError, OSError) as error:
            sys.exit(f"{path.name}: {error}")


if __name__ == "__main__":
    main()
