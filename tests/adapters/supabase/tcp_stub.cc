#include "tests/adapters/supabase/tcp_stub.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace assay::test {
namespace {

int Listen(int* port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, 16) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  *port = ntohs(address.sin_port);
  return fd;
}

int ConnectTo(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{.sin_family = AF_INET,
                      .sin_port = htons(static_cast<uint16_t>(port)),
                      .sin_addr = {htonl(INADDR_LOOPBACK)},
                      .sin_zero = {}};
  return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? fd : (close(fd), -1);
}

bool Pump(int from, int to) {
  char buffer[16384];
  const ssize_t got = recv(from, buffer, sizeof(buffer), 0);
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t now = send(to, buffer + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
    if (now <= 0) return false;
    sent += now;
  }
  return got > 0;
}

}  // namespace

std::string TcpStub::Fatal(const std::string& sqlstate, const std::string& message) {
  std::string fields;
  for (const std::string& field : {std::string("SFATAL"), std::string("VFATAL"), "C" + sqlstate, "M" + message})
    fields += field + '\0';
  fields += '\0';
  const uint32_t size = htonl(static_cast<uint32_t>(fields.size() + 4));
  return "E" + std::string(reinterpret_cast<const char*>(&size), 4) + fields;
}

TcpStub::TcpStub(Behaviour behaviour) : behaviour_(std::move(behaviour)), listener_(Listen(&port_)) {
  acceptor_ = std::thread([this] {
    pollfd wait{listener_, POLLIN, 0};
    while (!stopping_) {
      if (poll(&wait, 1, 20) <= 0) continue;
      const int client = accept(listener_, nullptr, nullptr);
      const std::lock_guard lock(mutex_);
      threads_.emplace_back([this, client] { Serve(client); });
    }
  });
}

TcpStub::~TcpStub() {
  stopping_ = true;
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  close(listener_);
}

void TcpStub::Drop() { ++generation_; }

void TcpStub::Serve(int client) {
  const uint64_t generation = generation_;
  const int server = behaviour_.forward_port == 0 ? -1 : ConnectTo(behaviour_.forward_port);
  pollfd ends[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
  while (!stopping_ && generation_ == generation) {
    if (frozen_ || poll(ends, 2, 20) <= 0) {
      if (frozen_) usleep(20'000);
      continue;
    }
    if (server < 0) {
      char buffer[4096];
      if (recv(client, buffer, sizeof(buffer), 0) <= 0) break;
      if (behaviour_.answer.empty()) continue;
      send(client, behaviour_.answer.data(), behaviour_.answer.size(), MSG_NOSIGNAL);
      break;
    }
    if ((ends[0].revents != 0 && !Pump(client, server)) || (ends[1].revents != 0 && !Pump(server, client))) break;
  }
  close(client);
  if (server >= 0) close(server);
}

}  // namespace assay::test
