"""What the checks of the Python client share: each is a function, told of in one line."""

import json
import os
import traceback
import urllib.request

import pinecone

ADDRESS = os.environ["EMULATOR"]
MAJOR = int(pinecone.__version__.split(".")[0])

if MAJOR >= 10:
    from pinecone.errors import PineconeTypeError, PineconeValueError

    LOCAL = (PineconeTypeError, PineconeValueError)
else:
    LOCAL = (ValueError, TypeError)

_checks = []


def check(function):
    _checks.append(function)
    return function


def run():
    failed = 0
    for function in _checks:
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {name}", flush=True)
        except Exception:  # noqa: BLE001: every failure is told
            failed += 1
            print(f"FAILED {name}", flush=True)
            traceback.print_exc()
    faults()
    raise SystemExit(1 if failed else 0)


def refuses(kind, status, part, action):
    """The action must fail with that class of error, status and a message with that part."""
    try:
        action()
    except LOCAL as error:
        # Refused before it was sent: then it must be for the reason that the server has.
        assert status == 400, error
    except kind as error:
        told = getattr(error, "status_code", None) or getattr(error, "status", None)
        assert told == status, f"{told}: {error}"
        text = f"{error} {getattr(error, 'body', '')}"
        assert part in text, f"{part!r} is not in {text}"
    else:
        raise AssertionError(f"nothing was raised, {kind.__name__} was expected")


def faults(plan=None):
    """Puts a plan of faults in force, or takes all of them back."""
    ask("DELETE", "/_faults")
    if plan is not None:
        ask("POST", "/_faults", plan)


def requests():
    return ask("GET", "/_requests")["requests"]


def forget_requests():
    ask("DELETE", "/_requests")


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(ADDRESS + path, data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
