// The traces that were looked at last, newest first, in a file of the user's state folder
// ($XDG_STATE_HOME/tidemark/recent, else ~/.local/state/tidemark/recent). Main thread. What cannot
// be read or written is as if there were none: nobody should be kept from a trace by this.
#pragma once

#include <string>
#include <vector>

namespace tidemark::viewer {

class RecentFiles {
 public:
  static constexpr size_t kMost = 12;
  // "": nothing is kept.
  explicit RecentFiles(std::string file = default_file());
  static std::string default_file();

  const std::vector<std::string>& paths() const { return paths_; }
  // To the front, and into the file.
  void add(const std::string& path);

 private:
  std::string file_;
  std::vector<std::string> paths_;  // absolute
};

// Files that end in .db in this folder, newest first, at most `most`.
std::vector<std::string> traces_in(const std::string& folder, size_t most);

}  // namespace tidemark::viewer
