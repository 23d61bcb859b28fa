// What a ring says of its process, its stacks, modules and threads before events name them.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "hidden_pools.h"
#include "pairing.h"

namespace tidemark::collector {
namespace {

using trace::Severity;

// Paths whose beginning has not come: a few at a time, unless a target scribbles.
constexpr size_t kMaxOrphans = 10'000;

std::string hex(std::string_view bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text.push_back(kDigits[value >> 4]);
    text.push_back(kDigits[value & 15]);
  }
  return text;
}

}  // namespace

void Pairing::definition(Producer& producer, const wire::Header& record) {
  if (record.type == wire::RecordType::kProcessStart) {
    on_process_start(producer, record_as<wire::ProcessStart>(record));
    return;
  }
  adopt(producer);
  ProcessState& process = *producer.process;
  switch (record.type) {
    case wire::RecordType::kProcessExit:
      process.exit_ns = std::clamp(record.time_ns, start_ns_, now_ns_);
      break;
    case wire::RecordType::kThreadName:
      on_thread_name(producer, record_as<wire::Text>(record));
      break;
    case wire::RecordType::kModule:
      on_module(process, record_as<wire::Module>(record));
      break;
    case wire::RecordType::kModuleUnload:
      on_module_unload(process, record_as<wire::Module>(record));
      break;
    case wire::RecordType::kStack:
      on_stack(process, record_as<wire::Stack>(record));
      break;
    case wire::RecordType::kName: {
      const auto& name = record_as<wire::Name>(record);
      process.names.insert({name.id, NameEntry{{tail_of(name), name.text_bytes}, {}, {}}});
      break;
    }
    case wire::RecordType::kPythonCode:
      python_codes_.add(record_as<wire::PythonCode>(record));
      break;
    case wire::RecordType::kMeta:
      on_meta(record_as<wire::Meta>(record));
      break;
    default:
      break;
  }
}

void Pairing::on_process_start(const Producer& producer, const wire::ProcessStart& record) {
  if (record.process_key != producer.identity.process_key) {
    losses_.add("invalid_records", Severity::kDataLoss);
    return;
  }
  if (by_key_.contains(record.process_key)) return;
  const uint64_t start_ns = std::clamp(record.header.time_ns, start_ns_, now_ns_);
  const auto by_key = by_key_.find(record.parent_process_key);
  ProcessState* parent = by_key != by_key_.end() ? by_key->second : nullptr;
  // Another pid namespace has the same numbers for other processes.
  const bool foreign = producer.identity.foreign;
  if (ProcessState* before = foreign ? nullptr : live_process(record.pid)) {
    // exec: the image before ends here and is the parent of the new one. A child cannot have the
    // pid of a living process: that one has ended some time ago, unnoticed.
    const bool exec = record.forked == 0;
    end_process(*before, exec ? start_ns : before->last_event_ns, trace::Process{}.exit);
    if (exec) parent = before;
  }
  if (parent == nullptr && !foreign) parent = live_process(record.parent_pid);
  ProcessState& process = add_process(record.process_key, record.pid);
  process.forked = record.forked != 0;
  process.attached = record.attached != 0;
  process.foreign = foreign;
  process.parent = parent;
  trace::Process row;
  row.pid = record.pid;
  row.parent = parent ? parent->id : trace::ProcessId{};
  row.command = std::string(tail_of(record), record.command_bytes);
  row.start_ns = trace_time(start_ns);
  row.rank = rank_of_ && !foreign ? rank_of_(record.pid) : -1;
  process.id = writer_.add_process(row);
  if (process.forked && parent) process.modules = parent->modules;
}

ProcessState& Pairing::add_process(uint64_t key, int32_t pid) {
  auto& process = *processes_.emplace_back(std::make_unique<ProcessState>());
  process.key = key;
  process.pid = pid;
  by_key_.emplace(key, &process);
  return process;
}

void Pairing::adopt(Producer& producer) {
  if (producer.process) return;
  const RingIdentity& identity = producer.identity;
  const auto found = by_key_.find(identity.process_key);
  if (found != by_key_.end()) {
    producer.process = found->second;
  } else {
    producer.process = &add_process(identity.process_key, identity.pid);
    trace::Process row;
    row.pid = identity.pid;
    row.start_ns = trace_time(now_ns_);
    producer.process->id = writer_.add_process(row);
  }
  ProcessState& process = *producer.process;
  auto& thread = process.threads[identity.tid];
  if (thread == trace::ThreadId{}) {
    thread = writer_.add_thread(process.id, identity.tid, identity.thread_name);
    ++thread_count_;
  }
  producer.thread = thread;
  note_name(process, identity.tid, identity.thread_name);
}

void Pairing::note_name(ProcessState& process, int32_t tid, std::string_view name) {
  if (name.starts_with("pt_autograd_")) process.backward_threads.insert(tid);
}

void Pairing::on_thread_name(Producer& producer, const wire::Text& record) {
  trace::ThreadId thread = producer.thread;
  int32_t tid = producer.identity.tid;
  // Named by another: one that has done nothing yet is left out, since it may not exist.
  if (record.tid != 0 && record.tid != producer.identity.tid) {
    const auto& threads = producer.process->threads;
    const auto named = threads.find(record.tid);
    if (named == threads.end()) return;
    thread = named->second;
    tid = record.tid;
  }
  const std::string_view name(tail_of(record), record.text_bytes);
  note_name(*producer.process, tid, name);
  writer_.rename_thread(thread, name);
}

void Pairing::rename_thread(const Producer& producer, std::string_view name) {
  if (producer.process == nullptr) return;
  note_name(*producer.process, producer.identity.tid, name);
  writer_.rename_thread(producer.thread, name);
}

void Pairing::on_meta(const wire::Meta& record) {
  const std::string_view key(tail_of(record), record.key_bytes);
  const std::string_view value(tail_of(record) + record.key_bytes, record.value_bytes);
  // What the collector says of itself has no dot: a target cannot overwrite it.
  if (key.find('.') == std::string_view::npos) return;
  writer_.meta(key, value);
}

// A pass goes on for a while after its clock was read. Cut to that, what a thread did meanwhile
// would all be at one time: unload a library, load another in its place, take a stack there.
uint64_t Pairing::definition_time(uint64_t time_ns) const {
  constexpr uint64_t kLongestPassNs = 60'000'000'000;
  return std::clamp(time_ns, start_ns_, now_ns_ + kLongestPassNs);
}

void Pairing::on_stack(ProcessState& process, const wire::Stack& record) {
  if (process.nodes.contains(record.id)) return;  // two threads met it at once
  StackPath path;
  path.id = record.id;
  path.words.resize(record.frame_count);
  std::memcpy(path.words.data(), tail_of(record), record.frame_count * sizeof(uint64_t));
  const uint64_t time_ns = record.header.time_ns == 0 ? now_ns_ : record.header.time_ns;
  path.time_ns = definition_time(time_ns);
  uint32_t caller = StackTree::kNone;
  if ((record.flags & wire::kStackFromRoot) == 0) {
    const auto known = process.nodes.find(record.caller);
    if (known == process.nodes.end()) {
      // Another thread's, in a ring that is read later in this pass.
      if (process.orphans.size() >= kMaxOrphans) {
        losses_.add("stacks_missing", Severity::kDataLoss);
        return;
      }
      process.orphans[record.caller].push_back(std::move(path));
      return;
    }
    caller = known->second;
  }
  add_path(process, caller, record.caller, path);
}

void Pairing::add_path(ProcessState& process, uint32_t caller, wire::StackId caller_id,
                       const StackPath& path) {
  wire::StackId id = caller_id;
  for (size_t i = 0; i < path.words.size(); ++i) {
    const bool last = i + 1 == path.words.size();
    id = last ? path.id : wire::stack_child(id, path.words[i]);
    const auto [known, fresh] = process.nodes.try_emplace(id, StackTree::kNone);
    if (fresh)
      known.value() = process.stack_tree.add(path.words[i], caller, caller_id, path.time_ns);
    caller = known->second;
    if (!fresh || process.orphans.empty()) continue;
    const auto waiting = process.orphans.find(id);
    if (waiting == process.orphans.end()) continue;
    const std::vector<StackPath> paths = std::move(waiting.value());
    process.orphans.erase(waiting);
    for (const StackPath& child : paths) add_path(process, caller, id, child);
  }
}

trace::StackNodeId Pairing::write_node(ProcessState& process, uint32_t node) {
  auto& nodes = process.stack_tree.nodes();
  unwritten_.clear();
  for (; node != StackTree::kNone && nodes[node].written == trace::StackNodeId{};
       node = nodes[node].caller) {
    unwritten_.push_back(node);
  }
  trace::StackNodeId caller = node == StackTree::kNone ? trace::StackNodeId{} : nodes[node].written;
  for (; !unwritten_.empty(); unwritten_.pop_back()) {
    StackTree::Node& next = nodes[unwritten_.back()];
    StackTree::Address& address = process.stack_tree.addresses()[next.address];
    if (address.written == trace::AddressId{}) {
      address.written = writer_.add_address(process.id, address.word, trace_time(address.time_ns));
    }
    caller = next.written = writer_.add_stack_node(caller, address.written);
  }
  return caller;
}

StackRef& Pairing::add_stack(ProcessState& process, wire::StackId id, uint32_t node) {
  StackEntry entry;
  entry.innermost = node;
  entry.id = writer_.add_stack(process.id, write_node(process, node));
  ++counts_.stacks;
  const StackRef ref{static_cast<uint32_t>(entry.id),
                     static_cast<uint32_t>(process.stack_entries.size())};
  process.stack_entries.push_back(entry);
  return *process.stacks.insert(id, ref).first;
}

void Pairing::on_module(ProcessState& process, const wire::Module& record) {
  LoadedModule module;
  module.path.assign(tail_of(record), record.path_bytes);
  module.build_id.assign(tail_of(record) + record.path_bytes, record.build_id_bytes);
  module.base = record.base;
  module.start = record.start;
  module.end = record.end;
  module.loaded_ns = definition_time(record.header.time_ns);
  process.hidden_pools |= hidden_pools_of(module.path);
  if (process.modules.load(std::move(module))) process.stack_tree.forget_words();
}

void Pairing::on_module_unload(ProcessState& process, const wire::Module& record) {
  const uint64_t time_ns = definition_time(record.header.time_ns);
  if (process.modules.unload(record.start, time_ns)) process.stack_tree.forget_words();
}

void Pairing::write_modules() {
  for (const auto& process : processes_) {
    process->modules.take_changes([&](uint64_t start, const auto& lives, bool again) {
      if (again) writer_.drop_modules(process->id, start);
      for (const LoadedModule& module : lives) {
        const int64_t unloaded =
            module.unloaded_ns == kStillLoaded ? trace::kNever : trace_time(module.unloaded_ns);
        writer_.add_module(process->id, module.path, hex(module.build_id), module.base,
                           module.start, module.end, trace_time(module.loaded_ns), unloaded);
      }
    });
  }
}

}  // namespace tidemark::collector
