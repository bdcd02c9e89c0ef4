"""What the check of licenses finds in the metadata of installed packages."""

import importlib.util
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "licenses.py"


@pytest.fixture(scope="module")
def licenses():
    spec = importlib.util.spec_from_file_location("licenses", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def install(tmp_path):
    """`install(name, *headers)` a package; `install.find(name)` gives it."""

    def add(name, *headers):
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1", *headers, ""]
        (folder / "METADATA").write_text("\n".join(lines))

    def find(name):
        folder = tmp_path / f"{name}-1.dist-info"
        if not folder.is_dir():
            raise PackageNotFoundError(name)
        return Distribution.at(folder)

    add.find = find
    return add


@pytest.mark.parametrize(
    ("license", "fine"),
    [
        ("MIT", True),
        ("BSD License", True),
        ("Apache Software License", True),
        ("Apache-2.0 WITH LLVM-exception AND BSL-1.0", True),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only", False),
        ("GNU General Public License v2 (GPLv2)", False),
        ("GNU Affero General Public License v3", False),
        ("LGPL-2.1-or-later", False),
        ("MIT AND AGPL-3.0-or-later", False),
        ("Other/Proprietary License", False),
        ("", False),
    ],
)
def test_permissive_ones_are_allowed(license, fine, licenses):
    assert licenses.allowed(license) == fine


def test_the_tree_is_what_users_need_and_each_license_is_said_once(install, licenses, capsys):
    install(
        "lpt-toolkit",
        "Provides-Extra: video",
        "Provides-Extra: dev",
        "Requires-Dist: One[more]>=1",
        "Requires-Dist: film; extra == 'video'",
        "Requires-Dist: linter; extra == 'dev'",
        "Requires-Dist: elsewhere; sys_platform == 'nowhere'",
    )
    install("one", "License-Expression: MIT", "Requires-Dist: two; extra == 'more'")
    install("two", "Classifier: License :: OSI Approved :: BSD License", "Requires-Dist: one")
    install("film", "License: Apache 2.0")
    install("linter", "License: GPL")
    assert licenses.main(install.find) == 0
    shown = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    expected = [["film", "1", "Apache 2.0"], ["one", "1", "MIT"], ["two", "1", "BSD License"]]
    assert shown == expected


def test_others_and_unknown_ones_are_refused_unless_reviewed(
    install, licenses, capsys, monkeypatch
):
    install("lpt-toolkit", *(f"Requires-Dist: {name}" for name in ("bad", "mute", "nvidia-x")))
    install("bad", "Classifier: License :: OSI Approved :: GNU General Public License (GPL)")
    install("mute")
    install("nvidia-x", "License: NVIDIA Proprietary Software")
    assert licenses.main(install.find) == 1
    said = capsys.readouterr().err
    assert "bad (GNU General Public License (GPL)), mute (unknown). Do without" in said
    monkeypatch.setattr(licenses, "REVIEWED", {"bad": "MIT", "mute": "BSD-3-Clause"})
    assert licenses.main(install.find) == 0
