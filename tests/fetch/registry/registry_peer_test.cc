// The registry client over the real transport, against a docker-registry (Debian's package).

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "fetch/http/curl_transport.h"
#include "fetch/registry/registry.h"
#include "tests/support/http_server.h"

extern char** environ;

namespace ocirepofs {
namespace {

constexpr const char* kProgram = "/usr/bin/docker-registry";
constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "registry-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(fd, generic, size), 0);
  EXPECT_EQ(getsockname(fd, generic, &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

/// -1 where there is no such program.
pid_t Spawn(std::vector<std::string> arguments, int output) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? pid : -1;
}

/// A docker-registry process with a configuration of its own.
class DockerRegistry {
 public:
  /// `http` and `auth` are YAML: more lines of the http section, and whole sections.
  explicit DockerRegistry(const std::string& http = "", const std::string& auth = "")
      : port_(FreePort()) {
    std::ofstream(directory_ / "config.yml")
        << "version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: "
        << (directory_ / "data").string() << "}}\nhttp:\n  addr: 127.0.0.1:" << port_ << "\n"
        << http << auth;
    int output[2];
    EXPECT_EQ(pipe2(output, O_CLOEXEC), 0);
    pid_ = Spawn({kProgram, "serve", (directory_ / "config.yml").string()}, output[1]);
    close(output[1]);
    log_ = output[0];
    // The log stays open, and is small: the process never waits for a reader of it.
    std::string text;
    char piece[4096];
    while (text.find("listening on") == std::string::npos) {
      const ssize_t got = read(log_, piece, sizeof piece);
      if (got <= 0) {
        ADD_FAILURE() << "docker-registry did not start: " << text;
        return;
      }
      text.append(piece, static_cast<size_t>(got));
    }
  }
  ~DockerRegistry() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(log_);
  }
  DockerRegistry(const DockerRegistry&) = delete;
  DockerRegistry& operator=(const DockerRegistry&) = delete;

  std::string host() const { return fmt::format("127.0.0.1:{}", port_); }

 private:
  TemporaryDirectory directory_;
  uint16_t port_;
  pid_t pid_ = -1;
  int log_ = -1;
};

/// What the client itself never does: writing to a registry.
class Pusher {
 public:
  explicit Pusher(const DockerRegistry& registry) : base_("http://" + registry.host()) {}

  void PushBlob(const std::string& repository, const std::string& content) {
    std::string location = Do("POST", base_ + "/v2/" + repository + "/blobs/uploads/", "", "");
    location += location.find('?') == std::string::npos ? '?' : '&';
    Do("PUT", location + "digest=" + Digest::Of(content).ToString(), "application/octet-stream",
       content);
  }

  void PushManifest(const std::string& repository, const std::string& tag,
                    const std::string& manifest) {
    Do("PUT", base_ + "/v2/" + repository + "/manifests/" + tag, kManifestType, manifest);
  }

  /// Pushes a manifest with that one layer, and returns its bytes.
  std::string PushArtifact(const std::string& repository, const std::string& tag,
                           const std::string& content) {
    PushBlob(repository, content);
    PushBlob(repository, "{}");
    const std::string manifest = fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.cncf.flux.config.v1+json","digest":"{}","size":2}},"layers":[{{"mediaType":"application/vnd.cncf.flux.content.v1.tar+gzip","digest":"{}","size":{}}}]}})",
        kManifestType, Digest::Of("{}").ToString(), Digest::Of(content).ToString(), content.size());
    PushManifest(repository, tag, manifest);
    return manifest;
  }

 private:
  static size_t Discard(char*, size_t size, size_t count, void*) { return size * count; }

  /// Returns the answer's Location.
  std::string Do(const char* method, const std::string& url, const std::string& type,
                 const std::string& body) {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(),
                                                                   curl_easy_cleanup);
    const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(
        curl_slist_append(nullptr, ("Content-Type: " + type).c_str()), curl_slist_free_all);
    curl_easy_setopt(easy.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy.get(), CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &Pusher::Discard);
    EXPECT_EQ(curl_easy_perform(easy.get()), CURLE_OK) << method << " " << url;
    long status = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    EXPECT_EQ(status / 100, 2) << method << " " << url << ": " << status;
    curl_header* location = nullptr;
    const CURLHcode found =
        curl_easy_header(easy.get(), "Location", 0, CURLH_HEADER, -1, &location);
    return found == CURLHE_OK ? location->value : "";
  }

  const std::string base_;
};

class RegistryPeer : public testing::Test {
 protected:
  void SetUp() override {
    if (access(kProgram, X_OK) != 0) GTEST_SKIP() << kProgram << " is not installed";
    setenv("NO_PROXY", "127.0.0.1,localhost", 1);
  }

  static RegistryAccess At(const DockerRegistry& registry, bool insecure = false) {
    return {.repository = {registry.host(), "team/app"}, .insecure = insecure};
  }

  Result<std::string> FetchBlob(const RegistryAccess& where, const Descriptor& descriptor) {
    std::string content;
    const auto result =
        client_.FetchBlob(where, descriptor,
                          [&](std::span<const std::byte> data) -> Result<void> {
                            content.append(reinterpret_cast<const char*>(data.data()), data.size());
                            return {};
                          },
                          {});
    if (!result) return tl::unexpected(result.error());
    return content;
  }

  SystemClock clock_;
  CurlTransport transport_{"ocirepofs/test"};
  RegistryClient client_{&transport_, &clock_,
                         [](std::chrono::nanoseconds, std::stop_token) { return true; }};
};

TEST_F(RegistryPeer, AnArtifactIsResolvedAndFetched) {
  const DockerRegistry registry;
  const std::string content(200'000, 'c');
  const std::string pushed = Pusher(registry).PushArtifact("team/app", "1.0", content);
  const RegistryAccess where = At(registry);

  const auto digest = client_.ResolveTag(where, "1.0", {});
  ASSERT_TRUE(digest) << digest.error().message;
  EXPECT_EQ(*digest, Digest::Of(pushed));
  const auto manifest = client_.FetchManifest(where, *digest, {});
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->media_type, kManifestType);
  const auto layer = SelectLayer(*manifest, std::nullopt);
  ASSERT_TRUE(layer);
  const auto blob = FetchBlob(where, *layer);
  ASSERT_TRUE(blob) << blob.error().message;
  EXPECT_EQ(*blob, content);
}

TEST_F(RegistryPeer, ABrokenBlobIsResumedByRange) {
  const DockerRegistry registry;
  const std::string content(1'000'000, 'r');
  Pusher(registry).PushArtifact("team/app", "1.0", content);

  // Breaks the first transfer half way, as a network does.
  class Breaking final : public Transport {
   public:
    explicit Breaking(Transport* inner) : inner_(inner) {}
    Result<HttpResponse> Perform(const HttpRequest& request, const BodySink* sink,
                                 std::stop_token stop) override {
      for (const auto& [name, value] : request.headers) {
        if (name == "Range") ranges.push_back(value);
      }
      if (sink == nullptr || !ranges.empty()) return inner_->Perform(request, sink, stop);
      size_t passed = 0;
      const BodySink half = [&](std::span<const std::byte> data) -> Result<void> {
        if (passed >= 500'000) return Fail(ErrorCode::kUnavailable, "broken");
        passed += data.size();
        return (*sink)(data);
      };
      return inner_->Perform(request, &half, stop);
    }
    std::vector<std::string> ranges;

   private:
    Transport* const inner_;
  } breaking(&transport_);
  RegistryClient client(&breaking, &clock_);
  std::string got;
  const auto result =
      client.FetchBlob(At(registry), {"", Digest::Of(content), content.size(), {}, {}, {}},
                       [&](std::span<const std::byte> data) -> Result<void> {
                         got.append(reinterpret_cast<const char*>(data.data()), data.size());
                         return {};
                       },
                       {});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(got, content);
  EXPECT_EQ(breaking.ranges.size(), 1u);
}

TEST_F(RegistryPeer, MissingThingsAreNamed) {
  const DockerRegistry registry;
  Pusher(registry).PushArtifact("team/app", "1.0", "content");
  const RegistryAccess where = At(registry);
  const auto tag = client_.ResolveTag(where, "6.1.0", {});
  ASSERT_FALSE(tag);
  EXPECT_EQ(tag.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(tag.error().message,
            fmt::format("GET {}/v2/team/app/manifests/6.1.0: MANIFEST_UNKNOWN: manifest unknown",
                        registry.host()));
  const auto blob = FetchBlob(where, {"", Digest::Of("absent"), 6, {}, {}, {}});
  ASSERT_FALSE(blob);
  EXPECT_EQ(blob.error().code, ErrorCode::kNotFound);
  RegistryAccess nowhere = where;
  nowhere.repository.path = "team/none";
  const auto tags = client_.ListTags(nowhere, {});
  ASSERT_FALSE(tags);
  EXPECT_EQ(tags.error().message,
            fmt::format("GET {}/v2/team/none/tags/list: NAME_UNKNOWN: repository name not known "
                        "to registry",
                        registry.host()));
}

TEST_F(RegistryPeer, TagsAreListed) {
  const DockerRegistry registry;
  Pusher pusher(registry);
  for (const char* tag : {"2.0", "1.0", "latest"}) {
    pusher.PushArtifact("team/app", tag, "content");
  }
  auto tags = client_.ListTags(At(registry), {});
  ASSERT_TRUE(tags) << tags.error().message;
  std::ranges::sort(*tags);
  EXPECT_EQ(*tags, (std::vector<std::string>{"1.0", "2.0", "latest"}));
}

TEST_F(RegistryPeer, AnInsecureLocalRegistryIsReachedByPlainHttpToo) {
  const DockerRegistry registry;
  Pusher(registry).PushArtifact("team/app", "1.0", "content");
  const auto digest = client_.ResolveTag(At(registry, true), "1.0", {});
  EXPECT_TRUE(digest) << digest.error().message;
}

TEST_F(RegistryPeer, ATokenChallengeIsMet) {
  HttpServer tokens([](const HttpServer::Request&, HttpServer::Connection& client) {
    client.Reply(200, R"({"token":"anything","expires_in":300})");
  });
  // This registry takes any Authorization for good, but its challenge is the real one.
  const DockerRegistry registry(
      "", fmt::format("auth:\n  silly:\n    realm: http://localhost:{}/token\n    service: lab\n",
                      tokens.port()));
  const auto tag = client_.ResolveTag(At(registry), "1.0", {});
  ASSERT_FALSE(tag);
  EXPECT_EQ(tag.error().code, ErrorCode::kNotFound) << tag.error().message;
  ASSERT_EQ(tokens.requests().size(), 1u);
  EXPECT_EQ(tokens.requests()[0].target, "/token?service=lab&scope=repository%3Ateam%2Fapp%3Apull");
}

TEST_F(RegistryPeer, R10_ARealmAtAnotherLocalPortIsNotAsked) {
  HttpServer decoy([](const HttpServer::Request&, HttpServer::Connection& client) {
    client.Reply(200, R"({"token":"anything"})");
  });
  const DockerRegistry registry(
      "", fmt::format("auth:\n  silly:\n    realm: {}\n    service: lab\n", decoy.Url("/token")));
  const auto tag = client_.ResolveTag(At(registry), "1.0", {});
  ASSERT_FALSE(tag);
  EXPECT_EQ(tag.error().message,
            fmt::format("HEAD {}/v2/team/app/manifests/1.0: token realm at the local address "
                        "127.0.0.1:{} refused",
                        registry.host(), decoy.port()));
  EXPECT_EQ(decoy.connections(), 0);
}

TEST_F(RegistryPeer, R20_ASelfSignedCertificateIsTakenOnlyWhereInsecureOrTrusted) {
  const TemporaryDirectory directory;
  const std::string certificate = (directory / "cert.pem").string();
  const std::string key = (directory / "key.pem").string();
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const pid_t openssl =
      Spawn({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
             certificate, "-subj", "/CN=peer", "-addext", "subjectAltName=IP:127.0.0.1"},
            null);
  int status = -1;
  if (openssl > 0) waitpid(openssl, &status, 0);
  close(null);
  if (status != 0) GTEST_SKIP() << "openssl made no certificate";
  const DockerRegistry registry(
      fmt::format("  tls: {{certificate: {}, key: {}}}\n", certificate, key));

  const auto refused = client_.ListTags(At(registry), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kMismatch);
  EXPECT_EQ(
      refused.error().message,
      fmt::format("GET {}: SSL certificate problem: self-signed certificate", registry.host()));

  const auto insecure = client_.ListTags(At(registry, true), {});
  ASSERT_FALSE(insecure);
  EXPECT_EQ(insecure.error().code, ErrorCode::kNotFound) << insecure.error().message;

  setenv("SSL_CERT_FILE", certificate.c_str(), 1);
  CurlTransport trusting("ocirepofs/test");
  unsetenv("SSL_CERT_FILE");
  RegistryClient client(&trusting, &clock_);
  const auto trusted = client.ListTags(At(registry), {});
  ASSERT_FALSE(trusted);
  EXPECT_EQ(trusted.error().code, ErrorCode::kNotFound) << trusted.error().message;
}

}  // namespace
}  // namespace ocirepofs
