#include "tests/support/fake_transport.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ocirepofs {
namespace {

constexpr size_t kPiece = 5;  // so that bodies come in several pieces
constexpr size_t kMaxErrorBody = 64 << 10;

std::string Name(const HttpRequest& request) {
  switch (request.method) {
    case HttpRequest::Method::kGet:
      return "GET " + request.url;
    case HttpRequest::Method::kHead:
      return "HEAD " + request.url;
    case HttpRequest::Method::kPost:
      return "POST " + request.url;
  }
  return request.url;
}

}  // namespace

void FakeTransport::On(const std::string& request, std::vector<Answer> answers) {
  const std::lock_guard lock(mutex_);
  answers_[request] = {answers.begin(), answers.end()};
}

Result<HttpResponse> FakeTransport::Perform(const HttpRequest& request, const BodySink* sink,
                                            std::stop_token stop) {
  if (stop.stop_requested()) return Fail(ErrorCode::kCancelled, "stopped");
  Answer answer;
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    const auto found = answers_.find(Name(request));
    if (found == answers_.end()) {
      ADD_FAILURE() << "unexpected request: " << Name(request);
      return Fail(ErrorCode::kMalformed, "unexpected request: {}", Name(request));
    }
    answer = found->second.front();
    if (found->second.size() > 1) found->second.pop_front();
  }
  if (answer.status == 0) return tl::unexpected<Error>(*answer.error);

  HttpResponse response{answer.status, answer.headers, {}, answer.peer};
  const bool is_success = answer.status / 100 == 2;
  if (is_success && request.check_headers) {
    if (const auto checked = request.check_headers(response); !checked) {
      return tl::unexpected(checked.error());
    }
  }
  if (request.method == HttpRequest::Method::kHead) answer.body.clear();
  if (is_success && sink != nullptr) {
    const auto bytes = std::as_bytes(std::span(answer.body));
    for (size_t at = 0; at < bytes.size(); at += kPiece) {
      const auto taken = (*sink)(bytes.subspan(at, std::min(kPiece, bytes.size() - at)));
      if (!taken) return tl::unexpected(taken.error());
    }
  } else {
    if (is_success && answer.body.size() > request.max_body) {
      return Fail(ErrorCode::kLimitExceeded, "{}: longer than {} bytes", Name(request),
                  request.max_body);
    }
    response.body = answer.body.substr(0, is_success ? std::string::npos : kMaxErrorBody);
  }
  if (answer.error) return tl::unexpected<Error>(*answer.error);
  return response;
}

std::vector<std::string> FakeTransport::log() const {
  std::vector<std::string> names;
  for (const HttpRequest& request : requests()) names.push_back(Name(request));
  return names;
}

std::vector<HttpRequest> FakeTransport::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::string FakeTransport::Header(size_t request, std::string_view name) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, value] : requests_.at(request).headers) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace ocirepofs
