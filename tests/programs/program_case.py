"""What a real program's case says of itself. Each file in cases/ defines one or more subclasses.

A case makes its own inputs, names its command and says which of its outputs vary between two bare
runs and why; all else is compared byte for byte. Nothing here knows of Tidemark but `explained`.
"""

import os
import random
import shutil


# What Debian installed, not what a user has put before it.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Case:
    name = ""             # of the row, and of the ctest
    packages = ()         # Debian packages that it needs
    timeout_s = 900
    exit_status = 0       # what the bare program ends with: a case that fails alike tests nothing
    # Losses of severity data_loss or error that have to be there, and why they are right. Also
    # "frees_of_unknown_memory": the only counter of severity info that a double free would raise.
    explained = {}
    may_be_absent = ()    # of `explained`: those that depend on timing
    # The trace has to hold at least so much; a case that records nothing tests nothing.
    least_allocations = 1000
    least_processes = 1
    runs_as = None        # a user's name instead of root

    def __init__(self, size="full"):
        self.size = size
        self.random = random.Random()  # seeded before prepare()

    def by_size(self, small, full):
        return small if self.size == "small" else full

    def missing(self):
        """What this machine lacks to run it, in words; None: nothing."""
        return missing_programs()

    def prepare(self, work):
        """Makes the inputs in an empty folder. Same bytes each time."""

    def command(self, work):
        raise NotImplementedError

    def environment(self, work):
        return {}

    def stdout(self, text):
        """Takes out what varies between two bare runs; say why."""
        return text

    def stderr(self, text):
        return text

    def left_out(self, path):
        """Whether a produced file varies between two bare runs; say why."""
        return False

    def content(self, path, data):
        """A produced file without what varies between two bare runs; say why."""
        return data

    def check_trace(self, trace):
        """Returns what the trace should say of this program and does not. `trace.sql(query)`."""
        return []


def missing_programs(*names):
    absent = [name for name in names if shutil.which(name, path=PATH) is None]
    return f"needs {', '.join(absent)}" if absent else None


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
