"""The `pgsession` script, also `python -m pgsession`."""

import sys


def main() -> None:
    """Run the command line. Exit with 2 if click is not installed."""
    try:
        from pgsession.cli.commands import command  # noqa: PLC0415 - click is an extra
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write('The command line needs click: install "pgsession[cli]".\n')
        sys.exit(2)
    command(prog_name="pgsession")


if __name__ == "__main__":
    main()
