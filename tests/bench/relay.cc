#include "tests/bench/relay.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/postgres_server.h"

namespace assay::bench {
namespace {

sockaddr_in Loopback(int port) {
  return {.sin_family = AF_INET,
          .sin_port = htons(static_cast<uint16_t>(port)),
          .sin_addr = {htonl(INADDR_LOOPBACK)},
          .sin_zero = {}};
}

int Socket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

}  // namespace

Relay::Relay(int to_port) : to_port_(to_port), port_(test::FreePort()), listener_(Socket()) {
  const sockaddr_in address = Loopback(port_);
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 || listen(listener_, 16) != 0)
    std::abort();
  acceptor_ = std::thread([this] { Accept(); });
}

Relay::~Relay() {
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (int fd : sockets_) shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  for (int fd : sockets_) close(fd);
  close(listener_);
}

void Relay::Accept() {
  int client;
  while ((client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0) {
    const int server = Socket();
    const sockaddr_in address = Loopback(to_port_);
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) shutdown(client, SHUT_RDWR);
    std::lock_guard<std::mutex> lock(mutex_);
    sockets_.insert(sockets_.end(), {client, server});
    threads_.emplace_back([this, client, server] { Pump(client, server); });
    threads_.emplace_back([this, client, server] { Pump(server, client); });
  }
}

void Relay::Pump(int from, int to) {
  char buffer[65536];
  for (ssize_t count; (count = read(from, buffer, sizeof(buffer))) > 0;) {
    bytes_ += count;
    for (ssize_t done = 0; done < count;) {
      const ssize_t written = send(to, buffer + done, count - done, MSG_NOSIGNAL);
      if (written <= 0) break;
      done += written;
    }
  }
  shutdown(to, SHUT_WR);
}

}  // namespace assay::bench
