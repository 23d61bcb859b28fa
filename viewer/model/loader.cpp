#include "tidemark/viewer/loader.h"

#include <filesystem>
#include <utility>

#include "narrow_reader.h"

namespace tidemark::viewer {
namespace {

// Files from which all is read in no time need no picture before that.
constexpr uintmax_t kSmallFile = uintmax_t{32} << 20;
constexpr int64_t kFirstPart = 64;

// What is quick to read: the device's layers, or, where there are none, the first part of the
// recording. Null: reading all is quick, or there is nothing.
std::shared_ptr<const Document> first_picture(const trace::Reader& reader) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(reader.path(), error);
  if (error || size < kSmallFile) return nullptr;
  auto document = load_document(NarrowReader(reader, true, trace::kNever));
  if (document && document->tracks.empty()) {
    document = load_document(NarrowReader(reader, false, reader.end_ns() / kFirstPart));
  }
  if (!document || document->tracks.empty()) return nullptr;
  return std::make_shared<const Document>(std::move(*document));
}

}  // namespace

Loader::Loader(Open open, std::function<void()> on_piece, Depth depth)
    : open_(std::move(open)),
      on_piece_(std::move(on_piece)),
      depth_(depth),
      thread_([this] { run(); }) {}

Loader::~Loader() {
  stop_ = true;
  thread_.join();
}

Loaded Loader::loaded() const {
  const std::lock_guard lock(mutex_);
  return loaded_;
}

void Loader::wait() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return loaded_.working.empty(); });
}

void Loader::publish(const std::function<void(Loaded*)>& change) {
  {
    const std::lock_guard lock(mutex_);
    change(&loaded_);
  }
  changed_.notify_all();
  if (on_piece_) on_piece_();
}

void Loader::run() {
  const auto fail_with = [this](const Error& error) {
    publish([&](Loaded* loaded) {
      loaded->error = error.message;
      loaded->working.clear();
    });
  };
  const auto reader = open_();
  if (!reader) return fail_with(reader.error());
  publish([](Loaded* loaded) { loaded->working = "reading usage over time"; });
  if (auto first = first_picture(**reader)) {
    publish([&](Loaded* loaded) {
      loaded->document = std::move(first);
      loaded->partial = true;
    });
  }
  if (stop_) return;
  auto document = load_document(**reader);
  if (!document) return fail_with(document.error());
  const auto shared = std::make_shared<const Document>(std::move(*document));
  publish([&](Loaded* loaded) {
    loaded->document = shared;
    loaded->partial = false;
    loaded->working =
        depth_ == Depth::kAll ? "reading every block, kernel and copy" : std::string();
  });
  if (stop_ || depth_ == Depth::kUsage) return;
  auto activity = load_activity(**reader, &stop_);
  if (stop_) return;
  if (!activity) return fail_with(activity.error());
  publish([&](Loaded* loaded) {
    loaded->activity = std::make_shared<const Activity>(std::move(*activity));
    loaded->working = "finding iterations, phases and categories";
  });
  auto insight = find_insight(**reader, *shared, &stop_);
  if (stop_) return;
  publish([&](Loaded* loaded) {
    loaded->insight = std::make_shared<const Insight>(std::move(insight));
    loaded->working.clear();
  });
}

}  // namespace tidemark::viewer
