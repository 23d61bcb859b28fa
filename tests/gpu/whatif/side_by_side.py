"""Runs cases in processes of their own beside each other, never more than the devices have memory for.

A process is forked, so that what the parent imported need not be imported again; the parent itself may
not touch a GPU. A case that needs two GPUs is two processes, its ranks; the figures are those of rank 0."""

import multiprocessing
import os
import socket
import time
from multiprocessing import connection

import train

CONTEXT = multiprocessing.get_context("fork")
SECONDS_FOR_ONE = 150


class Job:
    def __init__(self, name, arguments, most_bytes, ranks=1):
        self.name = name              # of the case
        self.arguments = arguments    # of train.py
        self.most_bytes = most_bytes  # that it may take of each device
        self.ranks = ranks


def _of_failure(error):
    text = f"{type(error).__name__}: {error}"[:300]
    # cuDNN tries one algorithm after the other when their workspaces find no room.
    if type(error).__name__ == "OutOfMemoryError" or "unable to find an engine" in text:
        import torch

        stats = torch.cuda.memory_stats()
        return {"out_of_memory": text, "figures": {key: stats[key] for key in train.FIGURES}, "step_seconds": []}
    return {"error": text}


def _in_a_fork(job, rank, port, threads, pipe):
    os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(job.ranks),
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    started = time.time()
    try:
        if threads:
            import torch

            torch.set_num_threads(threads)
        result = train.train(train.parse(job.arguments))
    except Exception as error:  # said in the table
        result = _of_failure(error)
    result["seconds"] = time.time() - started
    pipe.send(result)
    pipe.close()


class _Running:
    def __init__(self, job, threads):
        self.job = job
        self.started = time.time()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.pipes, self.processes = [], []
        for rank in range(job.ranks):
            here, there = CONTEXT.Pipe(duplex=False)
            process = CONTEXT.Process(target=_in_a_fork, args=(job, rank, port, threads, there))
            process.start()
            there.close()
            self.pipes.append(here)
            self.processes.append(process)

    def late(self):
        return time.time() - self.started > SECONDS_FOR_ONE

    def result(self):
        """Of rank 0, once it has one or its process has ended; ends the other ranks."""
        try:
            result = self.pipes[0].recv() if self.pipes[0].poll() else {
                "error": f"not done after {SECONDS_FOR_ONE} s"}
        except EOFError:
            self.processes[0].join()
            result = {"error": f"ended with status {self.processes[0].exitcode}"}
        for process in self.processes:
            process.join(20 if "error" not in result else 0.1)
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in self.pipes:
            pipe.close()
        result["name"] = self.job.name
        return result


def run(jobs, device_bytes, say, threads=4):
    """The results in order of names. `say` is given each as it comes. Large ones start first. With
    device_bytes=0 they run one by one; with threads=0 each has as many as PyTorch chooses."""
    waiting = sorted(jobs, key=lambda job: job.most_bytes, reverse=True)
    running, results = [], []
    while waiting or running:
        for job in list(waiting):
            taken = sum(one.job.most_bytes for one in running)
            if not running or taken + job.most_bytes <= device_bytes:
                waiting.remove(job)
                running.append(_Running(job, threads))
        connection.wait([one.pipes[0] for one in running], timeout=5)
        for one in list(running):
            if one.pipes[0].poll() or not one.processes[0].is_alive() or one.late():
                running.remove(one)
                results.append(one.result())
                say(results[-1])
    return sorted(results, key=lambda result: result["name"])
