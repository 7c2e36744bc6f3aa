"""Locks: all of what the project needs, by hash, at the versions of constraints.txt."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("image-cpu", "image-cuda", "dev", "docs", "tools")


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name):
    """Version and hashes of each package of a lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", "")
    found = {}
    for line in text.splitlines():
        pin, *hashes = line.split()
        package, version = pin.split("==")
        found[normal(package)] = (version, hashes)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_its_hashes_and_no_address(name):
    for package, (_, hashes) in locked(name).items():
        assert hashes, package
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", text) for text in hashes), package
    assert "://" not in (ROOT / "requirements" / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", LOCKS)
def test_versions_are_those_of_the_constraints(name):
    text = (ROOT / "constraints.txt").read_text()
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)
    constraints = {normal(package): version for package, version in pins}
    assert len(constraints) > 100
    for package, (version, _) in locked(name).items():
        expected = constraints.get(package, version)
        assert version.split("+")[0] == expected, f"{package}: run make lock"


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("image-cpu", ["all"]),
        ("image-cuda", ["all"]),
        ("dev", ["all", "dev"]),
        ("docs", ["docs"]),
    ],
)
def test_nothing_that_the_project_asks_for_is_left_out(name, extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    waiting = list(extras)
    while waiting:
        for requirement in project["optional-dependencies"][waiting.pop()]:
            inner = re.fullmatch(r"dico-captioner\[(.+)\]", requirement)
            if inner:
                waiting += inner[1].split(",")
            else:
                wanted.append(requirement)
    names = {normal(re.match(r"[A-Za-z0-9._-]+", requirement)[0]) for requirement in wanted}
    missing = names - locked(name).keys()
    assert not missing, f"{sorted(missing)}: run make lock"


@pytest.mark.parametrize("name", ["image-cpu", "image-cuda"])
def test_what_builds_the_project_in_the_image_is_locked(name):
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert needed == ["setuptools>=77"]
    assert int(locked(name)["setuptools"][0].split(".")[0]) >= 77


def test_only_the_cuda_lock_has_cuda():
    assert locked("image-cpu")["torch"][0].endswith("+cpu")
    assert not [name for name in locked("image-cpu") if name.startswith("nvidia")]
    assert len([name for name in locked("image-cuda") if name.startswith("nvidia")]) > 10
    assert "+" not in locked("image-cuda")["torch"][0]


def test_every_install_line_names_the_distribution_that_is_ours():
    """``dico`` on the package index is a stranger's; see pyproject.toml for the name of this one."""
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    strangers = re.compile(r"\binstall\b[^\n]*?[ '\"]dico(?:\[[\w,]+\]|['\"]|$)", re.M)
    texts = [
        path
        for folder in ("dico", "components", "pipelines", "docs", "tests", "scripts")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".py", ".md", ".toml", ".ipynb", ""} and path.is_file()
    ]
    texts += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "Dockerfile")]
    named = [
        f"{path.relative_to(ROOT)}: {found[0].strip()}"
        for path in texts
        for found in strangers.finditer(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert ours != "dico"
    assert named == []
