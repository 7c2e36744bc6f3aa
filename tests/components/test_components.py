"""Every component: one file, one function, a short body, and a call that its step understands."""

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "components"
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in {"__init__", "image"})


def parse(name):
    return ast.parse((FOLDER / f"{name}.py").read_text())


def function_of(name):
    functions = [node for node in parse(name).body if isinstance(node, ast.FunctionDef)]
    assert [function.name for function in functions] == [name]
    return functions[0]


@pytest.mark.parametrize("name", NAMES)
def test_module_imports_only_kfp_and_the_standard_library(name):
    for node in parse(name).body:
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module]
        for module in modules:
            top = module.split(".")[0]
            known = (
                top in sys.stdlib_module_names or top == "kfp" or module == "dico_components.image"
            )
            assert known, module


@pytest.mark.parametrize("name", NAMES)
def test_body_is_a_few_calls_of_steps(name):
    body = function_of(name).body[1:]
    assert len(body) <= 6
    assert 1 <= len(calls_of(name)) <= 2
    code = ast.unparse(function_of(name))
    own = {"register_model": "conclude_run"}.get(name, name)
    assert f"from dico.steps.{own} import {own}" in code or f"launch('{name}'" in code


@pytest.mark.parametrize("name", NAMES)
def test_steps_understand_the_calls(name):
    for step, call in calls_of(name):
        names = list(keywords_of(name, call))
        inspect.signature(step).bind(**dict.fromkeys(names))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in {"resolve_config", "summarise_run"}])
def test_every_step_runs_in_a_frame_of_its_name(name):
    frames = [n for n in ast.walk(function_of(name)) if isinstance(n, ast.With)]
    (frame,) = [ast.unparse(item.context_expr) for item in frames[0].items]
    assert frame == f"step('{name}', store)"


def steps_of(name):
    """Local names of the steps that a component imports."""
    imports = [n for n in ast.walk(function_of(name)) if isinstance(n, ast.ImportFrom)]
    return {
        alias.asname or alias.name: getattr(importlib.import_module(node.module), alias.name)
        for node in imports
        for alias in node.names
        if node.module.startswith("dico.steps.") and alias.name != "step"
    }


def calls_of(name):
    """The steps that a component calls, or launches, each with its call."""
    steps = steps_of(name)
    for node in ast.walk(function_of(name)):
        called = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if called == "launch":
            assert node.args[0].value == name
            steps["launch"] = getattr(importlib.import_module(f"dico.steps.{name}"), name)
    return [
        (steps[node.func.id], node)
        for node in ast.walk(function_of(name))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in steps
    ]


def keywords_of(name, call):
    """Names of the arguments of a call, those of dictionaries that it unpacks among them."""
    assigned = {
        node.targets[0].id: [key.value for key in node.value.keys]
        for node in ast.walk(function_of(name))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    }
    if call.func.id == "launch":
        yield from assigned["arguments"]
        return
    for keyword in call.keywords:
        if keyword.arg:
            yield keyword.arg
        elif isinstance(keyword.value, ast.Name):
            yield from assigned[keyword.value.id]
        else:  # the fields of what another step gave
            (other,) = [step for step, one in calls_of(name) if one.lineno != call.lineno]
            yield from inspect.signature(other).return_annotation._fields


@pytest.mark.parametrize("name", NAMES)
def test_inputs_and_outputs_are_described(name):
    component = getattr(importlib.import_module(f"dico_components.{name}"), name)
    spec = component.component_spec
    described = {**(spec.inputs or {}), **(spec.outputs or {})}
    missing = [key for key, value in described.items() if not value.description]
    assert not missing, missing


def test_image_has_one_place_and_no_registry_host():
    from dico_components.image import IMAGE

    assert "/" not in IMAGE
    for name in NAMES:
        assert IMAGE not in (FOLDER / f"{name}.py").read_text(), name
