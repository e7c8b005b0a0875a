"""Docstrings where they are required: modules, errors, operations, tests and the doors of each floor."""

import ast
import re

from retirement import errors
from retirement.connectors import registry

from .source import PRODUCT, TESTS, WORDS, Function, modules, within

#: What a docstring for machines looks like; types are in the signature.
FORMATTED = re.compile(r"^\s*(Args|Returns|Raises|Parameters):\s*$|:param |:return", flags=re.MULTILINE)


def test_every_module_says_what_it_is_for() -> None:
    """In its first sentence; a file without code needs none."""
    found = modules(*PRODUCT, *WORDS, *TESTS)

    assert {each.place for each in found if each.tree.body and not ast.get_docstring(each.tree)} == set()


def test_no_docstring_is_formatted_for_machines() -> None:
    """`Args:` blocks repeat what the signature says."""
    documented = [
        (module.place, ast.get_docstring(node) or "")
        for module in modules(*PRODUCT, *WORDS, *TESTS)
        for node in module.nodes
        if isinstance(node, ast.Module | ast.ClassDef | Function)
    ]

    assert {place for place, text in documented if FORMATTED.search(text)} == set()


def test_public_classes_say_what_they_are() -> None:
    """Enumerations whose members say it all need none; the sandbox is nobody's library."""
    silent = {
        f"{module.name}.{node.name}"
        for module in modules(*PRODUCT)
        for node in module.tree.body
        if not within(module.name, "retirement.sandbox")
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if not ast.get_docstring(node) and not _is_enumeration(node)
    }

    assert silent == set()


def _is_enumeration(node: ast.ClassDef) -> bool:
    return any(isinstance(parent, ast.Name) and parent.id in ("Enum", "StrEnum") for parent in node.bases)


def test_every_error_says_what_happened() -> None:
    """It is the line that a reader of a traceback looks up."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]

    assert {kind.__name__ for kind in kinds if not kind.__doc__} == set()


def test_the_picture_of_errors_is_complete() -> None:
    """The tree in the docstring of `retirement.errors` has every error, and no other."""
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    picture = (errors.__doc__ or "").split("```")[1]

    assert set(re.findall(r"(?:^|[├└]── )(\w+)", picture, flags=re.MULTILINE)) == kinds


def test_every_operation_documents_itself_in_a_sentence() -> None:
    """Its first line is the operator's manual and stands in the generated table."""
    declared = [each for connector in registry().values() for each in connector.operations().values()]

    assert {each.name for each in declared if not re.fullmatch(r"[A-Z].+\.", each.doc)} == set()


def test_every_test_says_what_it_shows() -> None:
    """A name is a sentence, and a line under it says why it matters."""
    silent = {
        f"{module.place}: {function.name}"
        for module in modules(*TESTS)
        for function in module.functions()
        if function.name.startswith("test_") and not ast.get_docstring(function)
    }

    assert silent == set()


def test_no_test_patches_anything() -> None:
    """Substitutes are the sandbox, memory or a callable of five lines."""
    patching = {"mock", "pytest_mock"}
    users = {module.place for module in modules(*TESTS) for name in module.imports if patching & set(name.split("."))}

    assert users == set()
