# use-after-free read inside 0
import ctypes


def address_of_a_buffer() -> int:
    data = bytearray(1 << 20)
    return ctypes.addressof(ctypes.c_char.from_buffer(data))


def read(address: int) -> int:
    return ctypes.c_ubyte.from_address(address).value  # ACCESS


read(address_of_a_buffer())
