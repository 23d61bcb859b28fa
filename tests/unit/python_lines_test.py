"""Line tables are decoded as each interpreter decodes its own, for the code of its standard library
and for made-up code with jumps, gaps and long lines. Standard library only."""

import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "hazards"))
import pythons  # noqa: E402

PROBE = os.environ["PROBE"]

# Runs in the interpreter under test: prints requests for the probe, each with the answer expected.
ASK = r"""
import dis, importlib, sys, types
MINOR = sys.version_info[1]
MODULES = '''argparse ast asyncio.base_events asyncio.tasks collections configparser csv dataclasses
datetime decimal difflib email.message enum functools heapq inspect json.decoder json.encoder logging
mimetypes os pathlib pickle platform random re shutil socket statistics string subprocess tarfile
tempfile textwrap threading tokenize traceback typing unittest.case urllib.parse uuid warnings
xml.dom.minidom zipfile'''.split()
seen = set()

def lines_of(code):
    count = len(code.co_code) // 2
    lines = [0] * count
    if MINOR >= 10:
        for start, end, line in code.co_lines():
            for i in range(start // 2, end // 2):
                lines[i] = line or 0
    else:
        starts = list(dis.findlinestarts(code))
        line, at = code.co_firstlineno, 0
        for i in range(count):
            while at < len(starts) and starts[at][0] <= i * 2:
                line = starts[at][1]
                at += 1
            lines[i] = line
    return lines

def ask(code):
    if code in seen:
        return
    seen.add(code)
    table = code.co_linetable if MINOR >= 10 else code.co_lnotab
    lines = lines_of(code)
    print(MINOR, code.co_firstlineno, len(lines), table.hex() or '-', *lines)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            ask(constant)

for name in MODULES:
    module = importlib.import_module(name)
    with open(module.__file__, encoding='utf-8') as source:
        ask(compile(source.read(), module.__file__, 'exec'))
MADE_UP = [
    'x = 1' + '\n' * 1000 + 'y = (x +' + '\n' * 300 + ' x)\n',
    'def f():\n' + '  x = 1; ' * 300 + '\n' + '\n' * 200 + '  return (lambda:\n\n\n x)\n',
    'for i in (1,\n 2,\n 3):\n  try:\n    i\n  finally:\n    del i\n',
    'x = (\n 1 if a\n else\n b(\n c\n )\n)' + '\n' * 129 + 'z = 1' + '\n' * 128 + 'z = 1',
    'with a as b, c:\n pass\n[i\n for i in\n range(3)\n if i]\n', '',
]
for source in MADE_UP:
    ask(compile(source, 'made up', 'exec'))
"""


class Lines(unittest.TestCase):
    def test_lines_are_those_that_the_interpreter_finds(self):
        for python in pythons.supported():
            with self.subTest(python=python.name):
                self.compare(python)

    def compare(self, python):
        asked = subprocess.run([python.path, "-W", "ignore", "-c", ASK], check=True,
                               capture_output=True, text=True).stdout.splitlines()
        requests, expected = [], []
        for line in asked:
            words = line.split()
            requests.append(" ".join(words[:4]))
            expected.append(words[4:])
        answers = subprocess.run([PROBE], input="\n".join(requests) + "\n", check=True,
                                 capture_output=True, text=True).stdout.splitlines()
        self.assertEqual(len(answers), len(requests))
        instructions = 0
        for request, wanted, answer in zip(requests, expected, answers):
            self.assertEqual(answer.split(), wanted, request)
            instructions += len(wanted)
        print(f"{python.name}: {len(requests)} code objects, {instructions} instructions")
        self.assertGreater(len(requests), 1000)

    def test_damaged_tables_give_some_answer(self):
        """Cut off anywhere, or nonsense: a number for each instruction, and no crash."""
        table = bytes(range(256)) + b"\xff" * 20 + b"\xf0\x40\x40\x40\x40\x40\x40\x40\x40\x40\x80\x7f"
        requests = [f"{minor} 1 400 {table[:end].hex() or '-'}"
                    for minor in range(8, 15) for end in range(0, len(table), 3)]
        answers = subprocess.run([PROBE], input="\n".join(requests) + "\n", check=True,
                                 capture_output=True, text=True).stdout.splitlines()
        self.assertEqual([len(answer.split()) for answer in answers], [400] * len(requests))


if __name__ == "__main__":
    unittest.main(verbosity=2)
