#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ocirepofs {

/// A small HTTP/1.1 server on a free loopback port, as well or badly behaved as its handler wants.
/// One thread a connection.
class HttpServer {
 public:
  struct Request {
    std::string method;
    std::string target;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
  };

  /// One client, for a handler. Sending to a client that is gone returns false.
  class Connection {
   public:
    explicit Connection(int fd) : fd_(fd) {}

    bool Send(std::string_view bytes);
    /// Status line, headers, Content-Length and body.
    bool Reply(int status, std::string_view body, std::string_view more_headers = {});
    /// Returns true once the client has hung up or the server is stopped, false after `patience`.
    bool WaitForHangUp(std::chrono::milliseconds patience = std::chrono::seconds(30));
    /// Ends the connection after the handler: cleanly, or with a reset.
    void Close() { closing_ = true; }
    void Reset();

   private:
    friend class HttpServer;
    const int fd_;
    bool closing_ = false;
  };

  using Handler = std::function<void(const Request&, Connection&)>;

  explicit HttpServer(Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const { return port_; }
  /// "http://127.0.0.1:port/target"
  std::string Url(std::string_view target) const;
  std::vector<Request> requests() const;
  int connections() const { return connections_; }

 private:
  void Accept();
  void Serve(int fd);

  const Handler handler_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;      // guarded by mutex_
  std::vector<int> open_;              // guarded by mutex_
  std::vector<std::jthread> clients_;  // of the accepting thread, until it has ended
  std::jthread acceptor_;
};

}  // namespace ocirepofs
