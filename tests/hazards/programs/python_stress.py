"""Threads that allocate in every state of the interpreter: with and without the GIL, while it
collects garbage, while threads start and end, while it is shut down around daemon threads."""

import ctypes
import gc
import random
import threading
import time

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
ROUNDS = 60
gc.set_threshold(50)


class Node:
    def __init__(self, depth):
        self.me = self
        self.child = Node(depth - 1) if depth else None

    def __del__(self):
        self.last_words = [str(i) for i in range(3)]


def numbers(limit):
    for i in range(limit):
        yield {i: [i] * (i % 7)}


def work(seed):
    chance = random.Random(seed)
    for i in range(ROUNDS):
        Node(chance.randrange(12))
        sum(len(entry) for entry in numbers(20))
        libc.free(libc.malloc(chance.randrange(1, 5000)))
        exec(compile("\n" * (i % 5) + "x = [j for j in range(10)]", "made up", "exec"), {})
        try:
            {}[chance.random()]
        except KeyError:
            pass
        if i % 20 == 0:
            gc.collect()


def in_other_interpreters():
    """An interpreter of its own on this thread, whose frames hang on another thread state."""
    try:
        import _interpreters as interpreters  # 3.13
    except ImportError:
        import _xxsubinterpreters as interpreters
    for _ in range(3):
        other = interpreters.create()
        interpreters.run_string(other, "def f(n):\n  return [str(i) for i in range(n)]\nf(500)")
        interpreters.destroy(other)


def without_the_gil():
    while True:
        for _ in range(20):
            libc.free(libc.malloc(64))
        time.sleep(0.001)


daemons = [threading.Thread(target=without_the_gil, daemon=True) for _ in range(2)]
for daemon in daemons:
    daemon.start()
for generation in range(3):
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
in_other_interpreters()
print("done")
