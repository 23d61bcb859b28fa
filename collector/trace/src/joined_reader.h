// The traces of one folder as one: those of the ranks of a job on several hosts.
#pragma once

#include <memory>
#include <string>

#include "tidemark/trace/reader.h"

namespace tidemark::trace {

// Every "*.db" in `folder`, in order of their names. Errors: none there, one that is no trace, two
// that hold the same rank.
[[nodiscard]] Result<std::unique_ptr<Reader>> open_folder(const std::string& folder);

}  // namespace tidemark::trace
