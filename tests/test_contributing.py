"""The examples of CONTRIBUTING.md fit the code: their files, the lines that they change, every name that they use."""

import builtins
import dis
import importlib
import re
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"^### (.+?): .*?^```diff\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
FILES = [
    pytest.param(before, path, body, id=path)
    for _, diff in EXAMPLES
    for before, path, body in re.findall(r"^--- (\S+)\n\+\+\+ b/(\S+)\n((?:(?!--- ).*\n)*)", diff, re.M)
]


def global_names(code: CodeType) -> set[str]:
    """Names that a piece of code, or a function in it, reads from its module."""
    found = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(global_names(part) for part in code.co_consts if isinstance(part, CodeType)))


def run_as_part_of(path: str, text: str, namespace: dict) -> None:
    code = compile(text, path, "exec", dont_inherit=True)
    exec(code, namespace)
    unknown = global_names(code) - set(namespace) - set(vars(builtins))
    assert not unknown, f"{path} has no {', '.join(unknown)}"


def test_there_is_one_for_everything_that_is_often_added():
    names = [name for name, _ in EXAMPLES]
    assert [name.split()[-1] for name in names] == ["kind", "topology", "motion", "batch", "corpus", "loss"]


@pytest.mark.parametrize(("before", "path", "body"), FILES)
def test_an_example_fits_the_code(before, path, body):
    pytest.importorskip("torch", reason="a loss is one of them")
    file = ROOT / path
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    package = module.rpartition(".")[0]
    added = "".join(f"{line[1:]}\n" for line in body.splitlines() if line.startswith("+"))
    if before == "/dev/null":
        assert not file.exists()
        run_as_part_of(path, added, {"__name__": module, "__package__": package, "__file__": str(file)})
        return
    assert before == f"a/{path}"
    there = file.read_text().splitlines()
    for line in body.splitlines():
        if line[0] in " -":  # of a list, whose entries may change, only how it begins
            begins = re.match(r".*?(?: = [(\[]| in \()|.*", line[1:])[0]
            assert any(known.startswith(begins) for known in there), f"{path} has no line {line[1:]}"
    for run in re.findall(r"(?:^\+.*\n)+", body, re.M):
        if re.match(r"\+(class|def) ", run):
            text = re.sub(r"^\+", "", run, flags=re.M)
            run_as_part_of(path, text, dict(vars(importlib.import_module(module))))
