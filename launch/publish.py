"""Publishes a trained run: a model card, its config, parameters and figures.

    python -m launch.publish --workdir=RUN --repo=USER/NAME --dry_run=FOLDER
    python -m launch.publish --workdir=RUN --repo=USER/NAME

The first command writes the folder that the second one uploads to the Hugging Face hub.
`--workdir` of the other programs then takes that folder, or hf:USER/NAME.
"""

from . import start  # isort: skip, it quietens XLA before anything loads it

import json
import pathlib
import re
import shutil
import tempfile

from absl import flags, logging

from dlx import tasks
from dlx.errors import UserError
from dlx.runtime import published, restore, rundir
from dlx.runtime.evaluate import evaluate
from dlx.runtime.writers import to_json

from .report.numbers import short

_WORKDIR = start.path_flag("workdir", None, "The run's folder.", required=True)
_REPO = flags.DEFINE_string(
    "repo", None, "The repository on the hub, USER/NAME.", required=True
)
_DRY_RUN = start.path_flag(
    "dry_run", None, "Write this folder, which must not exist, and upload nothing."
)
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "best", ["best", "latest"], "The checkpoint to publish."
)
_LICENSE = flags.DEFINE_string(
    "license", None, "The licence of the model, by its name on the hub, such as mit."
)
_PRIVATE = flags.DEFINE_bool("private", False, "Make a new repository private.")

# The hub's names of what a model does.
_PIPELINES = {
    "play": "reinforcement-learning",
    "classify": "image-classification",
    "sample": "unconditional-image-generation",
    "paint": "image-to-image",
}
_CARD = """---
{{ card_data }}
---

# {{ title }}

This model was trained with dlx: `{{ config_name }}`, seed {{ seed }}, step {{ step }}.

| measure | value |
| --- | --- |
{% for name, value in metrics.items() -%}
| {{ name }} | {{ "%.6g" % value }} |
{% endfor %}
The numbers are those of the published checkpoint, evaluated again when this card was
written. They are of one run (n = 1). It trained for {{ seconds }} s{{ where }}.

## Use

```sh
dlx evaluate --workdir=hf:{{ repo }}
```

```python
from dlx import tasks
from dlx.runtime import restore

run = restore.load("hf:{{ repo }}", tasks.make)
run.state.params  # and run.task, run.config, run.step
```
{% for name in files %}
`config.{{ name }}` names a file of the machine that trained, which you need, too.
{% endfor %}
The optimiser's state is not included.
{% if figures %}
## Figures
{% for path in figures %}
![{{ path }}]({{ path }})
{% endfor %}{% endif %}
## Config

```json
{{ config }}
```
"""


def main() -> None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", _REPO.value):
        raise UserError(f"--repo={_REPO.value} is not USER/NAME")
    if _DRY_RUN.value:
        try:
            _DRY_RUN.value.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"--dry_run={_DRY_RUN.value}: {error.strerror}") from None
        _write(_DRY_RUN.value)
        print(_DRY_RUN.value)
        return
    with tempfile.TemporaryDirectory() as folder:
        _write(pathlib.Path(folder))
        print(_upload(folder))


def _write(folder):
    """Writes everything that is published to a folder."""
    workdir = _WORKDIR.value
    run = restore.load(workdir, tasks.make, best=_CHECKPOINT.value == "best")
    summary = rundir.read_summary(workdir)
    metrics = evaluate(run.task, run.keys, run.step, run.state)
    metrics = {name.removeprefix("eval/"): n for name, n in metrics.items()}
    config = run.config.to_dict()
    files = published.write(folder, run.task, config, run.step, run.state)
    if files:
        logging.warning("files of this machine are not published: %s", ", ".join(files))
    own = {"status", "seconds", "compile_seconds", "wall_seconds", "goodput"}
    kept = {name: value for name, value in summary.items() if name not in own}
    kept |= {"step": run.step, "metrics": metrics}
    if isinstance(kept.get("provenance"), dict):
        command = str(kept["provenance"].get("command") or "")
        kept["provenance"] |= {"command": _without_folders(command)}
    (folder / "summary.json").write_text(
        to_json(kept, indent=2) + "\n", encoding="utf-8"
    )
    figures = _copy_figures(workdir / "figures", folder / "figures")
    card = _card(run, kept, files, [f"figures/{name}" for name in figures], folder)
    card.save(folder / "README.md")


def _without_folders(command):
    """A command without --workdir, and with only the names of other absolute paths."""
    command = re.sub(r"\s--workdir[= ]\S+", "", command)
    return re.sub(r"(?<![\w.])/(\S*/)?", "", command)


def _copy_figures(source, target):
    """Copies the figures, not their frames; returns the pictures' names."""
    found = sorted(path for path in source.glob("*") if path.is_file())
    if found:
        target.mkdir()
    for path in found:
        shutil.copyfile(path, target / path.name)
    return [path.name for path in found if path.suffix in (".png", ".gif")]


def _card(run, summary, files, figures, folder):
    """The model card."""
    import huggingface_hub

    name = str(summary.get("config") or run.config.task)
    pipeline = _pipeline(run.config)
    data = huggingface_hub.ModelCardData(
        library_name="dlx",
        license=_LICENSE.value,
        pipeline_tag=pipeline,
        tags=["jax", "dlx", name],
        model_name=_REPO.value.split("/")[1],
        eval_results=_eval_results(run, summary, pipeline) or None,
    )
    ran = summary.get("provenance") or {}
    where = [str(ran["machine"])] if ran.get("machine") else []
    where += [f"commit {ran['commit']}"] if ran.get("commit") else []
    return huggingface_hub.ModelCard.from_template(
        data,
        template_str=_CARD,
        title=_REPO.value.split("/")[1],
        repo=_REPO.value,
        config_name=name,
        seed=run.config.seed,
        step=run.step,
        metrics=summary["metrics"],
        seconds=short(summary.get("train_seconds", 0), 3),
        where=f" ({', '.join(where)})" if where else "",
        files=files,
        figures=figures,
        config=(folder / "config.json").read_text(encoding="utf-8").strip(),
    )


def _pipeline(config):
    abilities = tasks.abilities(config)
    can = (name for ability, name in _PIPELINES.items() if getattr(abilities, ability))
    return next(can, None)


def _eval_results(run, summary, pipeline):
    """The run's metric in the form that the hub reads."""
    import huggingface_hub

    game = run.config.get("env", {}).get("name", "rocks")
    data = str(run.config.get("dataset", game)).split(":")[0]
    metric = run.task.metric
    value = summary["metrics"].get(metric)
    if value is None or pipeline is None:
        return []
    return [
        huggingface_hub.EvalResult(
            task_type=pipeline,
            dataset_type=data,
            dataset_name=data,
            metric_type=metric,
            metric_value=json.loads(to_json(value)),
        )
    ]


def _upload(folder):
    """Uploads a folder to the hub; returns its address."""
    import huggingface_hub

    hub = huggingface_hub.HfApi()
    try:
        hub.create_repo(_REPO.value, private=_PRIVATE.value or None, exist_ok=True)
        hub.upload_folder(
            repo_id=_REPO.value,
            folder_path=folder,
            commit_message="Publish a run of dlx",
        )
    except Exception as error:  # no token, no network, errors of the hub
        reason, *_ = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"cannot upload to {_REPO.value}: {reason}") from None
    return f"{hub.endpoint}/{_REPO.value}"


if __name__ == "__main__":
    start.run(main)
