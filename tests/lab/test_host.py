"""A training process keeps its memory."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from infusionlaw.lab.host import settle
from infusionlaw.lab.model import Model
from infusionlaw.lab.recipe import shape_for
if sys.argv[1] == "settled":
    settle()
torch.set_num_threads(1)
model = Model(shape_for(147_000, 1024), [torch.Generator().manual_seed(0)])
tokens = torch.zeros(1, 8, 128, dtype=torch.int64)
def faults(steps):
    for _ in range(steps):
        model.loss(tokens, tokens).sum().backward()
        model.zero_grad(set_to_none=True)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults(30)
print(faults(10) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are told for glibc")
def test_steps_of_a_settled_process_take_no_fresh_pages():
    faults = {
        how: int(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, check=True).stdout)
        for how in ("settled", "plain")
    }
    assert faults["settled"] < faults["plain"] / 5, faults
