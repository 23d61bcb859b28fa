// Every corner of the allocation interfaces that answers with an error, with nothing, or with
// something unusual. The program prints what it got; under a recorder it must get the same.
//
//   calls heap|new|map
#include <errno.h>
#include <malloc.h>
#include <obstack.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "opaque.h"

#define obstack_chunk_alloc g_malloc
#define obstack_chunk_free g_free

namespace {

constexpr size_t kPage = 4096;
volatile size_t g_huge = SIZE_MAX / 2;
int g_line = 0;

void tell(const char* what, bool got, bool expected_errno) {
  std::printf("%d %s: %s, errno %s\n", ++g_line, what, got ? "block" : "nothing",
              expected_errno ? "as it should be" : std::strerror(errno));
}

void heap() {
  errno = 0;
  void* empty = g_malloc(0);
  tell("malloc(0)", empty != nullptr, errno == 0);
  g_free(empty);
  tell("malloc(huge)", g_malloc(g_huge) != nullptr, errno == ENOMEM);
  errno = 0;
  tell("calloc overflow", g_calloc(g_huge, 8) != nullptr, errno == ENOMEM);
  errno = 0;
  void* block = g_malloc(1001);
  tell("realloc(huge)", g_realloc(block, g_huge) != nullptr, errno == ENOMEM);
  errno = 0;
  tell("reallocarray overflow", reallocarray(block, g_huge, 8) != nullptr, errno == ENOMEM);
  block = reallocarray(block, 7, 143);
  tell("reallocarray", block != nullptr, true);
  errno = 0;
  tell("realloc(0)", g_realloc(block, 0) != nullptr, errno == 0);
  errno = 0;
  block = g_realloc(nullptr, 0);
  tell("realloc(nullptr, 0)", block != nullptr, errno == 0);
  g_free(block);
  block = &g_line;
  errno = 0;
  const int odd = posix_memalign(&block, 3, 1002);
  tell("posix_memalign(3)", block != &g_line, odd == EINVAL && errno == 0);
  const int large = posix_memalign(&block, 64, g_huge);
  tell("posix_memalign(huge)", block != &g_line, large == ENOMEM);
  if (posix_memalign(&block, size_t{1} << 21, 1003) == 0) {
    tell("posix_memalign(2 MiB)", reinterpret_cast<uintptr_t>(block) % (size_t{1} << 21) == 0,
         true);
    g_free(block);
  }
  errno = 0;
  volatile size_t no_power_of_two = 48;
  block = aligned_alloc(no_power_of_two, 96);
  tell("aligned_alloc(48)", block != nullptr, errno == 0 || errno == EINVAL);
  g_free(block);
  block = g_malloc(100);
  std::printf("usable %zu\n", malloc_usable_size(block));
  g_free(block);
  errno = EBADF;
  g_free(g_malloc(1004));
  tell("errno kept by free", true, errno == EBADF);
  g_free(nullptr);
  block = valloc(1005);
  tell("valloc", reinterpret_cast<uintptr_t>(block) % kPage == 0, true);
  g_free(block);
  block = pvalloc(1);
  std::printf("pvalloc usable at least a page: %d\n", malloc_usable_size(block) >= kPage);
  g_free(block);
  // What libc allocates on behalf of the program.
  char* text = strdup("twelve bytes");
  g_free(text);
  if (asprintf(&text, "%d", 42) > 0) g_free(text);
  char* line = nullptr;
  size_t bytes = 0;
  FILE* memory = open_memstream(&line, &bytes);
  std::fputs("stream", memory);
  std::fclose(memory);
  std::printf("%s\n", line);
  g_free(line);
  obstack stack;
  obstack_init(&stack);
  for (int i = 0; i < 1000; ++i) obstack_grow(&stack, "0123456789", 10);
  std::printf("obstack %d\n", static_cast<int>(obstack_object_size(&stack)));
  obstack_free(&stack, nullptr);
  malloc_trim(0);
}

int g_handled = 0;
void handler() {
  pairs(10, 1006);
  if (++g_handled == 3) std::set_new_handler(nullptr);
}

struct alignas(256) Wide {
  char bytes[512];
};

void with_new() {
  std::set_new_handler(handler);
  volatile size_t huge = size_t{1} << 60;
  try {
    void* block = ::operator new(huge);
    ::operator delete(block);
  } catch (const std::bad_alloc&) {
    std::printf("bad_alloc after %d handlers\n", g_handled);
  }
  try {
    void* block = ::operator new (huge, std::align_val_t{64});
    ::operator delete (block, std::align_val_t{64});
  } catch (const std::bad_alloc&) {
    std::printf("bad_alloc, aligned\n");
  }
  void* none = ::operator new(huge, std::nothrow);
  std::printf("nothrow: %s\n", none == nullptr ? "nothing" : "block");
  none = ::operator new[](huge, std::align_val_t{64}, std::nothrow);
  std::printf("nothrow, aligned: %s\n", none == nullptr ? "nothing" : "block");
  // After all those failures names and sizes belong to the right call.
  pairs(10, 1007);
  for (int i = 0; i < 10; ++i) {
    void* block = ::operator new(1008);
    ::operator delete (block, size_t{1008});
    block = ::operator new[](1009);
    ::operator delete[](block, size_t{1009});
    block = ::operator new (1010, std::align_val_t{512});
    ::operator delete (block, size_t{1010}, std::align_val_t{512});
    block = ::operator new(0);
    ::operator delete(block);
    auto wide = std::make_unique<Wide[]>(3);
    std::printf("%d", reinterpret_cast<uintptr_t>(wide.get()) % 256 == 0);
  }
  std::printf("\n");
  ::operator delete(nullptr);
}

void* map(void* hint, size_t pages, int flags) {
  return mmap(hint, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1,
              0);
}

void told(const char* what, bool right) {
  std::printf("%s: %s\n", what, right ? "right" : "wrong");
}

void with_map() {
  // Ten pages, of which two in the middle are replaced, two at the end unmapped, one at the front.
  auto* ten = static_cast<char*>(map(nullptr, 10, 0));
  told("replace", map(ten + 4 * kPage, 2, MAP_FIXED) == ten + 4 * kPage);
  told("tail", munmap(ten + 8 * kPage, 2 * kPage) == 0);
  told("head", munmap(ten, kPage) == 0);
  told("occupied", map(ten + 4 * kPage, 1, MAP_FIXED_NOREPLACE) == MAP_FAILED && errno == EEXIST);
  told("unaligned", munmap(ten + 100, kPage) == -1 && errno == EINVAL);
  told("nothing", munmap(ten, 0) == -1 && errno == EINVAL);
  told("twice", munmap(ten, kPage) == 0);
  told("all that is left", munmap(ten, 10 * kPage) == 0);
  told("no bytes", map(nullptr, 0, 0) == MAP_FAILED && errno == EINVAL);
  told("huge", map(nullptr, size_t{1} << 40, 0) == MAP_FAILED && errno == ENOMEM);
  // mremap: smaller in place, larger elsewhere, to a place of our choice, refused, leaving the old.
  auto* six = static_cast<char*>(map(nullptr, 6, 0));
  told("shrink", mremap(six, 6 * kPage, 3 * kPage, 0) == six);
  told("no room", map(six + 3 * kPage, 1, MAP_FIXED) == six + 3 * kPage &&
                      mremap(six, 3 * kPage, 5 * kPage, 0) == MAP_FAILED && errno == ENOMEM);
  auto* moved = static_cast<char*>(mremap(six, 3 * kPage, 20 * kPage, MREMAP_MAYMOVE));
  told("grow", moved != MAP_FAILED);
  auto* place = static_cast<char*>(map(nullptr, 30, 0));
  told("to a place", mremap(moved, 20 * kPage, 25 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED,
                            place + kPage) == place + kPage);
  auto* left = static_cast<char*>(
      mremap(place + kPage, 25 * kPage, 25 * kPage, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, nullptr));
  told("leaving the old", left != MAP_FAILED && place[kPage] == 0);
  told("not mapped",
       mremap(six, 2 * kPage, 4 * kPage, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
  munmap(six + 3 * kPage, kPage);
  munmap(left, 25 * kPage);
  munmap(place, 30 * kPage);
  void* huge_pages = map(nullptr, 512, MAP_HUGETLB);
  if (huge_pages != MAP_FAILED) munmap(huge_pages, 512 * kPage);
  // A length that is no multiple of a page.
  void* odd = mmap(nullptr, kPage + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(odd, kPage + 1);
  told("brk", sbrk(static_cast<intptr_t>(3 * kPage)) != reinterpret_cast<void*>(-1));
  auto* ours = static_cast<char*>(sbrk(0)) - kPage;
  ours[0] = 1;
  told("brk again", brk(ours) == 0);
  pairs(100, 1011);
  // A mapping of its own each, unmapped in one call with what lies between.
  auto* reserve = static_cast<char*>(map(nullptr, 16, MAP_NORESERVE));
  munmap(reserve, 16 * kPage);
  map(reserve, 3, MAP_FIXED);
  map(reserve + 8 * kPage, 3, MAP_FIXED);
  told("with a gap", munmap(reserve, 16 * kPage) == 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (std::strcmp(argv[1], "heap") == 0) heap();
  if (std::strcmp(argv[1], "new") == 0) with_new();
  if (std::strcmp(argv[1], "map") == 0) with_map();
  return 0;
}
