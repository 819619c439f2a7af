"Check that the package is what the notebooks export, and that imports point downwards. Changes nothing."

import ast
import re
import shutil
import tempfile
from pathlib import Path

import common

DEVELOPMENT_ONLY = {"nbdev", "fastcore", "execnb"}


def differences(root):
    "Files of gp_literate/ that differ from what exporting a copy of the notebooks gives."
    with tempfile.TemporaryDirectory() as tmp:
        common.copy_project(root, tmp)
        fresh, stored = Path(tmp) / "gp_literate", root / "gp_literate"
        fresh.mkdir()
        shutil.copy(stored / "__init__.py", fresh)
        common.nbdev("nbdev_export", tmp)
        for file in sorted({p.relative_to(d) for d in (fresh, stored) for p in d.rglob("*.py")}):
            if not (fresh / file).exists():
                yield f"gp_literate/{file}: comes from no notebook"
            elif not (stored / file).exists():
                yield f"gp_literate/{file}: not exported yet; run `make export`"
            elif (fresh / file).read_bytes() != (stored / file).read_bytes():
                yield f"gp_literate/{file}: differs from its notebook; run `make export`"


def imported(tree):
    "(line, full name) of everything a piece of code imports; relative imports are named from gp_literate."
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["gp_literate" if node.level else "", node.module]))
            if base == "gp_literate":
                yield from ((node.lineno, f"gp_literate.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, base


def development_imports(root):
    "Imports of the development tools in the exported modules."
    for file in sorted((root / "gp_literate").rglob("*.py")):
        for line, name in imported(ast.parse(file.read_text(encoding="utf-8"))):
            if name.split(".")[0] in DEVELOPMENT_ONLY:
                yield f"gp_literate/{file.name}:{line}: imports {name}, which users do not have"


def upward_imports(root):
    "Imports in a numbered notebook that do not come from a lower number."
    number, notebooks = {}, {}
    for path in common.notebooks(root):
        nb = common.read(path)
        match = re.match(r"\d+[a-z]?\d*", path.name)  # 00 < 00b < 00c < 01
        if match and common.default_exp(nb):
            number[common.default_exp(nb)] = match[0]
        notebooks[path] = nb, match and match[0]
    for path, (nb, own) in notebooks.items():
        for i, cell in common.code_cells(nb):
            for _, name in imported(ast.Module(common.parse(cell) or [], [])):
                package, _, module = name.partition(".")
                module = module.split(".")[0]
                where = f"{path.relative_to(root)}, cell {i}"
                if package != "gp_literate" or not module or module.startswith("__"):
                    continue
                if module not in number:
                    yield f"{where}: imports gp_literate.{module}, which no numbered notebook exports"
                elif own is not None and number[module] >= own:
                    yield f"{where}: imports {module} of notebook {number[module]}; only lower numbers may"


def main():
    root = common.arguments(__doc__).parse_args().root.resolve()
    problems = [*differences(root), *development_imports(root), *upward_imports(root)]
    modules = len(list((root / "gp_literate").glob("[!_]*.py")))
    if not modules:
        problems.append("gp_literate/: no module at all")
    common.report("export", problems, f"{modules} modules equal their notebooks")


if __name__ == "__main__":
    main()
