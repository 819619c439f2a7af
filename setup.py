"Build gp_literate from settings.ini."

from configparser import ConfigParser
from pathlib import Path
from shutil import copy2

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
parser = ConfigParser(delimiters=["="])
parser.read(ROOT / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]


def lines(key):
    "The non-empty lines of a settings.ini value."
    return [line.strip() for line in cfg.get(key, "").splitlines() if line.strip()]


class BuildWithReplications(build_py):
    "Put the replication notebooks and the papers' tables inside the wheel, as gp_literate/replications."

    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            return  # a checkout is read where it lies, in nbs/replications
        source, dest = ROOT / "nbs" / "replications", Path(self.build_lib) / "gp_literate" / "replications"
        for pattern in ("[!_.]*.ipynb", "targets/*.csv", "targets/*.json", "targets/*.md"):
            for file in sorted(source.glob(pattern)):
                to = dest / file.relative_to(source)
                to.parent.mkdir(parents=True, exist_ok=True)
                copy2(file, to)


extras = {name: lines(f"{name}_requirements") for name in ("neural", "replicate", "cluster", "dev")}
extras["dev"] += extras["neural"] + extras["replicate"] + extras["cluster"]
extras["all"] = sorted({req for reqs in extras.values() for req in reqs})

setup(
    name=cfg["dist_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license=cfg["license"],
    keywords=cfg["keywords"].split(", "),
    python_requires=">=" + cfg["min_python"],
    packages=["gp_literate"],
    install_requires=lines("requirements"),
    extras_require=extras,
    cmdclass={"build_py": BuildWithReplications},
    entry_points={
        "console_scripts": ["gp-literate = gp_literate.command_line:main"],
        "nbdev": ["gp_literate = gp_literate._modidx:d"],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Bio-Informatics",
    ],
    zip_safe=False,
)
