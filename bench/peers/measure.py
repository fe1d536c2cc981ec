"""What the scripts beside this one share: servers under measurement, and where results go."""

import contextlib
import json
import os
import socket
import subprocess


def cpu_seconds(pid):
    """User and system time that a process has taken so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid, *names):
    """Fields of /proc/PID/status such as VmRSS, in 10^6 bytes."""
    with open(f"/proc/{pid}/status") as lines:
        fields = dict(line.split(":", 1) for line in lines)
    return {name: round(int(fields[name].split()[0]) * 1024 / 1e6, 1) for name in names}


@contextlib.contextmanager
def server(command):
    """A process that says its address at the end of its first line; ended on leaving."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process, process.stdout.readline().strip().rsplit(" ", 1)[1]
    finally:
        process.terminate()
        process.wait(30)


ROOT_PAGE = 'kind = "path"\npath = "/"'


def scenario(folder, loop, request=ROOT_PAGE):
    """The file of a scenario of one kind of request for `foretaste load`, without a warm-up."""
    path = os.path.join(folder, "scenario.toml")
    with open(path, "w") as out:
        out.write(f'''{loop}
[warm_up]
seconds_at_least = 0
seconds_at_most = 0
[[request]]
{request}
''')
    return path


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def commit():
    """The commit that these scripts are of; binaries under measurement should be of the same."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    folder = os.path.dirname(os.path.abspath(__file__))
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout.strip()


def write(result, path):
    """Writes what was measured, and on what."""
    on = {"commit": commit(), "cores": os.cpu_count(), "load_average": os.getloadavg()}
    with open(path, "w") as out:
        json.dump({**on, **result}, out, indent=1)
        out.write("\n")
