"Check that notebooks are clean, carry their outputs and keep the project's forms. Changes nothing."

import ast
import configparser
import re
import tempfile
from pathlib import Path

import common

LONGEST_EXPORT = 40  # lines in an exported cell
SHORTEST_ALT = 5  # words that say what a picture shows
LONGEST_LINE = 120  # ruff cannot ask it of the modules, where nbdev writes long lines of its own
OWN_FOLDER = rf"{re.escape(str(common.ROOT))}|/(?:home|Users|root|var/folders|tmp/ipykernel_\d+)/"
OWN_PATH = rf"(?<![\w.:/])(?:{OWN_FOLDER})[^\s<>'\"]*"
OF_THE_MACHINE = {"n_jobs", "data_dir", "results_dir"}  # a stored page must not set them
PARAMETERS = {"profile", "seed", "n_jobs", "data_dir", "results_dir"}


def outputs_of(cell, kind):
    return [o for o in cell.get("outputs", []) if any(k.startswith(kind) for k in o.get("data", {}))]


def form(nb, path):
    "Title, file name, imports, lengths."
    cells = common.code_cells(nb)
    first_code = cells[0][0] if cells else len(nb["cells"]) + 1
    titles = [i for i, c in enumerate(nb["cells"], 1)
              if c["cell_type"] == "markdown" and re.search(r"^# \S", common.source(c), re.MULTILINE)]
    if not titles or titles[0] > first_code:
        yield "no title (# ...) before the first code cell"
    if len(titles) > 1:
        yield f"cell {titles[1]}: a second title; use ## for sections"
    module, output = common.default_exp(nb), common.front_matter_file(nb)
    expected = f"{module}.html" if module else f"{path.stem}.html"
    if output != expected and (module or output):
        yield f"output-file is {output}, not {expected}; nbdev's links would not find the page"
    if module and re.sub(r"^\d+[a-zA-Z0-9]*_", "", path.stem) != module:
        yield f"named {path.name}, but exports to {module}"
    for i, cell in cells:
        found, tree = common.directives(cell), common.parse(cell) or []
        kinds = {isinstance(statement, ast.Import | ast.ImportFrom) for statement in tree}
        nested = any(isinstance(n, ast.Import | ast.ImportFrom) for s in tree for n in ast.walk(s))
        if kinds == {True, False} or (kinds == {False} and nested and not common.EXPORT & found.keys()):
            yield f"cell {i}: imports and other code in one cell; the documentation would execute it"
        lines = common.code_lines(cell) if common.EXPORT & found.keys() else []
        if len(lines) > LONGEST_EXPORT:
            yield f"cell {i}: exports {len(lines)} lines; more than {LONGEST_EXPORT} are several definitions"
        if (width := max(map(len, lines), default=0)) > LONGEST_LINE:
            yield f"cell {i}: exports a line of {width} characters; the limit is {LONGEST_LINE}"


def shows_something(statement):
    "Does a cell that ends in this statement surely display a value?"
    if not isinstance(statement, ast.Expr) or isinstance(statement.value, ast.Constant):
        return False
    return not isinstance(statement.value, ast.Call | ast.Await | ast.Yield | ast.YieldFrom)


def text_of(output):
    "Everything an output says in words."
    said = [output.get("text", "")] + [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
    return "".join("".join(part) for part in said)


def stored_outputs(nb):
    "Outputs that must be there, and errors and paths of one's own machine that must not."
    cells = common.code_cells(nb)
    for i, cell in cells:
        found, tree = common.directives(cell), common.parse(cell)
        if any(o["output_type"] == "error" for o in cell["outputs"]):
            yield f"cell {i}: a stored error output"
        if own := re.search(OWN_PATH, " ".join(map(text_of, cell["outputs"]))):
            yield f"cell {i}: an output names a path of the machine it ran on: {own[0]}"
        if not tree or cell["outputs"] or found.keys() & {"hide", "default_exp"} or found.get("eval") == "false":
            continue
        if shows_something(tree[-1]) and not re.search(r";\s*$", common.source(cell)):
            yield f"cell {i}: ends in a value, but stores no output; run `make notebooks`"
        elif found.keys() & {"slow", "data", "gpu"} and is_display_call(tree[-1]):
            yield f"cell {i}: flagged {'/'.join(sorted(found.keys() & {'slow', 'data', 'gpu'}))}, but stores no output"
    if cells and not any(c["outputs"] for _, c in cells):
        yield "stores no output at all; run `make notebooks`"
    shown = [c for _, c in cells if not common.directives(c).keys() & common.EXPORT]
    draws = any(re.search(r"\b(plt\.|sns\.|plot_\w+\()", common.source(c)) for c in shown)
    if draws and not any(outputs_of(c, "image/") for c in shown):
        yield "draws figures, but stores no picture"


def pictures(nb):
    "Every stored picture has words for those who do not see it: the option fig-alt, as YAML."
    for i, cell in common.code_cells(nb):
        if outputs_of(cell, "image/"):
            value = common.directives(cell).get("fig-alt", "")
            if not re.fullmatch(r'"(?:[^"\\]|\\["\\])*"', value):
                yield f'cell {i}: shows a picture without words; begin it with #| fig-alt: "what the picture shows"'
            elif len(value.split()) < SHORTEST_ALT:
                yield f"cell {i}: the words for the picture are too few to say what it shows: {value}"


def is_display_call(statement):
    "A call at the end of a cell whose value is displayed (assertions, setters and the like are not)."
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    name = ast.unparse(statement.value.func).split(".")[-1]
    return not re.match(r"(assert|set_|close|warmup|clear|append|update|add|savefig|mkdir|write|to_)", name)


def tagged_cells(nb, tag):
    return [(i, c) for i, c in common.code_cells(nb) if tag in c["metadata"].get("tags", [])]


def assigned(cell):
    "(values by name, statements that assign no literal) of a cell."
    values, others = {}, []
    for statement in common.parse(cell) or []:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        try:
            values |= dict.fromkeys((t.id for t in targets), ast.literal_eval(statement.value))
        except (AttributeError, ValueError):
            others.append(ast.unparse(statement).splitlines()[0])
    return values, others


def parameters(nb):
    "One cell tagged `parameters` that assigns literals, and the kernel papermill needs."
    tagged = tagged_cells(nb, "parameters")
    if len(tagged) != 1:
        yield f"{len(tagged)} cells tagged `parameters`, not one; papermill would not set anything"
    for i, cell in tagged:
        values, others = assigned(cell)
        yield from (f"cell {i}: `{text}` assigns no literal" for text in others)
        if missing := PARAMETERS - values.keys():
            yield f"cell {i}: parameters lack {', '.join(sorted(missing))}"
        yield from stated_profile(nb, i, values)
    if "name" not in nb["metadata"].get("kernelspec", {}):
        yield "no kernelspec in the metadata; papermill cannot choose a kernel"


def stated_profile(nb, i, defaults):
    "A page says of which profile it is; the cell of other values than the defaults (tools/store_page.py) is in order."
    values, injected = dict(defaults), tagged_cells(nb, "injected-parameters")
    for k, cell in injected:
        given, others = assigned(cell)
        yield from (f"cell {k}: `{text}` assigns no literal" for text in others)
        if k != i + 1 or len(injected) > 1:
            yield f"cell {k}: injected parameters belong right after the parameters, once"
        if wrong := (given.keys() - defaults.keys()) | (given.keys() & OF_THE_MACHINE):
            yield f"cell {k}: sets {', '.join(sorted(wrong))}, which a stored page has no business to set"
        values |= given
    said = [m[1] for _, c in common.code_cells(nb) for o in c["outputs"]
            if (m := re.match(r"\W?Profile: (\w+)", text_of(o)))]
    if said != [values.get("profile")]:
        yield (f"the page states {said or 'no profile'} instead of `Profile: {values.get('profile')}`, once: "
               'print(f"Profile: {profile}") after the parameters')


def notebook_problems(nb, path):
    "Everything wrong with one notebook."
    yield from form(nb, path)
    yield from stored_outputs(nb)
    yield from pictures(nb)
    if path.parent.name == "replications":
        yield from parameters(nb)


def unclean(root):
    "Notebooks that nbdev_clean would change."
    with tempfile.TemporaryDirectory() as tmp:
        common.copy_project(root, tmp)
        common.nbdev("nbdev_clean", tmp)
        for path in common.notebooks(root):
            if (Path(tmp) / path.relative_to(root)).read_bytes() != path.read_bytes():
                yield f"{path.relative_to(root)}: not clean; run `nbdev_clean --fname {path.relative_to(root)}`"


def settings(root):
    parser = configparser.ConfigParser(delimiters=["="])
    parser.read(root / "settings.ini", encoding="utf-8")
    if "tags" not in parser["DEFAULT"].get("allowed_cell_metadata_keys", "").split():
        yield "settings.ini: allowed_cell_metadata_keys lacks `tags`; nbdev_clean would strip the `parameters` tag"


def main():
    root = common.arguments(__doc__).parse_args().root.resolve()
    paths, problems = common.notebooks(root), [*settings(root)]
    for path in paths:
        problems += [f"{path.relative_to(root)}: {p}" for p in notebook_problems(common.read(path), path)]
    problems += unclean(root)
    if not paths:
        problems.append("nbs/: no notebook at all")
    common.report("notebooks", problems, f"{len(paths)} notebooks are clean and carry their outputs")


if __name__ == "__main__":
    main()
