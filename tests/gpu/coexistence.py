"""What training programs do beside training is left alone, and seen: `samples/pytorch/beside_training.py`."""

import contextlib
import json
import sys

import figures


def computed(told):
    """What must not depend on the recorder. Blocks do depend on what torch.compile has in its cache."""
    return [told["losses"], told["spawned"]["total"], told["spawned_status"], told["forked_status"]]


def check_coexistence(checks, run, bare, recorded, traced, losses):
    """`bare`, `recorded`: what the program printed. `traced`: pool blocks by pid, pinned blocks of other threads than
    the main one, copies from pinned memory, kernels that Triton made. `losses`: serious ones."""
    checks.equal(run, "losses, sum and status of its processes", computed(bare), computed(recorded))
    for who, told in (("program", recorded), ("spawned process", recorded["spawned"])):
        checks.equal(run, f"pool allocations of the {who}", told["blocks"], traced["blocks"].get(told["pid"], 0))
    checks.holds(run, "blocks pinned by another thread", "> 0", traced["pinned"], traced["pinned"] > 0)
    least = 2 * len(recorded["losses"])  # images and labels
    checks.holds(run, "copies from pinned memory", f">= {least}", traced["copies"], traced["copies"] >= least)
    checks.holds(run, "kernels that torch.compile made", "> 0", traced["triton"], traced["triton"] > 0)
    checks.equal(run, "serious losses of events", {}, losses)


def parts(acceptance):
    run = "beside training"
    with acceptance.part(run):
        program = [sys.executable, acceptance.options.samples / "pytorch" / "beside_training.py"]
        status, bare = acceptance.run(f"{run}, bare", program)
        acceptance.checks.equal(run, "exit status, bare", 0, status)
        path = acceptance.work / "coexistence.db"
        status, recorded = acceptance.record(run, path, program, ["--host=off"])
        acceptance.checks.equal(run, "exit status", 0, status)
        with contextlib.closing(figures.open_trace(path)) as trace:
            traced = {
                "blocks": dict(figures.rows(
                    trace, "SELECT p.pid, count(*) FROM device_allocation a JOIN process p ON p.id = a.process_id "
                           "WHERE a.layer = 'pool' GROUP BY p.pid")),
                "pinned": figures.one(
                    trace, "SELECT count(*) FROM device_allocation a JOIN thread t ON t.id = a.thread_id "
                           "JOIN process p ON p.id = a.process_id WHERE a.space = 'pinned' AND t.tid <> p.pid"),
                "copies": figures.one(trace, "SELECT count(*) FROM transfer WHERE src_space = 'pinned'"),
                "triton": figures.one(trace, "SELECT count(*) FROM kernel WHERE name LIKE 'triton%'")}
            losses = figures.serious_losses(trace)
            acceptance.checks.figure(run, "processes recorded", figures.one(trace, "SELECT count(*) FROM process"))
        check_coexistence(acceptance.checks, run, json.loads(bare), json.loads(recorded), traced, losses)
