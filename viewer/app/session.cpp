#include "session.h"

#include <cstdio>

#include "tidemark/analyzer/live.h"
#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

Loader::Open opener(const std::string& path) {
  return [path] { return trace::Reader::open(path); };
}

}  // namespace

Session::Session(const Options& options, std::function<void()> wake)
    : path_(options.trace),
      theme_(options.theme),
      wake_(std::move(wake)),
      workspace_(options.panel),
      loader_(std::make_unique<Loader>(opener(options.trace), wake_)) {
  if (!options.compare.empty()) {
    other_ = std::make_unique<Loader>(opener(options.compare), wake_, Loader::Depth::kUsage);
  }
  live_ = std::make_unique<LiveWorker>(opener(options.trace), analyzer::live_at, wake_);
  questions_ = std::make_unique<Questions>(
      opener(options.trace), [this] { return loader_->loaded(); }, wake_);
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
      state_.emplace(*fresh.document, theme());
      first_cursor_ns_ = state_->cursor_ns;
    }
  }
  loaded_ = fresh;
  if (other_ == nullptr || comparison_ != nullptr || loaded_.document == nullptr) return;
  const Loaded other = other_->loaded();
  if (!other.error.empty()) {
    loaded_.error = other.error;
  } else if (other.document != nullptr) {
    comparison_ = std::make_shared<const Comparison>(compare(*loaded_.document, other.document));
  }
}

Result<void> Session::draw(const Fonts& fonts) {
  take_pieces();
  if (!loaded_.error.empty()) return fail(loaded_.error);
  if (loaded_.document == nullptr) {
    draw_loading(fonts, theme_, path_);
    return {};
  }
  const std::string& below = notice_.empty() ? loaded_.working : notice_;
  workspace_.draw({*loaded_.document, *state_, *live_, fonts, loaded_.activity.get(),
                   loaded_.insight.get(), questions_.get(), comparison_.get(), below});
  if (workspace_.take_export_request()) notice_ = export_live();
  return {};
}

void Session::wait() {
  loader_->wait();
  if (other_ != nullptr) other_->wait();
  live_->wait();
  questions_->wait();
}

bool Session::busy() const {
  return !loader_->loaded().working.empty() || live_->busy() || questions_->busy() ||
         (other_ != nullptr && !other_->loaded().working.empty());
}

std::string Session::export_live() {
  const auto answer = live_->latest();
  if (answer == nullptr) return "nothing to export yet";
  const std::string path = std::string(base_name(path_)) + ".live.csv";
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return "cannot write " + path + ": is the current folder writable?";
  const std::string csv = live_csv(*answer);
  const bool written = std::fwrite(csv.data(), 1, csv.size(), file) == csv.size();
  return std::fclose(file) == 0 && written ? "written: " + path : "cannot write " + path;
}

}  // namespace tidemark::viewer
