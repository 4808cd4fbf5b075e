"""What the pages say is there is there: links, pictures, files, commands, flags, and one version everywhere."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

import histalk_blender
from histalk_blender.cli.main import main

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "histalk_blender"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("model_weights/*.md")])
# These two tell what was, in the words of then.
CURRENT = [page for page in PAGES if page.name not in ("CHANGELOG.md", "robustness.md")]
OTHER_PROGRAMS = {"--command", "--background", "--nnodes", "--rdzv-endpoint", "--help", "--version"}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
PART = re.compile(r"[\w.*-]+")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def _commands(page: Path) -> list[list[str]]:
    """The arguments of each `histalk` command line in the page's blocks."""
    found = []
    for language, block in FENCE.findall(page.read_text()):
        if language:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if not re.search(r"\bhistalk ", line) or re.match(r" *(pip|make|python) ", line):
                continue
            words = shlex.split(line, comments=True)
            places = [place for place, word in enumerate(words) if Path(word).name == "histalk"]
            found.append(words[places[-1] + 1 :])
    return found


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", _prose(page), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _missing_path(text: str) -> bool:
    """Whether this is a path into the repository or the package, and nothing is there."""
    path = text.split()[0].removeprefix("./") if text.split() else ""
    parts = path.rstrip("/").split("/")
    if not all(PART.fullmatch(part) for part in parts):
        return False
    bases = [base for base in (ROOT, PACKAGE) if len(parts) > 1 and (base / parts[0]).is_dir()]
    if not bases and not path.endswith(".py"):
        return False
    bases = bases or [ROOT, PACKAGE]
    return not any(list(base.glob(path.rstrip("/"))) for base in bases)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_and_pictures_lead_somewhere(page):
    for target in LINK.findall(_prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{_name(page)} links to {target}"
        if anchor:
            assert anchor in _anchors(other), f"{_name(page)} links to {target}"


@pytest.mark.parametrize("page", CURRENT, ids=_name)
def test_paths_in_backticks_exist(page):
    assert not [text for text in INLINE.findall(_prose(page)) if _missing_path(text)]


@pytest.mark.parametrize("page", CURRENT, ids=_name)
def test_command_lines_are_understood(page):
    for arguments in _commands(page):
        if not arguments or arguments[0].startswith("["):
            continue
        command = main.commands.get(arguments[0])
        assert command, f"{_name(page)}: there is no command histalk {arguments[0]}"
        if "..." in arguments:
            continue
        try:
            command.make_context(arguments[0], arguments[1:])
        except click.ClickException as error:
            raise AssertionError(f"{_name(page)}: histalk {shlex.join(arguments)}: {error.message}") from None


@pytest.mark.parametrize("page", CURRENT, ids=_name)
def test_flags_in_backticks_exist(page):
    options = {
        name
        for command in main.commands.values()
        for option in command.params
        for name in (*option.opts, *option.secondary_opts)
    }
    files = [*ROOT.glob("tools/*.py"), *ROOT.glob("benchmarks/*.py"), *PACKAGE.glob("training/corpus/build.py")]
    elsewhere = {flag for file in files for flag in FLAG.findall(file.read_text())}
    told = {flag for text in INLINE.findall(_prose(page)) for flag in FLAG.findall(text)}
    assert not told - options - elsewhere - OTHER_PROGRAMS


def test_imports_of_examples_work():
    pytest.importorskip("torch", reason="the examples import the network")
    for page in CURRENT:
        for language, block in FENCE.findall(page.read_text()):
            if language == "python":
                compile(block, _name(page), "exec")
                for line in re.findall(r"^from histalk_blender.*$", block, re.M):
                    exec(line, {})


def test_modules_that_are_run_exist():
    for page in CURRENT:
        for module in re.findall(r"python\S* (?:-P )?-m (histalk_blender[\w.]*)", page.read_text()):
            path = ROOT.joinpath(*module.split("."))
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"{_name(page)}: {module}"


def test_targets_of_make_exist():
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.M))
    told = {name for page in CURRENT for name in re.findall(r"(?:^|`)make ([a-z0-9]+)", page.read_text(), re.M)}
    assert told <= targets
    assert "make test" in (ROOT / ".ci/run").read_text() and "make test" in (ROOT / "README.md").read_text()


def test_the_layers_are_those_of_the_import_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract.get("containers") == ["histalk_blender"])
    diagram = re.search(r"```text\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.S)[1].splitlines()
    assert [line.split()[: len(layer.split(" | "))] for line, layer in zip(diagram, layers, strict=True)] == [
        layer.split(" | ") for layer in layers
    ]


def test_there_is_one_version():
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text())
    cited = re.search(r'^version: "?([^"\n]+)', (ROOT / "CITATION.cff").read_text(), re.M)[1]
    assert manifest["version"] == cited == histalk_blender.__version__
