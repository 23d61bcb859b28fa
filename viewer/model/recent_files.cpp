#include "tidemark/viewer/recent_files.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tidemark::viewer {

namespace fs = std::filesystem;

std::string RecentFiles::default_file() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::string(state) + "/tidemark/recent";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/') return {};
  return std::string(home) + "/.local/state/tidemark/recent";
}

RecentFiles::RecentFiles(std::string file) : file_(std::move(file)) {
  if (file_.empty()) return;
  std::ifstream lines(file_);
  for (std::string line; paths_.size() < kMost && std::getline(lines, line);) {
    if (!line.empty()) paths_.push_back(line);
  }
}

void RecentFiles::add(const std::string& path) {
  std::error_code ignored;
  const std::string absolute = fs::absolute(path, ignored).lexically_normal().string();
  if (absolute.empty() || absolute.find('\n') != std::string::npos) return;
  std::erase(paths_, absolute);
  paths_.insert(paths_.begin(), absolute);
  if (paths_.size() > kMost) paths_.resize(kMost);
  if (file_.empty()) return;
  fs::create_directories(fs::path(file_).parent_path(), ignored);
  std::ofstream lines(file_, std::ios::trunc);
  for (const std::string& line : paths_) lines << line << '\n';
}

std::vector<std::string> traces_in(const std::string& folder, size_t most) {
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().extension() != ".db" || !entry->is_regular_file(ignored)) continue;
    found.emplace_back(entry->last_write_time(ignored), entry->path().string());
    if (found.size() > 10'000) break;  // a folder of samples, not a trace's
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> paths;
  for (const auto& [time, path] : found) {
    if (paths.size() == most) break;
    paths.push_back(path);
  }
  return paths;
}

}  // namespace tidemark::viewer
