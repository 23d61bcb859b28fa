// Numbers as people read and write them. Pure; any thread.
//
// What is printed is also accepted: parse_size(format_bytes(n)) is n as far as its digits go.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tidemark/trace/result.h"

namespace tidemark::analyzer {

// "0 B", "1023 B", "1.00 KiB", "1.23 GiB", "24.0 GiB", "512 MiB": three significant digits at
// least, powers of 1024. Rounds to nearest, and to the next unit where "1024 KiB" would stand.
std::string format_bytes(uint64_t bytes);

// "123 ns", "12.345 µs", "1.234 ms", "1.234 s", "-1.234 s".
std::string format_ns(int64_t ns);

// Of milliwatts: "312 W", "9.5 W" below 10 W. Of millijoules: "23.1 J", "4.21 kJ", "1.30 MJ".
std::string format_watts(int64_t milliwatts);
std::string format_joules(int64_t millijoules);

// "1,234,567"
std::string format_count(uint64_t count);

// "12.3 %" of part in whole; "0.0 %" when whole is 0.
std::string format_share(uint64_t part, uint64_t whole);

// "24GiB", "1.5 GiB", "512MB", "4096", "80G": KiB MiB GiB TiB PiB and bare K M G T P are powers of
// 1024, KB MB GB TB PB powers of 1000, any case. Bytes, rounded down. Errors: no number, a unit
// that is not one, negative, more than 2^63 - 1 bytes.
[[nodiscard]] Result<uint64_t> parse_size(std::string_view text);

}  // namespace tidemark::analyzer
