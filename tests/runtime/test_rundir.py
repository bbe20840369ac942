"""A run's folder, as later programs read it."""

import json

from dlx.runtime import rundir


def test_the_config_of_an_older_run_has_todays_names(tmp_path):
    then = {
        "task": "gan",
        "kind": "pictures",
        "judge": True,
        "views": "split",
        "seed": 3,
    }
    (tmp_path / "config.json").write_text(json.dumps(then))
    assert rundir.read_config(tmp_path) == {
        "task": "gan",
        "modality": "images",
        "reference_classifier": True,
        "d_inputs": "split",
        "seed": 3,
    }
    sounds = {"task": "gan", "kind": "sounds"}
    (tmp_path / "config.json").write_text(json.dumps(sounds))
    assert rundir.read_config(tmp_path) == {"task": "gan", "modality": "sounds"}
