#include "fetch/http/origin.h"

#include <gtest/gtest.h>

namespace ocirepofs {
namespace {

Url MustParse(std::string_view text) {
  Result<Url> url = ParseUrl(text);
  EXPECT_TRUE(url) << text;
  return url ? *url : Url{};
}

std::string MessageOf(const Result<void>& result) { return result ? "" : result.error().message; }
std::string MessageOf(const Result<Url>& result) {
  return result ? "parsed: " + result->ToString() : result.error().message;
}

TEST(Url, SplitsIntoOriginAndTarget) {
  const Url url = MustParse("HTTPS://Reg.Example:5000/v2/a?x=1&y=%2F#fragment");
  EXPECT_EQ(url.origin, (Origin{"https", "reg.example", 5000}));
  EXPECT_EQ(url.target, "/v2/a?x=1&y=%2F");
  EXPECT_EQ(url.path(), "/v2/a");
  EXPECT_EQ(url.ToString(), "https://reg.example:5000/v2/a?x=1&y=%2F");
}

TEST(Url, TheSchemesOwnPortIsTheSameAsNone) {
  EXPECT_EQ(MustParse("https://a:443/").origin, MustParse("https://a").origin);
  EXPECT_EQ(MustParse("http://a:80/x").ToString(), "http://a/x");
  EXPECT_EQ(MustParse("http://a:443/x").ToString(), "http://a:443/x");
}

TEST(Url, OriginsDifferByAnyPart) {
  const Origin origin = MustParse("https://a:1/").origin;
  EXPECT_NE(origin, MustParse("http://a:1/").origin);
  EXPECT_NE(origin, MustParse("https://a:2/").origin);
  EXPECT_NE(origin, MustParse("https://b:1/").origin);
}

TEST(Url, R11_OtherSchemesAreRefused) {
  for (const char* text : {"file:///etc/passwd", "gopher://a/", "ftp://a/", "javascript:1"}) {
    EXPECT_EQ(MessageOf(ParseUrl(text)),
              fmt::format("'{}' is neither an http nor an https URL", text));
  }
}

TEST(Url, CredentialsInsideAreRefusedAndNotRepeated) {
  EXPECT_EQ(MessageOf(ParseUrl("https://user:secret@a/")),
            "a URL with credentials in it is not followed");
}

TEST(Url, MessagesLeaveTheQueryOut) {
  EXPECT_EQ(MessageOf(ParseUrl("ftp://a/b?X-Amz-Signature=secret")),
            "'ftp://a/b' is neither an http nor an https URL");
}

TEST(Url, R15_ControlCharactersAreRefusedAndEscaped) {
  EXPECT_EQ(MessageOf(ParseUrl("https://a/\r\nX: y")), "'https://a/\\x0d\\x0aX: y' is not a URL");
  EXPECT_EQ(MessageOf(ParseUrl(std::string_view("https://a/\0b", 12))),
            "'https://a/\\x00b' is not a URL");
}

TEST(Url, ResolvesReferences) {
  const Url base = MustParse("https://r.example:5000/v2/a/tags/list?n=1");
  const auto resolve = [&](std::string_view reference) {
    return MessageOf(ResolveUrl(base, reference));
  };
  EXPECT_EQ(resolve("/v2/b?last=x"), "parsed: https://r.example:5000/v2/b?last=x");
  EXPECT_EQ(resolve("?last=y"), "parsed: https://r.example:5000/v2/a/tags/list?last=y");
  EXPECT_EQ(resolve("next"), "parsed: https://r.example:5000/v2/a/tags/next");
  EXPECT_EQ(resolve("//other.example/z"), "parsed: https://other.example/z");
  EXPECT_EQ(resolve("http://other.example/z"), "parsed: http://other.example/z");
  EXPECT_EQ(resolve("file:///etc/passwd"),
            "'file:///etc/passwd' is neither an http nor an https URL");
  EXPECT_EQ(resolve(""), "'' is empty or too long for a URL");
}

TEST(Address, R11_IsClassedByWhereItLeads) {
  using enum AddressClass;
  const std::pair<const char*, AddressClass> cases[] = {
      {"127.0.0.1", kLoopback},
      {"127.9.9.9", kLoopback},
      {"0.0.0.0", kLoopback},
      {"localhost", kLoopback},
      {"LOCALHOST.", kLoopback},
      {"a.localhost", kLoopback},
      {"[::1]", kLoopback},
      {"[::]", kLoopback},
      {"10.1.2.3", kPrivate},
      {"172.16.0.1", kPrivate},
      {"172.31.255.255", kPrivate},
      {"172.32.0.0", kPublic},
      {"192.168.1.1", kPrivate},
      {"100.64.0.1", kPrivate},
      {"[fd00:ec2::254]", kPrivate},
      {"169.254.169.254", kLinkLocal},
      {"[fe80::1]", kLinkLocal},
      {"224.0.0.1", kLinkLocal},
      {"255.255.255.255", kLinkLocal},
      {"[ff02::1]", kLinkLocal},
      {"[::ffff:169.254.169.254]", kLinkLocal},
      {"[::ffff:127.0.0.1]", kLoopback},
      {"[64:ff9b::10.0.0.1]", kPrivate},
      {"8.8.8.8", kPublic},
      {"[2001:db8::1]", kPublic},
      {"localhost.example", kPublic},
      {"r.example", kPublic},
  };
  for (const auto& [host, expected] : cases) EXPECT_EQ(ClassifyHost(host), expected) << host;
}

TEST(Address, R11_OtherSpellingsOfAnIpv4AddressAreTheSame) {
  for (const char* text : {"http://2130706433/", "http://0x7f.1/", "http://127.1/"}) {
    EXPECT_EQ(MustParse(text).origin.host, "127.0.0.1") << text;
  }
}

std::string Redirect(std::string_view registry, std::string_view to, bool insecure = false) {
  const Url from = MustParse(registry);
  return MessageOf(
      CheckRedirect(from, MustParse(to), {.registry = from.origin, .insecure = insecure}));
}

TEST(Redirect, MayLeadToAnyPublicHttpsHost) {
  EXPECT_EQ(Redirect("https://r.example", "https://s.example/x"), "");
  EXPECT_EQ(Redirect("http://r.example", "https://s.example/x"), "");
}

TEST(Redirect, R11_DoesNotLeadFromHttpsToHttpUnlessInsecure) {
  EXPECT_EQ(Redirect("https://r.example", "http://s.example/x"),
            "redirect from https to http://s.example refused");
  EXPECT_EQ(Redirect("https://r.example", "http://s.example/x", true), "");
}

TEST(Redirect, R11_DoesNotLeadNearerThanTheRegistry) {
  for (const char* host :
       {"169.254.169.254", "127.0.0.1", "10.0.0.1", "[::ffff:10.0.0.1]", "localhost", "0.0.0.0"}) {
    EXPECT_NE(Redirect("https://r.example", fmt::format("https://{}/x", host)), "") << host;
  }
  EXPECT_EQ(Redirect("http://10.0.0.1:5000", "http://127.0.0.1:80/x"),
            "redirect to the local address 127.0.0.1 refused");
  EXPECT_EQ(Redirect("http://127.0.0.1:5000", "http://169.254.169.254/latest"),
            "redirect to the local address 169.254.169.254 refused");
}

TEST(Redirect, OfALocalRegistryMayStayLocal) {
  EXPECT_EQ(Redirect("http://127.0.0.1:5000", "http://127.0.0.1:9000/x"), "");
  EXPECT_EQ(Redirect("http://localhost:5000", "http://10.0.0.1:9000/x"), "");
  EXPECT_EQ(Redirect("https://10.0.0.1", "https://10.0.0.2/x"), "");
}

std::string Realm(std::string_view registry, std::string_view realm, bool insecure = false) {
  return MessageOf(
      CheckRealm(MustParse(realm), {.registry = MustParse(registry).origin, .insecure = insecure}));
}

TEST(Realm, MayBeAnyPublicHttpsUrl) {
  EXPECT_EQ(Realm("https://r.example", "https://auth.example/token"), "");
}

TEST(Realm, R10_IsHttpOnlyWhereTheRegistryIsInsecure) {
  EXPECT_EQ(Realm("https://r.example", "http://auth.example/token"),
            "token realm http://auth.example refused: it is not https");
  EXPECT_EQ(Realm("https://r.example", "http://auth.example/token", true), "");
  EXPECT_EQ(Realm("http://r.example", "http://auth.example/token"), "");
}

TEST(Realm, R10_IsNoLocalAddressButTheRegistrysOwn) {
  EXPECT_EQ(Realm("https://r.example", "https://169.254.169.254/token"),
            "token realm at the local address 169.254.169.254 refused");
  EXPECT_EQ(Realm("https://r.example", "https://[::1]/token"),
            "token realm at the local address [::1] refused");
  EXPECT_EQ(Realm("https://r.example", "https://localhost/token"),
            "token realm at the local address localhost refused");
  EXPECT_EQ(Realm("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
            "token realm at the local address 127.0.0.1:5001 refused");
  EXPECT_EQ(Realm("http://127.0.0.1:5000", "http://127.0.0.1:5000/token"), "");
  EXPECT_EQ(Realm("http://127.0.0.1:5000", "http://localhost:5001/token"), "");
}

TEST(PercentEncode, KeepsOnlyUnreservedCharacters) {
  EXPECT_EQ(PercentEncode("v1.2-3_x~A"), "v1.2-3_x~A");
  EXPECT_EQ(PercentEncode("a/b c\r\n?#%:@\xC3\xA9"), "a%2Fb%20c%0D%0A%3F%23%25%3A%40%C3%A9");
}

}  // namespace
}  // namespace ocirepofs
