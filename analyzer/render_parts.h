// What the text of a report is put together from. Private to the analyzer. Pure; any thread.
#pragma once

#include <string>

#include "tidemark/analyzer/report.h"

namespace tidemark::analyzer {

inline constexpr size_t kColumns = 100;

std::string bytes_text(int64_t bytes);  // below 0: of 0
// "1 block", "2 blocks"
std::string plural(uint64_t count, std::string_view one, std::string_view many);
// Behind `bullet`, broken at spaces; lines after the first are indented as far.
std::string wrapped(std::string_view bullet, std::string_view text);
// The lines of a stack, the user's own first frame marked.
std::string stack_lines(const StackView& view);
// At most `most` groups with their stacks, and a line for the rest.
std::string shares(const StackShares& shares, size_t most);

// "backward", and "backward (guess)" where phases come from the rise and fall of memory alone: a
// program that trains nothing has those too.
std::string phase_text(const Structure& structure, Phase phase);
// " (guess)" behind a category that rests on such phases, else "".
std::string guessed_text(const Structure& structure, std::string_view category);

// The training loop: "" where nothing repeats.
std::string iterations_text(const Report& report);
// Of each series at its peak: categories, lines, layers, what rose last.
std::string owners_text(const Report& report);

// What is wasted: "" where nothing was found.
std::string findings_text(const Report& report);

// The techniques that apply, and the names of the others; "" where no advice was asked for.
std::string techniques_text(const Report& report);
// Most bytes first, then most time.
std::vector<const TechniqueLine*> applying(const TechniqueAdvice& advice);
// "peak 4.90 GiB -> 3.65 GiB, step 1.23 x"; "" of what wins nothing that is known.
std::string gain_text(const TechniqueAdvice& advice, const TechniqueLine& line);

bool any_resident(const Report& report);
std::string peak_rss_text(const ProcessLine& line);  // "" where nothing was sampled
// What was asked for, what there was, and what lived then.
std::string out_of_memory_text(const Report& report);
std::string driver_memory_text(const Report& report);
// The ranks of a distributed job beside each other.
std::string ranks_text(const Report& report);
// What the driver says is in use of each device, and what of it allocations explain.
std::string device_memory_text(const Report& report);
// What power and energy each device took.
std::string power_text(const Report& report);
// Which cards would hold it.
std::string fits_text(const Report& report);
// What the resident memory of the largest processes was, and who held their heaps.
std::string process_memory_text(const Report& report);

}  // namespace tidemark::analyzer
