// A line to a server that does what lines do: it is cut, goes dead without a word, is slow, or loses just the reply
// that mattered.
//
//   Link link(server.port());                     // connect to link.port()
//   link.Set(Link::State::kDead);                 // half open: nothing goes either way, and nobody is told
//   link.LoseReplyTo("COMMIT");                   // the next request with these bytes arrives; its reply never does
//
// Has threads of its own; ends them when it goes. Any thread may call.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace assay::test {

class Link {
 public:
  enum class State : uint8_t {
    kOpen,
    kCut,   // What is connected is closed, and nobody gets in.
    kDead,  // Half open: what is connected stays so, new ones get in, and no byte goes through.
  };

  explicit Link(int target_port);
  ~Link();
  Link(const Link&) = delete;

  int port() const { return port_; }
  void Set(State state) { state_ = state; }
  // 0: as fast as it goes. Each way; `delay` is one way.
  void Slow(uint64_t bytes_per_second, absl::Duration delay);
  // Once: a request that holds `marker` is passed on, the server's answer to it is thrown away, and the connection
  // closed.
  void LoseReplyTo(std::string marker);
  uint64_t replies_lost() const { return replies_lost_; }
  uint64_t bytes_to_server() const { return to_server_; }
  uint64_t bytes_to_client() const { return to_client_; }

 private:
  void Serve(int client);
  // False: the connection is over.
  bool Pump(int from, int to, std::atomic<uint64_t>* count, std::string* seen);
  bool TakeMarker(const std::string& seen);

  const int target_port_;
  int port_ = 0;
  int listener_;
  std::atomic<State> state_{State::kOpen};
  std::atomic<uint64_t> bytes_per_second_{0}, to_server_{0}, to_client_{0}, replies_lost_{0};
  std::atomic<int64_t> delay_us_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::string marker_;  // Empty: none is waited for.
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace assay::test
