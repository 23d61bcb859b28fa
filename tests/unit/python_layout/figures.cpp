// Prints what injection/stack knows of a Python version, in the words of headers.c.
// Arguments: minor version, 0 or 1 for free-threaded.
#include <cstdio>
#include <cstdlib>

#include "python_layout.h"

using namespace tidemark::stack::python;

namespace {

void figure(const char* name, unsigned long value) { std::printf("%s %lu\n", name, value); }

void print_all(const Layout& layout) {
  figure("runtime_interpreters", layout.runtime_interpreters);
  figure("runtime_finalizing", layout.runtime_finalizing);
  figure("thread_id", layout.thread_id);
  if (layout.minor <= 10) figure("thread_frame", layout.thread_frame);
  if (layout.minor >= 10) figure("thread_entry", layout.thread_entry);
  if (layout.minor >= 10) figure("entry_previous", layout.entry_previous);
  if (layout.minor >= 11) {
    figure("entry_frame", layout.entry_frame);
    figure("frame_owner", layout.frame_owner);
    figure("code_qualified_name", layout.code_qualified_name);
    figure("code_instructions", layout.code_instructions);
    figure("code_first_traceable", layout.code_first_traceable);
  }
  if (layout.minor == 11) figure("frame_is_entry", layout.frame_is_entry);
  if (layout.minor == 12) figure("owner_c_stack", kOwnerCStack);
  figure("frame_previous", layout.frame_previous);
  figure("frame_code", layout.frame_code);
  figure("frame_instruction", layout.frame_instruction);
  figure("code_file", layout.code_file);
  figure("code_name", layout.code_name);
  figure("code_first_line", layout.code_first_line);
  figure("code_lines", layout.code_lines);
  figure("object_type", layout.object_type);
  figure("text_state", layout.text_state);
  figure("text_length", layout.text_length);
  figure("text_narrow", layout.text_narrow);
  figure("text_wide", layout.text_wide);
  figure("bytes_size", layout.bytes_size);
  figure("bytes_data", layout.bytes_data);
}

// Of 3.13 on: where the interpreter tells it, and what it does not tell, which read_told() adds.
void print_untold(const Layout& layout) {
  figure("text_wide_beyond", kTextWideBeyond);
  figure("code_first_traceable_before",
         first_traceable_before(layout.free_threaded && layout.minor >= 14));
  figure("owner_c_stack", kOwnerCStack);
  uint32_t count = 0;
  const ToldField* fields = told_fields(layout.minor, &count);
  for (uint32_t i = 0; i < count; ++i) {
    std::printf("told_%s %u\n", fields[i].name, unsigned{fields[i].position});
  }
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 3) return 2;
  const Layout* layout =
      layout_of(static_cast<uint32_t>(std::atoi(arguments[1])), std::atoi(arguments[2]) != 0);
  if (layout == nullptr) {
    std::fprintf(stderr, "Python 3.%s is not known\n", arguments[1]);
    return 1;
  }
  figure("text_kind_mask", layout->text_kind_mask);
  figure("text_compact_mask", layout->text_compact_mask);
  figure("text_ascii_mask", layout->text_ascii_mask);
  if (layout->minor >= 11) figure("owner_generator", kOwnerGenerator);
  if (layout->minor >= 13) {
    print_untold(*layout);
  } else {
    print_all(*layout);
  }
}
