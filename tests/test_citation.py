"""Licence and citation: complete, and equal to what the package says."""

import pathlib
import tomllib

import yaml

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_citation_is_a_valid_cff_of_this_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    # The keys that the schema of version 1.2.0 requires, and the types of ours.
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert [set(author) for author in citation["authors"]] == [{"name"}]
    assert all(isinstance(word, str) for word in citation["keywords"])
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert citation["title"] == f"dlx: {_lower(PROJECT['description'])}"


def _lower(text):
    return text[0].lower() + text[1:]


def test_licence_is_whole_and_names_the_authors():
    (name,) = PROJECT["license-files"]
    text = (ROOT / name).read_text()
    assert "Version 2.0, January 2004" in text
    for section in range(1, 10):
        assert f"\n   {section}. " in text
    assert "END OF TERMS AND CONDITIONS" in text
    (author,) = PROJECT["authors"]
    assert f"Copyright 2026 {author['name']}" in text
