// Numbers for people. Pure; any thread. Binary units (1 KiB = 1024 B); times in ns, sizes in bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidemark::viewer {

// As every command prints them: "0 B", "1023 B", "1.50 KiB", "24.0 GiB", "-1.00 MiB".
std::string format_bytes(int64_t bytes);
// "3,456,789,012 B".
std::string format_bytes_exact(int64_t bytes);
// Exactly what a grid line stands for, without needless zeros: "512 MiB", "1.5 GiB".
std::string format_bytes_tick(int64_t bytes);
// "1,234,567".
std::string format_count(uint64_t count);
std::string format_percent(double share);  // 0.1234 → "12.3 %"

// "812 ns", "12.345 µs", "345.678901 ms", "12.345678 s", "2:05.123456", "1:02:05.123456".
std::string format_time(int64_t time_ns);
// The same with every nanosecond.
std::string format_time_exact(int64_t time_ns);
// A short duration: "1.24 s", "3 min 20 s", "2 h 5 min".
std::string format_duration(int64_t ns);
// The label at `time_ns` when labels are `step_ns` apart and the last one is at `last_ns`, which
// gives the unit for all.
std::string format_tick(int64_t time_ns, int64_t step_ns, int64_t last_ns);

// A demangled name without its parameters, template arguments and return type:
// "at::native::empty_cuda".
std::string short_function(std::string_view demangled);
// The last part of a path.
std::string_view base_name(std::string_view path);
// Of ASCII letters.
std::string lower(std::string_view text);

}  // namespace tidemark::viewer
