#include "cupti_library.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdlib>

#include "activity.h"

namespace tidemark::cuda {

namespace {

constexpr const char* kNames[] = {"libcupti.so.13", "libcupti.so.12", "libcupti.so"};

void* open_path(const char* folder, const char* name) {
  Path path(folder);
  path << "/" << name;
  return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
}

void* open_in(const char* folder) {
  for (const char* name : kNames) {
    if (void* library = open_path(folder, name)) return library;
  }
  return nullptr;
}

const char* path_of(void* library) {
  const link_map* map = nullptr;
  return dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr ? map->l_name : "";
}

// Libraries whose folder tells where their CUPTI lies, and where it lies from there.
void* open_beside_loaded() {
  constexpr const char* kAnchors[] = {"libcudart.so.13", "libcudart.so.12",   "libcublas.so.13",
                                      "libcublas.so.12", "libcublasLt.so.13", "libcublasLt.so.12",
                                      "libnvrtc.so.13",  "libnvrtc.so.12"};
  constexpr const char* kFromThere[] = {
      "",                        // toolkit's lib64, wheel's nvidia/cu13/lib
      "/../extras/CUPTI/lib64",  // toolkit
      "/../../cuda_cupti/lib",   // wheel: nvidia/cublas/lib → nvidia/cuda_cupti/lib
      "/../../cu13/lib",         // wheel
  };
  for (const char* anchor : kAnchors) {
    void* library = dlopen(anchor, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (library == nullptr) continue;
    Path folder(path_of(library));
    dlclose(library);
    folder.keep_folder();
    if (folder.empty()) continue;
    for (const char* from_there : kFromThere) {
      Path candidate(folder.c_str());
      candidate << from_there;
      if (void* found = open_in(candidate.c_str())) return found;
    }
  }
  return nullptr;
}

void* open_in_toolkits() {
  const char* roots[] = {std::getenv("CUDA_HOME"), std::getenv("CUDA_PATH"), "/usr/local/cuda"};
  constexpr const char* kFolders[] = {"/extras/CUPTI/lib64", "/lib64", "/lib",
                                      "/targets/x86_64-linux/lib", "/targets/sbsa-linux/lib"};
  for (const char* root : roots) {
    if (root == nullptr || *root == '\0') continue;
    for (const char* folder : kFolders) {
      Path candidate(root);
      candidate << folder;
      if (void* library = open_in(candidate.c_str())) return library;
    }
  }
  return nullptr;
}

void* find_library(Message& why) {
  const char* named = std::getenv("TIDEMARK_CUPTI");
  if (named != nullptr && *named != '\0') {
    void* library = dlopen(named, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      why << "TIDEMARK_CUPTI names " << named << ", which cannot be loaded: " << dlerror();
    }
    return library;  // no other: the user would not know which one was taken
  }
  for (const char* name : kNames) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD)) return library;
  }
  if (void* library = open_beside_loaded()) return library;
  if (void* library = open_in_toolkits()) return library;
  for (const char* name : kNames) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  why << "no libcupti.so.13 or libcupti.so.12 beside the program's CUDA libraries, in CUDA_HOME, "
         "in "
         "/usr/local/cuda or on the library path; TIDEMARK_CUPTI can name the file";
  return nullptr;
}

template <class Function>
void resolve(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

bool resolve_cupti(void* library, Cupti& cupti, Message& why) {
  cupti = Cupti{};
  cupti.path << path_of(library);
  resolve(library, "cuptiGetVersion", cupti.get_version);
  resolve(library, "cuptiGetResultString", cupti.get_result_string);
  resolve(library, "cuptiSubscribe", cupti.subscribe);
  resolve(library, "cuptiSubscribe_v2", cupti.subscribe_v2);
  resolve(library, "cuptiUnsubscribe", cupti.unsubscribe);
  resolve(library, "cuptiEnableCallback", cupti.enable_callback);
  resolve(library, "cuptiActivityRegisterTimestampCallback", cupti.register_timestamp_callback);
  resolve(library, "cuptiActivityRegisterCallbacks", cupti.register_callbacks);
  resolve(library, "cuptiActivityEnable", cupti.activity_enable);
  resolve(library, "cuptiActivityFlushAll", cupti.flush_all);
  resolve(library, "cuptiActivityGetNextRecord", cupti.get_next_record);
  resolve(library, "cuptiActivityGetNumDroppedRecords", cupti.get_num_dropped_records);
  resolve(library, "cuptiActivitySetAttribute", cupti.set_attribute);
  resolve(library, "cuptiGetDeviceId", cupti.get_device_id);
  resolve(library, "cuptiGetStreamIdEx", cupti.get_stream_id_ex);
  resolve(library, "cuptiGetGraphNodeId", cupti.get_graph_node_id);
  resolve(library, "cuptiActivityConfigureUnifiedMemoryCounter", cupti.configure_unified_memory);
  resolve(library, "cuptiActivityEnableAllocationSource", cupti.enable_allocation_source);

  const char* missing = nullptr;
  const auto need = [&missing](const void* function, const char* name) {
    if (function == nullptr && missing == nullptr) missing = name;
  };
  need(reinterpret_cast<const void*>(cupti.get_version), "cuptiGetVersion");
  need(reinterpret_cast<const void*>(cupti.subscribe), "cuptiSubscribe");
  need(reinterpret_cast<const void*>(cupti.enable_callback), "cuptiEnableCallback");
  if (missing != nullptr) {
    why << cupti.path.c_str() << " lacks " << missing;
    return false;
  }
  if (cupti.get_version(&cupti.version) != CUPTI_SUCCESS || cupti.version < kOldestCupti) {
    why << cupti.path.c_str() << " has API version " << cupti.version << "; CUDA 12.0's "
        << uint64_t{kOldestCupti} << " is the oldest that is read";
    return false;
  }
  return true;
}

bool open_cupti(Cupti& cupti, Message& why) {
  void* library = find_library(why);
  return library != nullptr && resolve_cupti(library, cupti, why);
}

}  // namespace tidemark::cuda
