"""Python work as programs do it: JSON, strings, comprehensions, objects, regular expressions, recursion.

    mix.py ROUNDS

Deterministic; prints wall and processor time of the work and a checksum as one line of JSON.
"""

import json
import re
import sys
import time


class Node:
    def __init__(self, key, value):
        self.key = key
        self.value = value
        self.left = None
        self.right = None

    def insert(self, key, value):
        if key < self.key:
            if self.left is None:
                self.left = Node(key, value)
            else:
                self.left.insert(key, value)
        elif self.right is None:
            self.right = Node(key, value)
        else:
            self.right.insert(key, value)

    def items(self):
        if self.left is not None:
            yield from self.left.items()
        yield self.key, self.value
        if self.right is not None:
            yield from self.right.items()


def tree(seed):
    keys = [(seed * 7919 + i * 104729) % 100003 for i in range(300)]
    root = Node(keys[0], str(keys[0]))
    for key in keys[1:]:
        root.insert(key, f"value-{key}")
    return sum(len(value) for _, value in root.items())


def documents(seed):
    rows = [{"id": i, "name": f"row {seed}.{i}", "tags": [f"t{j}" for j in range(i % 7)],
             "at": {"x": i / 3, "y": -i, "nested": {"deep": [i, [i, [i]]]}}} for i in range(60)]
    text = json.dumps(rows, indent=1, sort_keys=True)
    return len(json.loads(text)) + len(text)


def words(seed):
    text = " ".join(f"w{(seed + i * 37) % 997}" for i in range(400))
    counts = {}
    for word in re.findall(r"w(\d+)", text):
        counts[word] = counts.get(word, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return sum(count * len(word) for word, count in ranked)


def matrices(seed):
    a = [[(seed + i * j) % 17 + 0.5 for j in range(14)] for i in range(14)]
    product = [[sum(x * y for x, y in zip(row, column)) for column in zip(*a)] for row in a]
    return int(sum(map(sum, product)))


def evaluate(depth, seed):
    if depth == 0:
        return [seed % 251]
    left = evaluate(depth - 1, seed * 3 + 1)
    return left + [depth] if depth % 2 else [str(left[0]) and left[0]] + left


def main():
    rounds = int(sys.argv[1])
    start, cpu_start = time.perf_counter(), time.process_time()
    checksum = 0
    for i in range(rounds):
        for work in (tree, documents, words, matrices):
            checksum += work(i)
        checksum += len(evaluate(25, i))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "checksum": checksum}))


main()
