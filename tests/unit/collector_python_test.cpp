// What a PythonCode record must be, and the frames that Python words become.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "check_record.h"
#include "python_code.h"

namespace tidemark::collector {
namespace {

// A record in memory of its own, as it comes through a ring.
class Record {
 public:
  Record(uint64_t key, const std::string& file, const std::string& function,
         const std::string& lines) {
    wire::PythonCode code{};
    const size_t tail = file.size() + function.size() + lines.size();
    code.header.type = wire::RecordType::kPythonCode;
    code.header.bytes = static_cast<uint32_t>(sizeof code) + wire::padded(tail);
    code.key = key;
    code.first_line = 10;
    code.line_format = 9;
    code.file_bytes = static_cast<uint32_t>(file.size());
    code.function_bytes = static_cast<uint32_t>(function.size());
    code.lines_bytes = static_cast<uint32_t>(lines.size());
    words_.resize(code.header.bytes / 8);
    std::memcpy(words_.data(), &code, sizeof code);
    const std::string text = file + function + lines;
    std::memcpy(reinterpret_cast<char*>(words_.data()) + sizeof code, text.data(), text.size());
  }
  wire::PythonCode& code() { return *reinterpret_cast<wire::PythonCode*>(words_.data()); }
  Check check() const {
    return check_record(reinterpret_cast<const std::byte*>(words_.data()), words_.size() * 8);
  }

 private:
  std::vector<uint64_t> words_;
};

uint64_t word(uint64_t key, uint32_t instruction) {
  return wire::kPythonWordBit | key << wire::kPythonInstructionBits | instruction;
}

constexpr uint64_t kLargestKey = (uint64_t{1} << wire::kPythonKeyBits) - 1;

TEST(PythonCode, a_record_whose_parts_fill_it_is_valid) {
  EXPECT_EQ(Record(1, "a.py", "f", std::string("\2\1", 2)).check(), Check::kValid);
  EXPECT_EQ(Record(kLargestKey, "", "", "").check(), Check::kValid);
}

TEST(PythonCode, lengths_that_do_not_add_up_are_garbage) {
  for (auto member : {&wire::PythonCode::file_bytes, &wire::PythonCode::function_bytes,
                      &wire::PythonCode::lines_bytes}) {
    Record record(1, "a.py", "f", "");
    record.code().*member += 8;
    EXPECT_EQ(record.check(), Check::kGarbage);
    record.code().*member = 0xffffffff;
    EXPECT_EQ(record.check(), Check::kGarbage);
  }
}

TEST(PythonCode, a_key_that_no_word_can_hold_is_garbage) {
  EXPECT_EQ(Record(0, "a.py", "f", "").check(), Check::kGarbage);
  EXPECT_EQ(Record(kLargestKey + 1, "a.py", "f", "").check(), Check::kGarbage);
}

TEST(PythonCodes, a_word_becomes_function_file_and_line) {
  PythonCodes codes;
  // Two bytes of code on line 10, then line 13.
  Record record(kLargestKey, "/x/a.py", "f.<locals>.g", std::string("\2\3", 2));
  codes.add(record.code());
  const trace::Frame first = codes.frame(word(kLargestKey, 0));
  EXPECT_EQ(first.kind, trace::FrameKind::kPython);
  EXPECT_EQ(first.function, "f.<locals>.g");
  EXPECT_EQ(first.file, "/x/a.py");
  EXPECT_EQ(first.line, 10);
  EXPECT_EQ(first.module, "");
  EXPECT_EQ(codes.frame(word(kLargestKey, 1)).line, 13);
}

TEST(PythonCodes, an_instruction_that_did_not_fit_has_no_line) {
  PythonCodes codes;
  codes.add(Record(7, "a.py", "f", "").code());
  EXPECT_EQ(codes.frame(word(7, wire::kPythonUnknownInstruction)).line, 0);
  EXPECT_EQ(codes.frame(word(7, wire::kPythonUnknownInstruction)).function, "f");
}

TEST(PythonCodes, a_code_object_that_never_came_leaves_a_python_frame_without_name) {
  const PythonCodes codes;
  EXPECT_FALSE(codes.knows(word(7, 0)));
  EXPECT_EQ(codes.frame(word(7, 0)).kind, trace::FrameKind::kPython);
  EXPECT_EQ(codes.frame(word(7, 0)).function, "");
}

TEST(PythonCodes, the_first_of_two_records_with_one_key_counts) {
  PythonCodes codes;
  codes.add(Record(7, "a.py", "f", "").code());
  codes.add(Record(7, "b.py", "g", "").code());
  EXPECT_EQ(codes.frame(word(7, 0)).file, "a.py");
}

}  // namespace
}  // namespace tidemark::collector
