"""g++ on one large file; cmake and ninja on a project."""

import re

from program_case import Case, missing_programs, write

# Expression templates, recursion over types and much of the standard library: what makes a compiler
# allocate. Each unit instantiates all of it for types of its own.
UNIT = """
template <int N> struct Tag{unit} {{ static constexpr int value = N + Tag{unit}<N - 1>::value; }};
template <> struct Tag{unit}<0> {{ static constexpr int value = {unit}; }};
struct Key{unit} {{
  std::string name; int rank{{}};
  bool operator<(const Key{unit}& other) const {{
    return std::tie(name, rank) < std::tie(other.name, other.rank);
  }}
}};
template <class... T> struct Shape{unit} {{
  std::tuple<T...> sides;
  template <class F> auto fold(F&& f) const {{
    return std::apply([&](const auto&... side) {{ return (f(side) + ... + 0.0); }}, sides);
  }}
}};
double run{unit}(const std::vector<int>& values) {{
  std::map<Key{unit}, std::vector<std::function<double(double)>>> table;
  for (int value : values) {{
    table[{{std::to_string(value), value % 7}}].push_back(
        [value](double x) {{ return x * value + Tag{unit}<{depth}>::value; }});
  }}
  Shape{unit}<int, double, float, long> shape{{{{1, 2.5, 3.5f, {unit}}}}};
  double sum = shape.fold([](auto side) {{ return static_cast<double>(side) * 2; }});
  std::variant<int, std::string, std::vector<double>> choice = std::vector<double>{{sum, {unit}}};
  sum += std::visit([](const auto& held) -> double {{
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(held)>>) return held;
    else return static_cast<double>(held.size());
  }}, choice);
  std::regex pattern("[a-z]+{unit}");
  for (auto& [key, calls] : table)
    for (auto& call : calls) sum += call(std::regex_match(key.name, pattern) ? 1 : key.rank);
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end(), [](double a, double b) {{ return a > b; }});
  return std::accumulate(sorted.begin(), sorted.end(), sum);
}}
"""
SMALL = """#include <map>
#include <string>
#include <vector>
std::map<std::string, std::vector<int>> table;
int add(int value) { table[std::to_string(value)].push_back(value); return int(table.size()); }
"""
HEADERS = "algorithm functional map numeric regex string tuple variant vector".split()


def unit_source(first, count, depth):
    lines = [f"#include <{header}>" for header in HEADERS]
    lines += [UNIT.format(unit=unit, depth=depth) for unit in range(first, first + count)]
    return "\n".join(lines)


class Gpp(Case):
    name = "g++"
    packages = ("g++",)
    least_processes = 3  # g++, cc1plus, as

    def missing(self):
        return missing_programs("g++")

    @property
    def least_allocations(self):
        return self.by_size(100_000, 2_000_000)

    def prepare(self, work):
        write(f"{work}/large.cpp", self.by_size(SMALL, unit_source(0, 20, 200)))

    def command(self, work):
        return ["g++", "-std=c++20", *self.by_size(["-O0"], ["-O2", "-g"]), "-Wall", "-c",
                "large.cpp", "-o", "large.o"]

    def check_trace(self, trace):
        if not trace.sql("select 1 from process where command like '%cc1plus%' limit 1"):
            return ["no process of the trace is cc1plus"]
        return []


class CmakeNinja(Case):
    name = "cmake+ninja"
    packages = ("cmake", "ninja-build", "g++")
    least_processes = 20

    def missing(self):
        return missing_programs("cmake", "ninja", "g++")

    def prepare(self, work):
        units = self.by_size(2, 24)
        write(f"{work}/source/CMakeLists.txt", f"""
cmake_minimum_required(VERSION 3.22)
project(generated LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_custom_command(OUTPUT table.h COMMAND ${{CMAKE_COMMAND}} -E copy ${{CMAKE_CURRENT_SOURCE_DIR}}/table.txt table.h VERBATIM)
add_library(units SHARED {' '.join(f'unit{i}.cpp' for i in range(1, units + 1))} table.h)
target_include_directories(units PUBLIC ${{CMAKE_CURRENT_BINARY_DIR}})
add_executable(app main.cpp)
target_link_libraries(app units)
""")
        write(f"{work}/source/table.txt",
              "".join(f"double unit{unit}();\n" for unit in range(1, units + 1)))
        for unit in range(1, units + 1):
            write(f"{work}/source/unit{unit}.cpp",
                  "#include <map>\n#include <string>\n" if self.size == "small"
                  else unit_source(unit * 100, 1, 50))
            with open(f"{work}/source/unit{unit}.cpp", "a", encoding="utf-8") as file:
                file.write(f"double unit{unit}() {{ return {unit}; }}\n")
        calls = " + ".join(f"unit{unit}()" for unit in range(1, units + 1))
        write(f"{work}/source/main.cpp",
              f'#include "table.h"\n#include <cstdio>\nint main() {{ std::printf("%g\\n", {calls}); }}\n')

    def command(self, work):
        return ["sh", "-ec", "cmake -G Ninja -S source -B build; ninja -C build -j2; build/app; "
                             "ninja -C build -n"]

    def stdout(self, text):
        # Two compilers end in any order: the step's number stays with the line printed, not the work.
        lines = re.sub(rb"^\[\d+/", b"[n/", text, flags=re.M).splitlines(keepends=True)
        # "(0.4s)": cmake says how long it took.
        return b"".join(sorted(re.sub(rb"\(\d+\.\d+s\)", b"(s)", line) for line in lines))

    def left_out(self, path):
        # Times of steps and of files; cmake's logs and its scratch project have random names in them.
        return path.startswith("build/.ninja_") or path.endswith((".log", ".yaml")) or \
            "/CMakeTmp/" in path or "/CMakeScratch/" in path

    def check_trace(self, trace):
        wanted = ("cmake", "ninja", "cc1plus", "collect2", "build/app")
        return [f"no process of the trace is {name}" for name in wanted
                if not trace.sql(f"select 1 from process where command like '%{name}%' limit 1")]
