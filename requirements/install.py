"""Make a virtual environment that holds what a lock names, and nothing else.

    python requirements/install.py .venv-demo requirements/demo.txt
    python requirements/install.py .venv requirements/dev.txt --project

The locks are complete, so pip resolves nothing (``--no-deps``) and builds nothing
(``--only-binary``): what is released after a lock was made changes nothing here. With
``--project`` pgsession itself is installed too, as an editable package.

It prints a line for each step, and pip's output only where pip fails. Any Python can read
this file, so that one that is too old gets a sentence and not a SyntaxError.
"""

import os
import subprocess
import sys

OLDEST = (3, 11)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main(environment, lock, *options):
    check_python()
    name = os.path.relpath(lock, ROOT)
    say("Making %s with Python %s" % (environment, sys.version.split()[0]))
    run(sys.executable, "-m", "venv", "--clear", environment)
    python = os.path.join(environment, "bin", "python")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    say("Installing the packages of %s" % name)
    run(*pip + ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", lock])
    if "--project" in options:
        run(*pip + ["--no-deps", "--no-build-isolation", "--editable", ROOT])


def check_python():
    """Exit with one line if this Python is too old, or cannot make environments."""
    if sys.version_info < OLDEST:
        sys.exit(
            "pgsession needs Python %d.%d or later, and this is Python %s. Name another one, "
            "such as PYTHON=python3.12." % (OLDEST + (sys.version.split()[0],))
        )
    try:
        import ensurepip  # noqa: F401, PLC0415 - Debian keeps it in a package of its own
        import venv  # noqa: F401, PLC0415
    except ImportError:
        sys.exit(
            "This Python has no venv module. Install it (on Debian and Ubuntu: "
            "apt install python%d.%d-venv), or name another Python, such as PYTHON=python3.12."
            % sys.version_info[:2]
        )


def run(*command):
    """Run a command; show what it printed if it fails, and exit."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = process.communicate()
    if process.returncode:
        sys.stderr.write(output.decode("utf-8", "replace"))
        sys.exit("Failed: %s" % " ".join(command))


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
