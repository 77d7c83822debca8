"""What a process imports before it has to: torchvision takes seconds, with torch's compiler."""

import subprocess
import sys

SAID = """
import sys, cluster.adding, cluster.describing, cluster.fleet, cluster.label
from training.models.device import compute_with
print("torchvision" in sys.modules)
compute_with(1)
print("torchvision" in sys.modules)
"""


def test_a_process_that_only_plans_does_not_import_torchvision_and_one_that_computes_does_so_first() -> None:
    done = subprocess.run([sys.executable, "-c", SAID], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
