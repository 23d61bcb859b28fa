#include "host_scan.h"

#include <algorithm>

namespace tidemark::trace {
namespace {

// Below this a thread costs more than it saves: what lived at one moment is found in fewer.
constexpr size_t kFewestAhead = 16;
// One for each thread and one for each to go on with: about 25 MiB.
constexpr size_t kJobsAhead = 4;

}  // namespace

HostScan::HostScan(sqlite3* db, std::string path, const HostFilter& filter, size_t window_rows,
                   Decoding decoding)
    : db_(db),
      path_(std::move(path)),
      filter_(filter),
      window_rows_(window_rows),
      decoding_(decoding),
      read_data_(db, "SELECT data FROM main.host_chunk WHERE id=?1") {}

void HostScan::sort_in(const ChunkInfo& chunk) {
  if (chunk.kind == ChunkKind::kNearFrees) {
    near_.push_back(chunk);
  } else if (chunk.kind == ChunkKind::kFarFrees) {
    far_.push_back(chunk);
  } else if (chunk.kind == ChunkKind::kAllocations) {
    runs_[0].chunks.push_back(chunk);
  } else if (!filter_.recorded_only ||
             std::find(filter_.and_chunks.begin(), filter_.and_chunks.end(), chunk.row_id) !=
                 filter_.and_chunks.end()) {
    const auto which = static_cast<size_t>(chunk.kind) - static_cast<size_t>(ChunkKind::kSettled);
    runs_[1 + which].chunks.push_back(chunk);
  }
}

Result<void> HostScan::load_index() {
  indexed_ = true;
  Statement index(
      db_,
      "SELECT id, kind, rows, first_id, last_id, begin_ns, last_ns, end_ns, layers FROM "
      "main.host_chunk ORDER BY id");
  int64_t before = std::numeric_limits<int64_t>::min();
  while (index.row()) {
    const ChunkInfo chunk{index.integer(0),
                          static_cast<ChunkKind>(index.integer(1)),
                          static_cast<uint32_t>(index.integer(2)),
                          index.integer(3),
                          index.integer(4),
                          index.integer(5),
                          index.integer(6),
                          index.integer(7),
                          static_cast<uint8_t>(index.integer(8))};
    if (chunk.row_id <= before || chunk.kind > kLastChunkKind || chunk.first_id < 1 ||
        chunk.last_id < chunk.first_id || chunk.rows > kMaxChunkRows) {
      return tl::unexpected(damaged(path_, "the list of chunks is impossible"));
    }
    before = chunk.row_id;
    sort_in(chunk);
  }
  if (!index.done()) return tl::unexpected(read_error(db_, path_));
  for (Run& run : runs_) {
    std::sort(run.chunks.begin(), run.chunks.end(),
              [](const ChunkInfo& a, const ChunkInfo& b) { return a.first_id < b.first_id; });
    for (size_t i = 1; i < run.chunks.size(); ++i) {
      if (run.chunks[i].first_id <= run.chunks[i - 1].last_id) {
        return tl::unexpected(damaged(path_, "chunks overlap"));
      }
    }
  }
  // A free that is still to be applied moves free_ns either way (a free, a revival).
  decode_filter_ = filter_;
  if (has_frees()) decode_filter_.min_free_ns = HostFilter{}.min_free_ns;
  // With rows as recorded beside rows in classes, some may be there twice: only order tells.
  any_order_ = filter_.any_order && !has_frees() &&
               (runs_[0].chunks.empty() || runs_[0].chunks.size() == chunks());
  if (decoding_ != Decoding::kInTurn) start_ahead();
  return {};
}

void HostScan::start_ahead() {
  size_t wanted = decoding_ == Decoding::kAlwaysAhead ? kFewestAhead : 0;
  for (const Run& run : runs_) {
    wanted += static_cast<size_t>(
        std::count_if(run.chunks.begin(), run.chunks.end(),
                      [this](const ChunkInfo& chunk) { return may_match(chunk); }));
  }
  if (wanted >= kFewestAhead) ahead_.emplace(decode_filter_, decoder_);
}

size_t HostScan::chunks() const {
  size_t count = 0;
  for (const Run& run : runs_) count += run.chunks.size();
  return count;
}

bool HostScan::may_match(const ChunkInfo& chunk) const {
  return (chunk.layers & filter_.layers) != 0 && chunk.first_id <= filter_.last_id &&
         chunk.last_id >= filter_.first_id && chunk.begin_ns <= filter_.last_alloc_ns &&
         chunk.last_ns >= filter_.first_alloc_ns && chunk.end_ns >= decode_filter_.min_free_ns;
}

Result<std::string_view> HostScan::data_of(const ChunkInfo& chunk) {
  read_data_.reset();
  read_data_.bind(1, chunk.row_id);
  if (read_data_.row()) return read_data_.blob(0);
  if (read_data_.done()) return tl::unexpected(damaged(path_, "a chunk is missing"));
  return tl::unexpected(read_error(db_, path_));
}

const ChunkInfo* HostScan::peek(Run& run) const {
  while (run.next < run.chunks.size() && !may_match(run.chunks[run.next])) ++run.next;
  return run.next < run.chunks.size() ? &run.chunks[run.next] : nullptr;
}

// Where runs are merged, a run wants its next chunk when the merge has come to the last id of the
// one before.
HostScan::Run* HostScan::next_run() {
  Run* next = nullptr;
  int64_t wanted_at = 0;
  for (Run& run : runs_) {
    if (peek(run) == nullptr) continue;
    const int64_t used_up = run.next == 0 ? 0 : run.chunks[run.next - 1].last_id;
    if (next != nullptr && (any_order_ || used_up >= wanted_at)) continue;
    next = &run;
    wanted_at = used_up;
  }
  return next;
}

// The run's next chunk, which there is, is decoded from now on.
Result<void> HostScan::add_ahead(Run& run) {
  const ChunkInfo& chunk = run.chunks[run.next++];
  const auto data = data_of(chunk);
  if (!data) return tl::unexpected(data.error());
  if (spare_.empty()) spare_.push_back(std::make_unique<AheadJob>());
  AheadJob& job = *jobs_.emplace_back(std::move(spare_.back()));
  spare_.pop_back();
  job.run = &run;
  job.data.assign(*data);
  job.chunk = chunk;
  ahead_->add(job);
  return {};
}

Result<void> HostScan::fill_ahead() {
  while (jobs_.size() < kJobsAhead) {
    Run* run = next_run();
    if (run == nullptr) break;
    if (auto added = add_ahead(*run); !added) return added;
  }
  return {};
}

// Appends the rows of the run's next chunk that has any.
Result<void> HostScan::refill_ahead(Run& run, std::vector<Allocation>& rows) {
  const size_t before = rows.size();
  while (rows.size() == before) {
    if (auto filled = fill_ahead(); !filled) return filled;
    auto found =
        std::find_if(jobs_.begin(), jobs_.end(), [&](const auto& job) { return job->run == &run; });
    if (found == jobs_.end()) {
      // A filter left less of the chunk before than its last id lets expect; or nothing is left.
      if (peek(run) == nullptr) return {};
      if (auto added = add_ahead(run); !added) return added;
      found = jobs_.end() - 1;
    }
    AheadJob& job = *spare_.emplace_back(std::move(*found));
    jobs_.erase(found);
    ahead_->take(job);
    ++chunks_read_;
    if (!job.result) return tl::unexpected(damaged(path_, job.result.error().message));
    window_.push_back(job.chunk);
    if (rows.empty()) {
      std::swap(rows, job.rows);
    } else {
      rows.insert(rows.end(), job.rows.begin(), job.rows.end());
    }
  }
  // What the worker does while these are visited.
  return fill_ahead();
}

// The same, where nothing is decoded ahead.
Result<void> HostScan::refill(Run& run, std::vector<Allocation>& rows) {
  if (ahead_) return refill_ahead(run, rows);
  const size_t before = rows.size();
  while (rows.size() == before) {
    const ChunkInfo* chunk = peek(run);
    if (chunk == nullptr) break;
    ++run.next;
    const auto data = data_of(*chunk);
    if (!data) return tl::unexpected(data.error());
    ++chunks_read_;
    if (auto decoded = decode_allocations(decoder_, *data, *chunk, decode_filter_, rows);
        !decoded) {
      return tl::unexpected(damaged(path_, decoded.error().message));
    }
    window_.push_back(*chunk);
  }
  return {};
}

Result<void> HostScan::read_any(std::vector<Allocation>& rows) {
  for (Run& run : runs_) {
    if (auto filled = refill(run, rows); !filled) return filled;
    if (!rows.empty()) break;
  }
  return {};
}

Result<void> HostScan::fill_runs() {
  for (Run& run : runs_) {
    if (!run.given()) continue;
    run.rows.clear();
    run.at = 0;
    if (auto filled = refill(run, run.rows); !filled) return filled;
  }
  return {};
}

// False: no run has rows. All have been filled.
bool HostScan::find_first(Run*& first, int64_t& other_id) {
  first = nullptr;
  other_id = std::numeric_limits<int64_t>::max();
  for (Run& run : runs_) {
    if (run.given()) continue;
    if (first == nullptr || run.id() < first->id()) {
      if (first != nullptr) other_id = first->id();
      first = &run;
    } else {
      other_id = std::min(other_id, run.id());
    }
  }
  return first != nullptr;
}

Result<void> HostScan::read_window(std::vector<Allocation>& rows) {
  // Without frees each chunk stands for itself.
  const size_t enough = has_frees() ? window_rows_ : kMaxChunkRows;
  if (Run* only = only_run()) {
    do {
      const size_t before = rows.size();
      if (auto filled = refill(*only, rows); !filled) return filled;
      if (rows.size() == before) break;
    } while (rows.size() < enough);
    return {};
  }
  while (rows.size() < enough) {
    if (auto filled = fill_runs(); !filled) return filled;
    Run* run = nullptr;
    int64_t other_id = 0;
    if (!find_first(run, other_id)) break;
    if (run->id() == other_id) {
      ++run->at;  // there twice
      continue;
    }
    const auto begin = run->rows.begin() + static_cast<std::ptrdiff_t>(run->at);
    const auto end = std::find_if(begin, run->rows.end(), [&](const Allocation& row) {
      return static_cast<int64_t>(row.id) >= other_id;
    });
    rows.insert(rows.end(), begin, end);
    run->at = static_cast<size_t>(end - run->rows.begin());
  }
  return {};
}

HostScan::Run* HostScan::only_run() {
  Run* only = nullptr;
  for (Run& run : runs_) {
    if (run.chunks.empty()) continue;
    if (only != nullptr) return nullptr;
    only = &run;
  }
  return only;
}

Result<void> HostScan::apply(const std::vector<ChunkInfo>& chunks, std::vector<Allocation>& rows) {
  for (const ChunkInfo& chunk : chunks) {
    if (chunk.last_id < static_cast<int64_t>(rows.front().id) ||
        chunk.first_id > static_cast<int64_t>(rows.back().id)) {
      continue;
    }
    const auto data = data_of(chunk);
    if (!data) return tl::unexpected(data.error());
    frees_.clear();
    if (auto decoded = decode_frees(decoder_, *data, chunk, frees_); !decoded) {
      return tl::unexpected(damaged(path_, decoded.error().message));
    }
    for (const HostFree& free : frees_) {
      if (Allocation* row = find_row(rows, free.id)) {
        row->free_ns = free.revived ? kNever : free.free_ns;
        row->free_stack = free.revived ? StackId{} : free.stack;
      }
    }
  }
  read_data_.reset();
  return {};
}

Result<void> HostScan::next(std::vector<Allocation>& rows) {
  if (!indexed_) {
    if (auto loaded = load_index(); !loaded) return loaded;
  }
  rows.clear();
  window_.clear();
  while (rows.empty()) {
    if (auto read = any_order_ ? read_any(rows) : read_window(rows); !read) return read;
    read_data_.reset();
    if (rows.empty() || !has_frees()) break;
    if (auto applied = apply(near_, rows); !applied) return applied;
    if (auto applied = apply(far_, rows); !applied) return applied;
    std::erase_if(rows,
                  [this](const Allocation& row) { return row.free_ns < filter_.min_free_ns; });
  }
  return {};
}

}  // namespace tidemark::trace
