"""Entry point: runs a command and turns errors raised on purpose into a message and an exit status."""

from __future__ import annotations

import os
import sys

import click


def main() -> None:
    """Run the command line and exit with 0 (done), 1 (findings of error severity) or 2 (wrong usage)."""
    # Small matrices gain nothing from BLAS threads, and one process per session would oversubscribe cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from nwbswitch.cli import commands
    from nwbswitch.cli_options import report_issues, say
    from nwbswitch.schemas.errors import IssuesError, NwbswitchError

    try:
        status = commands.main(prog_name="nwbswitch", standalone_mode=False)
    except click.Abort:
        click.echo("Stopped. Finished files are kept; the same command goes on from here.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except IssuesError as error:
        report_issues(error.issues)
        sys.exit(error.exit_status)
    except NwbswitchError as error:
        say(f"error: {error}")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        click.echo("Stopped. Finished files are kept; the same command goes on from here.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        say(f"error: {place}{error.strerror or error}. Nothing half-written is left.")
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
