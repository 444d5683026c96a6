#include "conf/duration.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/tsv.h"

namespace ocirepofs {
namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

TEST(Duration, Vectors) {
  const std::vector<test::TsvRow> rows = test::LoadVectors("durations.tsv");
  size_t ran = 0;
  for (const test::TsvRow& row : rows) {
    const std::string& text = row.Text("string");
    SCOPED_TRACE(row.where() + " " + text);
    const Result<nanoseconds> duration = ParseDuration(text);
    ASSERT_EQ(duration.has_value(), row.Bool("go_valid"));
    if (duration) {
      EXPECT_EQ(std::to_string(duration->count()), row.Text("nanoseconds"));
      EXPECT_EQ(FormatDuration(*duration), row.Text("go_string"));
    } else {
      EXPECT_EQ(duration.error().code, ErrorCode::kInvalid);
      EXPECT_FALSE(row.Maybe("nanoseconds"));
      EXPECT_FALSE(row.Maybe("go_string"));
    }
    EXPECT_EQ(IsIntervalPattern(text), row.Bool("flux_interval_pattern"));
    EXPECT_EQ(IsTimeoutPattern(text), row.Bool("flux_timeout_pattern"));
    ++ran;
  }
  EXPECT_GT(ran, 0U);
  EXPECT_EQ(ran, rows.size());
}

std::string MessageOf(std::string_view text) {
  const Result<nanoseconds> duration = ParseDuration(text);
  return duration ? "no error" : duration.error().message;
}

TEST(Duration, MessagesSayWhatIsWrong) {
  EXPECT_EQ(MessageOf(""), "duration '': a number with a unit is expected, such as 5m or 1h30m");
  EXPECT_EQ(MessageOf("soon"),
            "duration 'soon': a number with a unit is expected, such as 5m or 1h30m");
  EXPECT_EQ(MessageOf("10"), "duration '10': a unit is missing; use ns, us, ms, s, m or h");
  EXPECT_EQ(MessageOf("1d"), "duration '1d': unknown unit 'd'; use ns, us, ms, s, m or h");
  EXPECT_EQ(MessageOf("9999999999h"), "duration '9999999999h': longer than 2562047h47m16s");
}

// Go's sum would wrap around to nothing here.
TEST(Duration, SumThatWrapsAroundIsTooLong) {
  EXPECT_EQ(MessageOf("9223372036854775808ns9223372036854775808ns"),
            "duration '9223372036854775808ns9223372036854775808ns': longer than 2562047h47m16s");
}

TEST(Duration, FormatsLikeKubernetes) {
  EXPECT_EQ(FormatDuration(0s), "0s");
  EXPECT_EQ(FormatDuration(5min), "5m0s");
  EXPECT_EQ(FormatDuration(24h), "24h0m0s");
  EXPECT_EQ(FormatDuration(1500ms), "1.5s");
  EXPECT_EQ(FormatDuration(-90s), "-1m30s");
  EXPECT_EQ(FormatDuration(1us), "1µs");
  EXPECT_EQ(FormatDuration(nanoseconds::min()), "-2562047h47m16.854775808s");
}

}  // namespace
}  // namespace ocirepofs
