"""Build the archives of a release, check them, and try each in an empty environment.

    make dist

The wheel is built from the sdist. Each archive is installed with all its extras, with the versions
of requirements/dev.txt, and `visit.py` visits an application with it.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = "cli,dbsc,embedded,otel"


def main(folder: Path) -> None:
    """Leave an sdist and a wheel in `folder`, or nothing if one of them fails."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
        archives = sorted(folder.iterdir())
        run(sys.executable, "-m", "twine", "check", "--strict", *archives)
        for archive in archives:
            try_out(archive)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(f"Failed: {' '.join(map(str, error.cmd))}")
    print("Tried:", *(archive.name for archive in archives))


def try_out(archive: Path) -> None:
    """Install an archive into an empty environment, and visit an application with it."""
    with tempfile.TemporaryDirectory(prefix="pgsession-") as name:
        environment = Path(name)
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        versions = environment / "versions.txt"
        versions.write_text("\n".join(locked()), encoding="utf-8")
        install: list[str | Path] = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        run(*install, "--constraint", versions, f"{archive}[{EXTRAS}]", "httpx2")
        run(python, "-I", ROOT / "tests" / "archives" / "visit.py")


def locked() -> list[str]:
    """Return the pins of the development environment, without their hashes."""
    lock = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    return re.findall(r"^([a-zA-Z][^\s\\]*==[^\\\n]+?) *\\?$", lock, re.MULTILINE)


def run(*command: str | Path) -> None:
    """Run a command; raise CalledProcessError if it fails."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(ROOT / "dist")
