#include "device_facts.h"

#include <cuda.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "client.h"
#include "text.h"

namespace tidemark::cuda {

namespace {

struct Driver {
  decltype(&cuDriverGetVersion) driver_get_version;
  decltype(&cuDeviceGetCount) device_get_count;
  decltype(&cuDeviceGet) device_get;
  decltype(&cuDeviceGetName) device_get_name;
  decltype(&cuDeviceTotalMem) device_total_mem;
  decltype(&cuDeviceGetAttribute) device_get_attribute;
  decltype(&cuDeviceGetPCIBusId) device_get_pci_bus_id;
};

template <class Function>
bool resolve(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

bool open_driver(Driver& driver) {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  return library != nullptr && resolve(library, "cuDriverGetVersion", driver.driver_get_version) &&
         resolve(library, "cuDeviceGetCount", driver.device_get_count) &&
         resolve(library, "cuDeviceGet", driver.device_get) &&
         resolve(library, "cuDeviceGetName", driver.device_get_name) &&
         resolve(library, "cuDeviceTotalMem_v2", driver.device_total_mem) &&
         resolve(library, "cuDeviceGetAttribute", driver.device_get_attribute) &&
         resolve(library, "cuDeviceGetPCIBusId", driver.device_get_pci_bus_id);
}

// First line of a file of sysfs; empty when it cannot be read.
Message first_line(const char* path) {
  Message line;
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return line;
  char bytes[128] = {};
  if (read(file, bytes, sizeof bytes - 1) > 0) {
    if (char* end = std::strchr(bytes, '\n')) *end = '\0';
    line << bytes;
  }
  close(file);
  return line;
}

// "32.0 GT/s PCIe x16": what the slot can do; at rest the link itself runs slower to save power.
Message link_of(const char* pci_bus) {
  Message link;
  for (const char* file : {"/max_link_speed", "/max_link_width"}) {
    Path path("/sys/bus/pci/devices/");
    path << pci_bus << file;
    const Message value = first_line(path.c_str());
    if (value.empty()) return Message();
    link << (link.empty() ? "" : " x") << value.c_str();
  }
  return link;
}

void publish_device(const wire::Client& client, const Driver& driver, int ordinal) {
  CUdevice device = 0;
  if (driver.device_get(&device, ordinal) != CUDA_SUCCESS) return;
  const auto fact = [&client, ordinal](const char* what, const char* value) {
    Message key("cuda.device.");
    key << static_cast<uint64_t>(ordinal) << "." << what;
    client.meta(key.c_str(), value);
  };

  char text[256] = {};
  if (driver.device_get_name(text, sizeof text, device) == CUDA_SUCCESS) fact("name", text);
  size_t bytes = 0;
  if (driver.device_total_mem(&bytes, device) == CUDA_SUCCESS) {
    Message value;
    value << uint64_t{bytes};
    fact("total_memory_bytes", value.c_str());
  }
  int major = 0;
  int minor = 0;
  if (driver.device_get_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device) ==
          CUDA_SUCCESS &&
      driver.device_get_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device) ==
          CUDA_SUCCESS) {
    Message value;
    value << static_cast<uint64_t>(major) << "." << static_cast<uint64_t>(minor);
    fact("compute_capability", value.c_str());
  }
  char bus[32] = {};
  if (driver.device_get_pci_bus_id(bus, sizeof bus, device) == CUDA_SUCCESS) {
    for (char& c : bus) {  // as sysfs spells it
      if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    }
    fact("pci_bus", bus);
    const Message link = link_of(bus);
    if (!link.empty()) fact("pcie_link", link.c_str());
  }
}

}  // namespace

bool publish_device_facts(const wire::Client& client) {
  const Pause pause(client);
  Driver driver{};
  int count = 0;
  if (!open_driver(driver) || driver.device_get_count(&count) != CUDA_SUCCESS) return false;
  int version = 0;
  if (driver.driver_get_version(&version) == CUDA_SUCCESS && version > 0) {
    Message value;  // 13000 is 13.0, 12040 is 12.4
    value << static_cast<uint64_t>(version / 1000) << "."
          << static_cast<uint64_t>(version % 1000 / 10);
    client.meta("cuda.driver_version", value.c_str());
  }
  const Message kernel_driver = first_line("/sys/module/nvidia/version");  // "580.95.05"
  if (!kernel_driver.empty()) client.meta("cuda.kernel_driver_version", kernel_driver.c_str());
  Message devices;
  devices << static_cast<uint64_t>(count);
  client.meta("cuda.device_count", devices.c_str());
  for (int ordinal = 0; ordinal < count; ++ordinal) publish_device(client, driver, ordinal);
  return true;
}

}  // namespace tidemark::cuda
