"""git gc, and sqlite3 loading a table."""

import subprocess

from program_case import PATH, Case, missing_programs


def commits(generator, count, files):
    """A git fast-import stream: generated commits on generated files, with dates of their own."""
    words = [f"word{i}" for i in range(500)]
    lines = {}
    for number in range(count):
        yield f"commit refs/heads/main\nmark :{number + 1}\n" \
              f"committer A U Thor <author@example.com> {1_600_000_000 + number * 60} +0000\n"
        message = f"Change {number}\n"
        yield f"data {len(message)}\n{message}"
        if number:
            yield f"from :{number}\n"
        for _ in range(3):
            path = f"folder{generator.randrange(10)}/file{generator.randrange(files)}.txt"
            text = lines.setdefault(path, [" ".join(generator.choices(words, k=8))
                                           for _ in range(200)])
            text[generator.randrange(len(text))] = " ".join(generator.choices(words, k=8))
            content = "\n".join(text)
            yield f"M 100644 inline {path}\ndata {len(content)}\n{content}\n"
        yield "\n"


class GitGc(Case):
    name = "git"
    packages = ("git",)
    least_allocations = 5_000
    least_processes = 4

    def missing(self):
        return missing_programs("git")

    def prepare(self, work):
        def git(*arguments, **kwargs):
            subprocess.run(["git", "-C", work, *arguments], check=True, capture_output=True,
                           env={"PATH": PATH, "HOME": "/nonexistent"}, **kwargs)
        git("init", "-q", "-b", "main")
        # Threads take their share of the deltas as they come: packs then vary.
        git("config", "pack.threads", "1")
        stream = "".join(commits(self.random, self.by_size(100, 3000), 40))
        # Loose objects are what gc has to do with.
        git("-c", "fastimport.unpackLimit=1000000", "fast-import", "--quiet",
            input=stream.encode())

    def command(self, work):
        return ["git", "gc", *self.by_size([], ["--aggressive"]), "--prune=now"]

    def check_trace(self, trace):
        if not trace.sql("select 1 from process where command like '%pack-objects%'"):
            return ["no process of the trace is git pack-objects"]
        return []


class Sqlite(Case):
    name = "sqlite3"
    packages = ("sqlite3",)
    least_allocations = 100

    def missing(self):
        return missing_programs("sqlite3")

    def prepare(self, work):
        with open(f"{work}/rows.csv", "w", encoding="utf-8") as file:
            for number in range(self.by_size(20_000, 1_000_000)):
                file.write(f"{number},{self.random.randrange(10**9)},name{number % 977},"
                           f"{self.random.random():.9f}\n")

    def command(self, work):
        return ["sqlite3", "loaded.db",
                "create table t(id integer primary key, key int, name text, value real)",
                ".import --csv rows.csv t",
                "create index by_key on t(key)", "create index by_name on t(name, value)",
                "select count(*), sum(key), round(avg(value), 9) from t",
                "select name, count(*) from t group by name order by 2 desc, 1 limit 5",
                "pragma integrity_check"]
