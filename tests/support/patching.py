"""Finds objects that are wired or changed from outside: assignments to an attribute of anything but `self` and `cls`.

By the syntax tree alone, so what it knows of a type is what is written down: annotations of parameters and attributes,
and calls of a class's name. Where nothing says what an object is, any class that has such an attribute counts.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

RECORDS = {"dataclass", "record", "NamedTuple"}
"""What makes a class a record: a row of a table, whose plain values others may change, but never what it calls."""


@dataclass
class _Class:
    module: str
    name: str
    is_record: bool
    attributes: dict[str, str] = field(default_factory=dict)
    """Each attribute with its annotation, or with the class that is called for it; empty where neither is written."""
    setters: set[str] = field(default_factory=set)
    """Properties that may be assigned to: their class has a method for that."""


def patches(sources: Mapping[str, str]) -> set[str]:
    """Return ``module: target`` for each assignment, given modules by name, that is neither

    - to `self`, or in the module that declares the object's class,
    - by a property's setter,
    - nor of a plain value in a record (see `RECORDS`).
    """
    trees = {module: ast.parse(source) for module, source in sources.items()}
    known: dict[str, list[_Class]] = defaultdict(list)
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                known[node.name].append(_class(module, node))
    finder = _Finder(known)
    return {f"{module}: {found}" for module, tree in trees.items() for found in finder.look(module, tree, None, [])}


def _class(module: str, node: ast.ClassDef) -> _Class:
    made_by = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
    names = {ast.unparse(each).rpartition(".")[2] for each in (*made_by, *node.bases)}
    found = _Class(module, node.name, bool(names & RECORDS))
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            found.attributes[each.target.id] = ast.unparse(each.annotation)
        elif isinstance(each, _Function):
            _note_attributes(found, each)
    return found


def _note_attributes(found: _Class, function: _Function) -> None:
    decorators = {ast.unparse(each) for each in function.decorator_list}
    if f"{function.name}.setter" in decorators:
        found.setters.add(function.name)
    elif "property" in decorators and function.returns is not None:
        found.attributes.setdefault(function.name, ast.unparse(function.returns))
    given = _annotations(function)
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign) and _is_own(node.target):
            assert isinstance(node.target, ast.Attribute)
            found.attributes[node.target.attr] = ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign):
            for target in filter(_is_own, _flat(node.targets)):
                assert isinstance(target, ast.Attribute)
                said = found.attributes.get(target.attr, "")
                found.attributes[target.attr] = said or _type_of_value(node.value, given)


class _Finder:
    """Goes through modules, and knows all classes."""

    def __init__(self, known: Mapping[str, list[_Class]]) -> None:
        self._known = known
        self._owners: dict[str, list[_Class]] = defaultdict(list)
        for classes in known.values():
            for each in classes:
                for attribute in (*each.attributes, *each.setters):
                    self._owners[attribute].append(each)

    def look(self, module: str, node: ast.AST, inside: _Class | None, within: list[_Function]) -> Iterator[str]:
        """Yield what is patched below a node, which is in this class and in these functions."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                own = next((each for each in self._known[child.name] if each.module == module), None)
                yield from self.look(module, child, own, within)
            elif isinstance(child, _Function):
                yield from self.look(module, child, inside, [*within, child])
            else:
                for target in _targets(child):
                    if not _is_own(target) and self._is_patched(module, target, inside, within):
                        yield ast.unparse(target)
                yield from self.look(module, child, inside, within)

    def _is_patched(self, module: str, target: ast.Attribute, inside: _Class | None, within: list[_Function]) -> bool:
        owners = self._classes(target.value, inside, within) or self._owners[target.attr]
        if not owners or any("Callable" in each.attributes.get(target.attr, "") for each in owners):
            return True  # another's object, or what an object calls
        return not any(each.is_record or each.module == module or target.attr in each.setters for each in owners)

    def _classes(self, value: ast.expr, inside: _Class | None, within: list[_Function]) -> list[_Class]:
        """Return what an object may be, where that is written down."""
        if isinstance(value, ast.Name):
            if value.id == "self" and inside is not None:
                return [inside]
            return self._named(next(filter(None, (_type_in(each, value.id) for each in reversed(within))), ""))
        if isinstance(value, ast.Attribute):
            bases = self._classes(value.value, inside, within)
            return [found for base in bases for found in self._named(base.attributes.get(value.attr, ""))]
        return []

    def _named(self, annotation: str) -> list[_Class]:
        names = {name.strip().strip("\"'").rpartition(".")[2] for name in annotation.split("|")} - {"None"}
        return [each for name in names for each in self._known.get(name, ())]


def _targets(node: ast.AST) -> Iterator[ast.Attribute]:
    """Yield the attributes that a statement, or a call of `setattr` with a name, assigns to or deletes."""
    if isinstance(node, ast.Assign | ast.Delete):
        yield from _flat(node.targets)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.For | ast.AsyncFor):
        yield from _flat([node.target])
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield from _flat([node.optional_vars])
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "object.__setattr__"):
        to, name, *_ = node.args
        yield ast.Attribute(to, name.value if isinstance(name, ast.Constant) else f"[{ast.unparse(name)}]", ast.Store())


def _flat(targets: list[ast.expr]) -> Iterator[ast.Attribute]:
    for target in targets:
        if isinstance(target, ast.Tuple | ast.List):
            yield from _flat(target.elts)
        elif isinstance(target, ast.Starred):
            yield from _flat([target.value])
        elif isinstance(target, ast.Attribute):
            yield target


def _is_own(target: ast.expr) -> bool:
    return (
        isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id in ("self", "cls")
    )


def _type_in(function: _Function, name: str) -> str:
    """Return what a function says of a name's type: as its parameter's, or by what is assigned to it."""
    given = _annotations(function)
    if name in given:
        return given[name]
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            return ast.unparse(node.annotation)
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            return _type_of_value(node.value, given)
    return ""


def _annotations(function: _Function) -> dict[str, str]:
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return {each.arg: ast.unparse(each.annotation) for each in every if each.annotation is not None}


def _type_of_value(value: ast.expr, given: Mapping[str, str]) -> str:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func)
    return given.get(value.id, "") if isinstance(value, ast.Name) else ""
