// Stands between a daemon and its hub on loopback and counts the bytes of both ways.
//
//   Relay relay(hub.port());
//   branch.WriteConfig(options, url_with(relay.port()));
//   ... relay.bytes() ...
//
// Its own threads; bytes() from any thread. Connections through it end with it.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace assay::bench {

class Relay {
 public:
  explicit Relay(int to_port);
  ~Relay();
  Relay(const Relay&) = delete;

  int port() const { return port_; }
  int64_t bytes() const { return bytes_; }

 private:
  void Accept();
  void Pump(int from, int to);

  int to_port_, port_, listener_;
  std::atomic<int64_t> bytes_{0};
  std::mutex mutex_;
  std::vector<int> sockets_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace assay::bench
