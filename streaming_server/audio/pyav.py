"""PyAV, FFmpeg's libraries, imported whole.

Import it from here only. PyAV leaves some of its modules, such as `av.filter`, to be imported later, and the
process crashes if one thread does so while another one encodes.
"""

import ctypes
from pathlib import Path

import av
import av.filter

__all__ = ["av"]


def _start_no_threads() -> None:
    """Let FFmpeg believe in one core.

    It would start a thread per core, up to fifteen, with each graph of filters, and PyAV makes such a graph
    for each encoder. The threads would have nothing to do, as audio is not cut into slices.
    """
    package = Path(av.__file__).parent
    for folder in (package.parent / "av.libs", package / ".dylibs"):  # Of wheels for Linux, and for macOS.
        for library in folder.glob("libavutil*"):
            ctypes.CDLL(str(library)).av_cpu_force_count(1)


_start_no_threads()
