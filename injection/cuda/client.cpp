#include "client.h"

#include <dlfcn.h>

#include "text.h"

namespace tidemark::cuda {

namespace {

const wire::Client* client_from(void* function) {
  if (function == nullptr) return nullptr;
  const wire::Client* client = reinterpret_cast<wire::ClientFunction>(function)();
  return client != nullptr && client->version == wire::kClientVersion ? client : nullptr;
}

}  // namespace

const wire::Client* find_client() {
  if (void* function = dlsym(RTLD_DEFAULT, wire::kClientSymbol)) return client_from(function);
  // LD_PRELOAD was lost on the way (a wrapper that cleans its environment) while
  // CUDA_INJECTION64_PATH was not: the device can still be recorded.
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&find_client), &self) == 0) return nullptr;
  Path path(self.dli_fname);
  path.keep_folder();
  path << (path.empty() ? "./" : "/") << "libtidemark_preload.so";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  return library != nullptr ? client_from(dlsym(library, wire::kClientSymbol)) : nullptr;
}

}  // namespace tidemark::cuda
