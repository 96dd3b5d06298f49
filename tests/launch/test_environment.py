"""What a study records of where it was made."""

from __future__ import annotations

from genloss.launch import environment


def test_the_tags_name_user_source_and_versions() -> None:
    tags = environment.tags("gan.yaml", ())
    assert tags["mlflow.source.name"] == "gan.yaml"
    assert tags["mlflow.user"]
    assert tags["genloss.torch"]


def test_the_packages_are_a_requirements_file() -> None:
    first, *lines = environment.packages().splitlines()
    assert first.startswith("# Python 3.")
    assert any(line.startswith("torch==") for line in lines)
    assert all("==" in line for line in lines)
