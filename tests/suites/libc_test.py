"""musl's libc-test: src/functional and src/regression, linked dynamically with the glibc installed.

src/math and src/api are left out: the one allocates nothing, the other is only compiled. Some test
musl's ways, and fail under glibc alone.
"""

from pathlib import Path

from suites.runner import Program, Suite

# The shared libraries of some, where each looks for its own, and how it is linked.
MODULES = {
    "dlopen": ("dlopen_dso.so", ["-rdynamic"]),
    "tls_align": ("tls_align_dso.so", ["./tls_align_dso.so"]),
    "tls_align_dlopen": ("src/functional/tls_align_dso.so", []),
    "tls_init_dlopen": ("src/functional/tls_init_dso.so", []),
    "tls_get_new-dtv": ("tls_get_new-dtv_dso.so", ["-Wl,-rpath=$ORIGIN"]),
}
STACK = 100 * 1024  # bytes: what its own runner gives


def suite(checkout: Path) -> Suite:
    """What a checkout of libc-test holds."""
    source = checkout / "src"
    common = source / "common"
    names = sorted([*source.glob("functional/*.c"), *source.glob("regression/*.c")])
    return Suite(
        [_program(name) for name in names if not name.stem.endswith("_dso")],
        flags=[
            *("-std=c99", "-D_POSIX_C_SOURCE=200809L", "-D_FILE_OFFSET_BITS=64", "-fno-builtin"),
            *("-frounding-math", "-g", "-w", "-Werror=implicit-function-declaration"),
            f"-I{common}",
        ],
        helpers=[path for path in sorted(common.glob("*.c")) if path.stem != "runtest"],
    )


def _program(source: Path) -> Program:
    module, flags = MODULES.get(source.stem, ("", []))
    return Program(
        f"{source.parent.name}/{source.stem}",
        [source],
        flags=[*flags, "-lrt", "-lcrypt", "-lresolv", "-lutil"],
        modules={module: source.with_name(f"{Path(module).stem}.c")} if module else {},
        stack=STACK,
    )
