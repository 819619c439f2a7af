"What the checks share: reading notebooks, and one way to report."

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPORT = {"export", "exporti", "exports"}
sys.path.insert(0, str(ROOT))  # the package these tools belong to, whatever project they look at


def arguments(doc):
    "A parser with the option every check has."
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--root", type=Path, default=ROOT, help="project to check (default: this one)")
    return parser


def notebooks(root):
    "Paths of the notebooks under nbs/, leaving out results and names that begin with _ or a dot."
    nbs = Path(root) / "nbs"
    paths = sorted(nbs.rglob("*.ipynb"), key=lambda p: (len(p.relative_to(nbs).parts), p.name))
    return [p for p in paths if not any(part[0] in "_." or part == "results" for part in p.relative_to(nbs).parts)]


def copy_project(root, to):
    "Copy the notebooks and nbdev's settings, for a check that must not touch the working tree."
    shutil.copy(Path(root) / "settings.ini", to)
    left_out = shutil.ignore_patterns(".ipynb_checkpoints", "results")
    shutil.copytree(Path(root) / "nbs", Path(to) / "nbs", ignore=left_out)


def read(path):
    "A notebook as a dictionary."
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        sys.exit(f"{path}: not a notebook ({error})")


def source(cell):
    return "".join(cell["source"])


def directives(cell):
    "Directives at the head of a code cell: {'export': '', 'label': 'fig-a', ...}."
    found = {}
    for line in source(cell).splitlines():
        if not line.strip():
            continue
        match = re.match(r"\s*#\s*\|\s*([\w-]+)\s*:?\s*(.*)", line)
        if not match:
            break
        found[match[1]] = match[2].strip()
    return found


def code_lines(cell):
    "Lines of code in a cell: neither blank nor directives."
    return [ln for ln in source(cell).splitlines() if ln.strip() and not re.match(r"\s*#\s*\|", ln)]


def parse(cell):
    "The cell's statements; IPython magics and shell lines are left out. None when it is no Python."
    text = source(cell)
    if re.match(r"(\s*#\s*\|.*\n)*\s*%%(?!time|capture)", text):
        return None
    try:
        return ast.parse(re.sub(r"^[ \t]*[%!].*$", "", text, flags=re.MULTILINE)).body
    except SyntaxError:
        return None


def code_cells(nb):
    "(number, cell) of the code cells that are not empty; cells are counted from 1."
    return [(i, c) for i, c in enumerate(nb["cells"], 1) if c["cell_type"] == "code" and source(c).strip()]


def default_exp(nb):
    "Name of the module a notebook exports to, or None."
    names = [d["default_exp"] for _, c in code_cells(nb) if (d := directives(c)).get("default_exp")]
    return names[0] if names else None


def front_matter_file(nb):
    "`output-file` of the first raw cell, or None."
    first = nb["cells"][0] if nb["cells"] else {"cell_type": ""}
    match = re.search(r"^output-file:\s*(\S+)", source(first), re.MULTILINE) if first["cell_type"] == "raw" else None
    return match[1] if match else None


def public(root):
    "(module, name, its definition or None) of everything that a module's __all__ lists."
    for file in sorted((Path(root) / "gp_literate").glob("*.py")):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        found = {node.name: node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        for node in body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                yield from ((file.stem, name, found.get(name)) for name in ast.literal_eval(node.value))


def nbdev(command, cwd, *args):
    "Run one of nbdev's commands in a project."
    program = Path(sys.executable).with_name(command)
    env = {k: v for k, v in os.environ.items() if k != "IN_TEST"}
    run = subprocess.run([str(program), *args], cwd=cwd, env=env, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{command} failed:\n{run.stdout}{run.stderr}")


def report(name, problems, done):
    "Say what is wrong and exit with 1, or say in one line what was checked."
    if problems:
        print(f"FAILED {name}:", *problems, sep="\n  ", file=sys.stderr)
        sys.exit(1)
    print(f"ok  {name}: {done}", flush=True)
