"""Python runs this at its start under `tidemark record --pools=expose`, whose environment names this
folder first. CuPy has no switch in the environment, so it is told when the program imports it: each
array of its own from the driver, none from a pool. Then the program's own sitecustomize has its turn
and takes this one's place. Whatever goes wrong here, the program runs on as without it.
"""

import sys


class _TellCupy:
    """Finds nothing; sees that `cupy` is about to be imported, and is called once it has been."""

    def find_spec(self, name, path=None, target=None):
        if name != "cupy":
            return None
        sys.meta_path.remove(self)
        import importlib.util
        spec = importlib.util.find_spec(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            run = spec.loader.exec_module

            def run_and_tell(module):
                run(module)
                try:
                    module.cuda.set_allocator(None)
                    module.cuda.set_pinned_memory_allocator(None)
                except Exception:  # another CuPy than we know
                    pass

            spec.loader.exec_module = run_and_tell
        return spec


def _next_sitecustomize():
    import importlib.machinery
    import importlib.util
    import os
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None:
        return None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    return lambda: spec.loader.exec_module(module)


try:
    sys.meta_path.insert(0, _TellCupy())
    _run = _next_sitecustomize()
except Exception:
    _run = None
if _run is not None:
    _run()  # what it raises is the program's own
