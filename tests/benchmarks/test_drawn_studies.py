from typing import Any

import numpy as np
import pytest

from benchmarks.studies import DESIGNS, draw
from infusionlaw.law.design.simulate import true_points
from infusionlaw.law.dose import log_odds


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.letter)
def test_drawn_worlds_are_what_their_kind_says(design: Any) -> None:
    for number in range(20):
        study = draw(design, np.random.default_rng(number))
        world = study.world
        assert (len(study.sizes), len(study.token_counts), study.shares[0]) == (design.sizes, design.token_counts, 0)
        assert 64 <= world.facts <= 256 and world.shape == design.shape
        assert (world.floor is not None) == design.floor
        if world.collapse is None:
            assert design.letter == "l"
            continue
        assert design.exponents[0] <= world.collapse.size <= design.exponents[1]
        middle = world.collapse.at
        beyond = 0
        for size in study.sizes:
            for tokens in study.token_counts:
                x = true_points(world, size, tokens)
                assert x["collapse"] is not None and x["acquisition"] is not None
                assert x["collapse"] - x["acquisition"] - world.rise >= 0.2
                beyond += not log_odds(study.shares[1]) < x["collapse"] < log_odds(study.shares[-1])
        assert log_odds(0.4) <= middle <= log_odds(0.95) or 0 < beyond < len(study.sizes)
