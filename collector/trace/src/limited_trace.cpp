#include "limited_trace.h"

#include <fmt/format.h>

#include <algorithm>

#include "host_scan.h"
#include "schema.h"

namespace tidemark::trace {
namespace {

constexpr int64_t kCondenseAbove = 85;
constexpr int64_t kCondenseTo = 60;
constexpr int64_t kMostAfterwards = 87;
constexpr int64_t kLeastGain = 8;  // before it is tried again
constexpr int64_t kStacksUntil = 60;
constexpr int64_t kDetailsUntil = 85;
constexpr int64_t kEnd = 97;

}  // namespace

LimitedTrace::LimitedTrace(sqlite3* db, const std::string& path, const Limit& limit)
    : db_(db), path_(path), size_(db, path, limit.bytes), host_rows_(limit.host_rows) {}

tl::unexpected<Error> LimitedTrace::failed() const {
  return tl::unexpected(write_error(db_, path_));
}

Room LimitedTrace::room(int64_t buffered) {
  const int64_t used = size_.used_bytes(buffered);
  if (host_rows_) {
    if (used > std::max(percent(kCondenseAbove), condense_above_)) return Room::kCondense;
  } else {
    takes_stacks_ = used <= percent(kStacksUntil);
    takes_details_ = used <= percent(kDetailsUntil);
    full_ = used > percent(kEnd);
  }
  return size_.must_commit() ? Room::kCommit : Room::kEnough;
}

std::optional<Error> LimitedTrace::ran_out() const {
  if (!full_) return std::nullopt;
  return Error{fmt::format(
      "{} would become larger than --max-size, although only totals, stacks and device memory are "
      "left in it: allow more, or record fewer (--stacks=none)",
      path_)};
}

bool LimitedTrace::note(int64_t until_ns, uint64_t added) {
  until_ns_ = std::max(until_ns_, until_ns);
  condensed_ += added;
  Statement meta(db_, "INSERT OR REPLACE INTO main.meta VALUES(?1,?2)");
  const auto put = [&](const char* key, const std::string& value) {
    meta.bind(1, std::string_view(key));
    meta.bind(2, std::string_view(value));
    return meta.run();
  };
  if (!put(kMetaCondensedUntilNs, fmt::to_string(until_ns_)) ||
      !put(kMetaCondensed, fmt::to_string(condensed_))) {
    return false;
  }
  Statement loss(db_,
                 "INSERT INTO main.loss_row VALUES('allocations_condensed',0,?1) ON CONFLICT(name) "
                 "DO UPDATE SET count=count+excluded.count");
  loss.bind(1, static_cast<int64_t>(added));
  return loss.run();
}

bool LimitedTrace::commit() {
  if (execute(db_, "COMMIT") != SQLITE_OK) return false;
  size_.committed();
  return true;
}

// Each step is a transaction: what is gone and the note of it come together.
Result<uint64_t> LimitedTrace::condense_chosen(HostCondenser& condenser) {
  uint64_t condensed = 0;
  while (!condenser.done()) {
    if (!begin()) return failed();
    const auto rows = condenser.step(size_.journal_bytes() / 4);
    if (!rows) return rows;
    condensed += *rows;
    if (!note(condenser.until_ns(), *rows) || !commit()) return failed();
  }
  for (bool all = false; !all;) {
    if (!begin()) return failed();
    const auto dropped = condenser.drop_frees(size_.journal_bytes() / 4);
    if (!dropped) return tl::unexpected(dropped.error());
    all = *dropped;
    if (!commit()) return failed();
  }
  return condensed;
}

Result<uint64_t> LimitedTrace::drop_all_rows() {
  Statement count(db_, "SELECT total(rows) FROM main.host_chunk WHERE kind=0");
  const uint64_t rows = count.row() ? static_cast<uint64_t>(count.integer(0)) : 0;
  count = Statement();
  if (!begin() || !note(kNever, rows) || !commit()) return failed();
  Statement remove(db_,
                   "DELETE FROM main.host_chunk WHERE id IN (SELECT id FROM main.host_chunk LIMIT "
                   "64)");
  do {
    if (!begin() || !remove.run() || !commit()) return failed();
  } while (sqlite3_changes(db_) != 0);
  host_rows_ = false;
  return rows;
}

Result<Condensed> LimitedTrace::condense(int64_t settled_ns) {
  Condensed done;
  HostCondenser condenser(db_, path_);
  // Chunks of what lives on are among the oldest, and free little.
  for (;;) {
    const int64_t wanted = size_.used_bytes() - percent(kCondenseTo);
    if (wanted <= 0 || !condenser.begin(wanted, settled_ns)) break;
    const auto rows = condense_chosen(condenser);
    if (!rows) return tl::unexpected(rows.error());
    done.allocations += *rows;
  }
  const int64_t used = size_.used_bytes();
  if (used <= percent(kMostAfterwards)) {
    condense_above_ = used + percent(kLeastGain);
    return done;
  }
  const auto rows = drop_all_rows();
  if (!rows) return tl::unexpected(rows.error());
  done.allocations += *rows;
  done.rows_left = false;
  return done;
}

bool LimitedTrace::newly_exceeded() {
  if (exceeded_) return false;
  exceeded_ = size_.exceeded();
  return exceeded_;
}

int64_t LimitedTrace::most_twice() {
  return std::min(percent(100) - size_.used_bytes(), size_.journal_bytes());
}

void LimitedTrace::compact(int64_t vacuum_below_bytes) {
  if (size_.used_bytes() < vacuum_below_bytes && size_.holds_twice()) {
    execute(db_, "VACUUM");
    return;
  }
  const int64_t pages = std::max<int64_t>(size_.journal_bytes() / (4 * 16384), 1);
  const std::string some = fmt::format("PRAGMA incremental_vacuum({})", pages);
  Statement free(db_, "SELECT freelist_count FROM pragma_freelist_count");
  for (int64_t before = std::numeric_limits<int64_t>::max();;) {
    const int64_t left = free.row() ? free.integer(0) : 0;
    free.reset();
    if (left == 0 || left >= before) return;  // a failure is none of the trace
    before = left;
    execute(db_, some.c_str());
    size_.committed();
  }
}

}  // namespace tidemark::trace
