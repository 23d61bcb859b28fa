// LD_PRELOAD was lost, CUDA_INJECTION64_PATH was not: libtidemark_cuda.so loads the recorder that
// lies beside it. Arguments: the library, beside which ctest has put a libtidemark_preload.so made
// of fake_client.cpp, and whether one lies there ("with" or "without").
#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <string>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  if (dlsym(RTLD_DEFAULT, "tidemark_client") != nullptr) return 3;  // or this tests nothing
  void* library = dlopen(argv[1], RTLD_NOW);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 4;
  }
  if (reinterpret_cast<int (*)()>(dlsym(library, "InitializeInjection"))() != 1) return 5;
  const std::string path = argv[1];
  const std::string beside = path.substr(0, path.rfind('/')) + "/libtidemark_preload.so";
  void* recorder = dlopen(beside.c_str(), RTLD_NOW | RTLD_NOLOAD);
  return (recorder != nullptr) == (std::strcmp(argv[2], "with") == 0) ? 0 : 1;
}
