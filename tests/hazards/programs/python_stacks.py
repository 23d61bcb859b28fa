"""Allocates a block of a size of its own in each of the ways that Python code can come to run, and
prints for each size which frames the interpreter itself saw: what a trace of it must say."""

import asyncio
import contextlib
import ctypes
import functools
import json
import mmap
import multiprocessing
import os
import queue
import sys
import threading
import types
import warnings

libc = ctypes.CDLL(None)  # lets go of the GIL during a call
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc_with_gil = ctypes.PyDLL(None)
libc_with_gil.malloc.restype = ctypes.c_void_p
libc_with_gil.malloc.argtypes = [ctypes.c_size_t]

expected = []
sizes = iter(range(5_000_000, 9_000_000, 8192))


def note(scenario, size, _block):
    """The frames of the caller and its callers, innermost first."""
    frames = []
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        frames.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
        frame = frame.f_back
    expected.append({"scenario": scenario, "size": size, "frames": frames})


def block(scenario):
    size = next(sizes)
    note(scenario, size, libc.malloc(size))
    return size


def plain():
    block("plain")


def holding_the_gil():
    size = next(sizes)
    note("holding the GIL", size, libc_with_gil.malloc(size))


def byte_array():
    size = next(sizes)
    note("bytearray", size, bytearray(size))


def mapping():
    size = next(sizes) // 4096 * 4096
    note("mmap", size, mmap.mmap(-1, size))


def recursion(depth, scenario="recursion"):
    if depth > 0:
        return (
            recursion(depth - 1, scenario)
        )
    return block(scenario)


def generator():
    yield 1
    yield block("generator")


def delegating():
    yield from generator()


def generators():
    for _ in delegating():
        pass
    list(block("generator expression") for _ in range(1))


def comprehensions():
    [block("list comprehension") for _ in range(1)]
    {block("set comprehension") for _ in range(1)}
    {1: block("dict comprehension") for _ in range(1)}
    [[block("nested comprehension") for _ in range(1)] for _ in range(1)]


def callbacks():
    sorted([1], key=lambda _: block("sorted key"))
    functools.reduce(lambda a, b: block("reduce"), [1, 2])
    list(map(lambda _: block("map"), [1]))
    list(filter(lambda _: block("filter"), [1]))
    max([1], key=lambda _: block("max key"))
    functools.partial(block, "partial")()
    json.dumps({"a": object()}, default=lambda _: block("json default"))


def through_libc():
    compare_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    calls = []

    def compare(_a, _b):
        if not calls:
            calls.append(block("qsort"))
        return 0

    libc.qsort((ctypes.c_int * 2)(2, 1), 2, 4, compare_type(compare))


class Counting:
    made = block("class body")

    def __init__(self):
        block("__init__")

    def __enter__(self):
        block("__enter__")
        return self

    def __exit__(self, *_):
        block("__exit__")

    def __getattr__(self, name):
        block("__getattr__ " + name)
        return name

    def __getitem__(self, key):
        return block("__getitem__")

    def __lt__(self, other):
        block("__lt__")
        return True

    def __del__(self):
        block("__del__")

    @property
    def lazy(self):
        return block("property")


def objects():
    counting = Counting()
    counting.absent
    counting[1]
    counting.lazy
    min(counting, counting) if counting < counting else None
    with counting as entered, contextlib.suppress(ValueError):
        block("with")
        raise ValueError
    entered = None
    del counting


def decorated(scenario):
    def decorate(function):
        block("decorator")

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)
        return wrapper
    return decorate


@decorated("x")
def with_decorator():
    block("decorated")


def exceptions():
    try:
        raise KeyError("x")
    except KeyError:
        block("except")
    finally:
        block("finally")
    try:
        [][1]
    except IndexError as error:
        try:
            raise RuntimeError from error
        except RuntimeError:
            block("nested except")


def deep_exception():
    def fall(depth):
        try:
            if depth == 0:
                raise ValueError
            fall(depth - 1)
        except ValueError:
            if depth == 3:
                block("unwinding exception")
            raise
    with contextlib.suppress(ValueError):
        fall(5)


async def coroutine():
    block("coroutine")
    await asyncio.sleep(0)
    block("coroutine resumed")


async def asynchronous_generator():
    yield block("asynchronous generator")


async def asynchronous():
    await coroutine()
    await asyncio.gather(coroutine(), coroutine())
    async for _ in asynchronous_generator():
        pass
    [block("asynchronous comprehension") async for _ in asynchronous_generator()]


def made_up_code():
    # Different code again and again at what may be the same address.
    for lines in range(12):
        source = "\n" * lines + "block('exec %d')" % lines
        exec(compile(source, "made up %d" % (lines % 3), "exec"), {"block": block})
    eval("block('eval')", {"block": block})
    eval(compile("(lambda: block('umläut'))()", "grüße/世界/\U0001f40d.py", "eval"), {"block": block})
    renamed = types.FunctionType(plain.__code__.replace(co_name="renamed", co_firstlineno=77), globals())
    renamed()


def long_function():
    # More than 255 bytes of code and more than 127 lines between two calls.
    lines = ["def far():", "    block('near')"] + [""] * 700 + ["    x = %s" % " + ".join(["1"] * 5)]
    lines += ["    x = x * 1 + 0 * x"] * 400 + [""] * 300 + ["    block('far')"]
    names = {"block": block}
    exec(compile("\n".join(lines), "long.py", "exec"), names)
    names["far"]()


def recursion_error():
    def endless():
        endless()
    try:
        endless()
    except RecursionError:
        block("after RecursionError")


def threads():
    """Threads in frames of their own, waiting without the GIL or not, while others allocate."""
    started = queue.Queue()
    go_on = threading.Event()

    def work(scenario, size):
        started.put(1)
        go_on.wait()
        for _ in range(20):
            libc.free(libc.malloc(64))
        note(scenario, size, libc.malloc(size))

    def one(size):
        work("thread one", size)

    def two(depth, size):
        two(depth - 1, size) if depth > 0 else work("thread two", size)

    workers = [threading.Thread(target=one, args=(next(sizes),)),
               threading.Thread(target=two, args=(7, next(sizes)))]
    for worker in workers:
        worker.start()
    for _ in workers:
        started.get()
    block("while threads wait")
    go_on.set()
    for worker in workers:
        worker.join()


def foreign_thread():
    """A thread that C code made, and that the interpreter meets when it calls back."""
    start = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: block("foreign thread") and None)
    thread = ctypes.c_ulong()
    pthread = libc if hasattr(libc, "pthread_create") else ctypes.CDLL("libpthread.so.0")
    pthread.pthread_create(ctypes.byref(thread), None, start, None)
    pthread.pthread_join(thread, None)


def in_child(scenario):
    before = len(expected)
    recursion(2, scenario)
    return expected[before:]


def forked():
    reader, writer = os.pipe()
    sys.stdout.flush()
    # Since 3.12 fork warns when the kernel still counts a thread, which can be one just joined.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(in_child("fork")).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        expected.extend(json.loads(pipe.read()))
    next(sizes)


def in_pool(size):
    note("multiprocessing", size, libc.malloc(size))
    return expected[-1]


def workers():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        expected.extend(pool.map(in_pool, [next(sizes) for _ in range(4)]))



def main():
    plain()
    holding_the_gil()
    byte_array()
    mapping()
    recursion(10)
    generators()
    comprehensions()
    callbacks()
    through_libc()
    objects()
    with_decorator()
    exceptions()
    deep_exception()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asynchronous())
    loop.close()
    made_up_code()
    long_function()
    recursion_error()
    recursion(200, "deep")
    sys.setrecursionlimit(5000)
    recursion(1000, "very deep")
    threads()
    foreign_thread()
    forked()
    workers()
    (lambda: block("lambda"))()


if __name__ == "__main__":
    main()
    for entry in sorted(expected, key=lambda entry: entry["size"]):
        print(json.dumps(entry))
