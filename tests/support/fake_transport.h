#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fetch/http/transport.h"

namespace ocirepofs {

/// A network of scripted answers that records what it was asked. Any thread.
class FakeTransport final : public Transport {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  struct Answer {
    int status = 200;
    Headers headers = {};
    std::string body = {};
    /// After `status`, or in place of any answer where that is 0.
    std::optional<Error> error = std::nullopt;
    AddressClass peer = AddressClass::kPublic;
  };

  /// Answers "GET https://host/path?query" with these, one after another; the last one stays.
  /// A broken body is `error` with a status: what is in `body` arrives first.
  void On(const std::string& request, std::vector<Answer> answers);

  /// A request that is not scripted fails the test.
  Result<HttpResponse> Perform(const HttpRequest& request, const BodySink* sink,
                               std::stop_token stop) override;

  /// "GET https://host/path", in order.
  std::vector<std::string> log() const;
  std::vector<HttpRequest> requests() const;
  /// The header of the request with that number; empty when absent.
  std::string Header(size_t request, std::string_view name) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::deque<Answer>> answers_;  // guarded by mutex_
  std::vector<HttpRequest> requests_;                  // guarded by mutex_
};

}  // namespace ocirepofs
