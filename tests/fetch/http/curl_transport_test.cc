#include "fetch/http/curl_transport.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "tests/support/http_server.h"

namespace ocirepofs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Connection = HttpServer::Connection;
using Request = HttpServer::Request;

/// Longer than any of these tests takes, shorter than a person's patience.
constexpr seconds kFarAway{20};
constexpr milliseconds kShort{200};

class CurlTransportTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // A proxy of the machine is not what is tested.
    for (const char* name :
         {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
      unsetenv(name);
    }
  }

  Result<HttpResponse> Get(const std::string& url, const BodySink* sink = nullptr) {
    HttpRequest request;
    request.url = url;
    request.timeout = kFarAway;
    return transport_.Perform(request, sink, {});
  }

  Result<HttpResponse> GetWithin(milliseconds timeout, const std::string& url,
                                 const BodySink* sink = nullptr) {
    HttpRequest request;
    request.url = url;
    request.timeout = timeout;
    const auto start = std::chrono::steady_clock::now();
    Result<HttpResponse> response = transport_.Perform(request, sink, {});
    EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
    return response;
  }

  static std::string Name(const HttpServer& server, std::string_view method = "GET") {
    return fmt::format("{} 127.0.0.1:{}", method, server.port());
  }

  std::string received_;
  const BodySink sink_ = [this](std::span<const std::byte> data) -> Result<void> {
    received_.append(reinterpret_cast<const char*>(data.data()), data.size());
    return {};
  };
  CurlTransport transport_{"ocirepofs/1.2"};
};

TEST_F(CurlTransportTest, GetsStatusHeadersAndBody) {
  HttpServer server([](const Request&, Connection& client) {
    client.Reply(404, "gone", "X-Kind:  two words \r\nX-Kind: second\r\n");
  });
  const auto response = Get(server.Url("/v2/a?n=1"));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(*response->Header("x-kind"), "two words");
  EXPECT_EQ(response->Header("absent"), nullptr);
  EXPECT_EQ(response->body, "gone");
  EXPECT_EQ(response->peer, AddressClass::kLoopback);
  const Request request = server.requests().at(0);
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.target, "/v2/a?n=1");
  EXPECT_EQ(request.headers.at("user-agent"), "ocirepofs/1.2");
  EXPECT_EQ(request.headers.at("accept-encoding"), "identity");
  EXPECT_FALSE(request.headers.contains("referer"));
}

TEST_F(CurlTransportTest, OnlyTheFinalAnswersHeadersCount) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 103 Early Hints\r\nDocker-Content-Digest: early\r\n\r\n");
    client.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.Send("4\r\nbody\r\n0\r\nDocker-Content-Digest: late\r\n\r\n");
  });
  const auto response = Get(server.Url("/"));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "body");
  EXPECT_EQ(response->Header("docker-content-digest"), nullptr);
}

TEST_F(CurlTransportTest, HeadHasNoBody) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nDocker-Content-Digest: d\r\n\r\n");
  });
  HttpRequest request{.method = HttpRequest::Method::kHead, .url = server.Url("/")};
  request.headers = {{"Accept", "text/plain"}};
  const auto response = transport_.Perform(request, nullptr, {});
  ASSERT_TRUE(response);
  EXPECT_EQ(*response->Header("docker-content-digest"), "d");
  EXPECT_EQ(response->body, "");
  EXPECT_EQ(server.requests().at(0).method, "HEAD");
  EXPECT_EQ(server.requests().at(0).headers.at("accept"), "text/plain");
}

TEST_F(CurlTransportTest, PostSendsItsBody) {
  HttpServer server([](const Request&, Connection& client) { client.Reply(200, "ok"); });
  HttpRequest request{.method = HttpRequest::Method::kPost, .url = server.Url("/token")};
  request.body = std::string("a=1\0b", 5);
  ASSERT_TRUE(transport_.Perform(request, nullptr, {}));
  EXPECT_EQ(server.requests().at(0).method, "POST");
  EXPECT_EQ(server.requests().at(0).body, request.body);
}

TEST_F(CurlTransportTest, KeepsTheConnectionAlsoAfterAFailureStatus) {
  HttpServer server([](const Request& request, Connection& client) {
    client.Reply(request.target == "/good" ? 200 : 404, "body");
  });
  for (const char* target : {"/good", "/bad", "/good", "/good"}) {
    ASSERT_TRUE(Get(server.Url(target)));
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(CurlTransportTest, S08OtherTlsSettingsGetAConnectionOfTheirOwn) {
  HttpServer server([](const Request&, Connection& client) { client.Reply(200, "body"); });
  HttpRequest request{.url = server.Url("/")};
  ASSERT_TRUE(transport_.Perform(request, nullptr, {}));
  request.skip_tls_verification = true;
  ASSERT_TRUE(transport_.Perform(request, nullptr, {}));
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(CurlTransportTest, ReconnectsWhereTheServerHungUpMeanwhile) {
  HttpServer server([](const Request&, Connection& client) {
    client.Reply(200, "body");
    client.Close();
  });
  EXPECT_TRUE(Get(server.Url("/")));
  EXPECT_TRUE(Get(server.Url("/")));
}

TEST_F(CurlTransportTest, ThreadsTransferAtTheSameTime) {
  constexpr int kThreads = 4;
  std::latch together(kThreads);
  HttpServer server([&](const Request&, Connection& client) {
    together.arrive_and_wait();
    client.Reply(200, "body");
  });
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] { EXPECT_TRUE(Get(server.Url("/"))); });
  }
  threads.clear();
  EXPECT_EQ(server.connections(), kThreads);
}

TEST_F(CurlTransportTest, RedirectsAreNotFollowed) {
  HttpServer server([](const Request&, Connection& client) {
    client.Reply(302, "", "Location: /elsewhere\r\n");
  });
  const auto response = Get(server.Url("/"));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 302);
  EXPECT_EQ(*response->Header("location"), "/elsewhere");
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(CurlTransportTest, TheSinkGetsTheBodyOfASuccessOnly) {
  const std::string big(3'000'000, 'x');
  HttpServer server([&](const Request& request, Connection& client) {
    client.Reply(request.target == "/good" ? 200 : 500, big);
  });
  const auto good = Get(server.Url("/good"), &sink_);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->body, "");
  EXPECT_EQ(received_, big);
  received_.clear();
  const auto bad = Get(server.Url("/bad"), &sink_);
  ASSERT_TRUE(bad);
  EXPECT_EQ(received_, "");
  EXPECT_EQ(bad->body.size(), size_t{64} << 10);
}

TEST_F(CurlTransportTest, TheSinksErrorIsTheResult) {
  HttpServer server([](const Request&, Connection& client) { client.Reply(200, "body"); });
  const BodySink full = [](std::span<const std::byte>) -> Result<void> {
    return Fail(ErrorCode::kStorage, "disk full");
  };
  const auto response = Get(server.Url("/"), &full);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kStorage);
  EXPECT_EQ(response.error().message, "disk full");
}

TEST_F(CurlTransportTest, HeadersAreCheckedBeforeTheBody) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 100 Continue\r\n\r\n");
    client.Reply(206, "body", "Content-Range: bytes 1-4/5\r\n");
  });
  HttpRequest request{.url = server.Url("/")};
  int calls = 0;
  request.check_headers = [&](const HttpResponse& response) -> Result<void> {
    ++calls;
    EXPECT_EQ(response.status, 206);
    EXPECT_EQ(*response.Header("content-range"), "bytes 1-4/5");
    EXPECT_EQ(received_, "");
    return Fail(ErrorCode::kMismatch, "not that");
  };
  const auto response = transport_.Perform(request, &sink_, {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().message, "not that");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(received_, "");
}

TEST_F(CurlTransportTest, R05_ALongerBodyThanAllowedFails) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (client.Send("5\r\nhello\r\n")) {
    }
    client.Close();
  });
  HttpRequest request{.url = server.Url("/")};
  request.max_body = 1000;
  const auto response = transport_.Perform(request, nullptr, {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(response.error().message, Name(server) + ": the answer is longer than 1000 bytes");
}

TEST_F(CurlTransportTest, R05_ABodyOfJustTheLimitIsTaken) {
  HttpServer server([](const Request&, Connection& client) { client.Reply(200, "hello"); });
  HttpRequest request{.url = server.Url("/")};
  request.max_body = 5;
  EXPECT_TRUE(transport_.Perform(request, nullptr, {}));
}

TEST_F(CurlTransportTest, R04_EndlessHeadersFail) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 200 OK\r\n");
    while (client.Send("X-More: " + std::string(1000, 'x') + "\r\n")) {
    }
    client.Close();
  });
  const auto response = Get(server.Url("/"));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(response.error().message, Name(server) + ": the answer's headers exceed 262144 bytes");
}

TEST_F(CurlTransportTest, R04_AFloodOfInterimAnswersFails) {
  HttpServer server([](const Request&, Connection& client) {
    while (client.Send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")) {
    }
    client.Close();
  });
  const auto response = Get(server.Url("/"));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kLimitExceeded);
}

TEST_F(CurlTransportTest, R04_NoCodingIsUndone) {
  HttpServer server([](const Request&, Connection& client) {
    client.Reply(200, "\x1f\x8b", "Content-Encoding: gzip, gzip, gzip\r\n");
  });
  const auto response = Get(server.Url("/"));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "\x1f\x8b");
}

TEST_F(CurlTransportTest, R03_AStalledAnswerTimesOut) {
  HttpServer server([](const Request&, Connection& client) { client.WaitForHangUp(); });
  const auto response = GetWithin(kShort, server.Url("/secret?token=x"));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(response.error().message, Name(server) + ": no complete answer within 200ms");
}

TEST_F(CurlTransportTest, R03_SlowHeadersTimeOut) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 200 OK\r\nX-Slow: ");
    while (!client.WaitForHangUp(milliseconds(10)) && client.Send("x")) {
    }
    client.Close();
  });
  for (const BodySink* sink : {static_cast<const BodySink*>(nullptr), &sink_}) {
    const auto response = GetWithin(kShort, server.Url("/"), sink);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, ErrorCode::kTimeout);
  }
}

TEST_F(CurlTransportTest, R03_AStalledBlobTimesOut) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    client.WaitForHangUp();
  });
  const auto response = GetWithin(kShort, server.Url("/"), &sink_);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(response.error().message, Name(server) + ": no progress within 200ms");
  EXPECT_EQ(received_, "hello");
}

TEST_F(CurlTransportTest, R03_ATrickleIsNoProgress) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (!client.WaitForHangUp(milliseconds(10)) && client.Send("x")) {
    }
    client.Close();
  });
  const auto response = GetWithin(kShort, server.Url("/"), &sink_);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kTimeout);
}

TEST_F(CurlTransportTest, ABlobMayTakeLongerThanTheTimeoutWhileItMoves) {
  constexpr int kPieces = 12;
  const std::string piece(20'000, 'x');
  HttpServer server([&](const Request&, Connection& client) {
    client.Send(
        fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", kPieces * piece.size()));
    for (int i = 0; i < kPieces && !client.WaitForHangUp(milliseconds(50)); ++i) client.Send(piece);
  });
  const auto response = GetWithin(milliseconds(400), server.Url("/"), &sink_);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(received_.size(), kPieces * piece.size());
}

TEST_F(CurlTransportTest, AShortBodyIsAnError) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    client.Close();
  });
  const auto response = Get(server.Url("/"), &sink_);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(response.error().message,
            Name(server) + ": connection closed before the end of the answer");
  EXPECT_EQ(received_, "hello");
}

TEST_F(CurlTransportTest, R17_AFailureStatusSurvivesItsShortBody) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("HTTP/1.1 416 Range\r\nContent-Length: 40\r\n\r\nshort");
    client.Close();
  });
  const auto response = Get(server.Url("/"), &sink_);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 416);
  EXPECT_EQ(response->body, "short");
}

TEST_F(CurlTransportTest, AResetIsAnError) {
  HttpServer server([](const Request&, Connection& client) { client.Reset(); });
  const auto response = Get(server.Url("/"));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(response.error().message, Name(server) + ": Recv failure: Connection reset by peer");
}

TEST_F(CurlTransportTest, ACloseInPlaceOfAnAnswerIsAnError) {
  HttpServer server([](const Request&, Connection& client) { client.Close(); });
  const auto response = Get(server.Url("/"));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(response.error().message, Name(server) + ": connection closed without an answer");
}

TEST_F(CurlTransportTest, WhatIsNotHttpIsAnError) {
  HttpServer server([](const Request&, Connection& client) {
    client.Send("SSH-2.0-OpenSSH\r\n");
    client.Close();
  });
  const auto response = Get(server.Url("/"));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().message, Name(server) + ": the answer is not HTTP");
}

TEST_F(CurlTransportTest, ARefusedConnectionIsNamedWithoutTheQuery) {
  std::string url;
  uint16_t port = 0;
  {
    HttpServer server([](const Request&, Connection&) {});
    url = server.Url("/v2/?secret=1");
    port = server.port();
  }
  const auto response = Get(url);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(response.error().message, fmt::format("GET 127.0.0.1:{}: connection refused", port));
}

TEST_F(CurlTransportTest, AnUnknownHostIsNamed) {
  // A label this long is refused by the resolver itself, so that no query leaves the machine.
  const std::string host = std::string(64, 'a') + ".invalid";
  const auto response = Get("http://" + host + "/");
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(response.error().message, "GET " + host + ": no such host");
}

TEST_F(CurlTransportTest, R03_AServerThatDoesNotAnswerTheTlsGreetingTimesOut) {
  HttpServer server([](const Request&, Connection&) {});
  const auto response = GetWithin(kShort, fmt::format("https://127.0.0.1:{}/", server.port()));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().message, Name(server) + ": timed out while connecting");
}

TEST_F(CurlTransportTest, R11_ANameThatLeadsNearerThanAllowedIsNotConnectedTo) {
  HttpServer server([](const Request&, Connection& client) { client.Reply(200, "secret"); });
  HttpRequest request{.url = fmt::format("http://localhost:{}/", server.port())};
  for (const AddressClass nearest : {AddressClass::kPublic, AddressClass::kPrivate}) {
    request.nearest = nearest;
    const auto response = transport_.Perform(request, nullptr, {});
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(
        response.error().message,
        fmt::format("GET localhost:{}: refused, its name leads to a local address", server.port()));
  }
  EXPECT_EQ(server.connections(), 0);
  request.nearest = AddressClass::kLoopback;
  EXPECT_TRUE(transport_.Perform(request, nullptr, {}));
  // Nor over a connection that is open already.
  request.nearest = AddressClass::kPublic;
  EXPECT_FALSE(transport_.Perform(request, nullptr, {}));
}

TEST_F(CurlTransportTest, R11_OtherProtocolsAreNotSpoken) {
  for (const char* url : {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"}) {
    EXPECT_FALSE(Get(url)) << url;
  }
}

TEST_F(CurlTransportTest, R15_AHeaderOfTwoLinesIsNotSent) {
  HttpServer server([](const Request&, Connection& client) { client.Reply(200, ""); });
  HttpRequest request{.url = server.Url("/")};
  request.headers = {{"Authorization", "Bearer x\r\nX-Injected: y"}};
  const auto response = transport_.Perform(request, nullptr, {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().message, Name(server) + ": a request header holds control characters");
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(CurlTransportTest, AStopRequestEndsAStalledTransferAtOnce) {
  std::stop_source stop;
  HttpServer server([&](const Request&, Connection& client) {
    client.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    stop.request_stop();
    client.WaitForHangUp();
  });
  HttpRequest request{.url = server.Url("/"), .timeout = kFarAway};
  const auto start = std::chrono::steady_clock::now();
  const auto response = transport_.Perform(request, &sink_, stop.get_token());
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kCancelled);
}

TEST_F(CurlTransportTest, AStoppedTransferIsNotBegun) {
  std::stop_source stop;
  stop.request_stop();
  HttpServer server([](const Request&, Connection& client) { client.Reply(200, ""); });
  const auto response = transport_.Perform({.url = server.Url("/")}, nullptr, stop.get_token());
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(CurlTransportTest, TheProxyOfTheEnvironmentIsUsed) {
  HttpServer proxy([](const Request&, Connection& client) { client.Reply(200, "by proxy"); });
  setenv("http_proxy", proxy.Url("").c_str(), 1);
  const auto response = Get("http://r.invalid/v2/");
  unsetenv("http_proxy");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "by proxy");
  EXPECT_EQ(proxy.requests().at(0).target, "http://r.invalid/v2/");
}

/// More threads than a pool keeps handles for, so that handles pass from one to the other and some
/// are closed while others are in use.
TEST_F(CurlTransportTest, ManyThreadsPassHandlesToEachOther) {
  constexpr int kThreads = 12;
  constexpr int kRequests = 500;
  HttpServer server(
      [](const Request& request, Connection& client) { client.Reply(200, request.target); });
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < kRequests; ++i) {
          const std::string target = fmt::format("/{}/{}", thread, i);
          const auto response = Get(server.Url(target));
          if (response && response->body == target) ++right;
        }
      });
    }
  }
  EXPECT_EQ(right, kThreads * kRequests);
}

}  // namespace
}  // namespace ocirepofs
