#!/usr/bin/env python3
"""Mutation testing of src/sync/: how many small changes of the engine do the tests notice?

    tests/mutants/run.py build            copies the tree, puts every mutant into the copy, builds it once
    tests/mutants/run.py cover            runs the tests once, and notes which test comes by which mutant
    tests/mutants/run.py run [--jobs 2]   brings one mutant after another to life, and runs the tests that come by it
    tests/mutants/run.py report           the table by file, and the survivors

One build holds all mutants (src/main.rs), so a mutant costs a run of some tests and no compiler. Everything is kept
in target/mutants, and `run` goes on where it was stopped; `run --again survived` takes those once more, after tests
were added. Tests run from the fast to the slow, and stop at the first that fails: inline tests, the simulator's seeds
0..400, its scenarios, and those of tests/it whose name begins with sync, pinecone or reconcile; `run --steps 3` takes
only the first three of these groups, and another run the rest. Tests with real processes are left out, and so are
those of PostgreSQL. Whoever runs into a time limit is caught.
"""

import argparse
import concurrent.futures
import functools
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
WORK = ROOT / "target/mutants"
COPY = WORK / "tree"
DROPPED = WORK / "dropped.txt"
RESULTS = WORK / "results.jsonl"
EQUAL = HERE / "equal.txt"
PREFIXES = ("sync", "pinecone::", "reconcile")
# Those that ask the engine for one thing each.
DIRECT = ("sync::drive::", "sync::probe::", "sync::rows::", "sync::scheduled::", "sync::turns::")
SEEDS = {"few seeds": (0, 2), "some seeds": (2, 40), "more seeds": (40, 400)}
CHILDREN = set()
# Databases of tests, where the disk is not waited for.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
# Seconds of the processor from which on a test is slow.
SLOW = 0.7


def environment(**more):
    env = {name: value for name, value in os.environ.items() if not name.startswith("CORPUSD_")}
    return env | {"CARGO_TARGET_DIR": str(WORK / "target"), "RUST_BACKTRACE": "0", "CARGO_TERM_COLOR": "never"} | more


# ------------------------------------------------------------------- build
def copy_tree():
    """The tree as it is now; what did not change keeps its time."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    names = {name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()}
    for name in names:
        old, new = ROOT / name, COPY / name
        mutated = name.startswith("src/sync/") or name == "src/lib.rs"
        if mutated or not new.exists() or new.read_bytes() != old.read_bytes():
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old, new)
    for folder in ("src", "tests"):
        for file in (COPY / folder).rglob("*.rs"):
            if str(file.relative_to(COPY)) not in names:
                file.unlink()


def mutate():
    copy_tree()
    subprocess.run(
        ["cargo", "run", "--quiet", "--manifest-path", HERE / "Cargo.toml", "--", COPY, DROPPED],
        check=True,
        env=environment(CARGO_TARGET_DIR=str(WORK / "tool")),
    )


def mutants():
    rows = []
    for line in (COPY / "mutants.tsv").read_text().splitlines():
        number, file, at, column, within, what, begin, opened, end = line.split("\t")
        rows.append(
            dict(id=int(number), file=file, line=int(at), column=int(column), within=within, what=what,
                 begin=int(begin), opened=int(opened), end=int(end))
        )  # fmt: skip
    # A name that outlives changes elsewhere in the file.
    seen = defaultdict(int)
    for row in rows:
        key = f"{row['file']} | {row['within']} | {row['what']}"
        seen[key] += 1
        row["name"] = key if seen[key] == 1 else f"{key} | {seen[key]}"
    return rows


def compile_errors(arguments):
    """The errors of a build, as (file, first byte, text); none when it is well."""
    done = subprocess.run(["cargo", *arguments, "--message-format=json"], cwd=COPY, env=environment(), stdout=subprocess.PIPE)
    errors, binaries = [], {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["kind"] != ["bin"]:
            binaries[message["target"]["name"]] = message["executable"]
        if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
            text = message["message"]
            spans = [(span["file_name"], span["byte_start"], span["byte_end"]) for span in text["spans"] if span["is_primary"]]
            errors.append((spans, text["message"]))
    if done.returncode and not errors:
        sys.exit("the build fails, and not by an error of the compiler")
    return errors, binaries


def keep(binaries):
    """Copies, so that a build does not change what a run is about."""
    (WORK / "bin").mkdir(exist_ok=True)
    kept = {}
    for name, path in binaries.items():
        kept[name] = str(WORK / "bin" / name)
        Path(kept[name]).unlink(missing_ok=True)
        shutil.copy2(path, kept[name])
    (WORK / "binaries.json").write_text(json.dumps(kept))


def build(_):
    WORK.mkdir(parents=True, exist_ok=True)
    DROPPED.write_text("")
    dropped = set()
    for turn in range(40):
        mutate()
        errors, _ = compile_errors(["check", "--lib"])
        if not errors:
            break
        rows, bad = mutants(), set()
        for spans, text in errors:
            for file, first, last in spans:
                around = [row for row in rows if row["file"] == file and row["id"] not in dropped and row["begin"] <= first < row["end"]]
                inside = [row for row in around if first < row["opened"]]
                chosen = min(inside or around, key=lambda row: row["end"] - row["begin"], default=None)
                if chosen:
                    bad.add(chosen["id"])
                else:
                    print(f"nobody's error: {file}:{first}: {text}")
        print(f"turn {turn}: {len(errors)} errors, {len(bad)} mutants do not compile")
        if not bad:
            sys.exit("no mutant is the cause")
        dropped |= bad
        DROPPED.write_text("".join(f"{one}\n" for one in sorted(dropped)))
    errors, binaries = compile_errors(["test", "--no-run", "--lib", "--test", "sim", "--test", "it"])
    if errors:
        sys.exit(f"the tests do not compile: {errors[:3]}")
    keep(binaries)
    print(f"{len(mutants()) - len(dropped)} mutants, {len(dropped)} more did not compile")


def alive():
    dropped = {int(line) for line in DROPPED.read_text().splitlines()}
    return [row for row in mutants() if row["id"] not in dropped]


# ------------------------------------------------------------------- tests
def is_busy(pid):
    """Whether a process works, or would if the machine let it."""
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            state = thread.read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state in "RD":
            return True
    return False


def processor_seconds(pid):
    """What a process and its children, as far as they have ended, have used of the processor."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]
    except OSError:
        return None
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def run_tests(binary, arguments, seconds, **env):
    """How a run of tests ends: passed, failed (and by which test), or out of time."""
    folder = tempfile.mkdtemp(prefix="mutant", dir=MEMORY)
    # What goes round and round is ended by the time of the processor, and what waits for nothing by the seconds in
    # which no thread wanted to run: a busy machine ends nothing.
    command = ["prlimit", f"--cpu={round(8 + 2 * seconds)}", binary, *arguments]
    idle, limit = 0, 60 + 4 * seconds
    begin = time.monotonic()
    child = subprocess.Popen(
        command, cwd=COPY, env=environment(TMPDIR=folder, **env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True, text=True, errors="replace",
    )  # fmt: skip
    CHILDREN.add(child.pid)
    lines = queue.Queue()

    def read():
        for line in child.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    outcome = None
    while outcome is None:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            idle += not is_busy(child.pid)
            outcome = ("timeout", None) if idle > limit else None
            continue
        if line is None:
            code = child.wait()
            ended = "timeout" if code in (-signal.SIGXCPU, -signal.SIGKILL) else "failed"
            outcome = ("passed", None) if code == 0 else (ended, "the process")
        elif line.startswith("test ") and line.rstrip().endswith("... FAILED"):
            outcome = ("failed", line.split()[1])
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
    CHILDREN.discard(child.pid)
    shutil.rmtree(folder, ignore_errors=True)
    return (*outcome, time.monotonic() - begin)


def end(*_):
    """No test outlives this process."""
    for child in list(CHILDREN):
        os.killpg(child, signal.SIGKILL)
    os._exit(1)


def listed(binary):
    out = subprocess.run([binary, "--list"], cwd=COPY, env=environment(), capture_output=True, text=True, check=True)
    return [line.removesuffix(": test") for line in out.stdout.splitlines() if line.endswith(": test")]


def groups(binaries):
    """The tests by what they are, as {name: (binary, tests, environment)}."""
    lib = [name for name in listed(binaries["corpusd"]) if name.startswith("sync::")]
    sim = [name for name in listed(binaries["sim"]) if not name.startswith("broken::")]
    seeds = [name for name in sim if "every_seed" in name]
    it = [name for name in listed(binaries["it"]) if name.startswith(PREFIXES)]
    several = {name: (binaries["sim"], seeds, dict(CORPUSD_SIM_SEEDS=f"{of[0]}..{of[1]}")) for name, of in SEEDS.items()}
    return several | {
        "lib": (binaries["corpusd"], lib, {}),
        "sim": (binaries["sim"], [name for name in sim if name not in seeds], {}),
        "it direct": (binaries["it"], [name for name in it if name.startswith(DIRECT)], {}),
        "it": (binaries["it"], [name for name in it if name.startswith("sync") and not name.startswith(DIRECT)], {}),
        "it beside": (binaries["it"], [name for name in it if not name.startswith("sync")], {}),
    }


def plan(binaries, covered):
    """The order of things, from the fast to the slow: (group, binary, tests, environment, whether it is slow)."""
    fast = ("lib", "few seeds", "it direct", "some seeds", "sim", "it", "it beside")
    for slow, order in ((False, fast), (True, ("it direct", "more seeds", "sim", "it", "it beside"))):
        for name in order:
            binary, tests, env = groups_of(binaries)[name]
            seconds = covered[name]["seconds"]
            chosen = [test for test in tests if "seeds" in name or (seconds.get(test, 0) >= SLOW) == slow]
            yield name, binary, chosen, env, slow


@functools.cache
def _groups(text):
    return groups(json.loads(text))


def groups_of(binaries):
    return _groups(json.dumps(binaries))


def watched(binary, tests, env):
    """What each test takes of the processor, one after the other."""
    child = subprocess.Popen(
        [binary, "--exact", "--test-threads=1", *tests], cwd=COPY, env=environment(**env), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True, text=True, bufsize=1,
    )  # fmt: skip
    CHILDREN.add(child.pid)
    seconds, last = {}, 0
    for line in child.stdout:
        if line.startswith("test ") and line.rstrip().endswith("... ok"):
            now = processor_seconds(child.pid) or last
            seconds[line.split()[1]], last = now - last, now
    code = child.wait()
    CHILDREN.discard(child.pid)
    if code != 0:
        sys.exit(f"without a mutant: {sorted(set(tests) - set(seconds))}")
    return seconds


def cover(arguments):
    binaries = json.loads((WORK / "binaries.json").read_text())
    covered = json.loads((WORK / "cover.json").read_text()) if arguments.only else {}
    for name, (binary, tests, env) in groups_of(binaries).items():
        if arguments.only and name not in arguments.only:
            continue
        log = WORK / f"cover.{name.replace(' ', '_')}"
        log.unlink(missing_ok=True)
        seconds = watched(binary, tests, env | dict(CORPUSD_MUTANT_COVER=str(log)))
        by = defaultdict(set)
        for line in log.read_text().splitlines():
            thread, number = line.rsplit("\t", 1)
            # Threads that bear no test's name belong to any of them.
            by[int(number)].add(thread if thread in tests else "*")
        covered[name] = dict(seconds=seconds, by={number: sorted(names) for number, names in by.items()})
        print(f"{name}: {len(tests)} tests in {sum(seconds.values()):.1f} s come by {len(by)} mutants", flush=True)
    (WORK / "cover.json").write_text(json.dumps(covered))


def judge(row, steps, covered, begin, end):
    """What becomes of a mutant in the steps from `begin` to `end`; it has passed those before."""
    reached, seconds = any(known["by"].get(str(row["id"])) for known in covered.values()), 0.0
    for name, binary, tests, env, _ in steps[begin:end]:
        known = covered[name]
        by = known["by"].get(str(row["id"]), [])
        chosen = [test for test in tests if test in by or "*" in by]
        # A test that comes by few mutants is about this one rather than the others.
        chosen.sort(key=lambda test: known["breadth"].get(test, 0))
        for part in (chosen[:3], chosen[3:]):
            if not part:
                continue
            expected = sum(known["seconds"].get(test, 1) for test in part)
            outcome, test, took = run_tests(
                binary, ["--exact", "--test-threads=2", *part], expected, CORPUSD_MUTANT=str(row["id"]), **env
            )
            seconds += took
            if outcome != "passed":
                ended = "caught" if outcome == "failed" else "timeout"
                return dict(outcome=ended, stage=name, test=test, seconds=round(seconds, 1))
    if not reached:
        return dict(outcome="unreached", seconds=round(seconds, 1))
    if end < len(steps):
        return dict(outcome="tests left", steps=end, seconds=round(seconds, 1))
    return dict(outcome="survived", seconds=round(seconds, 1))


def results():
    found = {}
    if RESULTS.exists():
        for line in RESULTS.read_text().splitlines():
            one = json.loads(line)
            found[one["name"]] = one
    return found


def run(arguments):
    binaries = json.loads((WORK / "binaries.json").read_text())
    covered = json.loads((WORK / "cover.json").read_text())
    for group in covered.values():
        group["breadth"] = Counter(test for tests in group["by"].values() for test in tests)
    steps = list(plan(binaries, covered))
    known = results()
    again = set(arguments.again or [])
    end = arguments.steps or len(steps)

    def left(row):
        """The first step that a mutant has before it; none when it is done."""
        before = known.get(row["name"])
        if before is None or before["outcome"] in again:
            return 0
        return before["steps"] if before["outcome"] == "tests left" and before["steps"] < end else None

    same = equal()
    todo = [row for row in alive() if row["name"] not in same and left(row) is not None]
    todo = [row for row in todo if not arguments.only or any(part in row["name"] for part in arguments.only)]
    # In no order, so that a part of them already tells of the whole.
    random.Random(1).shuffle(todo)

    def one(row):
        return row, judge(row, steps, covered, left(row), end)

    counts = defaultdict(int)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool, RESULTS.open("a") as out:
        for done, future in enumerate(concurrent.futures.as_completed([pool.submit(one, row) for row in todo]), 1):
            row, outcome = future.result()
            counts[outcome["outcome"]] += 1
            out.write(json.dumps(dict(name=row["name"], line=row["line"]) | outcome) + "\n")
            out.flush()
            if done % 25 == 0 or done == len(todo):
                print(f"{done} of {len(todo)}: {dict(counts)}", flush=True)


# ------------------------------------------------------------------ report
def equal():
    """Mutants that do the same as the original, with the reason: `name # reason`, a line each."""
    if not EQUAL.exists():
        return {}
    lines = [line for line in EQUAL.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.rsplit(" # ", 1) for line in lines)


def report(arguments):
    known, same = results(), equal()
    table = defaultdict(lambda: defaultdict(int))
    left = []
    for row in alive():
        outcome = known.get(row["name"], {}).get("outcome", "not run")
        if row["name"] in same:
            if outcome in ("caught", "timeout"):
                print(f"it is said to be equal, and was caught: {row['name']}")
            outcome = "equal"
        elif outcome not in ("caught", "timeout"):
            left.append((row, outcome))
        for key in (row["file"], "all"):
            table[key]["mutants"] += 1
            table[key][outcome] += 1
    columns = ("mutants", "caught", "timeout", "unreached", "survived", "tests left", "not run", "equal")
    print("| file | " + " | ".join(columns) + " | score |\n|---|" + "---|" * (len(columns) + 1))
    for name in sorted(table, key=lambda name: (name == "all", name)):
        row = table[name]
        score = 100 * (row["caught"] + row["timeout"]) / max(1, row["mutants"] - row["equal"])
        print(f"| {name.removeprefix('src/sync/')} | " + " | ".join(str(row[column]) for column in columns) + f" | {score:.1f} % |")
    if not arguments.table:
        for row, outcome in left:
            print(f"{outcome}: {row['file']}:{row['line']}:{row['column']}: {row['within']}: {row['what']}")


def main():
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(required=True)
    steps.add_parser("build").set_defaults(step=build)
    step = steps.add_parser("cover")
    step.add_argument("--only", nargs="*", help="groups of tests that have changed")
    step.set_defaults(step=cover)
    step = steps.add_parser("run")
    step.add_argument("--jobs", type=int, default=2)
    step.add_argument("--again", nargs="*", help="outcomes that are looked at once more")
    step.add_argument("--steps", type=int, help="only the first so many steps; the slow tests begin with the eighth")
    step.add_argument("--only", nargs="*", help="parts of names")
    step.set_defaults(step=run)
    step = steps.add_parser("report")
    step.add_argument("--table", action="store_true", help="without the survivors")
    step.set_defaults(step=report)
    arguments = parser.parse_args()
    arguments.step(arguments)


if __name__ == "__main__":
    main()
