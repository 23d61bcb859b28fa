// What the viewer does in every frame, without OpenGL: building the draw lists of all panels while
// zooming and panning over 5 million points, and what it does once: levels over a loaded curve.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "tidemark/viewer/workspace.h"
#include "viewer_fixtures.h"
#include "viewer_frames.h"

namespace tidemark::viewer {
namespace {

analyzer::UsageCurve curve_of(const analyzer::Series& series, size_t points) {
  std::mt19937_64 random(42);
  analyzer::UsageCurve curve;
  curve.series = series;
  curve.points.reserve(points);
  int64_t time = 0;
  int64_t bytes = int64_t{1} << 30;
  for (size_t i = 0; i < points; ++i) {
    time += 1 + static_cast<int64_t>(random() % 20'000);
    bytes = std::max<int64_t>(0, bytes + static_cast<int64_t>(random() % (2 << 20)) - (1 << 20));
    curve.points.push_back({time, bytes});
    if (bytes > curve.peak_bytes) {
      curve.peak_bytes = bytes;
      curve.peak_ns = time;
    }
  }
  return curve;
}

// `total` points over the six series of a GPU training.
Document document_of(size_t total) {
  using trace::Layer;
  using trace::Space;
  const std::vector<analyzer::Series> all = {
      {Layer::kPool, Space::kDevice, 0},     {Layer::kDriver, Space::kDevice, 0},
      {Layer::kDriver, Space::kManaged, -1}, {Layer::kDriver, Space::kPinned, -1},
      {Layer::kHeap, Space::kHost, -1},      {Layer::kOs, Space::kHost, -1}};
  std::vector<analyzer::UsageCurve> curves;
  for (const auto& series : all) curves.push_back(curve_of(series, total / all.size()));
  const testing::MemoryReader reader(std::make_shared<const testing::MemoryTrace>());
  return std::move(*make_document(reader, std::move(curves)));
}

void frame_while_zooming_and_panning(benchmark::State& bench) {
  const BenchDisplay display;
  const Document document = document_of(static_cast<size_t>(bench.range(0)));
  ViewState state(document);
  LiveWorker live([]() -> Result<std::unique_ptr<trace::Reader>> { return fail("none"); },
                  [](const trace::Reader&, const analyzer::Series&,
                     int64_t) -> Result<analyzer::LiveSet> { return fail("none"); });
  Workspace workspace;
  std::vector<double> milliseconds;
  int frame = 0;
  for (auto _ : bench) {
    const double begin = thread_milliseconds();
    zoom_and_pan(&state, frame++);
    ImGui::NewFrame();
    workspace.draw({document, state, live, display.fonts});
    ImGui::Render();
    milliseconds.push_back(thread_milliseconds() - begin);
  }
  const FrameTimes times = frame_times(std::move(milliseconds));
  bench.counters["p50_ms"] = times.median_ms;
  bench.counters["p99_ms"] = times.p99_ms;
  bench.counters["max_ms"] = times.most_ms;
  bench.counters["vertices"] = ImGui::GetDrawData()->TotalVtxCount;
}
BENCHMARK(frame_while_zooming_and_panning)
    ->Arg(5'000'000)
    ->Iterations(600)
    ->Unit(benchmark::kMillisecond);

void levels_over_a_loaded_curve(benchmark::State& bench) {
  const analyzer::UsageCurve curve =
      curve_of({trace::Layer::kHeap, trace::Space::kHost, -1}, static_cast<size_t>(bench.range(0)));
  for (auto _ : bench) benchmark::DoNotOptimize(PeakPyramid(curve.points));
  bench.SetItemsProcessed(bench.iterations() * bench.range(0));
}
BENCHMARK(levels_over_a_loaded_curve)->Arg(5'000'000)->Unit(benchmark::kMillisecond);

// From the rows of a trace to tracks that can be drawn (the reader itself excluded).
void document_from_lifetimes(benchmark::State& bench) {
  testing::MemoryTrace trace;
  std::mt19937_64 random(5);
  const trace::StackId stack = trace.stack({});
  for (int64_t i = 0; i < bench.range(0); ++i) {
    const size_t row = trace.allocate(trace::Layer::kHeap, trace::Space::kHost, random() % 65536,
                                      i * 700, stack, "malloc");
    trace.free(row, i * 700 + 300 + static_cast<int64_t>(random() % 1'000'000));
  }
  trace.end_ns = bench.range(0) * 700 + 2'000'000;
  const testing::MemoryReader reader(
      std::make_shared<const testing::MemoryTrace>(std::move(trace)));
  for (auto _ : bench) benchmark::DoNotOptimize(load_document(reader));
  bench.SetItemsProcessed(bench.iterations() * bench.range(0));
}
BENCHMARK(document_from_lifetimes)->Arg(2'500'000)->Iterations(2)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tidemark::viewer

BENCHMARK_MAIN();
