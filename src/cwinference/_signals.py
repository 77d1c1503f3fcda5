"""Signal handlers may raise at any line of the main thread: what they raise is the user's, and no failure of ours."""

from typing import cast


def from_signal_handler(error: BaseException) -> bool:
    """Return whether a signal handler raised an error that was caught, such as a task queue's time limit.

    Its class says little: a handler may raise TimeoutError, which is also what a library raises. But a handler is
    called with the frame that it interrupts, which is the one above its own in the traceback.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        interrupted, trace = trace.tb_frame, trace.tb_next
        for value in trace.tb_frame.f_locals.values():
            arguments = cast(tuple[object, ...], value) if type(value) is tuple else (value,)  # of a handler's `*_`
            if any(each is interrupted for each in arguments):
                return True
    return False
