"""Keep the log lines of C++ libraries off the screen."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Log lines of MediaPipe and LiteRT on stderr, which notebooks show in the cell. Neither an environment variable nor a
# call sets their log level.
LOG_LINE = re.compile(rb"^(INFO: |WARNING: Logging before|[IW]\d{4} )")
_lock = threading.Lock()


@contextmanager
def without_lines(unwanted: re.Pattern[bytes]) -> Iterator[list[bytes]]:
    """Drop matching lines from file descriptor 2, below Python's ``sys.stderr``, and list them after the body."""
    dropped: list[bytes] = []
    # One thread at a time: two nested across threads would restore each other's file.
    with _lock, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield dropped
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if unwanted.match(line):
                    dropped.append(line)
                else:
                    os.write(2, line)
