// Keeps a trace that is being written below a size (Writer::limit): says when to make room, makes
// it, and what is still taken when there is none to be made. In this order:
//
//   used of what the file may use
//   85 %   host allocations that are over go, oldest chunks first, down to 60 %
//   87 %   is still used then: the live ones are too many, so all host rows go, as if recorded with
//          --host=aggregate
//   without host rows (never any, or gone):
//   60 %   new stacks are not taken: their events have none. The rest is for symbols
//   85 %   what the device did and samples of memory are not taken
//   97 %   the recording ends, with an error
//
// Owned by the writer, which has no transaction open when it calls condense().
#pragma once

#include "host_condense.h"
#include "size_limit.h"
#include "tidemark/trace/writer.h"

namespace tidemark::trace {

class LimitedTrace {
 public:
  LimitedTrace(sqlite3* db, const std::string& path, const Limit& limit);

  // `buffered`: bytes that the next flush adds.
  Room room(int64_t buffered);
  // See Writer::condense.
  Result<Condensed> condense(int64_t settled_ns);
  void committed() { size_.committed(); }

  bool takes_stacks() const { return takes_stacks_; }
  bool takes_details() const { return takes_details_; }
  // Nothing can be taken any more; once.
  std::optional<Error> ran_out() const;

  // How many bytes may be there twice while rows are settled, and change in one transaction.
  int64_t most_twice();
  // Gives free pages back; the whole file is rewritten where there is room for a copy.
  void compact(int64_t vacuum_below_bytes);
  // File and journal are larger than they should be, for the first time.
  bool newly_exceeded();

 private:
  Result<uint64_t> condense_chosen(HostCondenser& condenser);
  Result<uint64_t> drop_all_rows();
  int64_t percent(int64_t part) const { return size_.most_bytes() / 100 * part; }
  bool begin() { return execute(db_, "BEGIN IMMEDIATE") == SQLITE_OK; }
  bool note(int64_t until_ns, uint64_t added);
  bool commit();
  tl::unexpected<Error> failed() const;

  sqlite3* db_;
  const std::string& path_;
  SizeLimit size_;
  bool host_rows_;
  bool takes_stacks_ = true;
  bool takes_details_ = true;
  bool full_ = false;
  bool exceeded_ = false;
  int64_t condense_above_ = 0;  // used bytes; 0: the first time
  int64_t until_ns_ = std::numeric_limits<int64_t>::min();
  uint64_t condensed_ = 0;
};

}  // namespace tidemark::trace
