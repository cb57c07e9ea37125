// Something on a loopback port that is no hub, or only a bad line to one.
//
//   TcpStub stub(TcpStub::Answer("E…"));           // says this to whoever speaks, and closes
//   TcpStub line(TcpStub::Forward(server.port())); // a line to a server …
//   line.Freeze();                                 // … that is cut without either end being told
//
// Has threads of its own; ends them when it goes.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace assay::test {

class TcpStub {
 public:
  struct Behaviour {
    std::string answer;  // Empty and no port: accepts and stays silent.
    int forward_port = 0;
  };
  static Behaviour Answer(std::string bytes) { return {.answer = std::move(bytes)}; }
  static Behaviour Silence() { return {}; }
  static Behaviour Forward(int port) { return {.forward_port = port}; }
  // A FATAL ErrorResponse of PostgreSQL's protocol.
  static std::string Fatal(const std::string& sqlstate, const std::string& message);

  explicit TcpStub(Behaviour behaviour);
  ~TcpStub();

  int port() const { return port_; }
  // From now on nothing goes either way on the connections there are; `false` lets it go on.
  void Freeze(bool frozen = true) { frozen_ = frozen; }
  // Ends the connections there are, as a pooler does with idle ones.
  void Drop();

 private:
  void Serve(int client);

  Behaviour behaviour_;
  int port_ = 0;
  int listener_;
  std::atomic<bool> frozen_{false}, stopping_{false};
  std::atomic<uint64_t> generation_{0};
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace assay::test
