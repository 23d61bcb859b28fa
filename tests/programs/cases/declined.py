"""valgrind: declined in one line, before anything is started (tests/hazards/clear_lines_test.py has
the exit status). Started deeper in a process tree it runs, unharmed."""

from program_case import Case, missing_programs, write


class ValgrindInside(Case):
    name = "sh: valgrind"
    packages = ("valgrind",)
    least_allocations = 10  # of the shell and of valgrind's launcher
    least_processes = 3
    exit_status = 9  # there is a leak

    def missing(self):
        return missing_programs("valgrind", "gcc")

    def prepare(self, work):
        write(f"{work}/leak.c", "#include <stdlib.h>\nint main(void) {\n"
              "  for (int i = 0; i < 1000; ++i) { void *p = malloc(i + 1); if (i % 10) free(p); }\n"
              "  return 0;\n}\n")

    def command(self, work):
        return ["sh", "-ec", "gcc -g leak.c -o leak; valgrind -q --leak-check=full "
                             "--error-exitcode=9 --log-file=log ./leak"]

    def content(self, path, data):
        # "==1234==": valgrind's process, on each line.
        lines = data.splitlines(keepends=True) if path == "log" else [data]
        return b"".join(line.split(b"== ", 1)[-1] for line in lines)
