"""Measures of the code, by ast and radon: `python -m tests.house.measure`, or `make measure`.

They are those by which the code was compared with httpx, stamina and docket. `test_measures` holds the bounds.
"""

import ast
import io
import re
import statistics
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from radon.complexity import cc_visit_ast
from radon.visitors import Class
from radon.visitors import Function as Measured

from retirement import errors

from .source import PRODUCT, Module, markdown, modules, within

SANDBOX = "retirement.sandbox"
#: Words that stand where the sentence has no noun.
PRONOUNS = re.compile(r"\b(?:somebody|nobody|whoever|everybody|anybody|whom)\b", flags=re.IGNORECASE)
#: So many equal lines in two places are one function that was written twice.
DUPLICATE = 10
#: From so many parameters on a call is hard to read.
MANY_PARAMETERS = 7
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}


@dataclass(frozen=True)
class Complex:
    """A function and its cyclomatic complexity."""

    place: str
    name: str
    complexity: int


def product(*, sandbox: bool) -> list[Module]:
    """The modules that are installed, with those of the simulated platform or without."""
    return [module for module in modules(*PRODUCT) if sandbox or not within(module.name, SANDBOX)]


def complexities(found: Iterable[Module]) -> Iterator[Complex]:
    """Every function and method, and functions within them by themselves."""
    return chain.from_iterable(map(_complexities, found))


@cache
def _complexities(module: Module) -> list[Complex]:
    functions = chain.from_iterable(
        each.methods if isinstance(each, Class) else [each] for each in cc_visit_ast(module.tree)
    )
    unique = {(each.lineno, each.name): each for each in functions}
    for each in list(unique.values()):
        unique |= {(inner.lineno, inner.name): inner for inner in _within(each)}
    return [Complex(module.place, each.name, each.complexity) for each in unique.values()]


def _within(function: Measured) -> Iterator[Measured]:
    for each in function.closures:
        yield each
        yield from _within(each)


def broad_excepts(module: Module) -> int:
    """How often a module catches everything."""
    caught = [node.type for node in module.nodes if isinstance(node, ast.ExceptHandler)]
    return sum(
        each is None or (isinstance(each, ast.Name) and each.id in ("Exception", "BaseException")) for each in caught
    )


def questions_about_errors(found: Iterable[Module]) -> list[tuple[str, int]]:
    """Where code outside `wire` asks an error for its class, which should say itself what happens next."""
    asked = []
    for module in found:
        for node in module.nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                named = {each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name)}
                if named & ERRORS and not within(module.name, "retirement.wire"):
                    asked.append((module.place, node.lineno))
    return asked


def pronouns(texts: Iterable[str]) -> tuple[int, float]:
    """How many of the six pronouns there are, and how many in a thousand lines."""
    texts = list(texts)
    count, lines = sum(len(PRONOUNS.findall(text)) for text in texts), sum(len(text.splitlines()) for text in texts)
    return count, 1000 * count / max(lines, 1)


def duplicates(found: Iterable[Module]) -> list[tuple[str, str]]:
    """Pairs of places that have ten equal lines; imports, comments and empty lines do not count."""
    seen: defaultdict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for module in found:
        lines = list(_lines_of_code(module))
        for start in range(len(lines) - DUPLICATE + 1):
            window = lines[start : start + DUPLICATE]
            seen[tuple(text for _, text in window)].append((module.place, window[0][0]))
    pairs = (places for places in seen.values() if len(places) > 1)
    return sorted({(f"{one}:{line}", f"{other}:{there}") for (one, line), (other, there), *_ in pairs})


def _lines_of_code(module: Module) -> Iterator[tuple[int, str]]:
    imports: set[int] = set()
    for node in module.nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for number, line in enumerate(module.text.splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#") and number not in imports:
            yield number, text


def spread(values: Iterable[float]) -> str:
    """Median, 90th percentile and largest."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):g} / {percentile(ordered, 90):g} / {ordered[-1]:g}"


def percentile(ordered: Sequence[float], part: int) -> float:
    """The value below which that part of a hundred lies."""
    return ordered[min(len(ordered) * part // 100, len(ordered) - 1)]


def measures(found: Sequence[Module]) -> Iterator[tuple[str, str]]:
    """Each measure and its value for these modules."""
    lines = sum(module.lines for module in found)
    functions = [function for module in found for function in module.functions()]
    documented = sum(ast.get_docstring(each) is not None for each in functions)
    ranked = [each.complexity for each in complexities(found)]
    yield "files / lines", f"{len(found)} / {lines}"
    yield "lines of a file: median / p90 / max", spread(module.lines for module in found)
    yield "lines of a function: median / p90 / max", spread((e.end_lineno or 0) - e.lineno + 1 for e in functions)
    yield "functions with a docstring", f"{100 * documented / len(functions):.0f} %"
    yield "comments / docstring lines in 100", f"{_comments(found, lines)} / {_docstrings(found, lines)}"
    yield "broad excepts in 1000 lines", f"{1000 * sum(map(broad_excepts, found)) / lines:.1f}"
    yield "complexity: median / p90 / max", spread(ranked)
    yield "functions over 10 / over 12", f"{sum(each > 10 for each in ranked)} / {sum(each > 12 for each in ranked)}"
    yield (
        f"functions with {MANY_PARAMETERS} parameters or more",
        str(sum(_parameters(e) >= MANY_PARAMETERS for e in functions)),
    )
    yield "questions about the class of an error, outside wire", str(len(questions_about_errors(found)))
    yield "imports of a module", f"{statistics.mean(len(module.imports) for module in found):.1f}"
    count, rate = pronouns(module.text for module in found)
    yield "somebody, nobody, whoever, everybody, anybody, whom", f"{count}, in 1000 lines {rate:.1f}"
    yield "duplicates of ten lines", str(len(duplicates(found)))


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def _comments(found: Iterable[Module], lines: int) -> str:
    tokens = (tokenize.generate_tokens(io.StringIO(module.text).readline) for module in found)
    return f"{100 * sum(each.type == tokenize.COMMENT for each in chain.from_iterable(tokens)) / lines:.1f}"


def _docstrings(found: Iterable[Module], lines: int) -> str:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = (node for module in found for node in module.nodes if isinstance(node, kinds))
    count = sum(len(text.splitlines()) for node in nodes if (text := ast.get_docstring(node)))
    return f"{100 * count / lines:.1f}"


def main() -> None:
    """Prints the measures of everything and of what is not the sandbox, then the functions to cut."""
    whole, ours = dict(measures(product(sandbox=True))), dict(measures(product(sandbox=False)))
    print(f"{'':52} {'all':>16} {'without sandbox':>18}")
    for name, value in whole.items():
        print(f"{name:52} {value:>16} {ours[name]:>18}")
    count, rate = pronouns(path.read_text(encoding="utf-8") for path in markdown() if path.parent.name != "contract")
    print(f"{'the six pronouns in the documents':52} {count}, in 1000 lines {rate:.1f}")
    for each in sorted(complexities(product(sandbox=True)), key=lambda each: -each.complexity):
        if each.complexity > 10:
            print(f"  complexity {each.complexity}: {each.place} {each.name}")
    for one, other in duplicates(product(sandbox=True)):
        print(f"  ten equal lines: {one} and {other}")


if __name__ == "__main__":
    sys.exit(main())
