"""The version of this package, for all rooms. Its public name is `pgsession.__version__`."""

__version__ = "0.1.0.dev0"
