// Opens a trace of so many events as the viewer does and prints what a user would feel:
//   viewer_load_bench EVENTS [FILE]
// makes the trace first where FILE is not there yet (half of the events are allocations on the
// heap, half are frees).
// First picture: from opening the file to the draw list of the first frame that shows usage. All:
// until every piece is loaded. Frames: building the draw lists while zooming and panning, on this
// thread's own processor time, while all is there. Memory: the largest resident set of the process.
#include <imgui.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tidemark/analyzer/live.h"
#include "tidemark/trace/writer.h"
#include "tidemark/viewer/loader.h"
#include "tidemark/viewer/workspace.h"
#include "viewer_frames.h"

namespace tidemark::viewer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A line of /proc/self/status in MiB.
double status_mib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::strtod(line.c_str() + key.size() + 1, nullptr) / 1024;
  }
  return 0;
}

Result<void> make_trace(const std::string& path, int64_t allocations) {
  auto created = trace::Writer::create(path);
  if (!created) return tl::unexpected(created.error());
  trace::Writer& writer = **created;
  trace::Process process;
  process.id = trace::ProcessId{1};
  process.pid = 1;
  process.command = "made by viewer_load_bench";
  const trace::ProcessId id = writer.add_process(process);
  std::vector<trace::StackId> stacks;
  for (int i = 0; i < 1000; ++i) {
    trace::Frame frame;
    frame.function = "function_" + std::to_string(i);
    stacks.push_back(writer.add_framed_stack(id, std::span(&frame, 1)));
  }
  trace::Allocation row;
  row.process = id;
  row.layer = trace::Layer::kHeap;
  row.space = trace::Space::kHost;
  row.api = writer.intern("malloc");
  std::mt19937_64 random(1);
  // Lifetimes as programs have them: most end soon, few last.
  std::vector<std::pair<trace::AllocationId, int64_t>> open(4096);
  for (int64_t i = 0; i < allocations; ++i) {
    row.alloc_ns = i * 1000 + static_cast<int64_t>(random() % 500);
    row.size = uint64_t{16} << (random() % 14);
    row.address = 0x7f0000000000 + (static_cast<uint64_t>(i) % 1'000'000) * (1 << 18);
    row.alloc_stack = stacks[random() % stacks.size()];
    auto& slot = open[random() % 4096 >> (random() % 12)];
    if (slot.first != trace::AllocationId{}) {
      writer.end_allocation(slot.first, row.layer, row.alloc_ns, stacks[0]);
    }
    slot.first = writer.add_allocation(row);
  }
  writer.end_process(id, allocations * 1000, 0);
  return writer.finish();
}

int run(const std::string& path, const std::string& what) {
  const BenchDisplay display;
  const auto open = [path] { return trace::Reader::open(path); };
  const Clock::time_point start = Clock::now();
  Loader loader(open);
  LiveWorker live(open, analyzer::live_at);
  Questions questions(open, [&] { return loader.loaded(); });
  Workspace workspace;
  std::optional<ViewState> state;
  const auto frame = [&](const Loaded& loaded) {
    ImGui::NewFrame();
    workspace.draw({*loaded.document, *state, live, display.fonts, loaded.activity.get(),
                    loaded.insight.get(), &questions, nullptr, loaded.working});
    ImGui::Render();
  };
  Loaded loaded;
  while ((loaded = loader.loaded()).document == nullptr) {
    if (!loaded.error.empty()) {
      std::fprintf(stderr, "%s\n", loaded.error.c_str());
      return 1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  state.emplace(*loaded.document);
  frame(loaded);
  std::printf("%s: first picture %.2f s%s\n", what.c_str(), seconds_since(start),
              loaded.partial ? " (a part; the rest follows)" : "");
  while (loaded.partial) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    loaded = loader.loaded();
  }
  std::printf("%s: all usage %.2f s\n", what.c_str(), seconds_since(start));
  loader.wait();
  loaded = loader.loaded();
  std::printf("%s: all %.2f s\n", what.c_str(), seconds_since(start));
  state.emplace(*loaded.document);
  frame(loaded);
  live.wait();
  std::vector<double> milliseconds;
  for (int i = 0; i < 600; ++i) {
    const double begin = thread_milliseconds();
    zoom_and_pan(&*state, i);
    frame(loaded);
    milliseconds.push_back(thread_milliseconds() - begin);
  }
  const FrameTimes times = frame_times(std::move(milliseconds));
  std::printf("%s: frame: p50 %.2f ms, p99 %.2f ms, most %.2f ms\n", what.c_str(), times.median_ms,
              times.p99_ms, times.most_ms);
  std::printf("%s: memory %.0f MiB now, %.0f MiB at most\n", what.c_str(), status_mib("VmRSS:"),
              status_mib("VmHWM:"));
  return 0;
}

}  // namespace
}  // namespace tidemark::viewer

int main(int argc, char** argv) {
  const int64_t events = argc < 2 ? 0 : std::strtoll(argv[1], nullptr, 10);
  if (events <= 0) {
    std::fprintf(stderr, "usage: viewer_load_bench EVENTS [FILE], of at least one event\n");
    return 2;
  }
  const bool kept = argc > 2;
  const std::string path =
      kept ? argv[2] : (std::filesystem::temp_directory_path() / "viewer_load_bench.db").string();
  if (!kept || !std::filesystem::exists(path)) {
    std::filesystem::remove(path);
    const auto made = tidemark::viewer::make_trace(path, events / 2);
    if (!made) {
      std::fprintf(stderr, "%s\n", made.error().message.c_str());
      return 1;
    }
  }
  const int status = tidemark::viewer::run(path, std::string(argv[1]) + " events");
  if (!kept) std::filesystem::remove(path);
  return status;
}
