"""What the server bears: throughput against decoding and predicting alone, latency, memory, first answer.

Command: ``python benchmarks/web_load.py [--seconds 60] [--clients 50] [--requests 10000]``; needs ``wrk``,
``taskset``, two processors and a machine that does nothing else. Server and client have one processor each. The picture
is a drawn slice of the web page's examples, sent as a form of one file.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import tumorlens
from tumorlens import io

PICTURE = Path(tumorlens.__file__).parent / "web" / "static" / "examples" / "meningioma.png"
SERVER, CLIENT = "0", "1"
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "multipart/form-data; boundary=x"
local file = io.open("{picture}", "rb")
local content = file:read("*a")
local head = "--x\\r\\nContent-Disposition: form-data; name=\\"files\\"; filename=\\"a.png\\"\\r\\n\\r\\n"
wrk.body = head .. content .. "\\r\\n--x--\\r\\n"
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init() refused, wrong = 0, 0 end
function response(status)
  if status == 503 then refused = refused + 1 elseif status ~= 200 then wrong = wrong + 1 end
end
function done(summary, latency)
  local refused, wrong = 0, 0
  for _, thread in ipairs(threads) do refused = refused + thread:get("refused"); wrong = wrong + thread:get("wrong") end
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("DONE %d %d %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), refused, wrong, lost))
end
"""


def alone(seconds: float) -> float:
    """Slices a second on one processor: decoded and answered one by one, without a server."""
    code = f"""
import time, tumorlens
model = tumorlens.load(threads=1)
content = open({str(PICTURE)!r}, "rb").read()
for _ in range(20): model.predict(content)
begun, n = time.perf_counter(), 0
while time.perf_counter() - begun < {seconds}: model.predict(content); n += 1
print(n / (time.perf_counter() - begun))
"""
    found = subprocess.run(["taskset", "-c", SERVER, sys.executable, "-c", code], capture_output=True, text=True)
    return float(found.stdout)


def batched(seconds: float) -> float:
    """The same in batches of 32, which is what a busy server can do at best."""
    code = f"""
import time, tumorlens
from tumorlens import io
model = tumorlens.load(threads=1)
content = open({str(PICTURE)!r}, "rb").read()
def once(): list(model.predictor.predict_slices([io.read_bytes(content)[0] for _ in range(32)]))
once()
begun, n = time.perf_counter(), 0
while time.perf_counter() - begun < {seconds}: once(); n += 32
print(n / (time.perf_counter() - begun))
"""
    found = subprocess.run(["taskset", "-c", SERVER, sys.executable, "-c", code], capture_output=True, text=True)
    return float(found.stdout)


def first_answer() -> float:
    """Seconds from the start of the process to its first answer."""
    port = 8351
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tumorlens", "serve", "--port", str(port), "-q"], stderr=subprocess.DEVNULL
    )
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + PICTURE.read_bytes()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/predict",
        body + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
    while True:
        try:
            urllib.request.urlopen(request).read()  # noqa: S310
            break
        except OSError:
            time.sleep(0.01)
    seconds = time.perf_counter() - begun
    process.terminate()
    process.wait()
    return seconds


class Server:
    """The server on its processor."""

    def __init__(self, port: int) -> None:
        command = ["taskset", "-c", SERVER, sys.executable, "-m", "tumorlens", "serve", "--port", str(port), "-q"]
        self.process = subprocess.Popen([*command, "--threads", "1"], stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}/"
        while True:
            try:
                urllib.request.urlopen(self.url + "readyz")  # noqa: S310
                return
            except OSError:
                time.sleep(0.05)

    def memory(self) -> float:
        """Resident MiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]

    def load(self, seconds: float, clients: int) -> list[int]:
        """Requests, microseconds, p50, p99, refused, wrong, lost."""
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(SCRIPT.format(picture=PICTURE))
            script.flush()
            command = ["taskset", "-c", CLIENT, "wrk", "-t", "1", "-c", str(clients), "-d", f"{seconds:g}s"]
            command += ["--timeout", "30s", "-s", script.name, self.url + "api/v1/predict"]
            found = subprocess.run(command, capture_output=True, text=True)
        line = re.search(r"^DONE (.*)$", found.stdout, re.MULTILINE)
        assert line, found.stdout + found.stderr
        return [int(word) for word in line[1].split()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    print(
        f"{os.cpu_count()} processors; picture {io.read(str(PICTURE))[0].pixels.shape}, {PICTURE.stat().st_size} bytes"
    )
    starts = sorted(first_answer() for _ in range(5))
    print(f"first answer: {starts[2]:.2f} s after process start (median of 5, {starts[0]:.2f} to {starts[-1]:.2f})")
    one, many = alone(10), batched(10)
    print(f"without a server: {one:.0f} slices/s one by one, {many:.0f} in batches of 32")
    server = Server(8352)
    for clients in (1, options.clients):
        n, microseconds, p50, p99, refused, wrong, lost = server.load(options.seconds, clients)
        rate = n / microseconds * 1e6
        print(
            f"{clients} clients: {rate:.0f} requests/s ({rate / one:.0%} of one by one), p50 {p50 / 1000:.1f} ms, "
            f"p99 {p99 / 1000:.1f} ms; refused with 503: {refused}, other statuses: {wrong}, lost: {lost}"
        )
    memory = [server.memory()]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(1):
            memory.append(server.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    done = 0
    while done < options.requests:
        done += server.load(10, options.clients)[0]
    stop.set()
    watcher.join()
    print(
        f"memory over {done} further requests: {memory[0]:.0f} MiB at first, {max(memory):.0f} at most, "
        f"{memory[-1]:.0f} at last"
    )
    server.process.terminate()
    server.process.wait()


if __name__ == "__main__":
    main()
