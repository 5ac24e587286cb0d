"""What a plugin does to end a run is an error of the plugin; what the user types is not."""

import os
import signal
import sys
import threading

import pytest

from faithcheck.plain_errors import plain_errors


class Odd(BaseException):
    pass


def raises(error):
    raise error


def stops_early():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise ValueError("stopped early") from None


def wanders_off(folder):
    os.chdir(folder)
    raise ValueError("lost")


ENDINGS = {
    "sys.exit": (lambda: sys.exit("bye"), r"called sys\.exit\('bye'\)"),
    "os._exit": (lambda: os._exit(0), r"called os\._exit\(0\)"),
    "KeyboardInterrupt": (lambda: raises(KeyboardInterrupt()), "raised KeyboardInterrupt"),
    "GeneratorExit": (lambda: raises(GeneratorExit()), "raised GeneratorExit"),
    "an error of its own": (lambda: raises(Odd("so odd")), "raised Odd: so odd"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_of_the_run_is_an_error_that_names_it(ending):
    end, message = ENDINGS[ending]
    with pytest.raises(RuntimeError, match=message), plain_errors():
        end()


def test_an_exception_stays_what_it_is():
    with pytest.raises(KeyError, match="gone"), plain_errors():
        raise KeyError("gone")


def test_ctrl_c_stays_ctrl_c_though_a_plugin_makes_another_error_of_it():
    with pytest.raises(KeyboardInterrupt), plain_errors():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), plain_errors(), plain_errors():
        stops_early()


def test_a_ctrl_c_of_before_does_not_count():
    with pytest.raises(KeyboardInterrupt), plain_errors():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(ValueError, match="later"), plain_errors():
        raise ValueError("later")


def test_off_the_main_thread_a_keyboard_interrupt_is_left_to_whoever_handles_it():
    found = []

    def work():
        try:
            with plain_errors():
                raise KeyboardInterrupt
        except BaseException as error:
            found.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [KeyboardInterrupt]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_ends_as_it_likes():
    with plain_errors():
        child = os.fork()
        if child == 0:
            os._exit(7)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


@pytest.fixture
def ended(monkeypatch):
    """The codes that os._exit was called with; it ends the thread alone."""
    codes = []
    monkeypatch.setattr(os, "_exit", lambda status: codes.append(status) or sys.exit())
    return codes


def test_a_thread_of_before_may_end_the_process_and_one_of_the_plugin_may_not(ended):
    refused, inside = [], threading.Event()

    def work():
        inside.wait(10)
        try:
            os._exit(1)
        except SystemExit:
            pass
        except RuntimeError as error:
            refused.append(str(error))

    earlier = threading.Thread(target=work)
    earlier.start()
    with plain_errors():
        own = threading.Thread(target=work)
        own.start()
        inside.set()
        own.join()
        earlier.join()
    assert (ended, refused) == ([1], ["called os._exit(1)"])


def test_runs_of_two_threads_leave_exit_as_it_was():
    before = os._exit
    one, other = plain_errors(), plain_errors()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    other.__exit__(None, None, None)
    assert os._exit is before


def test_a_folder_that_is_gone_is_no_error(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with plain_errors():
        pass
    monkeypatch.chdir(tmp_path)


def test_everything_is_put_back(tmp_path):
    before = (os.getcwd(), os._exit, signal.getsignal(signal.SIGINT))
    with pytest.raises(ValueError, match="lost"), plain_errors():
        wanders_off(tmp_path)
    assert (os.getcwd(), os._exit, signal.getsignal(signal.SIGINT)) == before
