"""How this project measures: entrants take turns, and what is quoted is a ratio within one run.

A `Contest` asks one question of several entrants: ours, peers, and a physical limit such as memcpy. Every round runs
each entrant once, in rotating order, so that a noisy machine hurts all alike. Quoted are the median rate, the median
over rounds of *ours divided by theirs* (medians of whole runs would mix moments), CPU time a unit, and peak memory as
VmHWM.

An entrant is a context manager that yields a function; what it opens (a server, a folder) lives through all rounds.
The function does `Contest.count` units of work and returns None (it is timed from outside) or a `Sample` that it took
itself, as one must for work done by other processes. A peer that is not there raises `Missing` and is printed as such.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Self

__all__ = [
    "FLOOR",
    "OWN",
    "Child",
    "Contest",
    "Missing",
    "Outcome",
    "Run",
    "Sample",
    "child_python",
    "dcmtk_program",
    "dicom_tool",
    "markdown",
    "measure",
    "plain",
    "ram_folder",
]

OWN = "dicomcore"
FLOOR = "limit: bare C"
LEAST = 0.1  # seconds that a run timed from outside takes at least
ROOT = Path(__file__).resolve().parent.parent


class Missing(Exception):
    """This peer cannot run here; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: wall seconds, CPU seconds of all processes that did the work, peak memory in bytes (VmHWM)."""

    seconds: float
    cpu: float | None = None
    peak: int | None = None
    server_cpu: float | None = None  # of ``cpu``, where there are two ends


Run = Callable[[], Sample | None]


@dataclass(frozen=True, slots=True)
class Contest:
    """One question. ``entrants`` maps a name to a context manager factory; the one named `OWN` is the subject.

    ``count`` units are done by one call of a run; ``unit_bytes`` turns the rate into MB/s beside it. ``goals`` holds
    the ratio that ours must reach against an entrant; where like is to be compared with like, such as under the same
    Python, ``subjects`` names the entrant of ours that is held against it. A name that starts with "limit:" is a bound,
    not a peer.
    """

    name: str
    title: str
    unit: str
    count: int
    entrants: Mapping[str, Callable[[], AbstractContextManager[Run]]]
    unit_bytes: int = 0
    rounds: int = 7
    goals: Mapping[str, float] = field(default_factory=dict)
    subjects: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one entrant reached: ``rate`` in units a second, ``ratio`` of ``subject`` to it, ``cpu`` seconds a unit."""

    entrant: str
    subject: str = OWN
    rate: float = 0.0
    spread: tuple[float, float] = (0.0, 0.0)
    ratio: float | None = None
    cpu: float | None = None
    peak: int | None = None
    missing: str = ""
    share: float | None = None  # of the rate of the bare C entrant
    server_cpu: float | None = None


def plain(function: Callable[[], object]) -> Callable[[], AbstractContextManager[Run]]:
    """An entrant that is a bare function of this process, timed from outside."""

    @contextmanager
    def entrant() -> Iterator[Run]:
        def run() -> None:
            function()

        yield run

    return entrant


# -- measuring ---------------------------------------------------------------------------------------------------------


def _cpu_now() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _timed(run: Run, repeats: int) -> Sample:
    """One run, or the mean of several when it is timed from outside."""
    gc.collect()
    cpu = _cpu_now()
    start = time.perf_counter()
    for _ in range(repeats):
        sample = run()
    seconds = time.perf_counter() - start
    return Sample(seconds / repeats, (_cpu_now() - cpu) / repeats) if sample is None else sample


def measure(contest: Contest, rounds: int | None = None) -> list[Outcome]:
    """Run every entrant ``rounds`` times, taking turns, after one round that only tells how often to repeat a run.

    Short runs are repeated up to `LEAST` seconds: a busy machine interrupts long runs and spares short ones, which
    would flatter the fast.
    """
    with ExitStack() as stack:
        runs: dict[str, Run] = {}
        missing: dict[str, str] = {}
        for name, factory in contest.entrants.items():
            try:
                runs[name] = stack.enter_context(factory())
            except Missing as error:
                missing[name] = str(error)
        samples: dict[str, list[Sample]] = {name: [] for name in runs}
        repeats: dict[str, int] = {}
        names = list(runs)
        for turn in range((rounds or contest.rounds) + 1):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                if turn:
                    samples[name].append(_timed(runs[name], repeats[name]))
                else:
                    repeats[name] = _repeats(runs[name])
    return [
        Outcome(name, missing=missing[name]) if name in missing else _outcome(contest, name, samples)
        for name in contest.entrants
    ]


def _repeats(run: Run) -> int:
    start = time.perf_counter()
    if run() is not None:
        return 1
    return max(1, int(LEAST / (time.perf_counter() - start)))


def _outcome(contest: Contest, name: str, samples: Mapping[str, Sequence[Sample]]) -> Outcome:
    mine, subject = samples[name], contest.subjects.get(name, OWN)
    own, floor = samples.get(subject), samples.get(FLOOR)
    rates = [contest.count / sample.seconds for sample in mine]
    cpus = [sample.cpu for sample in mine if sample.cpu is not None]
    served = [sample.server_cpu for sample in mine if sample.server_cpu is not None]
    peaks = [sample.peak for sample in mine if sample.peak is not None]
    return Outcome(
        name,
        subject,
        median(rates),
        (min(rates), max(rates)),
        median(theirs.seconds / ours.seconds for ours, theirs in zip(own, mine, strict=True)) if own else None,
        median(cpus) / contest.count if cpus else None,
        max(peaks) if peaks else None,
        share=median(bare.seconds / ours.seconds for ours, bare in zip(mine, floor, strict=True)) if floor else None,
        server_cpu=median(served) / contest.count if served else None,
    )


# -- other processes ---------------------------------------------------------------------------------------------------


def _status_bytes(pid: int | str, key: str) -> int:
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    raise Missing(f"{key} is not in /proc/{pid}/status: peak memory is measured on Linux only")


class Child:
    """A process that is measured from outside: ``peak`` and ``idle`` bytes, ``cpu`` seconds, as long as it lives.

    ``mark()`` notes the memory held now as idle and restarts the high-water mark, so that ``peak - idle`` is what the
    work after it cost. Leaving the context ends the process.
    """

    def __init__(self, argv: Sequence[str | os.PathLike[str]], *, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [os.fspath(part) for part in argv],
            env={**os.environ, **(environment or {})},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.idle = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def peak(self) -> int:
        return _status_bytes(self.pid, "VmHWM")

    @property
    def cpu(self) -> float:
        """CPU seconds so far of all its threads and of children that have ended (clock ticks: about 10 ms fine)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def mark(self) -> None:
        self.idle = _status_bytes(self.pid, "VmRSS")
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def read_line(self) -> str:
        """The next line that it prints; how a server of ours tells its port."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Missing(f"process ended with status {self._process.wait()} before it was ready")
        return line.strip()

    def wait(self, timeout: float | None = None) -> int:
        return self._process.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


_PREAMBLE = """
import json, resource, sys, time
def vm(key):
    for line in open("/proc/self/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
class Clock:
    '''with clock: what counts. Memory is restarted at entry, so that peak - idle is what the block cost.'''
    def __enter__(self):
        self.idle = vm("VmRSS"); open("/proc/self/clear_refs", "w").write("5")
        self.cpu = time.process_time(); self.start = time.perf_counter(); return self
    def __exit__(self, *_):
        seconds = time.perf_counter() - self.start; cpu = time.process_time() - self.cpu
        print("SAMPLE", json.dumps([seconds, cpu, vm("VmHWM"), self.idle]), flush=True)
clock = Clock()
"""


def child_python(code: str, *arguments: str) -> tuple[Sample, int]:
    """Run ``code`` in a fresh interpreter; it wraps what counts in ``with clock:``. Answers (sample, idle bytes)."""
    done = subprocess.run(
        [sys.executable, "-c", _PREAMBLE + code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for line in done.stdout.splitlines():
        if line.startswith("SAMPLE "):
            seconds, cpu, peak, idle = json.loads(line.removeprefix("SAMPLE "))
            return Sample(seconds, cpu, peak), idle
    raise RuntimeError(f"the measured process failed with {done.returncode}: {done.stderr[-2000:]}")


def dicom_tool(name: str) -> str:
    """The path of a DCMTK program; not the pynetdicom app of the same name that a virtual environment may hold."""
    own_scripts = Path(sys.executable).parent
    folders = [folder for folder in os.get_exec_path() if Path(folder).resolve() != own_scripts.resolve()]
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        raise Missing(f"{name} is not installed: apt-get install dcmtk")
    return path


def dcmtk_program(name: str) -> Path:
    """An opponent in C++, ``<name>.cc`` beside this file, compiled once against the installed libdcmtk."""
    source, program = Path(__file__).with_name(f"{name}.cc"), ROOT / "build" / "benchmarks" / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    compiler = shutil.which("g++")
    if compiler is None or not Path("/usr/include/dcmtk/dcmdata/dctk.h").exists():
        raise Missing("apt-get install g++ libdcmtk-dev")
    program.parent.mkdir(parents=True, exist_ok=True)
    libraries = ["-ldcmdata", "-loflog", "-lofstd"]
    subprocess.run([compiler, "-O2", "-o", program, source, *libraries], check=True, capture_output=True)
    return program


@contextmanager
def ram_folder() -> Iterator[Path]:
    """A fresh folder on a RAM disk where there is one, so that no disk is measured."""
    base = next((path for path in ("/dev/shm", "/run/shm") if os.access(path, os.W_OK)), None)
    with tempfile.TemporaryDirectory(prefix="dicomcore-bench-", dir=base) as folder:
        yield Path(folder)


# -- printing ----------------------------------------------------------------------------------------------------------


def short(value: float) -> str:
    """A figure with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def like(outcome: Outcome) -> str:
    """What stands behind a ratio: nothing, or which of ours it speaks of."""
    return "" if outcome.subject == OWN else f", as {outcome.subject}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def markdown(contest: Contest, outcomes: Sequence[Outcome]) -> str:
    """The contest as a Markdown table that also reads well on a terminal."""
    columns = ["", f"{contest.unit}/s", "one", "MB/s", f"{OWN} is", "of bare C", "CPU each", "server's", "peak MB"]
    rows = [columns]
    for outcome in outcomes:
        name = outcome.entrant.removeprefix("limit:").strip()
        name = f"*{name}*" if outcome.entrant.startswith("limit:") else name
        if outcome.missing:
            rows.append([name, f"not here: {outcome.missing}", *[""] * 7])
            continue
        goal = contest.goals.get(outcome.entrant)
        ratio = "" if outcome.ratio is None or outcome.entrant == OWN else f"{short(outcome.ratio)} x{like(outcome)}"
        rows.append(
            [
                name,
                short(outcome.rate),
                _time(1 / outcome.rate),
                short(outcome.rate * contest.unit_bytes / 1e6) if contest.unit_bytes else "",
                ratio + (f" (goal {goal:g})" if goal and ratio else ""),
                "" if outcome.share is None or outcome.entrant == FLOOR else f"{outcome.share:.0%}",
                "" if outcome.cpu is None else _time(outcome.cpu),
                "" if outcome.server_cpu is None else _time(outcome.server_cpu),
                "" if outcome.peak is None else short(outcome.peak / 1e6),
            ]
        )
    keep = [i for i in range(len(columns)) if i < 3 or any(row[i] for row in rows[1:])]
    widths = {i: max(len(row[i]) for row in rows) for i in keep}
    lines = ["| " + " | ".join(row[i].ljust(widths[i]) for i in keep) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (widths[i] + 2) for i in keep) + "|")
    note = f"\n{contest.note}\n" if contest.note else ""
    return f"**{contest.title}** (`{contest.name}`)\n{note}\n" + "\n".join(lines) + "\n"


def machine() -> str:
    """One line on where the figures come from."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as cpuinfo:
            model = next(line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = os.getloadavg()[0]
    busy = f"; load {load:.1f}: not a quiet machine" if load > 0.5 else ""
    # Which build it is matters: one without profile-guided optimisation takes a third more CPU.
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    build = "with" if "--enable-optimizations" in options else "without"
    python = f"CPython {platform.python_version()} configured {build} --enable-optimizations"
    return f"{os.cpu_count()} cores of {model}; {python}; {platform.system()}{busy}"
