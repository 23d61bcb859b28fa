#include "session.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "tidemark/analyzer/live.h"
#include "tidemark/viewer/editor.h"
#include "tidemark/viewer/format.h"
#include "tidemark/viewer/process_view.h"

namespace tidemark::viewer {
namespace {

Loader::Open opener(const std::string& path, trace::ProcessId process = {}) {
  return [path, process]() -> Result<std::unique_ptr<trace::Reader>> {
    auto reader = trace::Reader::open(path);
    if (!reader) return reader;
    return only_process(std::move(*reader), process);
  };
}

}  // namespace

std::string free_name(const std::string& trace, const std::string& what, const char* ending) {
  std::string path;
  for (int number = 1; path.empty() || std::filesystem::exists(path); ++number) {
    path = std::string(base_name(trace)) + what + "." + std::to_string(number) + ending;
  }
  return path;
}

Session::Session(const Options& options, std::function<void()> wake)
    : path_(options.trace),
      other_path_(options.compare),
      wake_(std::move(wake)),
      workspace_(options.panel),
      growth_(options.trace) {
  layout_.theme = options.theme.value_or(Theme::kDark);
  loader_ = std::make_shared<Loader>(opener(path_), wake_);
  if (!other_path_.empty()) {
    other_ = std::make_unique<Loader>(opener(other_path_), wake_, Loader::Depth::kUsage);
    differences_ = make_differences(opener(path_), opener(other_path_), wake_);
  }
  start_workers();
}

Session::~Session() {
  // They call `wake_` and count themselves here.
  while (ending_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

void Session::start_workers() {
  live_ = std::make_unique<LiveWorker>(opener(path_, process_), analyzer::live_at, wake_);
  questions_ = std::make_unique<Questions>(
      opener(path_, process_), [loader = loader_] { return loader->loaded(); }, wake_);
}

void Session::lay_out(const Settings& settings) {
  layout_ = settings;
  workspace_.set_timeline_share(settings.timeline_share);
  const auto panel = panel_from(settings.panel);
  // Details are of something that was clicked, which nothing is at first.
  if (panel && *panel > PanelName::kSummary && *panel != PanelName::kDetails) {
    workspace_.show(*panel);
  }
}

Settings Session::layout() const {
  Settings settings = layout_;
  settings.timeline_share = workspace_.timeline_share();
  settings.panel = panel_name(workspace_.below());
  if (!state_) return settings;
  settings.theme = state_->theme;
  settings.colouring = state_->colouring;
  settings.packed = state_->packed;
  return settings;
}

void Session::take_pieces() {
  const Loaded fresh = loader_->loaded();
  if (fresh.document != nullptr && fresh.document != loaded_.document) {
    // What was shown first was not chosen by the user: then the whole is shown as if at first.
    const bool untouched = state_ && loaded_.partial && !state_->history.can_back() &&
                           state_->cursor_ns == first_cursor_ns_;
    if (state_ && !untouched) {
      state_->grow(*fresh.document);
    } else {
      const Settings looks = layout();
      state_.emplace(*fresh.document, looks.theme);
      state_->colouring = looks.colouring;
      state_->packed = looks.packed;
      first_cursor_ns_ = state_->cursor_ns;
    }
  }
  loaded_ = fresh;
  if (loaded_.document != nullptr && shown_process_ == trace::ProcessId{}) {
    processes_ = loaded_.document->processes;
  }
  if (other_ == nullptr || comparison_ != nullptr || loaded_.document == nullptr) return;
  const Loaded other = other_->loaded();
  if (!other.error.empty()) {
    loaded_.error = other.error;
  } else if (other.document != nullptr) {
    comparison_ = std::make_shared<const Comparison>(compare(*loaded_.document, other.document));
  }
}

void Session::show_process(trace::ProcessId process) {
  if (process == process_) return;
  process_ = process;
  again_ = std::make_shared<Loader>(opener(path_, process_), wake_);
}

void Session::follow() {
  constexpr std::chrono::milliseconds kLeast{1000};
  if (loaded_.document == nullptr || !loaded_.working.empty()) return;
  if (again_ == nullptr) {
    if (!loaded_.document->summary.finished && growth_->grew(kLeast)) {
      again_ = std::make_shared<Loader>(opener(path_, process_), wake_);
    }
    return;
  }
  const Loaded grown = again_->loaded();
  if (!grown.working.empty()) return;
  if (!grown.error.empty()) {  // caught in the middle of a write: what is shown stays
    again_.reset();
    return;
  }
  // What they are reading ends by itself; their Readers know the shorter trace.
  ++ending_;
  std::thread([this, live = std::move(live_), questions = std::move(questions_),
               loader = std::move(loader_)]() mutable {
    live.reset();
    questions.reset();
    loader.reset();
    --ending_;
  }).detach();
  loader_ = std::move(again_);
  start_workers();
  if (std::exchange(shown_process_, process_) == process_) return;
  // Another's curves: what was chosen is none of theirs.
  layout_ = layout();
  state_.reset();
  comparison_.reset();
}

Result<void> Session::draw(const Fonts& fonts) {
  follow();
  take_pieces();
  if (!loaded_.error.empty()) return fail(loaded_.error);
  if (loaded_.document == nullptr) {
    draw_loading(fonts, theme(), path_);
    return {};
  }
  const std::string working = loaded_.working.empty() ? "" : loaded_.working + " ...";
  const std::string& below = notice_.empty() ? working : notice_;
  workspace_.draw({*loaded_.document, *state_, *live_, fonts, loaded_.activity.get(),
                   loaded_.insight.get(), questions_.get(), comparison_.get(), below, differences(),
                   processes_, shown_process_});
  if (const auto process = workspace_.take_process_request()) show_process(*process);
  if (const auto files = workspace_.take_export()) notice_ = write_tables(*files);
  if (const auto source = std::exchange(state_->wanted_source, std::nullopt)) {
    const auto opened = open_in_editor(source->file, source->line);
    notice_ = opened ? "opened " + source->file : opened.error().message;
  }
  return {};
}

void Session::wait() {
  loader_->wait();
  if (other_ != nullptr) other_->wait();
  live_->wait();
  questions_->wait();
  if (differences_ != nullptr) differences_->wait();
}

bool Session::busy() const {
  return !loader_->loaded().working.empty() || live_->busy() || questions_->busy() || ending_ > 0 ||
         again_ != nullptr || (differences_ != nullptr && differences_->busy()) ||
         (other_ != nullptr && !other_->loaded().working.empty());
}

DifferencesAnswer Session::differences() const {
  const auto answered = differences_ == nullptr ? nullptr : differences_->latest();
  return answered == nullptr ? nullptr : answered->answer;
}

std::string Session::write_tables(const std::vector<CsvFile>& files) const {
  if (files.empty()) return "nothing to export yet";
  std::string written = "written:";
  for (const CsvFile& one : files) {
    const std::string path = free_name(path_, "." + one.name, ".csv");
    std::FILE* file = std::fopen(path.c_str(), "wbx");
    const std::string failed = "cannot write " + path + ": is the current folder writable?";
    if (file == nullptr) return failed;
    const bool all = std::fwrite(one.text.data(), 1, one.text.size(), file) == one.text.size();
    if (std::fclose(file) != 0 || !all) return failed;
    written += " " + path;
  }
  return written;
}

}  // namespace tidemark::viewer
