// Does what the CUDA driver does with CUDA_INJECTION64_PATH: loads the library named by the
// argument and calls InitializeInjection.
#include <dlfcn.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  void* library = dlopen(argv[1], RTLD_NOW);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 3;
  }
  using Initialize = int (*)();
  const auto initialize = reinterpret_cast<Initialize>(dlsym(library, "InitializeInjection"));
  if (initialize == nullptr) return 4;
  std::printf("%s\n", initialize() == 1 ? "accepted" : "refused");
  return 0;
}
