"""Writes a file by `atomic_write`, and waits within until it is killed: `TARGET`."""

import sys
import time

from lpt.machine.files import atomic_write

if __name__ == "__main__":
    with atomic_write(sys.argv[1], overwrite=True) as path:
        path.write_text("half")
        print("writing", flush=True)
        time.sleep(120)
