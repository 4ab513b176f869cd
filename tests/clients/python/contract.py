"""What the Python clients share of the contract in tests/clients/README.md: command line and output."""

import argparse
import json
import sys
import threading

# What `times` asks for, and where that is: records 5 to 9 have the times 6,000,000 to 10,000,000, the others are deleted.
OFFSETS = {7_500_000: 7, 0: 5, 4_102_444_800_000: None}
# The time that `times` gives its own record.
OWN_TIME = 1000
# How long `times` waits at the end of a topic, and what it may take on a machine that is busy with other tests.
WAIT_MS, WAIT_MS_MAX = 500, 10_000
# An offset that no topic of a test reaches.
BEYOND = 1_000_000


def options():
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario")
    parser.add_argument("--bootstrap")
    parser.add_argument("--topic")
    parser.add_argument("--pattern")
    parser.add_argument("--stamped")
    parser.add_argument("--wait", type=int)
    parser.add_argument("--stall", type=int, default=0)
    parser.add_argument("--group")
    parser.add_argument("--protocol", default="classic")
    parser.add_argument("--assignor")
    parser.add_argument("--instance")
    parser.add_argument("--session", type=int, default=45000)
    parser.add_argument("--codecs", type=lambda text: text.split(","))
    parser.add_argument("--count", type=int)
    return parser.parse_args()


def lines():
    """Key and value of each line of standard input, as bytes."""
    return [line.rstrip("\n").encode().split(b"\t", 1) for line in sys.stdin]


def end_of_input():
    """An event that is set when standard input ends."""
    event = threading.Event()

    def wait():
        sys.stdin.read()
        event.set()

    threading.Thread(target=wait, daemon=True).start()
    return event


def never():
    """An event that is never set."""
    return threading.Event()


def step(name, **fields):
    """Tells a step."""
    print(json.dumps({"step": name} | fields), flush=True)


def record(partition, offset, key, value):
    """Tells of a record that was read."""
    step("record", partition=partition, offset=offset, key=key.decode(), value=value.decode())


def stamped(by, timestamp):
    """Tells which time a record has."""
    step(by, timestamp=timestamp)


def check(name, got, expected):
    """Ends the program unless the answer is the expected one, and tells the step otherwise."""
    if got != expected:
        sys.exit(f"{name}: got {got!r}, expected {expected!r}")
    step(name)


def refused(name, error, call):
    """Ends the program unless the call fails with an error that `error` takes for the right one."""
    try:
        answer = call()
    except Exception as raised:  # each client has its own
        if not error(raised):
            raise
        step(name)
    else:
        sys.exit(f"{name}: not refused: {answer!r}")
