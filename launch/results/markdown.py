"""Tables of results as Markdown: a page of all, and a block for README."""

import collections
import json
import re
from typing import Any

from ..report.numbers import spread
from . import tables

BEGIN, END = "<!-- results -->", "<!-- /results -->"
_BLOCK = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
_HEAD = """# Results

`python -m launch.results` wrote this page from the folders of runs and sweeps; do not
edit it. A number is the median over seeds, with the lowest and the highest in brackets
if they differ; n is the number of seeds. All numbers of a table are of one machine and
one version of the code. Seconds are those of training, without compilation and
evaluation. A target is held if all evaluations in the last quarter of a run reach it.
"""


def page(results: dict[str, Any]) -> str:
    """The page of all tables."""
    parts = [_HEAD]
    for table in results["tables"]:
        title = table["title"][0].upper() + table["title"][1:]
        commands = "".join(f"    {command}\n" for command in table["commands"])
        parts += [f"## {title}\n", f"{origin(table)}\n"]
        parts += [commands] * bool(commands) + [_full(table)]
    return "\n".join(parts)


def block(results: dict[str, Any]) -> str:
    """README's block: a row per experiment, all of one machine and one commit."""
    return f"{BEGIN}\n{_brief(results)}{END}"


def has_block(text: str) -> bool:
    """Whether a text has the marks between which the block stands."""
    return bool(_BLOCK.search(text))


def with_block(text: str, results: dict[str, Any]) -> str:
    """Replaces the block in a text that has one."""
    return _BLOCK.sub(lambda _: block(results), text, count=1)


def origin(table: dict[str, Any]) -> str:
    """A line of machine, versions, commit and dates, with a mark if code is older."""
    ran = table["origin"]
    versions = ran["versions"] or {}
    devices, processes = ran["devices"], ran["processes"]
    facts = [ran["machine"] or "machine not recorded"]
    if ran["cores"]:
        facts.append(f"{ran['cores']} core{'s' * (ran['cores'] > 1)}")
    for count, what in ((devices, "devices"), (processes, "processes")):
        if count and count > 1:
            facts.append(f"{count} {what}")
    for package, name in (("python", "Python"), ("jax", "JAX")):
        if package in versions:
            facts.append(f"{name} {versions[package]}")
    commit, version = ran["commit"], ran["dlx"]
    if commit:
        facts.append(f"commit {_short(commit)}")
    else:
        facts.append(f"dlx {version}" if version else "commit not recorded")
    first, last = table["dates"]
    if last:
        facts.append(first if first == last else f"{first} to {last}")
    return f"{', '.join(facts)}.{_age(table)}"


def _age(table):
    """A mark if the numbers are not those of the code as it is."""
    commit, since = table["origin"]["commit"], table["commits_since"]
    if since == 0:
        return ""
    if since is None:
        changed = commit and commit.endswith("+changes")
        if table["origin"]["dlx"] and not commit:
            return ""  # an installed version, which is not in a checkout
        what = "code with changes that are in no commit" if changed else "unknown code"
        return f" **Of {what}.**"
    return f" **Of older code: {since} commit{'s' * (since > 1)} changed it since.**"


def _short(commit):
    return re.sub(r"^([0-9a-f]{10})[0-9a-f]+", r"\1", commit)


def _full(table):
    rows = table["rows"]
    axes = dict.fromkeys(axis for row in rows for axis in row["cell"])
    has_target = any(row["target"] for row in rows)
    head = [*axes, "n", "measure", "at the end"]
    head += ["target held", "steps to target", "seconds to target"] * has_target
    head += ["seconds"]
    has_more = any(len(row["measures"]) > 1 for row in rows)
    head += ["further measures at the end"] * has_more
    is_single = table["title"] == tables.SINGLE
    lines = []
    for row in rows:
        first, *others = row["measures"].items()
        line = [row["cell"].get(axis, "") for axis in axes]
        line += [_number_of_seeds(row), first[0], _spread(first[1])]
        line += _target(row) * has_target
        line += [_spread(row["train_seconds"])]
        more = ", ".join(f"{name} {_spread(numbers)}" for name, numbers in others)
        line += [more] * has_more
        if is_single:
            line += [f"`{row['commands'][0]}`" if row["commands"][0] else ""]
        lines.append(line)
    return _markdown([*head, *(["command"] * is_single)], lines)


def _number_of_seeds(row):
    number, planned = len(row["seeds"]), row["planned"]
    text = str(number) if number == planned else f"{number} of {planned}"
    return f"{text}, side by side" if row["side_by_side"] else text


def _target(row):
    target, number = row["target"], len(row["seeds"])
    if not target:
        return ["-"] * 3
    reached = target["reached"]
    count = "" if reached == number else f" ({reached} of {number})"
    times = [_spread(target[what]) + count for what in ("steps", "seconds")]
    return [f"{target['held']} of {number}", *times]


def _brief(results):
    """The experiments that were measured on the machine and code with most of them."""
    parts = collections.defaultdict(list)
    for table in results["tables"]:  # the newest first
        if table["title"] != tables.SINGLE:
            parts[json.dumps(table["origin"], sort_keys=True)].append(table)
    rows = {key: _experiments(found) for key, found in parts.items()}
    rows = {key: found for key, found in rows.items() if found}
    if not rows:
        return "No sweep has been run.\n"
    most = max(rows, key=lambda key: len(rows[key]))  # of equals the newest
    dates = sorted(date for table in parts[most] for date in table["dates"])
    caption = origin(parts[most][0] | {"dates": [dates[0], dates[-1]]})
    head = ["experiment", "measure", "n", "at the end", "seconds to target", "seconds"]
    lines = [
        [
            f"`{name}`",
            row["metric"],
            _number_of_seeds(row),
            _spread(row["measures"][row["metric"]]),
            _target(row)[2],
            _spread(row["train_seconds"]),
        ]
        for name, row in rows[most].items()
    ]
    return f"{_markdown(head, lines)}\n{caption}\n"


def _experiments(found):
    """{config:setting: the row with most seeds} of configs as they are shipped."""
    rows = {}
    for table in found:
        for row in table["rows"]:
            if row["cell"].keys() <= {"config", "setting"}:
                name = ":".join(row["cell"].values())
                if len(row["seeds"]) > len(rows.get(name, {"seeds": ()})["seeds"]):
                    rows[name] = row
    return rows


def _spread(numbers):
    """A median and, in brackets, lowest and highest; '-' if there is no number."""
    if numbers["median"] is None:
        return "-"
    return spread(numbers["low"], numbers["median"], numbers["high"])


def _markdown(head, lines):
    cells = [head, ["---"] * len(head), *lines]
    escaped = [[str(cell).replace("|", "\\|") for cell in line] for line in cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)
