#include "fetch/registry/registry.h"

#include <gtest/gtest.h>

#include "tests/support/fake_transport.h"

namespace ocirepofs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Answer = FakeTransport::Answer;
using Log = std::vector<std::string>;

constexpr const char* kBase = "https://r.example/v2/a/b";
constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";

class ManualClock final : public Clock {
 public:
  std::chrono::system_clock::time_point WallNow() const override { return wall; }
  std::chrono::steady_clock::time_point SteadyNow() const override { return steady; }

  std::chrono::system_clock::time_point wall =
      std::chrono::sys_days{std::chrono::year(2026) / 11 / 24};
  std::chrono::steady_clock::time_point steady{};
};

/// A client on a scripted network, whose pauses are recorded and take no time.
class Registry : public testing::Test {
 protected:
  Result<Digest> Resolve(const std::string& tag = "1.0") {
    return client_.ResolveTag(access_, tag, stop_.get_token());
  }
  Result<void> Fetch(const Descriptor& blob) {
    received_.clear();
    return client_.FetchBlob(
        access_, blob,
        [this](std::span<const std::byte> data) -> Result<void> {
          received_.append(reinterpret_cast<const char*>(data.data()), data.size());
          return {};
        },
        stop_.get_token());
  }
  Result<std::vector<std::string>> Tags() { return client_.ListTags(access_, stop_.get_token()); }

  static Descriptor Blob(const std::string& content) {
    return {"application/layer", Digest::Of(content), content.size(), {}, {}, {}};
  }
  static std::string BlobUrl(const Descriptor& blob) {
    return fmt::format("GET {}/blobs/{}", kBase, blob.digest.ToString());
  }
  static Answer Broken(std::string body, FakeTransport::Headers headers = {}, int status = 200) {
    return {status, std::move(headers), std::move(body),
            Error{ErrorCode::kUnavailable, "GET r.example: connection reset"}};
  }
  static Answer Down(ErrorCode code = ErrorCode::kUnavailable,
                     std::string message = "GET r.example: connection refused") {
    return {.status = 0, .error = Error{code, std::move(message)}};
  }
  static Answer Unauthorized(const std::string& challenge) {
    return {401,
            {{"www-authenticate", challenge}},
            R"({"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]})"};
  }

  static constexpr const char* kChallenge =
      R"(Bearer realm="https://auth.example/token?x=1",service="lab",scope="repository:a/b:pull")";
  static constexpr const char* kTokenUrl =
      "GET https://auth.example/token?x=1&service=lab&scope=repository%3Aa%2Fb%3Apull";

  const std::string head_ = std::string("HEAD ") + kBase + "/manifests/1.0";
  const std::string get_ = std::string("GET ") + kBase + "/manifests/1.0";
  const std::string tags_ = std::string("GET ") + kBase + "/tags/list?n=1000";
  const Digest digest_ = Digest::Of("manifest");
  const std::string manifest_ = R"({"schemaVersion":2,"layers":[]})";

  ManualClock clock_;
  FakeTransport net_;
  std::vector<std::chrono::nanoseconds> pauses_;
  std::stop_source stop_;
  RegistryAccess access_{.repository = {"r.example", "a/b"}};
  RegistryClient client_{&net_, &clock_, [this](std::chrono::nanoseconds pause, std::stop_token t) {
                           pauses_.push_back(pause);
                           clock_.steady += pause;
                           return !t.stop_requested();
                         }};
  std::string received_;
};

// ---- Resolving a tag

TEST_F(Registry, AnUnchangedTagCostsOneHead) {
  net_.On(head_, {{200, {{"docker-content-digest", digest_.ToString()}}}});
  ASSERT_EQ(Resolve().value(), digest_);
  EXPECT_EQ(net_.log(), Log{head_});
  EXPECT_EQ(net_.Header(0, "Accept"), ManifestAccept());
  EXPECT_EQ(net_.Header(0, "Authorization"), "");
  EXPECT_FALSE(net_.requests()[0].skip_tls_verification);
}

TEST_F(Registry, ATagIsResolvedByGetWhereHeadFails) {
  for (const int status : {400, 403, 404, 405, 500, 501}) {
    net_.On(head_, {{status}});
    net_.On(get_, {{200, {{"content-type", kManifestType}}, manifest_}});
    EXPECT_EQ(Resolve().value(), Digest::Of(manifest_)) << status;
  }
  EXPECT_TRUE(pauses_.empty());
}

TEST_F(Registry, R16_ATagsDigestIsThatOfTheBodyWhateverTheHeaderSays) {
  net_.On(head_, {{200, {{"docker-content-digest", "sha256:../../etc/passwd"}}}});
  net_.On(get_, {{200, {{"docker-content-digest", digest_.ToString()}}, manifest_}});
  EXPECT_EQ(Resolve().value(), Digest::Of(manifest_));
}

TEST_F(Registry, AMissingTagIsReportedInTheRegistrysWords) {
  net_.On(head_, {{404}});
  net_.On(get_,
          {{404, {}, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"}});
  const auto result = Resolve();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(result.error().message,
            "GET r.example/v2/a/b/manifests/1.0: MANIFEST_UNKNOWN: manifest unknown");
}

TEST_F(Registry, AnythingButAManifestUnderATagFails) {
  net_.On(head_, {{404}});
  net_.On(get_, {{200, {{"content-type", "text/html"}}, "<html>log in</html>"}});
  const auto result = Resolve();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message,
            "GET r.example/v2/a/b/manifests/1.0: the manifest can't be read: it is not JSON at "
            "byte 1");
}

TEST_F(Registry, R15_ATagIsOneEncodedSegmentOfThePath) {
  const std::string url = std::string("HEAD ") + kBase + "/manifests/..%2F..%2Fx%0D%0A%3Fy";
  net_.On(url, {{200, {{"docker-content-digest", digest_.ToString()}}}});
  EXPECT_TRUE(Resolve("../../x\r\n?y"));
  for (const char* tag : {"", ".", ".."}) {
    const auto result = Resolve(tag);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, fmt::format("'{}' is not a tag", tag));
  }
}

TEST_F(Registry, DockerHubIsReachedUnderItsOtherName) {
  access_.repository = {"index.docker.io", "library/busybox"};
  net_.On("HEAD https://registry-1.docker.io/v2/library/busybox/manifests/1.0",
          {{200, {{"docker-content-digest", digest_.ToString()}}}});
  EXPECT_TRUE(Resolve());
}

// ---- Status codes, retries

TEST_F(Registry, StatusCodesBecomeErrorCodes) {
  const std::tuple<int, ErrorCode, std::string> cases[] = {
      {300, ErrorCode::kMalformed, "300 Multiple Choices"},
      {400, ErrorCode::kMalformed, "400 Bad Request"},
      {401, ErrorCode::kUnauthorized, "401 Unauthorized"},
      {403, ErrorCode::kUnauthorized, "403 Forbidden"},
      {404, ErrorCode::kNotFound, "404 Not Found"},
      {429, ErrorCode::kThrottled, "429 Too Many Requests"},
      {500, ErrorCode::kUnavailable, "500 Internal Server Error"},
      {599, ErrorCode::kUnavailable, "599"},
  };
  for (const auto& [status, code, text] : cases) {
    net_.On(tags_, {{status, {}, "<html>"}});
    const auto result = Tags();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code);
    EXPECT_EQ(result.error().message,
              "GET r.example/v2/a/b/tags/list: unexpected status code " + text);
  }
}

TEST_F(Registry, R15_ErrorTextIsEscapedAndCut) {
  net_.On(tags_,
          {{400, {}, R"({"errors":[{"code":"A","message":"\u001b[31mred\r\n"},{"code":"B"}]})"}});
  EXPECT_EQ(Tags().error().message, "GET r.example/v2/a/b/tags/list: A: \\x1b[31mred\\x0d\\x0a; B");
  net_.On(tags_, {{400, {}, R"({"errors":[{"code":")" + std::string(60'000, 'x') + R"("}]})"}});
  EXPECT_LT(Tags().error().message.size(), 4200u);
}

TEST_F(Registry, PassingFailuresAreTriedAgainTwice) {
  const Answer good{200, {}, R"({"tags":["x"]})"};
  for (const Answer& bad :
       {Answer{408}, Answer{500}, Answer{502}, Answer{503}, Answer{504}, Down()}) {
    pauses_.clear();
    net_.On(tags_, {bad, bad, good});
    EXPECT_EQ(Tags().value(), Log{"x"}) << bad.status;
    EXPECT_EQ(pauses_,
              (std::vector<std::chrono::nanoseconds>{milliseconds(500), milliseconds(1500)}));
  }
}

TEST_F(Registry, AfterThreeTriesTheLastFailureIsReported) {
  net_.On(tags_, {{500}, {502}, Down()});
  const auto result = Tags();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "GET r.example: connection refused");
  EXPECT_EQ(net_.log().size(), 3u);
}

TEST_F(Registry, R18_ThrottlingIsReportedAtOnceWithItsDelay) {
  net_.On(head_, {{429, {{"retry-after", "7"}}}});
  const auto result = Resolve();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kThrottled);
  EXPECT_EQ(result.error().retry_after, seconds(7));
  EXPECT_EQ(net_.log().size(), 1u);
}

TEST_F(Registry, R18_RetryAfterIsClamped) {
  const std::pair<const char*, std::optional<seconds>> cases[] = {
      {"0", seconds(0)},
      {"120", seconds(120)},
      {"999999999", seconds(3600)},
      {"99999999999999999999999999", seconds(3600)},
      {"Tue, 24 Nov 2026 00:00:30 GMT", seconds(30)},
      {"Tue, 24 Nov 2020 00:00:30 GMT", seconds(0)},
      {"Fri, 24 Nov 2099 00:00:30 GMT", seconds(3600)},
      {"-5", std::nullopt},
      {"soon", std::nullopt},
      {"", std::nullopt},
  };
  for (const auto& [value, expected] : cases) {
    net_.On(tags_, {{429, {{"retry-after", value}}}});
    EXPECT_EQ(Tags().error().retry_after, expected) << value;
  }
}

TEST_F(Registry, AServerThatAsksForALongerPauseIsLeftAlone) {
  net_.On(tags_, {{503, {{"retry-after", "30"}}}});
  const auto result = Tags();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(result.error().retry_after, seconds(30));
  EXPECT_EQ(net_.log().size(), 1u);
}

TEST_F(Registry, R20_ABadCertificateIsFinalAndNotAnsweredWithPlainHttp) {
  net_.On(head_, {Down(ErrorCode::kMismatch, "HEAD r.example: certificate has expired")});
  const auto result = Resolve();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "HEAD r.example: certificate has expired");
  EXPECT_EQ(net_.log(), Log{head_});
}

TEST_F(Registry, R20_HttpsThatIsDownIsNotAnsweredWithPlainHttp) {
  net_.On(head_, {Down()});
  EXPECT_FALSE(Resolve());
  EXPECT_EQ(net_.log(), (Log{head_, head_, head_}));
}

TEST_F(Registry, R03_NoTryBeginsAfterTheTimeout) {
  access_.timeout = milliseconds(1900);
  net_.On(tags_, {Down()});
  EXPECT_FALSE(Tags());
  EXPECT_EQ(pauses_.size(), 1u);
  EXPECT_EQ(net_.requests()[0].timeout, milliseconds(1900));
  EXPECT_EQ(net_.requests()[1].timeout, milliseconds(1400));
}

TEST_F(Registry, AStopRequestEndsThePause) {
  net_.On(tags_, {Down()});
  RegistryClient client(&net_, &clock_,
                        [](std::chrono::nanoseconds, std::stop_token) { return false; });
  const auto result = client.ListTags(access_, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(net_.log().size(), 1u);
}

// ---- Schemes

TEST_F(Registry, AnInsecureHostIsAskedByHttpsAndThenByHttpAndTheAnswerIsRemembered) {
  access_.insecure = true;
  const std::string http = "HEAD http://r.example/v2/a/b/manifests/1.0";
  net_.On(head_, {Down()});
  net_.On(http, {{200, {{"docker-content-digest", digest_.ToString()}}}});
  EXPECT_TRUE(Resolve());
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(net_.log(), (Log{head_, http, http}));
  EXPECT_TRUE(net_.requests()[0].skip_tls_verification);
}

TEST_F(Registry, AHostThatChangesItsSchemeIsFoundAgain) {
  access_.insecure = true;
  const Answer good{200, {{"docker-content-digest", digest_.ToString()}}};
  const std::string http = "HEAD http://r.example/v2/a/b/manifests/1.0";
  net_.On(head_, {Down()});
  net_.On(http, {good, Down()});
  EXPECT_TRUE(Resolve());
  EXPECT_FALSE(Resolve());
  net_.On(head_, {good});
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(net_.log(), (Log{head_, http, http, http, http, head_}));
}

TEST_F(Registry, ALocalHostIsAskedByHttpFirst) {
  access_.repository.registry = "10.0.0.5:5000";
  const std::string http = "HEAD http://10.0.0.5:5000/v2/a/b/manifests/1.0";
  net_.On(http, {{200, {{"docker-content-digest", digest_.ToString()}}}});
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(net_.log(), Log{http});
}

TEST_F(Registry, ALocalHostThatSpeaksTlsIsAskedByHttpsFromThenOn) {
  access_.repository.registry = "10.0.0.5:5000";
  const std::string http = "HEAD http://10.0.0.5:5000/v2/a/b/manifests/1.0";
  const std::string https = "HEAD https://10.0.0.5:5000/v2/a/b/manifests/1.0";
  net_.On(http, {{400, {}, "Client sent an HTTP request to an HTTPS server.\n"}});
  net_.On(https, {{200, {{"docker-content-digest", digest_.ToString()}}}});
  EXPECT_TRUE(Resolve());
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(net_.log(), (Log{http, https, https}));
  EXPECT_FALSE(net_.requests()[1].skip_tls_verification);
}

TEST_F(Registry, ALocalHostsOwnBadRequestIsReported) {
  access_.repository.registry = "10.0.0.5:5000";
  net_.On("GET http://10.0.0.5:5000/v2/a/b/tags/list?n=1000",
          {{400, {}, R"({"errors":[{"code":"NAME_INVALID","message":"invalid name"}]})"}});
  net_.On("GET https://10.0.0.5:5000/v2/a/b/tags/list?n=1000", {Down()});
  EXPECT_EQ(Tags().error().message,
            "GET 10.0.0.5:5000/v2/a/b/tags/list: NAME_INVALID: invalid name");
}

TEST_F(Registry, WhatBothSchemesSaidIsReported) {
  access_.insecure = true;
  net_.On(tags_, {Down(ErrorCode::kUnavailable, "GET r.example: wrong version number")});
  net_.On("GET http://r.example/v2/a/b/tags/list?n=1000", {Down()});
  EXPECT_EQ(Tags().error().message,
            "GET r.example: wrong version number; then by http: GET r.example: connection refused");
}

// ---- Tokens

TEST_F(Registry, ATokenIsFetchedOnceAndSentUpFrontFromThenOn) {
  net_.On(head_,
          {Unauthorized(kChallenge), {200, {{"docker-content-digest", digest_.ToString()}}}});
  net_.On(kTokenUrl, {{200, {}, R"({"token":"secret","expires_in":300})"}});
  EXPECT_TRUE(Resolve());
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(net_.log(), (Log{head_, kTokenUrl, head_, head_}));
  EXPECT_EQ(net_.Header(0, "Authorization"), "");
  EXPECT_EQ(net_.Header(1, "Authorization"), "");
  EXPECT_EQ(net_.Header(2, "Authorization"), "Bearer secret");
  EXPECT_EQ(net_.Header(3, "Authorization"), "Bearer secret");
}

TEST_F(Registry, TheChallengeIsFoundAmongOthers) {
  net_.On(head_, {{401, {{"www-authenticate", "Negotiate"}, {"www-authenticate", kChallenge}}},
                  {200, {{"docker-content-digest", digest_.ToString()}}}});
  net_.On(kTokenUrl, {{200, {}, R"({"access_token":"t"})"}});
  EXPECT_TRUE(Resolve());
}

TEST_F(Registry, ThePullScopeComesFirstWhereTheChallengeLacksIt) {
  net_.On(
      head_,
      {Unauthorized(R"(Bearer realm="https://auth.example/t",scope="registry:catalog:* x:y:z")"),
       {200, {{"docker-content-digest", digest_.ToString()}}}});
  net_.On(
      "GET https://auth.example/t?scope=repository%3Aa%2Fb%3Apull"
      "&scope=registry%3Acatalog%3A%2A&scope=x%3Ay%3Az",
      {{200, {}, R"({"token":"t"})"}});
  EXPECT_TRUE(Resolve());
}

TEST_F(Registry, OneTokenServesEndpointsThatWantDifferentScopes) {
  const std::string url = "GET https://auth.example/t?scope=repository%3Aa%2Fb%3Apull";
  const std::string wider = url + "&scope=repository%3Aa%2Fb%3Ametadata";
  const Answer good{200, {{"docker-content-digest", digest_.ToString()}}};
  net_.On(head_, {Unauthorized(R"(Bearer realm="https://auth.example/t")"), good,
                  Unauthorized(R"(Bearer realm="https://auth.example/t")"), good});
  net_.On(tags_,
          {Unauthorized(R"(Bearer realm="https://auth.example/t",scope="repository:a/b:metadata")"),
           {200, {}, "{}"}});
  net_.On(url, {{200, {}, R"({"token":"narrow"})"}});
  net_.On(wider, {{200, {}, R"({"token":"wide"})"}});
  EXPECT_TRUE(Resolve());
  EXPECT_TRUE(Tags());
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(net_.log(), (Log{head_, url, head_, tags_, wider, tags_, head_, wider, head_}));
}

TEST_F(Registry, R19_ASecondRefusalIsFinal) {
  net_.On(head_, {Unauthorized(kChallenge)});
  net_.On(kTokenUrl, {{200, {}, R"({"token":"t"})"}});
  const auto result = Resolve();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnauthorized);
  EXPECT_EQ(net_.log(), (Log{head_, kTokenUrl, head_}));
}

TEST_F(Registry, R19_AnExpiredTokenIsRenewedOnce) {
  net_.On(head_, {Unauthorized(kChallenge),
                  {200, {{"docker-content-digest", digest_.ToString()}}},
                  Unauthorized(kChallenge),
                  {200, {{"docker-content-digest", digest_.ToString()}}}});
  net_.On(kTokenUrl, {{200, {}, R"({"token":"one"})"}, {200, {}, R"({"token":"two"})"}});
  EXPECT_TRUE(Resolve());
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(net_.log(), (Log{head_, kTokenUrl, head_, head_, kTokenUrl, head_}));
  EXPECT_EQ(net_.Header(3, "Authorization"), "Bearer one");
  EXPECT_EQ(net_.Header(5, "Authorization"), "Bearer two");
}

TEST_F(Registry, R19_ARefusedTokenIsNotKept) {
  net_.On(head_, {Unauthorized(kChallenge)});
  net_.On(kTokenUrl, {{200, {}, R"({"token":"t","expires_in":300})"}});
  EXPECT_FALSE(Resolve());
  EXPECT_FALSE(Resolve());
  EXPECT_EQ(net_.log(), (Log{head_, kTokenUrl, head_, head_, kTokenUrl, head_}));
}

TEST_F(Registry, R19_OddLifetimesNeitherLoopNorLastForEver) {
  const std::pair<const char*, int> cases[] = {{"300", 240}, {"\"300\"", 240}, {"-1", 48},
                                               {"0", 48},    {"1e30", 3600},   {"null", 48},
                                               {"[]", 48},   {"\"x\"", 48}};
  const Answer good{200, {{"docker-content-digest", digest_.ToString()}}};
  for (const auto& [value, used_for] : cases) {
    FakeTransport net;
    RegistryClient client(&net, &clock_);
    net.On(head_, {Unauthorized(kChallenge), good, good, Unauthorized(kChallenge), good});
    net.On(kTokenUrl, {{200, {}, fmt::format(R"({{"token":"t","expires_in":{}}})", value)}});
    EXPECT_TRUE(client.ResolveTag(access_, "1.0", {}));
    clock_.steady += seconds(used_for - 1);
    EXPECT_TRUE(client.ResolveTag(access_, "1.0", {}));
    EXPECT_EQ(net.Header(3, "Authorization"), "Bearer t") << value;
    clock_.steady += seconds(1);
    EXPECT_TRUE(client.ResolveTag(access_, "1.0", {}));
    EXPECT_EQ(net.Header(4, "Authorization"), "") << value;
  }
}

TEST_F(Registry, R19_AnAnswerWithoutATokenFails) {
  net_.On(head_, {Unauthorized(kChallenge)});
  const std::pair<const char*, const char*> cases[] = {
      {"{}", "the answer holds no token"},
      {R"({"token":""})", "the answer holds no token"},
      {R"({"token":7})", "the answer holds no token"},
      {"<html>", "the answer is not a JSON object"},
      {R"({"token":"a\r\nX: y"})", "the token holds characters that no header may"}};
  for (const auto& [body, reason] : cases) {
    net_.On(kTokenUrl, {{200, {}, body}});
    EXPECT_EQ(Resolve().error().message,
              std::string("HEAD r.example/v2/a/b/manifests/1.0: token: GET auth.example/token: ") +
                  reason);
  }
}

TEST_F(Registry, R05_ATokenAnswerOver64KiBFails) {
  net_.On(head_, {Unauthorized(kChallenge)});
  net_.On(kTokenUrl, {{200, {}, std::string((64 << 10) + 1, ' ')}});
  EXPECT_EQ(Resolve().error().code, ErrorCode::kLimitExceeded);
}

TEST_F(Registry, ATokenServersRefusalIsReportedWithoutItsQuery) {
  net_.On(head_, {Unauthorized(kChallenge)});
  net_.On(kTokenUrl, {{403, {}, R"({"errors":[{"code":"DENIED","message":"no"}]})"}});
  const auto result = Resolve();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnauthorized);
  EXPECT_EQ(result.error().message,
            "HEAD r.example/v2/a/b/manifests/1.0: token: GET auth.example/token: DENIED: no");
}

TEST_F(Registry, ATokenServerThatIsDownIsNoReasonToTryAnotherScheme) {
  access_.insecure = true;
  net_.On(head_, {Unauthorized(kChallenge)});
  net_.On(kTokenUrl, {Down(), Down(), {200, {}, R"({"token":"t"})"}});
  EXPECT_EQ(Resolve().error().code, ErrorCode::kUnauthorized);
  EXPECT_EQ(net_.log(), (Log{head_, kTokenUrl, head_, kTokenUrl, head_, kTokenUrl, head_}));
}

TEST_F(Registry, R10_NoRealmIsAskedThatIsNotAllowed) {
  for (const char* realm : {"http://auth.example/t", "https://169.254.169.254/latest",
                            "https://127.0.0.1/t", "https://[::ffff:10.0.0.1]/t",
                            "file:///etc/passwd", "", "https://user:pw@auth.example/t"}) {
    net_.On(head_, {Unauthorized(fmt::format(R"(Bearer realm="{}",service="s")", realm))});
    EXPECT_EQ(Resolve().error().code, ErrorCode::kMalformed) << realm;
  }
  for (const std::string& request : net_.log()) EXPECT_EQ(request, head_);
}

TEST_F(Registry, R10_ARealmIsReachedAtNoNearerAddressThanTheRegistry) {
  Answer challenge = Unauthorized(kChallenge);
  challenge.peer = AddressClass::kPrivate;
  net_.On(head_, {challenge, {200, {{"docker-content-digest", digest_.ToString()}}}});
  net_.On(kTokenUrl, {{200, {}, R"({"token":"t"})"}});
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(net_.requests()[0].nearest, AddressClass::kLinkLocal);
  EXPECT_EQ(net_.requests()[1].nearest, AddressClass::kPrivate);
}

TEST_F(Registry, ABasicChallengeNeedsCredentials) {
  net_.On(tags_, {Unauthorized(R"(Basic realm="x")")});
  const auto result = Tags();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnauthorized);
  EXPECT_EQ(result.error().message,
            "GET r.example/v2/a/b/tags/list: UNAUTHORIZED: authentication required");
}

// ---- Redirects

TEST_F(Registry, ABlobIsFollowedToItsStorage) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {{307, {{"location", "https://s.example/x?sig=1"}}}});
  net_.On("GET https://s.example/x?sig=1", {{200, {}, "hello world"}});
  EXPECT_TRUE(Fetch(blob));
  EXPECT_EQ(received_, "hello world");
  EXPECT_EQ(net_.requests()[1].nearest, AddressClass::kPublic);
}

TEST_F(Registry, R12_AuthorizationEndsAtTheFirstForeignHopForGood) {
  const Descriptor blob = Blob("hello");
  const std::string registry_again = "GET https://r.example/back";
  net_.On(BlobUrl(blob), {Unauthorized(kChallenge), {302, {{"location", "/same"}}}});
  net_.On(kTokenUrl, {{200, {}, R"({"token":"secret"})"}});
  net_.On("GET https://r.example/same", {{302, {{"location", "https://r.example:8443/x"}}}});
  net_.On("GET https://r.example:8443/x", {{302, {{"location", "https://r.example/back"}}}});
  net_.On(registry_again, {{200, {}, "hello"}});
  EXPECT_TRUE(Fetch(blob));
  EXPECT_EQ(net_.Header(2, "Authorization"), "Bearer secret");
  EXPECT_EQ(net_.Header(3, "Authorization"), "Bearer secret");
  EXPECT_EQ(net_.Header(4, "Authorization"), "");
  EXPECT_EQ(net_.Header(5, "Authorization"), "");
}

TEST_F(Registry, R10_AForeignHostsChallengeIsNotMet) {
  const Descriptor blob = Blob("hello");
  net_.On(BlobUrl(blob), {{302, {{"location", "https://s.example/secret-path?sig=1"}}}});
  net_.On("GET https://s.example/secret-path?sig=1", {Unauthorized(kChallenge)});
  EXPECT_EQ(Fetch(blob).error().message, "GET s.example: UNAUTHORIZED: authentication required");
  EXPECT_EQ(net_.log().size(), 2u);
}

TEST_F(Registry, R11_RedirectsToWhereNoneMayLeadAreNotFollowed) {
  const Descriptor blob = Blob("hello");
  for (const char* target : {"http://s.example/x", "file:///etc/passwd", "gopher://s.example/",
                             "https://169.254.169.254/", "https://[::ffff:127.0.0.1]/",
                             "https://127.1/", "https://u:p@s.example/"}) {
    net_.On(BlobUrl(blob), {{302, {{"location", target}}}});
    EXPECT_EQ(Fetch(blob).error().code, ErrorCode::kMalformed) << target;
  }
  for (const std::string& request : net_.log()) EXPECT_EQ(request, BlobUrl(blob));
}

TEST_F(Registry, R13_ElevenRedirectsFail) {
  const Descriptor blob = Blob("hello");
  const std::string name = "/v2/a/b/blobs/" + blob.digest.ToString();
  net_.On(BlobUrl(blob), {{302, {{"location", name}}}});
  EXPECT_EQ(Fetch(blob).error().message, "GET r.example" + name + ": more than 10 redirects");
  EXPECT_EQ(net_.log().size(), 11u);
}

TEST_F(Registry, R13_ARedirectWithoutALocationFails) {
  const Descriptor blob = Blob("hello");
  for (const int status : {300, 302, 304}) {
    net_.On(BlobUrl(blob), {{status}});
    EXPECT_EQ(Fetch(blob).error().code, ErrorCode::kMalformed);
  }
}

// ---- Manifests

TEST_F(Registry, AManifestIsFetchedByDigest) {
  const Digest digest = Digest::Of(manifest_);
  net_.On(fmt::format("GET {}/manifests/{}", kBase, digest.ToString()),
          {{200, {{"content-type", kManifestType}}, manifest_}});
  const auto manifest = client_.FetchManifest(access_, digest, {});
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->media_type, kManifestType);
  EXPECT_EQ(net_.Header(0, "Accept"), ManifestAccept());
}

TEST_F(Registry, R01_AManifestWithAnotherDigestFailsBeforeItIsParsed) {
  net_.On(fmt::format("GET {}/manifests/{}", kBase, digest_.ToString()), {{200, {}, "not json"}});
  const auto manifest = client_.FetchManifest(access_, digest_, {});
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code, ErrorCode::kMismatch);
  EXPECT_EQ(manifest.error().message,
            fmt::format("GET r.example/v2/a/b/manifests/{}: the answer's digest is {}",
                        digest_.ToString(), Digest::Of("not json").ToString()));
  EXPECT_EQ(net_.log().size(), 1u);
}

TEST_F(Registry, R05_AManifestOver4MiBFails) {
  net_.On(fmt::format("GET {}/manifests/{}", kBase, digest_.ToString()),
          {{200, {}, std::string((4 << 20) + 1, ' ')}});
  const auto manifest = client_.FetchManifest(access_, digest_, {});
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code, ErrorCode::kLimitExceeded);
}

// ---- Blobs

TEST_F(Registry, ABlobGoesToTheSink) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {{200, {{"content-length", "11"}}, "hello world"}});
  ASSERT_TRUE(Fetch(blob));
  EXPECT_EQ(received_, "hello world");
}

TEST_F(Registry, AnEmptyBlobIsOne) {
  const Descriptor blob = Blob("");
  net_.On(BlobUrl(blob), {{200, {{"content-length", "0"}}, ""}});
  EXPECT_TRUE(Fetch(blob));
}

TEST_F(Registry, R01_WrongBytesFail) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {{200, {}, "hello_world"}});
  const auto result = Fetch(blob);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kMismatch);
  EXPECT_EQ(result.error().message,
            fmt::format("blob {}: the content's digest is {}", blob.digest.ToString(),
                        Digest::Of("hello_world").ToString()));
}

TEST_F(Registry, R02_BlobLongerThanItsDescriptorFails) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {{200, {}, "hello world and more"}});
  const auto result = Fetch(blob);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kMismatch);
  EXPECT_EQ(result.error().message,
            fmt::format("blob {} is longer than its 11 bytes", blob.digest.ToString()));
  EXPECT_EQ(received_, "hello worl");
}

TEST_F(Registry, R02_BlobShorterThanItsDescriptorFails) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {{200, {}, "hello"}});
  EXPECT_EQ(Fetch(blob).error().message,
            fmt::format("blob {} ends after 5 of its 11 bytes", blob.digest.ToString()));
}

TEST_F(Registry, R02_AContentLengthThatIsNotTheDescriptorsFailsBeforeAByteIsRead) {
  const Descriptor blob = Blob("hello world");
  for (const char* length : {"10", "12", "junk", "18446744073709551616"}) {
    net_.On(BlobUrl(blob), {{200, {{"content-length", length}}, "hello world"}});
    EXPECT_EQ(Fetch(blob).error().message, fmt::format("blob {}: {} bytes announced, 11 expected",
                                                       blob.digest.ToString(), length));
    EXPECT_EQ(received_, "");
  }
}

TEST_F(Registry, ABrokenBlobIsResumedFromTheRegistry) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {{307, {{"location", "https://s.example/1"}}},
                          {307, {{"location", "https://s.example/2"}}}});
  net_.On("GET https://s.example/1", {Broken("hello ", {{"content-length", "11"}})});
  net_.On("GET https://s.example/2",
          {{206, {{"content-range", "bytes 6-10/11"}, {"content-length", "5"}}, "world"}});
  ASSERT_TRUE(Fetch(blob));
  EXPECT_EQ(received_, "hello world");
  EXPECT_EQ(net_.Header(0, "Range"), "");
  EXPECT_EQ(net_.Header(2, "Range"), "bytes=6-");
  EXPECT_EQ(net_.Header(3, "Range"), "bytes=6-");
}

TEST_F(Registry, R17_AWholeBlobInAnswerToARangeIsUsedFromWhereItMatters) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {Broken("hello w"), {200, {{"content-length", "11"}}, "hello world"}});
  ASSERT_TRUE(Fetch(blob));
  EXPECT_EQ(received_, "hello world");
}

TEST_F(Registry, R17_OtherBytesThanThoseAskedForFail) {
  const Descriptor blob = Blob("hello world");
  for (const char* range : {"bytes 0-10/11", "bytes 7-10/11", "bytes 6-10/12", "bytes 6-10/*",
                            "bytes 60-10/11", "junk"}) {
    net_.On(BlobUrl(blob), {Broken("hello "), {206, {{"content-range", range}}, "world"}});
    EXPECT_EQ(Fetch(blob).error().message,
              fmt::format("blob {}: asked for bytes from 6 of 11, got range '{}'",
                          blob.digest.ToString(), range));
    EXPECT_EQ(received_, "hello ");
  }
}

TEST_F(Registry, R17_ARangeThatCantBeSatisfiedFails) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {Broken("hello "), {416}});
  EXPECT_EQ(Fetch(blob).error().message,
            fmt::format("GET r.example/v2/a/b/blobs/{}: unexpected status code 416 Range Not "
                        "Satisfiable",
                        blob.digest.ToString()));
}

TEST_F(Registry, R17_ABlobThatChangedMeanwhileFails) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {Broken("hello "), {206, {{"content-range", "bytes 6-10/11"}}, "WORLD"}});
  EXPECT_EQ(Fetch(blob).error().code, ErrorCode::kMismatch);
}

TEST_F(Registry, ABlobIsResumedFiveTimesAtMost) {
  const std::string content(100, 'x');
  const Descriptor blob = Blob(content);
  std::vector<Answer> answers{Broken("xx")};
  for (int i = 1; i < 20; ++i) {
    answers.push_back(
        Broken("xx", {{"content-range", fmt::format("bytes {}-99/100", 2 * i)}}, 206));
  }
  net_.On(BlobUrl(blob), answers);
  EXPECT_EQ(Fetch(blob).error().message, "GET r.example: connection reset");
  EXPECT_EQ(net_.log().size(), 6u);
}

TEST_F(Registry, AResumeThatBringsNothingIsTheLast) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {Broken("hello "), Broken("", {{"content-range", "bytes 6-10/11"}}, 206)});
  EXPECT_EQ(Fetch(blob).error().message, "GET r.example: connection reset");
  EXPECT_EQ(net_.log().size(), 4u);  // the resume itself is tried three times
}

TEST_F(Registry, AnUncleanEndAfterTheLastByteIsForgiven) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {Broken("hello world")});
  EXPECT_TRUE(Fetch(blob));
}

TEST_F(Registry, TheSinksRefusalEndsTheFetch) {
  const Descriptor blob = Blob("hello world");
  net_.On(BlobUrl(blob), {{200, {}, "hello world"}});
  const auto result = client_.FetchBlob(access_, blob,
                                        [](std::span<const std::byte>) -> Result<void> {
                                          return Fail(ErrorCode::kUnavailable, "the sink is full");
                                        },
                                        {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "the sink is full");
  EXPECT_EQ(net_.log().size(), 1u);
}

TEST_F(Registry, R02_AnEmptySuccessIsNoBlob) {
  const Descriptor blob = Blob("hello");
  net_.On(BlobUrl(blob), {{204}});
  EXPECT_EQ(Fetch(blob).error().message,
            fmt::format("blob {}: unexpected status code 204 No Content", blob.digest.ToString()));
}

// ---- Tags

TEST_F(Registry, TagsAreListedOverAllPages) {
  net_.On(tags_, {{200,
                   {{"link", R"(</v2/a/b/tags/list?last=b&n=2>; rel="next")"}},
                   R"({"name":"a/b","tags":["a","b"]})"}});
  net_.On(std::string("GET ") + kBase + "/tags/list?last=b&n=2",
          {{200,
            {{"link", R"(<https://r.example/v2/a/b/tags/list?last=c>; rel=next)"}},
            R"({"tags":["c"]})"}});
  net_.On(std::string("GET ") + kBase + "/tags/list?last=c", {{200, {}, R"({"tags":["d"]})"}});
  EXPECT_EQ(Tags().value(), (Log{"a", "b", "c", "d"}));
}

TEST_F(Registry, NoTagsAreAnEmptyList) {
  for (const char* body : {R"({"name":"a/b","tags":null})", R"({"name":"a/b","tags":[]})", "{}"}) {
    net_.On(tags_, {{200, {}, body}});
    EXPECT_EQ(Tags().value(), Log{});
  }
}

TEST_F(Registry, OtherMembersOfATagListAreIgnored) {
  net_.On(tags_,
          {{200, {}, R"({"child":["x",{"tags":["y"]}],"tags":["a"],"manifest":{"z":["w"]}})"}});
  EXPECT_EQ(Tags().value(), Log{"a"});
}

TEST_F(Registry, R15_WhatIsNoTagIsLeftOut) {
  net_.On(tags_, {{200, {}, R"({"tags":["a","b\r\nX: y","../c","","\u001b[0m","-d","e+f"]})"}});
  EXPECT_EQ(Tags().value(), Log{"a"});
}

TEST_F(Registry, R06_ATagListThatIsNoneFails) {
  const std::string prefix = "GET r.example/v2/a/b/tags/list: the tag list can't be read: ";
  const std::pair<std::string, const char*> cases[] = {
      {"", "it is not JSON at byte 1"},
      {"[]", "it is not a JSON object"},
      {R"({"tags":["a")", "it is not JSON at byte 13"},
      {R"({"tags":[1]})", "a tag is not a string"},
      {R"({"tags":[["a"]]})", "a tag is not a string"},
      {R"({"tags":{"a":"b"}})", "tags is not a list"},
      {R"({"x":)" + std::string(100'000, '['), "it is nested too deeply"}};
  for (const auto& [body, reason] : cases) {
    net_.On(tags_, {{200, {}, body}});
    EXPECT_EQ(Tags().error().message, prefix + reason);
  }
}

TEST_F(Registry, R14_ALinkToAnotherOriginIsRefused) {
  for (const char* link :
       {"https://other.example/v2/a/b/tags/list?last=a", "http://r.example/v2/a/b/tags/list?last=a",
        "https://r.example:8443/v2/a/b/tags/list?last=a", "//other.example/x"}) {
    net_.On(tags_,
            {{200, {{"link", fmt::format("<{}>; rel=\"next\"", link)}}, R"({"tags":["a"]})"}});
    EXPECT_EQ(Tags().error().code, ErrorCode::kMalformed) << link;
  }
  for (const std::string& request : net_.log()) EXPECT_EQ(request, tags_);
}

TEST_F(Registry, R14_PagesThatGoInACircleFail) {
  const std::string second = std::string("GET ") + kBase + "/tags/list?last=a";
  net_.On(tags_, {{200, {{"link", "</v2/a/b/tags/list?last=a>; rel=next"}}, R"({"tags":["a"]})"}});
  net_.On(second, {{200, {{"link", "</v2/a/b/tags/list?n=1000>; rel=next"}}, R"({"tags":["b"]})"}});
  EXPECT_EQ(Tags().error().message,
            "GET r.example/v2/a/b/tags/list: the pages of the tag list go in a circle");
  EXPECT_EQ(net_.log().size(), 2u);
}

TEST_F(Registry, R14_AnEmptyPageIsTheLast) {
  net_.On(tags_, {{200, {{"link", "</v2/a/b/tags/list?last=a>; rel=next"}}, R"({"tags":["a"]})"}});
  net_.On(std::string("GET ") + kBase + "/tags/list?last=a",
          {{200, {{"link", "</v2/a/b/tags/list?last=b>; rel=next"}}, R"({"tags":[]})"}});
  EXPECT_EQ(Tags().value(), Log{"a"});
}

TEST_F(Registry, R14_EndlessPagesFail) {
  std::string request = tags_;
  for (int i = 0; i < 1001; ++i) {
    const std::string next = fmt::format("/v2/a/b/tags/list?last={}", i);
    net_.On(request, {{200, {{"link", "<" + next + ">; rel=next"}}, R"({"tags":["a"]})"}});
    request = "GET https://r.example" + next;
  }
  EXPECT_EQ(Tags().error().message,
            "GET r.example/v2/a/b/tags/list: the tag list has more than 1000 pages");
  EXPECT_EQ(net_.log().size(), 1000u);
}

TEST_F(Registry, R14_MoreThanAMillionTagsFail) {
  std::string body = R"({"tags":["a")";
  for (int i = 0; i < 1'000'000; ++i) body += R"(,"a")";
  net_.On(tags_, {{200, {}, body + "]}"}});
  const auto result = Tags();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kLimitExceeded);
}

TEST_F(Registry, LinksOfOtherRelationsAreIgnored) {
  net_.On(
      tags_,
      {{200, {{"link", R"(</v2/x>; rel="prev", </v2/y>; rel="nextish")"}}, R"({"tags":["a"]})"}});
  EXPECT_EQ(Tags().value(), Log{"a"});
}

TEST_F(Registry, AStoppedClientAsksNothing) {
  stop_.request_stop();
  const auto result = Resolve();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(net_.log().empty());
}

}  // namespace
}  // namespace ocirepofs
