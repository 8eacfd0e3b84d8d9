"""Signals that a process of a cell answers, sent to a process of its own."""

import signal
import subprocess
import sys

CODE = """
import sys, time
from lina_lab.signals import stop_on, write_stacks_on_signal
import signal
stop = stop_on(signal.SIGTERM)
write_stacks_on_signal()
print("ready", flush=True)
stop.wait(60)
print("stopped", flush=True)
sys.stdin.read()
"""


def started() -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", CODE], **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


INTERRUPTED = """
import signal, threading
from lina_lab.signals import as_interrupt
def inside():
    with as_interrupt(signal.SIGTERM):
        print(signal.getsignal(signal.SIGTERM) is signal.default_int_handler)
inside()
thread = threading.Thread(target=inside)
thread.start()
thread.join()
try:
    with as_interrupt(signal.SIGTERM):
        signal.raise_signal(signal.SIGTERM)
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def test_a_signal_is_an_interrupt_within_a_block_of_the_main_thread_and_what_it_was_after_it():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["True", "False", "interrupted True", ""]


def test_a_signal_to_stop_ends_nothing_however_often_it_comes():
    with started() as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopped\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_process_that_waits_says_where_it_is():
    with started() as process:
        process.send_signal(signal.SIGUSR2)
        lines = [process.stderr.readline() for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[0] == "stopped\n"
    assert "most recent call first" in "".join(lines)
