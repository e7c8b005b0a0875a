"""An attacker from another account of the machine: opens files and sends requests, and prints what came of each.

It is run by its text, since the account may not read where this file is: `python -c TEXT JSON`.
"""

import http.client
import json
import os
import sys
from typing import Any


def asked(port: int, method: str, path: str, headers: dict[str, str], body: str) -> int:
    """The status of one answer; headers are sent as they are given, `Host` as well."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    given = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", "Content-Length": str(len(body))}
    for name, value in {**given, **headers}.items():
        connection.putheader(name, value)
    connection.endheaders(body.encode())
    status = connection.getresponse().status
    connection.close()
    return status


def read(path: str) -> str:
    """What came of reading a file."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - less to import for an account that may read little
            return f"{len(file.read())} bytes"
    except OSError as error:
        return type(error).__name__


def main(told: dict[str, Any]) -> None:
    """Becomes the other account, and attacks."""
    asked(*next(iter(told["requests"].values())))  # imports what the other account may not read
    os.setgroups([])
    os.setgid(told["uid"])
    os.setuid(told["uid"])
    found = {name: asked(*request) for name, request in told["requests"].items()}
    print(json.dumps({"files": {each: read(each) for each in told["files"]}, "requests": found}))  # noqa: T201


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
