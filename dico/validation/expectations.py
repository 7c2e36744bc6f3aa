"""Great Expectations judges the columns that our checks computed.

Each kind of finding is a column with its count per image; the default suite expects none beyond
the allowed share. Great Expectations is imported here only, and runs in memory: no files, no
progress bars, no usage statistics.
"""

import json
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dico.errors import ConfigError, one_line
from dico.validation.config import ValidationConfig
from dico.validation.findings import KINDS
from dico.validation.tables import IMAGE_COLUMNS

TABLES = ("images", "dataset")
DEFAULT_MAX_SHARE = {"leak_similar": 0.005}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a dataset may contain; see docs/data.md for the file."""

    max_share: Mapping[str, float] = field(default_factory=dict)
    """Finding's code to the share of images that may have it, 0 to 1."""
    dataset: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Number about the whole dataset to its ``min`` and ``max``."""
    expectations: tuple[Mapping[str, Any], ...] = ()
    """Own expectations: ``{"table", "type", "kwargs"}``."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One expectation and whether it was met."""

    table: str
    name: str
    expectation: str
    kwargs: dict[str, Any]
    met: bool
    observed: str
    reason: str


def read_thresholds(path: str) -> Thresholds:
    """Reads a thresholds file; an empty path gives the defaults.

    Raises:
        ConfigError: not JSON, an unknown key or code, or a share outside 0 to 1.
    """
    if not path:
        return Thresholds()
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"thresholds {path}: cannot be read ({error})") from None
    if not isinstance(data, dict) or set(data) - {"max_share", "dataset", "expectations"}:
        raise ConfigError(f"thresholds {path}: keys are max_share, dataset and expectations")
    for code, share in data.get("max_share", {}).items():
        if code not in KINDS:
            raise ConfigError(f"thresholds {path}: max_share.{code}: no such finding")
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigError(f"thresholds {path}: max_share.{code}: {share!r} is not from 0 to 1")
    for name, bounds in data.get("dataset", {}).items():
        if not isinstance(bounds, dict) or not bounds or set(bounds) - {"min", "max"}:
            raise ConfigError(f"thresholds {path}: dataset.{name}: give min, max or both")
    expectations = data.get("expectations", [])
    for one in expectations:
        good = isinstance(one, dict) and one.get("table") in TABLES and "type" in one
        if not good or not isinstance(one.get("kwargs", {}), dict):
            raise ConfigError(f"thresholds {path}: an expectation has table (images or dataset), "
                              f"type and kwargs, not {one!r}")  # fmt: skip
    return Thresholds(data.get("max_share", {}), data.get("dataset", {}), tuple(expectations))


def image_expectations(config: ValidationConfig, thresholds: Thresholds) -> list[dict[str, Any]]:
    """The default suite over images: one expectation per kind of finding."""
    suite = []
    for kind in KINDS.values():
        strict = kind.severity == "fatal" or (kind.severity == "error" and config.mode == "fail")
        default = DEFAULT_MAX_SHARE.get(kind.code, 0.0) if strict else 1.0
        share = thresholds.max_share.get(kind.code, default)
        if share < 1.0:
            # a set is looked up by column, a range value by value: 40 times slower
            kwargs = {"column": kind.code, "value_set": [0], "mostly": 1.0 - share}
            suite.append({"type": "expect_column_values_to_be_in_set", "kwargs": kwargs})
    return suite


def dataset_expectations(
    config: ValidationConfig, thresholds: Thresholds, known: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """The default suite over the whole dataset: budget, sizes, counts of a known dataset, drift."""
    bounds: dict[str, Mapping[str, float]] = {"num_usable": {"min": 1}, "num_train": {"min": 1}}
    if config.mode == "quarantine":
        bounds["share_set_aside"] = {"max": config.quarantine_budget}
    bounds |= known
    bounds |= thresholds.dataset
    suite = []
    for name, bound in bounds.items():
        kwargs: dict[str, Any] = {"column": name}
        kwargs |= {f"{end}_value": value for end, value in bound.items()}
        suite.append({"type": "expect_column_values_to_be_between", "kwargs": kwargs})
    return suite


def judge(tables: Mapping[str, Any], suites: Mapping[str, list[dict[str, Any]]]) -> list[Judgement]:
    """Runs each table's suite with Great Expectations.

    Args:
        tables: name to pandas frame.
        suites: name to expectations as ``{"type", "kwargs"}``.

    Raises:
        ConfigError: an expectation that Great Expectations does not know or cannot run.
    """
    context = _context()
    judgements = []
    for name, expectations in ((n, suite) for n, suite in suites.items() if suite):
        judgements += _judge_table(context, name, tables[name], expectations)
    return judgements


def met_by_all(expectation: Mapping[str, Any], num_rows: int) -> Judgement:
    """The judgement over a kind of finding that no row has; a column of zeros needs no engine."""
    kwargs, kind = expectation["kwargs"], expectation["type"]
    return Judgement("images", kwargs["column"], kind, kwargs, True, f"0 of {num_rows} (0 %)", "")


def _context() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _judge_table(
    context: Any, name: str, frame: Any, expectations: list[dict[str, Any]]
) -> list[Judgement]:
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    suite = gx.ExpectationSuite(name=name)
    for index, one in enumerate(expectations):
        column = one.get("kwargs", {}).get("column")
        if column is not None and (not isinstance(column, str) or column not in frame.columns):
            known = ", ".join(frame.columns if name == "dataset" else IMAGE_COLUMNS)
            more = "" if name == "dataset" else " and one for each kind of finding"
            raise ConfigError(f"expectation {one['type']}: table {name} has no column {column!r}; "
                              f"it has {known}{more}")  # fmt: skip
        try:
            configuration = ExpectationConfiguration(
                type=one["type"], kwargs=dict(one.get("kwargs", {})), meta={"index": index}
            )
            suite.add_expectation(configuration.to_domain_obj())
        except Exception as error:
            raise ConfigError(f"expectation {one['type']}: {one_line(error, 300)}") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
        definition = asset.add_batch_definition_whole_dataframe(name)
        batch = definition.get_batch({"dataframe": frame})
        try:
            result = batch.validate(suite, result_format="BASIC")
        except Exception as error:  # what an expectation of the user's can raise is not known
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise ConfigError(f"expectations over {name} cannot be run ({reason})") from None
    return [_judgement(name, one) for one in result.to_json_dict()["results"]]


def _judgement(table: str, result: Mapping[str, Any]) -> Judgement:
    configuration, values = result["expectation_config"], result.get("result", {})
    kwargs = {k: v for k, v in configuration["kwargs"].items() if k != "batch_id"}
    name = str(kwargs.get("column", configuration["type"]))
    error = _exception(result.get("exception_info", {}))
    if "unexpected_count" in values and table == "images":
        share = values.get("unexpected_percent") or 0.0
        total = values.get("element_count", "all")
        observed = f"{values['unexpected_count']} of {total} ({share:.3g} %)"
    elif values.get("partial_unexpected_list"):
        observed = str(values["partial_unexpected_list"][0])
    else:
        observed = str(values.get("observed_value", ""))
    met = bool(result["success"])
    return Judgement(
        table, name, configuration["type"], kwargs, met, observed,
        "" if met else error or _reason(name, kwargs, observed),
    )  # fmt: skip


def _exception(info: Any) -> str:
    """The message of an expectation that could not be run."""
    if isinstance(info, dict):
        if info.get("raised_exception"):
            return str(info.get("exception_message", "could not be run"))[:300]
        for value in info.values():
            if isinstance(value, dict) and value.get("raised_exception"):
                return str(value.get("exception_message", "could not be run"))[:300]
    return ""


def _reason(name: str, kwargs: Mapping[str, Any], observed: str) -> str:
    if name in KINDS:
        kind = KINDS[name]
        allowed = 100 * (1.0 - kwargs.get("mostly", 1.0))
        return f"{name}: {kind.title}: {observed}, allowed {allowed:.3g} %; {kind.advice}"
    bounds = [f"{k.removesuffix('_value')} {kwargs[k]}" for k in kwargs if k.endswith("_value")]
    return f"{name}: {observed or 'not met'}, expected {', '.join(bounds) or dict(kwargs)}"
