// A program that is no interpreter loads one late, runs it from threads of its own, shuts it down,
// and does so again. Argument: path of a libpython.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

template <class Function>
Function find(void* library, const char* name) {
  auto function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) {
    std::fprintf(stderr, "no %s\n", name);
    std::exit(2);
  }
  return function;
}

void allocate(size_t bytes) {
  void* volatile block = malloc(bytes);  // volatile: or the compiler leaves both out
  free(block);
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 2) return 2;
  allocate(6100001);
  void* library = dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  auto* initialize = find<void (*)(int)>(library, "Py_InitializeEx");
  auto* finalize = find<int (*)()>(library, "Py_FinalizeEx");
  auto* run = find<int (*)(const char*)>(library, "PyRun_SimpleString");
  auto* save = find<void* (*)()>(library, "PyEval_SaveThread");
  auto* restore = find<void (*)(void*)>(library, "PyEval_RestoreThread");
  auto* ensure = find<int (*)()>(library, "PyGILState_Ensure");
  auto* release = find<void (*)(int)>(library, "PyGILState_Release");
  for (int round = 0; round < 2; ++round) {
    initialize(0);
    run("def inner(n):\n  return bytearray(n)\n\ndef outer(n):\n\n  return inner(n)\n");
    run(round == 0 ? "outer(6200000)" : "outer(6300000)");
    void* main_thread = save();
    std::thread([&] {
      allocate(6400001);  // a thread that the interpreter has never seen
      const int state = ensure();
      run(round == 0 ? "\nouter(6500000)" : "\nouter(6600000)");
      release(state);
      allocate(6700001);  // … or has forgotten
    }).join();
    restore(main_thread);
    if (finalize() != 0) return 3;
    allocate(6800001);
  }
  std::puts("done");
}
