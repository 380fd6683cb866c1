import subprocess
import sys


def test_a_console_loads_no_rich_and_leaves_it_loadable():
    code = (
        "import sys; import proxy.observe.plain; "
        "assert not [m for m in sys.modules if m == 'rich' or m.startswith('rich.')]; "
        "import rich.console; print('fine')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("fine\n", "")


def test_without_a_terminal_nothing_of_it_is_loaded():
    code = (
        "import sys; from proxy.observe import logs; logs.configure(layout='json'); "
        "logs.say('error', 'said'); assert 'structlog' not in sys.modules; print('fine')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr.count('"event":"said"')) == ("fine\n", 1)
