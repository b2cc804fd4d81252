"""patalloc_refpage_create: the semantics of the linux-mm proposal (v5)."""

import errno
import fcntl
import mmap
import os

import pytest

from patalloc._core import ffi, lib

PAGE = mmap.PAGESIZE


def create(content: bytes, *, offset: int = 0, size: int | None = None, flags: int = 0) -> int:
    """Returns the descriptor, or minus the errno."""
    keep = ffi.new("char[]", 2 * PAGE + len(content))
    aligned = keep + (-int(ffi.cast("uintptr_t", keep)) % PAGE) + offset
    ffi.memmove(aligned, content, len(content))
    descriptor = lib.patalloc_refpage_create(aligned, len(content) if size is None else size, flags)
    return int(descriptor) if descriptor >= 0 else -int(ffi.errno)


@pytest.mark.parametrize("content", [b"\xab", b"\x12\x34", b"abcdefgh", bytes(range(256)) * 16])
def test_private_mappings_read_the_content_and_keep_their_stores(content: bytes) -> None:
    descriptor = create(content)
    try:
        with mmap.mmap(descriptor, 2 * PAGE, flags=mmap.MAP_PRIVATE) as first:
            assert first[:] == content * (2 * PAGE // len(content))
            first[0] = 0x77
            with mmap.mmap(descriptor, PAGE, flags=mmap.MAP_PRIVATE) as second:
                assert second[:] == content * (PAGE // len(content))
            first.madvise(mmap.MADV_DONTNEED)
            assert first[:] == content * (2 * PAGE // len(content))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("length", [1, PAGE, (2 << 20) + 1, 10 << 20])
def test_map_takes_any_length(length: int) -> None:
    descriptor = create(b"\x5a")
    address = lib.patalloc_refpage_map(descriptor, length)
    os.close(descriptor)
    assert address != ffi.NULL
    assert bytes(ffi.buffer(address, length)) == b"\x5a" * length


@pytest.mark.parametrize("length", [0, (1 << 64) - 1])
def test_map_refuses_absurd_lengths(length: int) -> None:
    descriptor = create(b"\x5a")
    assert lib.patalloc_refpage_map(descriptor, length) == ffi.NULL
    assert ffi.errno == errno.EINVAL
    os.close(descriptor)
    assert lib.patalloc_refpage_map(descriptor, PAGE) == ffi.NULL
    assert ffi.errno == errno.EBADF


@pytest.mark.parametrize("size", [0, 3, 24, 2 * PAGE, 1 << 31])
def test_bad_sizes(size: int) -> None:
    assert create(bytes(PAGE), size=size) == -errno.EINVAL


def test_bad_alignment_and_flags() -> None:
    assert create(bytes(8), offset=4) == -errno.EINVAL
    assert create(bytes(8), flags=1) == -errno.EINVAL


def test_bad_content() -> None:
    assert lib.patalloc_refpage_create(ffi.cast("void *", 8), 8, 0) == -1
    assert ffi.errno == errno.EFAULT


def test_the_descriptor_is_sealed() -> None:
    descriptor = create(b"\xab")
    assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    for attempt in (
        lambda: os.write(descriptor, b"x"),
        lambda: os.ftruncate(descriptor, 0),
        lambda: os.ftruncate(descriptor, 1 << 30),
        lambda: mmap.mmap(descriptor, PAGE, flags=mmap.MAP_SHARED, prot=mmap.PROT_WRITE),
    ):
        with pytest.raises((OSError, ValueError)):
            attempt()
    writable = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.write(writable, b"x")
    with pytest.raises(PermissionError):
        mmap.mmap(writable, PAGE, flags=mmap.MAP_SHARED)
    os.close(writable)
    os.close(descriptor)
