"""Check the documentation site: navigation, file names, links, references and mathematics.

Works without Quarto: every notebook goes through nbdev's filter and pandoc, as Quarto would send it. Where Quarto is
installed, the site is rendered as well, and a warning is a failure.
"""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from html import escape as html_text
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

import common

REFERENCE = r"(?:eq|fig|tbl|sec|lst|thm|def)-[\w-]+"
INSTALL = "Quarto is not installed, so no pages were made (https://quarto.org/docs/get-started, then: make docs)"


# --- _quarto.yml ------------------------------------------------------------------------------------------------------


class StrictLoader(yaml.SafeLoader):
    "YAML in which a key given twice is an error."

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def sidebar_files(node):
    "Every file named in a part of the navigation."
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from sidebar_files(item)
    elif isinstance(node, dict):
        for key in ("href", "file", "contents"):
            yield from sidebar_files(node.get(key, []))


def configuration(root):
    "What is wrong with _quarto.yml."
    try:
        config = yaml.load((root / "_quarto.yml").read_text(encoding="utf-8"), StrictLoader)
    except (OSError, yaml.YAMLError) as error:
        yield f"_quarto.yml: {error}"
        return
    website = config.get("website", {})
    named = [*sidebar_files(website.get("sidebar", {}).get("contents", []))]
    bar = website.get("navbar", {})
    for target in named + [*sidebar_files(bar.get("left", []))] + [*sidebar_files(bar.get("right", []))]:
        if "://" not in target and not (root / target).is_file():
            yield f"_quarto.yml: the navigation names {target}, which does not exist"
    for path in common.notebooks(root):
        name = path.relative_to(root).as_posix()
        if name not in named:
            yield f"_quarto.yml: {name} is not in the sidebar"
        if not any(path.match(str(pattern)) for pattern in config.get("project", {}).get("render", [])):
            yield f"_quarto.yml: no `render` pattern covers {name}"
    if "nbdev_filter" not in config.get("ipynb-filters", []):
        yield "_quarto.yml: ipynb-filters lacks nbdev_filter"
    if config.get("execute", {}).get("enabled") is not False:
        yield "_quarto.yml: execute/enabled is not false; the pages show stored outputs"
    if config.get("format", {}).get("html", {}).get("html-math-method") != "mathml":
        yield "_quarto.yml: html-math-method is not mathml; a page opened offline would show raw TeX"
    for file in config.get("filters", []):
        if not (root / file).is_file():
            yield f"_quarto.yml: the filter {file} does not exist"
    for file in sheets(config.get("format", {}).get("html", {}).get("theme", [])):
        if not (root / file).is_file():
            yield f"_quarto.yml: the style sheet {file} does not exist"


def sheets(theme):
    "The style sheets of one's own in a theme; themes of Quarto have no extension."
    if isinstance(theme, str):
        return [theme] if Path(theme).suffix else []
    return [file for part in (theme.values() if isinstance(theme, dict) else theme) for file in sheets(part)]


# --- one page ---------------------------------------------------------------------------------------------------------


def page_file(path, nb):
    "Where a notebook's page lies on the site, relative to the root."
    return path.with_name(common.front_matter_file(nb) or f"{path.stem}.html")


def filtered(path):
    "The notebook after nbdev's documentation filter, and what the filter complained of."
    from nbdev.cli import nbdev_filter

    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", message="Found cells containing imports")
        text = nbdev_filter(nb_txt=path.read_text(encoding="utf-8"), printit=False)
    return json.loads(text), [str(w.message).splitlines()[0] for w in caught]


def output_markdown(output, alternative=""):
    "One stored output as Markdown, a picture as Quarto sets it from the option fig-alt; text needs no checking."
    data = output.get("data", {})
    if any(kind.startswith("image/") for kind in data):
        return f'```{{=html}}\n<img alt="{html_text(alternative)}">\n```'
    if "text/html" in data and "text/markdown" not in data:
        return "```{=html}\n" + "".join(data["text/html"]) + "\n```"
    return "".join(data.get("text/markdown") or data.get("text/latex") or "")


def option_text(value):
    "A cell option as YAML reads it; nothing when it is no text."
    with contextlib.suppress(yaml.YAMLError):
        text = yaml.safe_load(value)
        return text if isinstance(text, str) else ""
    return ""


def as_markdown(nb):
    "A notebook as Quarto hands it to pandoc: prose, code in fences, rich outputs."
    parts = []
    for cell in nb["cells"]:
        text, found = "".join(cell["source"]), {}
        if cell["cell_type"] == "code":
            found = common.directives(cell)
            if found.get("include") == "false":
                continue
            if found.get("echo") != "false":
                parts.append(f"`````python\n{text}\n`````")
            alternative = option_text(found.get("fig-alt", ""))
            parts += [output_markdown(output, alternative) for output in cell.get("outputs", [])]
        elif cell["cell_type"] == "markdown":
            parts.append(text)
    return "\n\n".join(filter(None, parts)) + "\n"


def to_html(markdown, root):
    "(HTML, complaints) from pandoc: every warning is one, a formula it cannot set among them."
    import pypandoc

    command = [pypandoc.get_pandoc_path(), "--from=markdown", "--to=html", "--mathml"]
    if (root / "tools" / "source_links.lua").exists():
        command.append(f"--lua-filter={root / 'tools' / 'source_links.lua'}")
    run = subprocess.run(command, input=markdown, capture_output=True, text=True, encoding="utf-8")
    said = [" ".join(part.split()) for part in re.split(r"\n(?=\[)", run.stderr) if part.strip()]
    return run.stdout, said or ([f"pandoc ended with {run.returncode}"] if run.returncode else [])


class Page(HTMLParser):
    "The identifiers, links and cross-references of an HTML page, and the number of its pictures without words."

    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.cited, self.mute = set(), [], [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[k] for k in ("id", "name") if attrs.get(k)}
        self.links += [attrs[k] for k in ("href", "src") if attrs.get(k)]
        self.cited += (attrs.get("data-cites") or "").split()
        self.mute += tag == "img" and not (attrs.get("alt") or "").strip()


def labels(nb):
    "(label, where, is there something to refer to) of every cross-reference target in a notebook."
    for i, cell in enumerate(nb["cells"], 1):
        text = common.source(cell)
        if cell["cell_type"] == "markdown":
            for label in re.findall(rf"\{{\s*#({REFERENCE})", text):
                attached = not label.startswith("eq-") or re.search(rf"\$\$\s*\{{\s*#{label}\s*\}}", text)
                yield label, f"cell {i}", bool(attached)
        elif cell["cell_type"] == "code" and (label := common.directives(cell).get("label")):
            yield label, f"cell {i}", bool(cell.get("outputs"))


def loose_rows(text):
    "First rows of tables without a header: a blank line within a table leaves the rows below it as text with bars."
    lines = re.sub(r"^(```+).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE).splitlines()
    for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        if line.startswith("|") and not before.startswith("|") and not re.fullmatch(r"[\s|:-]*-[\s|:-]*", after):
            yield line


def page_problems(path, root):
    "(page, complaints) for one notebook; links are followed later, when all pages are known."
    nb = common.read(path)
    problems = [f"cell {i}: a stored error output" for i, cell in common.code_cells(nb)
                if any(o["output_type"] == "error" for o in cell["outputs"])]
    problems += [f"cell {i}: a table without a header begins at {line[:40]}" for i, cell in enumerate(nb["cells"], 1)
                 if cell["cell_type"] == "markdown" for line in loose_rows(common.source(cell))]
    try:
        shown, complaints = filtered(path)
    except Exception as error:
        cause = f" ({error.__cause__!r})" if error.__cause__ else ""
        return Page(""), [*problems, f"nbdev's filter fails: {error}{cause}"]
    html, said = to_html(as_markdown(shown), root)
    page = Page(html)
    defined = {}
    for label, where, attached in labels(nb):
        if label in defined:
            problems.append(f"{where}: the label {label} is used twice")
        if not attached:
            what = "no displayed formula" if label.startswith("eq-") else "a cell without output"
            problems.append(f"{where}: the label {label} stands at {what}")
        defined[label] = where
    problems += [f"@{key} refers to nothing on this page" for key in page.cited if key not in defined]
    page.ids |= defined.keys()
    if page.mute:
        problems.append(f"{page.mute} pictures without alternative text")
    return page, problems + complaints + said


# --- links between pages ----------------------------------------------------------------------------------------------


def follow(link, path, root, pages, files):
    "What is wrong with a link on the page of the notebook `path`; None when it leads somewhere."
    url = urlsplit(link)
    if url.scheme or url.netloc:
        return None
    target = unquote(url.path)
    if not target:
        place = path
    else:
        place = (root / target.lstrip("/")) if target.startswith("/") else (path.parent / target)
        place = Path(os.path.normpath(place))
    place = files.get(place, place)  # from the page's file to its notebook
    if place not in pages:
        inside = place.is_relative_to(root) and place.is_file() and place.suffix != ".ipynb"
        return None if inside and not target.startswith("/") else f"the link {link} leads to no page and no file"
    anchor = unquote(url.fragment)
    name = anchor.split(".")[-1]
    if not anchor or anchor in pages[place].ids:
        return None
    # nbdev links every `name` of the package; methods and private helpers have no heading of their own
    if target.startswith("/") and ("." in anchor or name.startswith("_")):
        return None
    return f"the link {link} leads to a page without that heading"


def site_problems(root):
    "Everything wrong with the site, and the number of pages."
    os.chdir(root)
    sys.path.insert(0, str(root))
    problems = [*configuration(root), *stale_pages(root)]
    pages, files = {}, {}
    for path in common.notebooks(root):
        name, nb = path.relative_to(root), common.read(path)
        module = common.default_exp(nb)
        files[page_file(path, nb)] = path
        if module and page_file(path, nb).name != f"{module}.html":
            problems.append(f"{name}: the page is {page_file(path, nb).name}, but nbdev links to {module}.html")
        pages[path], found = page_problems(path, root)
        problems += [f"{name}: {p}" for p in found]
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            if wrong := follow(link, path, root, pages, files):
                problems.append(f"{path.relative_to(root)}: {wrong}")
    return problems, len(pages)


# --- pages that show the rest of the project --------------------------------------------------------------------------


def shown_text(path):
    "Everything the stored outputs of a page say."
    outputs = [o for _, cell in common.code_cells(common.read(path)) for o in cell["outputs"]]
    return "\n".join("".join(v) for o in outputs for v in [o.get("text", ""), *o.get("data", {}).values()])


def stale_pages(root):
    "Pages made from the package or the benchmarks that lack something which is there by now."
    reference = root / "nbs" / "explanations" / "reference.ipynb"
    if reference.is_file():
        text = shown_text(reference)
        lacking = [f"{module}.{name}" for module, name, _ in common.public(root) if f"`{name}` ([{module}]" not in text]
        if lacking:
            more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
            yield f"nbs/explanations/reference.ipynb: lacks {', '.join(lacking[:5])}{more}; execute it again"
    page, readme = root / "nbs" / "explanations" / "benchmarks.ipynb", root / "benchmarks" / "README.md"
    if page.is_file() and readme.is_file():
        text = shown_text(page)
        rows = [line for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        if lacking := [row for row in rows if row not in text]:
            missed = f"lacks {len(lacking)} lines of benchmarks/README.md"
            yield f"nbs/explanations/benchmarks.ipynb: {missed}; execute it again"


# --- Quarto -----------------------------------------------------------------------------------------------------------


def render(root):
    "Render the site into _docs/ with Quarto; its warnings are failures, since it returns 0 for broken links."
    env = dict(os.environ, PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    env["QUARTO_PYTHON"] = sys.executable
    run = subprocess.run(["quarto", "render"], cwd=root, env=env, text=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    log = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout)
    bad = [f"quarto: {line.strip()}" for line in log.splitlines() if re.search(r"\b(WARN(ING)?|ERROR)\b", line)]
    if run.returncode and not bad:
        bad = [f"quarto: ended with {run.returncode}:\n{log[-2000:]}"]
    if not bad and not (root / "_docs" / "nbs" / "index.html").is_file():
        bad = ["quarto: made no _docs/nbs/index.html"]
    return bad


def render_copy(root):
    "Render a copy of what the site is made of, so that nothing in the working tree changes."
    with tempfile.TemporaryDirectory() as tmp:
        common.copy_project(root, tmp)
        shutil.copy(root / "_quarto.yml", tmp)
        shutil.copytree(root / "tools", Path(tmp) / "tools")
        return render(Path(tmp))


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--render", action="store_true", help="keep the pages that Quarto makes, in _docs/")
    args = parser.parse_args()
    root = args.root.resolve()
    problems, pages = site_problems(root)
    if not pages:
        problems.append("nbs/: no notebook at all")
    quarto = shutil.which("quarto")
    if quarto and not problems:
        problems = render(root) if args.render else render_copy(root)
    how = "rendered with Quarto" if quarto else "checked with pandoc; Quarto is not installed"
    common.report("docs", problems, f"{pages} pages, {how}")
    if args.render and quarto:  # the pages lie in nbs/; the address of the site leads to the first of them
        forward = '<!DOCTYPE html><title>gp_literate</title><meta http-equiv="refresh" content="0; url=nbs/index.html">'
        (root / "_docs" / "index.html").write_text(forward + "\n", encoding="utf-8")
    if args.render:
        print("the site is in _docs/index.html" if quarto else INSTALL)


if __name__ == "__main__":
    main()
