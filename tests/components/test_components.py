"""Every component: one file, one function, a short body, and a call that its step understands."""

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "components"
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in {"__init__", "image"})
pytestmark = pytest.mark.xdist_group("kfp")


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
def test_body_is_one_call_of_its_step(name):
    body = function_of(name).body[1:]
    assert len(body) <= 6
    assert len(calls_of(name)) == 1
    code = ast.unparse(function_of(name))
    assert f"from dico.steps.{name} import {name} as step" in code or f"launch('{name}'" in code


@pytest.mark.parametrize("name", NAMES)
def test_step_understands_the_call(name):
    step = getattr(importlib.import_module(f"dico.steps.{name}"), name)
    call = calls_of(name)[0]
    names = [keyword.arg for keyword in call.keywords]
    if call.func.id == "launch":
        assert call.args[0].value == name
        assigned = [n for n in ast.walk(function_of(name)) if isinstance(n, ast.Assign)]
        names = [key.value for key in assigned[0].value.keys]
    inspect.signature(step).bind(**dict.fromkeys(names))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in {"resolve_config", "summarise_run"}])
def test_every_step_leaves_a_note_of_its_name(name):
    calls = [n for n in ast.walk(function_of(name)) if isinstance(n, ast.Call)]
    (noted,) = [call for call in calls if getattr(call.func, "id", "") == "noted"]
    assert ast.unparse(noted) == f"noted('{name}', store)"


def calls_of(name):
    """The call of the step, or of what launches it."""
    return [
        node
        for node in ast.walk(function_of(name))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"step", "launch"}
    ]


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
