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


def test_everything_is_put_back(tmp_path):
    before = (os.getcwd(), os._exit, signal.getsignal(signal.SIGINT))
    with pytest.raises(ValueError, match="lost"), plain_errors():
        wanders_off(tmp_path)
    assert (os.getcwd(), os._exit, signal.getsignal(signal.SIGINT)) == before
