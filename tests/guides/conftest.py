"""Fixtures for the tests of the how-to pages: a program from a page, as a file or as names."""

from tests.project.conftest import names, program, variables

#: Fixtures that another module defines.
__all__ = ["names", "program", "variables"]
