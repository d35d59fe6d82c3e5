"""Checks a history of reads and writes: is there an order of the writes that
explains every read?

A history is a list of events, in the order in which they happened. An event is a
tuple (operation, what, row, value):

    invoke-write   an operation begins to write `value` to `row`; None deletes it
    invoke-read    an operation begins to read `row`
    ok             it has ended; of a read, `value` is what it has read
    fail           it has ended, and has changed nothing
    unknown        nobody knows whether it has happened, or will

Each row is a register of its own: a write takes place at one moment between its
invocation and its end, an unknown one at any moment after its invocation, or never;
and a read gives what the last write before it has written. That is what a database
promises for single statements on single rows (linearizability), and what a rotation
must not disturb.
"""
import collections

INVOKE_WRITE, INVOKE_READ, OK, FAIL, UNKNOWN = (
    "invoke-write", "invoke-read", "ok", "fail", "unknown")

# A row without a value at the beginning.
ABSENT = None

Operation = collections.namedtuple("Operation", "is_read value is_unknown")


class Malformed(Exception):
    """The events are no history: the recorder is wrong, not what was recorded."""


def _operations(events):
    """The operations by number, those that failed left out, and reads of which
    nobody knows the result. The values that were read."""
    begun, operations, read = {}, {}, set()
    for number, what, _, value in events:
        if what in (INVOKE_WRITE, INVOKE_READ):
            if number in begun:
                raise Malformed(f"operation {number} begins twice")
            begun[number] = what, value
            continue
        if what not in (OK, FAIL, UNKNOWN):
            raise Malformed(f"no event: {what}")
        if number not in begun or begun[number] is None:
            raise Malformed(f"operation {number} ends, and has not begun")
        (how, written), begun[number] = begun[number], None
        if how == INVOKE_READ and what == OK:
            operations[number] = Operation(True, value, False)
            read.add(value)
        elif how == INVOKE_WRITE and what != FAIL:
            operations[number] = Operation(False, written, what == UNKNOWN)
    for number, still in begun.items():
        if still is not None and still[0] == INVOKE_WRITE:
            operations[number] = Operation(False, still[1], True)
    # An unknown write that nobody has read may come after everything else.
    return {number: operation for number, operation in operations.items()
            if not operation.is_unknown or operation.value in read}


def _reached(states, pending, operations):
    """The states that are reached when any of the pending operations take place.
    A state is the value and which of the pending have taken place."""
    todo, seen = list(states), set(states)
    while todo:
        value, done = todo.pop()
        for number in pending - done:
            operation = operations[number]
            if operation.is_read and operation.value != value:
                continue
            state = (value if operation.is_read else operation.value, done | {number})
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return seen


def check_row(events, first=ABSENT):
    """The number of the operation that nothing explains, or None. `events` are
    those of one row."""
    operations = _operations(events)
    states, pending = {(first, frozenset())}, frozenset()
    for number, what, _, _ in events:
        operation = operations.get(number)
        if operation is None:
            continue
        if what in (INVOKE_WRITE, INVOKE_READ):
            pending |= {number}
        elif not operation.is_unknown:
            states = {(value, done - {number})
                      for value, done in _reached(states, pending, operations)
                      if number in done}
            pending -= {number}
            if not states:
                return number
    return None


def check(events, first):
    """The rows with an operation that nothing explains, and which. `first` has the
    value of each row at the beginning."""
    rows = collections.defaultdict(list)
    row_of = {}
    for event in events:
        number, what, row, _ = event
        if what in (INVOKE_WRITE, INVOKE_READ):
            row_of[number] = row
        elif number not in row_of:
            raise Malformed(f"operation {number} ends, and has not begun")
        rows[row_of[number]].append(event)
    wrong = {}
    for row, of_row in rows.items():
        bad = check_row(of_row, first.get(row, ABSENT))
        if bad is not None:
            wrong[row] = bad
    return wrong
