"""A training process keeps its memory."""

import ctypes
import json
import subprocess
import sys

import pytest

# What glibc's mallinfo2(3) tells of one array of 64 MiB while it lives and after it: bytes in maps of their own, and
# bytes of the heap.
PROGRAM = """
import ctypes, json, sys, torch
from infusionlaw.training.host import settle
FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo2
if sys.argv[1] == "settled":
    settle()
before = mallinfo2()
array = torch.ones(1 << 24)
during = mallinfo2()
del array
after = mallinfo2()
print(json.dumps({"mapped": during.hblkhd - before.hblkhd, "kept": after.arena - before.arena}))
"""
HALF = 1 << 25  # of the array: free memory at the top of the heap serves some of it


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library does not tell (glibc 2.33 does)")
def test_a_settled_process_keeps_the_memory_of_its_large_arrays():
    told = {
        how: json.loads(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, check=True).stdout)
        for how in ("settled", "plain")
    }
    assert told["plain"]["mapped"] > HALF > told["plain"]["kept"], told
    assert told["settled"]["mapped"] == 0 and told["settled"]["kept"] > HALF, told
