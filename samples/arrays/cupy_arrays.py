"""Twenty arrays of CuPy, each of another size, every other one given up; prints their sizes as JSON."""

import json

import cupy

MIB = 1 << 20

sizes = [2 * i * MIB - 4096 for i in range(1, 21)]
arrays = [cupy.zeros(size, dtype=cupy.uint8) for size in sizes]
cupy.cuda.Device().synchronize()
del arrays[::2]
print(json.dumps({"sizes": sizes, "kept": [array.nbytes for array in arrays]}))
