#include <gtest/gtest.h>

#include "tidemark/analyzer/stack_view.h"
#include "tidemark/analyzer/text.h"

namespace tidemark::analyzer {
namespace {

TEST(Text, nothing_in_a_trace_can_steer_the_terminal) {
  EXPECT_EQ(printable("a\x1b[31mred\x07"), "a?[31mred?");
  EXPECT_EQ(printable("a\nb\tc"), "a b c");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "?31m");                              // CSI as one C1 code point
  EXPECT_EQ(printable("x\xe2\x80\xaey"), "x?y");  // right-to-left override
  EXPECT_EQ(printable("Größe µs 漢 😀"), "Größe µs 漢 😀");
}

TEST(Text, bytes_that_are_no_utf8_become_question_marks) {
  EXPECT_EQ(printable("\xff\xfe"), "??");
  EXPECT_EQ(printable("a\xc3"), "a?");               // cut off
  EXPECT_EQ(printable("\xc0\xaf"), "??");            // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");  // beyond Unicode
}

TEST(Text, fitting_counts_code_points_and_shows_where_it_cut) {
  EXPECT_EQ(fit("größer", 6), "größer");
  EXPECT_EQ(fit("größer", 4), "grö…");
  EXPECT_EQ(fit_path("/src/u/train.py:12", 12), "…train.py:12");
  EXPECT_EQ(fit_path("größer", 3), "…er");
  EXPECT_EQ(fit("abc", 0), "");
  EXPECT_EQ(pad_left("µs", 4), "  µs");
  EXPECT_EQ(pad_right("µs", 4), "µs  ");
}

TEST(Text, functions_lose_parameters_and_only_where_needed_template_arguments) {
  EXPECT_EQ(short_function("f(int, char const*)", 40), "f");
  EXPECT_EQ(short_function("(anonymous namespace)::f(int)", 40), "(anonymous namespace)::f");
  EXPECT_EQ(short_function("T::operator()(int) const", 40), "T::operator()");
  EXPECT_EQ(short_function("operator<(A, B)", 40), "operator<");
  EXPECT_EQ(short_function("m<std::function<void (int)> >::g(int)", 60),
            "m<std::function<void (int)> >::g");
  EXPECT_EQ(short_function("m<std::function<void (int)> >::g(int)", 10), "m<…>::g");
  EXPECT_EQ(short_function("averyveryverylongname", 6), "avery…");
  EXPECT_EQ(short_function("", 6), "");
}

TEST(Text, tables_align_and_leave_no_trailing_spaces) {
  TextTable table({{"name"}, {"µ", TextTable::Align::kRight}, {"x"}});
  table.add({"a", "1", ""});
  table.add({"größer", "1000", "y"});
  EXPECT_EQ(table.text(),
            "  name       µ  x\n"
            "  a          1\n"
            "  größer  1000  y\n");
}

trace::Frame native(const char* function, const char* module, const char* file = "") {
  trace::Frame frame;
  frame.function = function;
  frame.module = module;
  frame.file = file;
  return frame;
}

trace::Frame python(const char* function, const char* file) {
  trace::Frame frame = native(function, "", file);
  frame.kind = trace::FrameKind::kPython;
  return frame;
}

TEST(StackView, roles_follow_module_file_and_name) {
  const auto internal = {
      native("malloc", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
      native("malloc", "/x/lib/tidemark/libtidemark_preload.so"),
      native("operator new(unsigned long)", "/src/u/app"),
      native("void std::vector<float>::_M_realloc_insert<float>(float&&)", "/src/u/app"),
      native("allocate", "/src/u/app", "/usr/include/c++/12/bits/new_allocator.h"),
      native("cudaMalloc<float>", "/src/u/app", "/usr/local/cuda/include/cuda_runtime.h"),
      native("_PyObject_Malloc", "/usr/bin/python3.11"),
      native("new_arena", "/opt/py/lib/libpython3.12.so.1.0", "Objects/obmalloc.c"),
      python("_find_and_load", "<frozen importlib._bootstrap>"),
  };
  for (const auto& frame : internal) {
    EXPECT_EQ(role_of(frame), FrameRole::kInternal) << frame.function << " " << frame.module;
  }
  const auto interpreter = {native("", "/usr/bin/python3.11"),
                            native("PyObject_Call", "/opt/py/lib/libpython3.12.so.1.0")};
  for (const auto& frame : interpreter) {
    EXPECT_EQ(role_of(frame), FrameRole::kInterpreter) << frame.function << " " << frame.module;
  }
  const auto library = {
      native("at::native::linear()", "/v/lib/python3.12/site-packages/torch/lib/libtorch_cpu.so"),
      native("cublasCreate_v2", "/opt/cuda/libcublas.so.12"),
      python("forward", "/v/lib/python3.12/site-packages/torch/nn/modules/linear.py"),
      python("loads", "/usr/lib/python3.11/json/__init__.py"),
      python("_path_split", "<frozen os>"),
  };
  for (const auto& frame : library) {
    EXPECT_EQ(role_of(frame), FrameRole::kLibrary) << frame.function << " " << frame.module;
  }
  const auto user = {
      native("train(std::vector<float>&)", "/src/u/app", "/src/u/train.cpp"),
      native("mallocate", "/src/u/app"),
      native("work", "/src/u/python_tools/app"),
      native("std_like::f()", "/src/u/pythonize"),
      python("train", "/src/u/train.py"),
  };
  for (const auto& frame : user) {
    EXPECT_EQ(role_of(frame), FrameRole::kUser) << frame.function << " " << frame.module;
  }
}

std::string shape(const StackView& view) {
  std::string text;
  for (const StackLine& line : view.lines) {
    if (line.hidden_before > 0) text += "-" + std::to_string(line.hidden_before) + " ";
    text += line.frame.function + " ";
  }
  if (view.hidden_after > 0) text += "-" + std::to_string(view.hidden_after);
  return text;
}

TEST(StackView, leaves_out_the_allocator_and_the_runtime) {
  const std::vector<trace::Frame> frames = {
      native("malloc", "libc.so.6"), native("operator new(unsigned long)", "libstdc++.so.6"),
      native("load", "/src/u/app"), native("main", "/src/u/app"),
      native("__libc_start_main", "libc.so.6")};
  EXPECT_EQ(shape(view_stack(frames, 8)), "-2 load main -1");
}

TEST(StackView, the_users_lines_survive_a_deep_library) {
  std::vector<trace::Frame> frames = {native("malloc", "libc.so.6")};
  for (int i = 0; i < 30; ++i) {
    const std::string name = "at" + std::to_string(i);
    frames.push_back(native(name.c_str(), "libtorch_cpu.so"));
  }
  frames.push_back(python("train", "/src/u/train.py"));
  frames.push_back(python("main", "/src/u/train.py"));
  EXPECT_EQ(shape(view_stack(frames, 6)), "-1 at0 at1 at2 at3 -26 train main ");
}

TEST(StackView, the_interpreter_speaks_only_where_no_python_frame_does) {
  std::vector<trace::Frame> frames = {native("malloc", "libc.so.6"),
                                      native("PyList_New", "/usr/bin/python3.11"),
                                      native("Py_RunMain", "/usr/bin/python3.11")};
  EXPECT_EQ(shape(view_stack(frames, 8)), "-1 PyList_New Py_RunMain ");
  frames.push_back(python("main", "/src/u/train.py"));
  EXPECT_EQ(shape(view_stack(frames, 8)), "-3 main ");
}

TEST(StackView, frames_without_a_name_say_no_more_than_their_library) {
  const std::vector<trace::Frame> frames = {
      native("", "/usr/lib/libc10.so"),
      native("", "/usr/lib/libc10.so"),
      native("", "/usr/lib/libtorch_cpu.so"),
      native("at::_ops::relu::call", "/usr/lib/libtorch_cpu.so"),
      native("", "/usr/lib/libtorch_cpu.so"),
      python("main", "/src/u/train.py")};
  EXPECT_EQ(shape(view_stack(frames, 8)), " -2 at::_ops::relu::call -1 main ");
  const std::vector<trace::Frame> stripped = {native("", "/src/u/app"), native("", "/src/u/app")};
  EXPECT_EQ(view_stack(stripped, 8).lines.size(), 2U) << "the user's own";
}

TEST(StackView, shows_internal_frames_when_there_is_nothing_else) {
  const std::vector<trace::Frame> frames = {native("malloc", "libc.so.6"),
                                            native("fopen", "libc.so.6"),
                                            native("setlocale", "libc.so.6")};
  EXPECT_EQ(shape(view_stack(frames, 2)), "malloc fopen -1");
  EXPECT_TRUE(view_stack({}, 8).lines.empty());
}

}  // namespace
}  // namespace tidemark::analyzer
