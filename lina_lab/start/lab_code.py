"""Bind the name `lina_lab` to the package that this file is part of, whatever else the search path holds.

As a script, MODULE WORDS: run a module then, as `python -m` does. As a module, a fork server loads it first: nothing
but this file is in its folder, so that the folder can stand on a search path and shadow nothing.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
sys.path.insert(0, ROOT)
import lina_lab  # noqa: E402

sys.path.remove(ROOT)
import lina_lab.provenance  # noqa: E402

lina_lab.provenance.checkout()  # of this moment, before anything of the package is loaded

if __name__ == "__main__":
    import runpy

    from lina_lab.interpreter import write_anything

    write_anything()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
