#include "conf/reference.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/support/tsv.h"

namespace ocirepofs {
namespace {

/// What a row promises of a text that is accepted.
struct Outcome {
  std::string registry;
  std::optional<std::string> repository;
  std::optional<std::string> identifier;
  std::string name;
};

Outcome OutcomeOf(const Repository& repository) {
  return {repository.registry, repository.path, std::nullopt, repository.ToString()};
}

Outcome OutcomeOf(const Reference& reference) {
  Outcome outcome = OutcomeOf(reference.repository);
  outcome.identifier = reference.tag.empty() ? reference.digest : reference.tag;
  outcome.name += (reference.tag.empty() ? "@" : ":") + *outcome.identifier;
  return outcome;
}

template <class T>
Result<Outcome> OutcomeOf(const Result<T>& result) {
  if (!result) return tl::unexpected(result.error());
  return OutcomeOf(*result);
}

Result<Outcome> ParseAs(const std::string& kind, const std::string& input, NameValidation strict) {
  if (kind == "oci_url") return OutcomeOf(ParseOciUrl(input));
  if (kind == "reference") return OutcomeOf(ParseReference(input, strict));
  if (kind == "tag") return OutcomeOf(ParseTagReference(input, strict));
  if (kind == "digest") return OutcomeOf(ParseDigestReference(input, strict));
  if (kind == "repository") return OutcomeOf(ParseRepository(input, strict));
  if (kind != "registry") throw std::runtime_error("unknown kind " + kind);
  const Result<std::string> registry = ParseRegistry(input, strict);
  if (!registry) return tl::unexpected(registry.error());
  return Outcome{*registry, std::nullopt, std::nullopt, *registry};
}

/// What the message for an error_kind is sure to say. Where the original has only "could not parse
/// reference", ours says which part of it is wrong.
const std::map<std::string, std::string> kPhrases = {
    {"prefix", "URL must be in format 'oci://<domain>/<org>/<repo>'"},
    {"chars", "the path can hold only"},
    {"length", "the path must have 1 to 255 characters"},
    {"authority", "the registry must be a host with an optional port"},
    {"empty", "the repository is empty"},
    {"atcount", "exactly one '@'"},
    {"strict", "the registry must be given"},
    {"reference", "reference '"},
};

TEST(Reference, Vectors) {
  const std::vector<test::TsvRow> rows = test::LoadVectors("references.tsv");
  size_t ran = 0;
  for (const test::TsvRow& row : rows) {
    const std::string& kind = row.Text("kind");
    const std::string& input = row.Text("input");
    SCOPED_TRACE(row.where() + " " + kind + " " + input);
    ++ran;
    if (kind == "dns1123") {
      EXPECT_EQ(IsDns1123Subdomain(input), row.Bool("valid"));
      continue;
    }
    const std::string& options = row.Text("options");
    ASSERT_TRUE(options == "weak" || options == "strict" || options == "weak,insecure") << options;
    const NameValidation validation =
        options == "strict" ? NameValidation::kStrict : NameValidation::kWeak;
    const Result<Outcome> outcome = ParseAs(kind, input, validation);
    ASSERT_EQ(outcome.has_value(), row.Bool("valid"));
    if (!outcome) {
      EXPECT_EQ(outcome.error().code, ErrorCode::kInvalid);
      EXPECT_NE(outcome.error().message.find(kPhrases.at(row.Text("error_kind"))),
                std::string::npos)
          << outcome.error().message;
      continue;
    }
    EXPECT_EQ(row.Text("error_kind"), "-");
    EXPECT_EQ(outcome->registry, row.Text("registry"));
    EXPECT_EQ(outcome->repository, row.Maybe("repository"));
    EXPECT_EQ(outcome->identifier, row.Maybe("identifier"));
    EXPECT_EQ(outcome->name, row.Text("name"));
    EXPECT_EQ(DefaultScheme(outcome->registry, options == "weak,insecure"), row.Text("scheme"));
  }
  EXPECT_GT(ran, 0U);
  EXPECT_EQ(ran, rows.size());
}

struct UrlCase {
  const char* id;
  const char* url;
  const char* name;  // or the error
  const char* scheme;
};

// URL-02 and URL-03 add a tag and a digest of spec.ref, which a URL does not have.
constexpr UrlCase kUrlCases[] = {
    {"URL-01", "oci://reg.lab/stefanprodan/charts", "reg.lab/stefanprodan/charts", "https"},
    {"URL-04", "reg.lab/stefanprodan/charts", "URL must be in format 'oci://<domain>/<org>/<repo>'",
     nullptr},
    {"URL-05", "oci://reg.lab/test/test:v1",
     "repository 'reg.lab/test/test:v1': the path can hold only lower-case letters, digits, '_', "
     "'-', '.' and '/'; a tag or a digest belongs in spec.ref",
     nullptr},
    {"URL-09", "oci://docker.io/foo", "index.docker.io/library/foo", "https"},
    {"URL-10", "oci://localhost:5000/x", "localhost:5000/x", "http"},
    {"URL-11", "oci://10.0.0.5:5000/x", "10.0.0.5:5000/x", "http"},
    {"URL-12", "oci://", "repository '': the repository is empty", nullptr},
};

TEST(OciUrl, UpstreamCases) {
  for (const UrlCase& c : kUrlCases) {
    SCOPED_TRACE(std::string(c.id) + " " + c.url);
    const Result<Repository> repository = ParseOciUrl(c.url);
    EXPECT_EQ(repository.has_value(), c.scheme != nullptr);
    EXPECT_EQ(repository ? repository->ToString() : repository.error().message, c.name);
    if (repository && c.scheme != nullptr) {
      EXPECT_EQ(DefaultScheme(repository->registry, false), c.scheme);
    }
  }
}

TEST(OciUrl, PasswordIsNotRepeated) {
  for (const char* url : {"oci://user:hunter2@reg.lab/foo", "oci://user:hunter2@reg.lab",
                          "oci://user:hun/ter2@reg.lab/foo", "oci://user:hunter2@sha.io/foo"}) {
    SCOPED_TRACE(url);
    const Result<Repository> repository = ParseOciUrl(url);
    ASSERT_FALSE(repository);
    EXPECT_EQ(repository.error().message.find("hun"), std::string::npos)
        << repository.error().message;
    EXPECT_EQ(repository.error().message.find("ter2"), std::string::npos);
  }
}

TEST(OciUrl, DigestBelongsInRef) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  const Result<Repository> repository = ParseOciUrl("oci://reg.lab/foo@" + digest);
  ASSERT_FALSE(repository);
  EXPECT_EQ(repository.error().message,
            "repository 'reg.lab/foo@" + digest +
                "': the path can hold only lower-case letters, digits, '_', '-', '.' and '/'; a "
                "tag or a digest belongs in spec.ref");
}

std::string MessageOf(std::string_view text, NameValidation validation) {
  const Result<Reference> reference = ParseReference(text, validation);
  return reference ? "no error" : reference.error().message;
}

TEST(Reference, MessagesSayWhichPartIsWrong) {
  EXPECT_EQ(MessageOf("reg.lab/foo:", NameValidation::kWeak),
            "reference 'reg.lab/foo:': no tag follows the ':'");
  EXPECT_EQ(MessageOf("reg.lab/foo:a+b", NameValidation::kWeak),
            "reference 'reg.lab/foo:a+b': the tag can hold only letters, digits, '_', '-' and '.'");
  EXPECT_EQ(MessageOf("reg.lab/foo", NameValidation::kStrict),
            "reference 'reg.lab/foo': the tag must have 1 to 128 characters, not 0");
  EXPECT_EQ(MessageOf("reg.lab/foo@sha256:abc", NameValidation::kWeak),
            "reference 'reg.lab/foo@sha256:abc': the digest must be 'sha256:' and 64 lower-case "
            "hexadecimal digits");
  EXPECT_EQ(MessageOf("docker.io/alpine:1", NameValidation::kStrict),
            "reference 'docker.io/alpine:1': the path must be given in full, with 'library/'");
}

TEST(Registry, BracketsHoldAnIpv6Address) {
  for (const char* good : {"[::1]", "[fd00::1]:5000", "[::1]:", "[::ffff:10.0.0.1]"}) {
    EXPECT_TRUE(ParseRegistry(good, NameValidation::kWeak)) << good;
  }
  for (const char* bad : {"[foo]", "[127.0.0.1]", "[::1", "[::1]x", "[::1]]", "x[::1]", "[]"}) {
    EXPECT_FALSE(ParseRegistry(bad, NameValidation::kWeak)) << bad;
  }
}

TEST(DefaultScheme, BareLocalhostIsHttps) {
  EXPECT_EQ(DefaultScheme("localhost", false), "https");
  EXPECT_EQ(DefaultScheme("localhost:5000", false), "http");
  EXPECT_EQ(DefaultScheme("127.0.0.1:65535", false), "http");
  EXPECT_EQ(DefaultScheme("127.0.0.2", false), "https");
  EXPECT_EQ(DefaultScheme("[::1]:5000", false), "http");
  EXPECT_EQ(DefaultScheme("::1", false), "http");
  EXPECT_EQ(DefaultScheme("::1:5000", false), "https");
  EXPECT_EQ(DefaultScheme("172.16.0.0.example.com", false), "https");
  EXPECT_EQ(DefaultScheme("localhost", true), "http");
}

}  // namespace
}  // namespace ocirepofs
