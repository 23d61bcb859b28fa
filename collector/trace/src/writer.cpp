#include "tidemark/trace/writer.h"

#include "host_settle.h"
#include "schema.h"
#include "sqlite_writer.h"

namespace tidemark::trace {
namespace {

// Below this a finished trace is rewritten without gaps, which takes well under a second.
constexpr int64_t kVacuumBytes = 64 << 20;

}  // namespace

void SqliteWriter::limit(const Limit& limit) {
  limited_.emplace(db_.get(), path_, limit);
  host_->keep_as_recorded();
}

Room SqliteWriter::room() {
  if (!limited_ || !ready()) return Room::kEnough;
  const Room room = limited_->room(host_->open_bytes() + accesses_->open_bytes());
  if (auto error = limited_->ran_out()) error_ = std::move(error);
  return room;
}

bool SqliteWriter::turned_away(bool taken, const char* loss_name, Severity severity) {
  if (!taken) loss(loss_name, severity, 1);
  return !taken;
}

Result<void> SqliteWriter::commit() {
  if (!error_ && in_transaction_) {
    check(stacks_->flush(StackWriter::For::kNow));  // rows name them
    check(accesses_->flush(false));
    if (!error_) check(execute(db_.get(), "COMMIT") == SQLITE_OK);
    if (!error_) in_transaction_ = false;
    if (!error_ && limited_) limited_->committed();
  }
  return outcome();
}

Result<Condensed> SqliteWriter::condense(int64_t settled_ns) {
  if (!limited_) return Condensed{};
  if (auto flushed = flush(); !flushed) return tl::unexpected(flushed.error());
  auto condensed = limited_->condense(settled_ns);
  if (!condensed) {
    error_ = condensed.error();
  } else if (!condensed->rows_left) {
    host_.emplace(db_.get());
    host_->keep_as_recorded();
    loss("live_allocations_condensed", Severity::kInfo, condensed->allocations);
  }
  return condensed;
}

Result<void> SqliteWriter::flush() {
  if (!error_ && in_transaction_) {
    check(host_->flush());
    if (limited_ && limited_->newly_exceeded()) loss("max_size_exceeded", Severity::kInfo, 1);
    if (!error_ && written_event_ns_ != last_event_ns_) {
      meta(kMetaLastEventNs, std::to_string(last_event_ns_));
      written_event_ns_ = last_event_ns_;
    }
  }
  return commit();
}

void SqliteWriter::compact() {
  if (limited_) {
    limited_->compact(kVacuumBytes);
    return;
  }
  Statement size(db_.get(), "SELECT page_count*page_size FROM pragma_page_count, pragma_page_size");
  const int64_t bytes = size.row() ? size.integer(0) : kVacuumBytes;
  size = Statement();
  // Not necessary for a valid trace, so a failure (no room for the copy) is no error.
  execute(db_.get(), bytes < kVacuumBytes ? "VACUUM" : "PRAGMA incremental_vacuum");
}

void SqliteWriter::close_statements() {
  inserts_.reset();
  host_.reset();
  stacks_.reset();
  accesses_.reset();
  host_sums_.reset();
}

void SqliteWriter::close_files() {
  close_statements();
  compact();
  limited_.reset();  // its statements would keep the journal
  // A reader that follows the recording keeps the journal: then the trace stays in WAL mode, whole
  // and readable, and the two side files stay until somebody writes it again.
  sqlite3_busy_timeout(db_.get(), 2000);
  const int emptied = execute(db_.get(), "PRAGMA wal_checkpoint(TRUNCATE)");
  if (check(emptied == SQLITE_OK || emptied == SQLITE_BUSY)) {
    const int single = execute(db_.get(), "PRAGMA journal_mode=DELETE");
    check(single == SQLITE_OK || single == SQLITE_BUSY || single == SQLITE_LOCKED);
  }
}

Result<void> SqliteWriter::finish() {
  if (!db_) return outcome();
  if (flush() && ready()) {
    if (!end_given_) meta(kMetaEndNs, std::to_string(last_event_ns_));
    check(stacks_->flush(StackWriter::For::kGood));
    check(accesses_->flush(true));
    if (!error_) check(stacks_->write_plain(db_.get()));
    static_cast<void>(flush());
  }
  if (!error_) {
    Settling how;
    if (limited_) how = {kMaxChunkRows, [this] { return limited_->most_twice(); }};
    if (auto settled = settle_host_chunks(db_.get(), path_, how); !settled) {
      error_ = settled.error();
    }
  }
  if (ready()) {
    meta(kMetaFinished, "1");
    static_cast<void>(flush());
  }
  if (!error_) close_files();
  close_statements();
  limited_.reset();
  db_.reset();
  return outcome();
}

StackId Writer::add_framed_stack(ProcessId process, std::span<const Frame> innermost_first) {
  StackNodeId node{};
  for (size_t i = innermost_first.size(); i-- > 0;) {
    const AddressId address = add_address(process, 0, 0);
    const FrameId frame = add_frame(innermost_first[i]);
    name_address(address, {&frame, 1}, false);
    node = add_stack_node(node, address);
  }
  return add_stack(process, node);
}

Result<std::unique_ptr<Writer>> Writer::create(const std::string& path) {
  auto db = create_trace_file(path);
  if (!db) return tl::unexpected(db.error());
  return std::make_unique<SqliteWriter>(std::move(*db), path);
}

}  // namespace tidemark::trace
