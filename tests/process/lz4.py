"""lz4.py: LZ4 frames for peers that a test plays, by liblz4, the library that kvnode itself is built with."""
from __future__ import annotations

import ctypes

_lib = ctypes.CDLL("liblz4.so.1")
_lib.LZ4F_getErrorName.restype = ctypes.c_char_p
for _name in ("LZ4F_compressFrameBound", "LZ4F_compressFrame", "LZ4F_decompress", "LZ4F_createDecompressionContext"):
    getattr(_lib, _name).restype = ctypes.c_size_t
_VERSION = 100
_PART = 1 << 16


def frame(data: bytes) -> bytes:
    """One whole frame."""
    bound = _lib.LZ4F_compressFrameBound(ctypes.c_size_t(len(data)), None)
    out = ctypes.create_string_buffer(bound)
    size = _lib.LZ4F_compressFrame(out, ctypes.c_size_t(bound), data, ctypes.c_size_t(len(data)), None)
    assert not _lib.LZ4F_isError(ctypes.c_size_t(size)), "it cannot be compressed"
    return out.raw[:size]


class Decoder:
    """Frames, in whatever pieces they come."""

    def __init__(self) -> None:
        self._context = ctypes.c_void_p()
        assert _lib.LZ4F_createDecompressionContext(ctypes.byref(self._context), _VERSION) == 0

    def __del__(self) -> None:
        _lib.LZ4F_freeDecompressionContext(self._context)

    def feed(self, data: bytes) -> bytes:
        """What can be read so far of what has not been given yet; ValueError: it is no frame."""
        found, out = [], ctypes.create_string_buffer(_PART)
        while True:
            room, taken = ctypes.c_size_t(_PART), ctypes.c_size_t(len(data))
            result = _lib.LZ4F_decompress(self._context, out, ctypes.byref(room), data, ctypes.byref(taken), None)
            if _lib.LZ4F_isError(ctypes.c_size_t(result)):
                raise ValueError(_lib.LZ4F_getErrorName(ctypes.c_size_t(result)).decode())
            found.append(out.raw[: room.value])
            data = data[taken.value :]
            if room.value == 0 and taken.value == 0:
                return b"".join(found)
