// Decodes line tables for python_lines_test.py. A request is one line: minor version, first line,
// number of instructions, table in hex ("-" when empty); the answer is the line of each
// instruction.
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "python_lines.h"

int main() {
  uint32_t minor = 0;
  int32_t first_line = 0;
  uint32_t instructions = 0;
  std::string hex;
  while (std::cin >> minor >> first_line >> instructions >> hex) {
    std::vector<uint8_t> table;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
      table.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    }
    std::string answer;
    for (uint32_t i = 0; i < instructions; ++i) {
      answer += std::to_string(tidemark::collector::python_line(minor, table, first_line, i));
      answer += ' ';
    }
    std::cout << answer << '\n';
  }
}
