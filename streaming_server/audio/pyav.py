"""PyAV, FFmpeg's libraries, imported whole.

Import it from here only. PyAV leaves some of its modules, such as `av.filter`, to be imported later, and the
process crashes if one thread does so while another one encodes.
"""

import av
import av.filter

__all__ = ["av"]
