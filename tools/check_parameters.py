"""Check that everything public has a line of documentation, and every parameter and field of it a comment.

The comment stands on the line of the parameter; parameters that share a line share a comment with as many parts. None
is needed for names that the reference page explains once for all, nor in a method with the parameters of one of the
same name that is described elsewhere.
"""

import ast
import re
import tokenize
from itertools import groupby

import common


def glossary(root):
    "Names that the tables in the prose of the reference page explain."
    path = root / "nbs" / "explanations" / "reference.ipynb"
    cells = common.read(path)["cells"] if path.is_file() else []
    prose = "\n".join(common.source(c) for c in cells if c["cell_type"] == "markdown")
    return {name for row in re.findall(r"^\|([^|]+)\|", prose, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}


def comments(path):
    "Line -> its comment."
    with tokenize.open(path) as file:
        tokens = tokenize.generate_tokens(file.readline)
        return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def parameters(function):
    "(name, line) of the parameters of a function."
    a = function.args
    return [(p.arg, p.lineno) for p in [*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg] if p]


def fields(node):
    "(name, line) of the fields of a NamedTuple or dataclass; of other classes, none."
    if not re.search("NamedTuple|dataclass", " ".join(map(ast.unparse, node.bases + node.decorator_list))):
        return []
    found = [s for s in node.body if isinstance(s, ast.AnnAssign) and "ClassVar" not in ast.unparse(s.annotation)]
    return [(s.target.id, s.lineno) for s in found]


def described(node):
    "(definition, its name, its parameters or fields) of a public function, or of a public class and its methods."
    if isinstance(node, ast.FunctionDef):
        yield node, node.name, parameters(node)
    elif isinstance(node, ast.ClassDef):
        yield node, node.name, fields(node)
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and (method.name[0] != "_" or method.name == "__init__"):
                static = "staticmethod" in map(ast.unparse, method.decorator_list)
                yield method, f"{node.name}.{method.name}", parameters(method)[not static :]


def uncommented(given, said, returns):
    "Names of the parameters that no comment describes; one on the line of the return annotation is about the result."
    for line, group in groupby(given, key=lambda p: p[1]):
        names, text = [name for name, _ in group], said.get(line, "")
        parts = re.sub(r"\([^()]*\)|\[[^][]*\]", "", text).split(",")
        if line == returns or not text or text.startswith("->") or len(parts) != len(names) > 1:
            yield from names


def lacking(root):
    "(what is not described, number of parameters and fields) in a project."
    known, open_, elsewhere, met, count = glossary(root), [], set(), set(), 0
    said = {path.stem: comments(path) for path in (root / "gp_literate").glob("*.py")}
    for module, _, public in common.public(root):
        for node, name, given in described(public):
            method, names = name.partition(".")[2], [p for p, _ in given]
            returns = getattr(getattr(node, "returns", None), "lineno", None)
            missing = [p for p in uncommented(given, said[module], returns) if p not in known]
            wrong = [f"no comment describes {', '.join(missing)}"] if missing else []
            if method != "__init__" and not ast.get_docstring(node):
                wrong.append("no docstring")
            same = (method, *names) if method not in ("", "__init__") else None
            open_ += [(same, f"gp_literate/{module}.py:{node.lineno}: {name}: {what}") for what in wrong]
            elsewhere |= set() if wrong else {same}
            count, met = count + len(names), met.union(names)
    problems = [text for same, text in open_ if same is None or same not in elsewhere]
    unused = [f"the reference page explains {name}, which no parameter is called" for name in sorted(known - met)]
    return problems + unused, count


def main():
    root = common.arguments(__doc__).parse_args().root.resolve()
    problems, count = lacking(root)
    common.report("parameters", problems, f"{count} parameters and fields are described")


if __name__ == "__main__":
    main()
