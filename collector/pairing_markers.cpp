// A program's own names for what it does: marks and ranges.
//
// Events, not activities: their order is that of the program, and a name is published before the
// first event that bears it, so that it is known here unless it was dropped.
#include "pairing.h"

namespace tidemark::collector {

using trace::Severity;

trace::StringId Pairing::marker_text(ProcessState& process, wire::NameId id) {
  const trace::StringId text = plain_name(process, id);
  if (id != 0 && text == trace::StringId{}) losses_.add("names_missing", Severity::kDataLoss);
  return text;
}

void Pairing::on_marker(Producer& producer, const wire::Marker& record, uint64_t time_ns) {
  ProcessState& process = *producer.process;
  const auto kind = static_cast<wire::MarkerKind>(record.header.detail);
  ++counts_.markers;
  trace::Marker row;
  row.process = process.id;
  row.thread = producer.thread;
  row.domain = marker_text(process, record.domain);
  row.name = marker_text(process, record.name);
  row.start_ns = trace_time(time_ns);
  row.end_ns = kind == wire::MarkerKind::kMark ? row.start_ns : trace::kNever;
  const trace::MarkerId id = writer_.add_marker(row);
  if (window_ != nullptr && kind != wire::MarkerKind::kMark) {
    window_->range_began(process, row.name, id, time_ns);
  }
  if (kind == wire::MarkerKind::kPushed) {
    process.pushed[{producer.thread, record.domain}].push_back(id);
  } else if (kind == wire::MarkerKind::kStarted) {
    process.started.insert_or_assign(record.range, id);
  }
}

void Pairing::on_marker_end(Producer& producer, const wire::MarkerEnd& record, uint64_t time_ns) {
  ProcessState& process = *producer.process;
  trace::MarkerId id{};
  bool found = false;
  if (static_cast<wire::MarkerKind>(record.header.detail) == wire::MarkerKind::kPushed) {
    const auto open = process.pushed.find({producer.thread, record.domain});
    found = open != process.pushed.end();
    if (found) {
      id = open->second.back();
      open->second.pop_back();
      // A thread that comes and goes shall leave nothing.
      if (open->second.empty()) process.pushed.erase(open);
    }
  } else {
    const auto open = process.started.find(record.range);
    found = open != process.started.end();
    if (found) {
      id = open->second;
      process.started.erase(open);
    }
  }
  if (found) {
    writer_.end_marker(id, trace_time(time_ns));
    if (window_ != nullptr) window_->range_ended(process, id, time_ns);
  } else {
    // Of a range that was begun before a fork, by the parent; or the program ends what it never
    // began.
    losses_.add(process.forked ? "range_ends_in_forked_child" : "range_ends_without_start",
                Severity::kInfo);
  }
}

}  // namespace tidemark::collector
