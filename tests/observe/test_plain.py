import subprocess
import sys


def test_the_log_loads_no_rich_and_leaves_it_loadable():
    code = (
        "import sys; import proxy.observe.logs; "
        "assert not [m for m in sys.modules if m == 'rich' or m.startswith('rich.')]; "
        "import rich.console; print('fine')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("fine\n", "")
