"""Evaluations that do not fit into memory."""

import pytest

from configs import pg_rocks8
from dlx.errors import UserError
from dlx.rl import evaluation
from dlx.runtime import memory


def test_more_episodes_than_fit_are_refused(monkeypatch):
    config = pg_rocks8.get_config()
    env = evaluation.make_env(config)
    monkeypatch.setattr(memory, "free", lambda device: 10**9)
    evaluation.make(config, env, lambda params, observations: observations)
    config.eval_rocks = 10**8
    with pytest.raises(UserError, match=r"eval_rocks=100000000: .* 10000000 epis"):
        evaluation.make(config, env, lambda params, observations: observations)
