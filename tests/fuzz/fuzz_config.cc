// The configuration: any text is a config or a list of what is wrong with it.
#include <stdlib.h>
#include <unistd.h>

#include "log/check.h"
#include "tools/config/config.h"

namespace assay {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string path = [] {
    std::string name = "/dev/shm/assay-fuzz-config-XXXXXX";
    ASSAY_CHECK(mkstemp(name.data()) >= 0);
    static const std::string kept = name;
    atexit([] { unlink(kept.c_str()); });
    return name;
  }();
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSAY_CHECK(file != nullptr);
  std::fwrite(data, 1, size, file);
  std::fclose(file);
  const absl::StatusOr<Config> config = LoadConfig(path, {});
  if (config.ok()) (void)config->ToEngineConfig();
  ASSAY_CHECK(config.ok() || !config.status().message().empty());
  return 0;
}

}  // namespace assay
