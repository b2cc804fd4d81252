"""The options of the heap in tests."""

DEFAULTS = (
    "pattern=0x7fff:report=yes:stacks=16:slack_check=all:guard_small=1000:on_free=quarantine:"
    "on_error=continue:on_fault=continue"
)
