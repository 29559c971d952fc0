"""Run the local AWS as a process: ``python -m airflow_provider_aiml.local_aws --port 4566``."""

from __future__ import annotations

import argparse
import signal
import sys

from airflow_provider_aiml.local_aws.server import LocalAws


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_aiml.local_aws",
        description="A local AWS with real models behind it. Its state lives in memory.",
    )
    parser.add_argument("--port", type=int, default=4566, help="default 4566; 0 takes any free one")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on, default 127.0.0.1")
    parser.add_argument("--public-url", help="how clients reach it, if not by host and port")
    parser.add_argument("--no-demo", action="store_true", help="start without the demo's endpoints")
    options = parser.parse_args(arguments)
    endings = {signal.SIGINT, signal.SIGTERM}
    # Blocked before any thread starts, so that every thread inherits it and only sigwait sees them.
    signal.pthread_sigmask(signal.SIG_BLOCK, endings)
    try:
        with LocalAws(
            options.port, options.host, demo=not options.no_demo, public_url=options.public_url
        ) as aws:
            aws.wait_until_loaded()
            line = f"Local AWS ready at {aws.endpoint_url}; AIRFLOW_CONN_AWS_DEFAULT='{aws.connection_uri}'\n"
            sys.stdout.write(line)
            sys.stdout.flush()
            signal.sigwait(endings)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {options.host} port {options.port}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
