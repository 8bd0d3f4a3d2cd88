"""The laws of the contract on a distributed table."""

from tests.contract import (
    test_adopting,
    test_binding,
    test_clear,
    test_dead_keys,
    test_devices,
    test_inactivity,
    test_lifetime,
    test_login,
    test_merge,
    test_newest,
    test_periods,
    test_renew,
    test_rotate,
    test_seed,
    test_signed_in,
    test_values,
)

#: Modules whose tests are collected here once more, with the fixtures of this directory.
__all__ = [
    "test_adopting",
    "test_binding",
    "test_clear",
    "test_dead_keys",
    "test_devices",
    "test_inactivity",
    "test_lifetime",
    "test_login",
    "test_merge",
    "test_newest",
    "test_periods",
    "test_renew",
    "test_rotate",
    "test_seed",
    "test_signed_in",
    "test_values",
]
