"""Links, paths, programs and fields that the documentation names exist."""

import ast
import importlib.util
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "BUILD.md", *sorted((ROOT / "docs").glob("*.md"))]
# Links of Markdown, and of the HTML that shows several pictures in a row.
LINK = re.compile(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"')
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    for heading in headings:
        kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        yield kept.replace(" ", "-")


def _names(page, pattern):
    """What a page names; braces, as in `pg_rocks{8,16}.py`, list several names."""
    for name in set(re.findall(pattern, page.read_text())):
        listed = re.search(r"{(.*?)}", name)
        for part in listed[1].split(",") if listed else [""]:
            yield name.replace(listed[0], part) if listed else name


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request):
    return request.param


def test_links_lead_somewhere(page):
    for first, second in LINK.findall(FENCE.sub("", page.read_text())):
        link, _, anchor = (first or second).partition("#")
        if "://" in link:
            continue
        target = (page.parent / link).resolve() if link else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), f"{link}#{anchor}"


def test_configs_exist(page):
    for path in _names(page, r"configs/[\w/{},]+\.py"):
        assert (ROOT / path).exists(), path


def test_programs_exist(page):
    for name in _names(page, r"python -m (launch\.[a-z_]+)"):
        assert importlib.util.find_spec(name), name


def test_configs_have_the_fields_that_commands_set(page):
    command = r"--config=(configs/\w+\.py)(?::\w+)?([^\n`|]*)"
    for path, rest in re.findall(command, page.read_text()):
        spec = importlib.util.spec_from_file_location("config", ROOT / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config()
        for field in re.findall(r"--config\.(\w+)", rest):
            assert field in config, f"{path} has no {field}"


def test_files_exist(page):
    for path in _names(page, r"(?<![\w/.])(?:dlx|launch|tests|docs)/[\w/]+\.\w+"):
        assert (ROOT / path).exists(), path


def test_every_page_is_in_the_index():
    index = (ROOT / "BUILD.md").read_text()
    for page in PAGES[2:]:
        assert f"(docs/{page.name})" in index


@pytest.mark.slow
def test_the_library_example_films_a_game(tmp_path, monkeypatch):
    code = re.search(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code[1], names)
    assert names["film"].shape[0] == 15 * 10 + 1  # ten falls of fifteen steps
    assert (tmp_path / "runs" / "mine" / "film.gif").exists()


def test_readme_fits_on_150_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").rglob("*.py")), ids=lambda path: path.stem
)
def test_a_config_names_a_page_that_has_its_results(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    pages = re.findall(r"docs/(?:measured|gans)\.md", text)
    if not pages:
        assert "no measured results" in text or "has not been trained" in text
    for page in pages:
        named = set(_names(ROOT / page, r"configs/[\w/{},]+\.py"))
        assert str(path.relative_to(ROOT)) in named, page


def test_no_docstring_begins_with_a_question():
    for path in [*(ROOT / "dlx").rglob("*.py"), *(ROOT / "launch").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                assert not re.match(r"(What|Of|How|Which|Where)\b", text), path
