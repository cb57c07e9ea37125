#include "tests/support/link.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/time/clock.h"

namespace assay::test {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(10);

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int Listen(int* port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, 64) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  *port = ntohs(address.sin_port);
  return fd;
}

int ConnectTo(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd);
    return -1;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

}  // namespace

Link::Link(int target_port) : target_port_(target_port), listener_(Listen(&port_)) {
  acceptor_ = std::thread([this] {
    pollfd wait{listener_, POLLIN, 0};
    while (!stopping_) {
      if (poll(&wait, 1, 10) <= 0) continue;
      const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      if (state_ == State::kCut) {
        close(client);
        continue;
      }
      const std::lock_guard lock(mutex_);
      threads_.emplace_back([this, client] { Serve(client); });
    }
  });
}

Link::~Link() {
  stopping_ = true;
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  close(listener_);
}

void Link::Slow(uint64_t bytes_per_second, absl::Duration delay) {
  bytes_per_second_ = bytes_per_second;
  delay_us_ = absl::ToInt64Microseconds(delay);
}

void Link::LoseReplyTo(std::string marker) {
  const std::lock_guard lock(mutex_);
  marker_ = std::move(marker);
}

bool Link::TakeMarker(const std::string& seen) {
  const std::lock_guard lock(mutex_);
  if (marker_.empty() || seen.find(marker_) == std::string::npos) return false;
  marker_.clear();
  return true;
}

bool Link::Pump(int from, int to, std::atomic<uint64_t>* count, std::string* seen) {
  char buffer[16384];
  const uint64_t rate = bytes_per_second_;
  // A slow line passes on a tenth of a second's worth at a time.
  const size_t most = rate == 0 ? sizeof(buffer) : std::min<size_t>(sizeof(buffer), std::max<size_t>(1, rate / 10));
  const ssize_t got = recv(from, buffer, most, 0);
  if (got <= 0) return false;
  if (rate > 0) absl::SleepFor(absl::Seconds(1) * static_cast<double>(got) / static_cast<double>(rate));
  absl::SleepFor(absl::Microseconds(delay_us_.load()));
  *count += static_cast<uint64_t>(got);
  if (seen != nullptr) {
    // Enough of what went before to find a marker that is cut in two.
    if (seen->size() > 64) seen->erase(0, seen->size() - 64);
    seen->append(buffer, static_cast<size_t>(got));
  }
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t now = send(to, buffer + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
    if (now <= 0) return false;
    sent += now;
  }
  return true;
}

void Link::Serve(int client) {
  const int server = ConnectTo(target_port_);
  const int on = 1;
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  pollfd ends[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
  std::string seen;
  while (server >= 0 && !stopping_ && state_ != State::kCut) {
    if (state_ == State::kDead) {
      absl::SleepFor(kTick);
      continue;
    }
    if (poll(ends, 2, static_cast<int>(absl::ToInt64Milliseconds(kTick))) <= 0) continue;
    if (state_ == State::kCut || state_ == State::kDead) continue;  // Since the wait began.
    if (ends[0].revents != 0) {
      if (!Pump(client, server, &to_server_, &seen)) break;
      if (TakeMarker(seen)) {
        // The server has done it once it answers; nobody hears.
        pollfd answer{server, POLLIN, 0};
        poll(&answer, 1, 10'000);
        ++replies_lost_;
        break;
      }
    }
    if (ends[1].revents != 0 && !Pump(server, client, &to_client_, nullptr)) break;
  }
  close(client);
  if (server >= 0) close(server);
}

}  // namespace assay::test
