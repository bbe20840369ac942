"""Damages the files of a run as crashes, full disks and people do."""

import json
import os
import pathlib
import random
import shutil

_VALUES = None, [], {}, "x", "", -1, 0, 1e300, True, [1], {"a": []}, "\udcff"
_TEXTS = b"", b"[1]", b"null", b"{", b"{}", b"\xff\xfe\x00", b"\0" * 64, b"[" * 99_999
_LINES = "[1]", "{}", '{"step": "x"}', '{"step": -1}', '{"step": 1e99}', "\0\0", "null"


def damage(workdir: pathlib.Path, generator: random.Random) -> str:
    """Damages one file or folder of a run; returns a description."""
    paths = [p for p in sorted(workdir.rglob("*")) if p.name != ".lock"]
    texts = [p for p in paths if p.suffix in (".json", ".jsonl") and p.is_file()]
    path = generator.choice(generator.choice([texts, paths]))
    ways = [_remove, _replace_by_link]
    ways += [_replace_by_file] if path.is_dir() else [_cut, _change, _empty]
    if path in texts:
        ways += [_rewrite, _change_value, _change_value, _insert_line, _replace_by_pipe]
    way = generator.choice(ways)
    if path.suffix == ".jsonl" and way is _change_value:
        way = _insert_line
    how = way(path, generator)
    return f"{path.relative_to(workdir)}: {way.__name__.strip('_')} {how or ''}".strip()


def _remove(path, generator):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _replace_by_pipe(path, generator):
    """Replaces a file by a pipe without a writer, which can never be read."""
    _remove(path, generator)
    os.mkfifo(path)


def _replace_by_link(path, generator):
    _remove(path, generator)
    path.symlink_to(generator.choice(["nowhere", path.name, "/etc/hostname", "/dev"]))


def _replace_by_file(path, generator):
    _remove(path, generator)
    path.write_text("a file\n", encoding="utf-8")


def _cut(path, generator):
    content = path.read_bytes()
    path.write_bytes(content[: generator.randrange(len(content) + 1)])


def _change(path, generator):
    content = bytearray(path.read_bytes())
    if content:
        content[generator.randrange(len(content))] ^= generator.randrange(1, 256)
    path.write_bytes(content)


def _empty(path, generator):
    path.write_bytes(b"")


def _rewrite(path, generator):
    text = generator.choice(_TEXTS)
    path.write_bytes(text)
    return repr(text[:20])


def _change_value(path, generator):
    """Changes a value of a JSON file, or replaces all of it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    value = generator.choice(_VALUES)
    if not isinstance(content, dict) or not content:
        path.write_text(json.dumps(value), encoding="utf-8")
        return f"all -> {value!r}"
    part = content
    name = generator.choice(sorted(part))
    while isinstance(part[name], dict) and part[name] and generator.random() < 0.5:
        part = part[name]
        name = generator.choice(sorted(part))
    part[name] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return f"{name} -> {value!r}"


def _insert_line(path, generator):
    lines = path.read_text(errors="surrogateescape", encoding="utf-8").split("\n")
    line = generator.choice(_LINES)
    lines.insert(generator.randrange(len(lines)), line)
    path.write_text("\n".join(lines), errors="surrogateescape", encoding="utf-8")
    return repr(line)
