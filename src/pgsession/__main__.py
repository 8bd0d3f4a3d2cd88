"""The `pgsession` script, also `python -m pgsession`."""

import sys


def main() -> None:
    """Run the command line. Exit with 2 if the extra `cli` is not installed."""
    try:
        from pgsession.cli.commands import command  # noqa: PLC0415 - they need an extra
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in {"click", "rich"}:
            raise
        sys.stderr.write(f'The command line needs {library}: install "pgsession[cli]".\n')
        sys.exit(2)
    command(prog_name="pgsession")


if __name__ == "__main__":
    main()
