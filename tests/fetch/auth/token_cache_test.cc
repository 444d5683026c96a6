#include "fetch/auth/token_cache.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>

namespace ocirepofs {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

class TwoClocks final : public Clock {
 public:
  std::chrono::system_clock::time_point WallNow() const override { return wall; }
  std::chrono::steady_clock::time_point SteadyNow() const override { return steady; }

  std::chrono::system_clock::time_point wall{hours(480'000)};
  std::chrono::steady_clock::time_point steady{hours(1)};
};

class TokenCacheTest : public testing::Test {
 protected:
  void Put(const std::string& value, seconds expires_in) {
    const auto got = cache_.Get(key_, [&] { return Token{value, expires_in}; }, {});
    ASSERT_TRUE(got);
    ASSERT_EQ(*got, value);
  }

  TwoClocks clock_;
  TokenCache cache_{&clock_};
  TokenKey key_{{"https://r.example", "a/b", ""}, "https://auth.example/t", "s", {"scope"}};
};

TEST_F(TokenCacheTest, IsUsedForFourFifthsOfItsLifetime) {
  Put("t", seconds(100));
  clock_.steady += seconds(79);
  EXPECT_EQ(cache_.Find(key_), "t");
  clock_.steady += seconds(1);
  EXPECT_EQ(cache_.Find(key_), std::nullopt);
}

TEST_F(TokenCacheTest, IsUsedForAnHourAtMost) {
  Put("t", hours(24 * 365 * 1000));
  clock_.steady += hours(1) - seconds(1);
  EXPECT_EQ(cache_.Find(key_), "t");
  clock_.steady += seconds(1);
  EXPECT_EQ(cache_.Find(key_), std::nullopt);
}

TEST_F(TokenCacheTest, ExpiresByTheWallClockWhereTheSteadyOneStoodStill) {
  Put("t", seconds(100));
  clock_.wall += seconds(80);
  EXPECT_EQ(cache_.Find(key_), std::nullopt);
}

TEST_F(TokenCacheTest, ANegativeLifetimeIsNone) {
  Put("t", seconds(-5));
  EXPECT_EQ(cache_.Find(key_), std::nullopt);
}

TEST_F(TokenCacheTest, RemembersTheKeyOfAHolder) {
  EXPECT_FALSE(cache_.LastKey(key_.holder));
  Put("t", seconds(100));
  EXPECT_EQ(cache_.LastKey(key_.holder), key_);
  EXPECT_FALSE(cache_.LastKey({"https://r.example", "a/c", ""}));
}

TEST_F(TokenCacheTest, S08OneIdentitysTokenIsNotAnothers) {
  Put("t", seconds(100));
  TokenKey other = key_;
  other.holder.identity = "someone";
  EXPECT_EQ(cache_.Find(other), std::nullopt);
}

TEST_F(TokenCacheTest, DropsTheTokenThatWasRefusedAndNoNewerOne) {
  Put("new", seconds(100));
  cache_.Drop(key_, "old");
  EXPECT_EQ(cache_.Find(key_), "new");
  cache_.Drop(key_, "new");
  EXPECT_EQ(cache_.Find(key_), std::nullopt);
}

TEST_F(TokenCacheTest, AFailureIsReportedAndNotKept) {
  const auto failed =
      cache_.Get(key_, []() -> Result<Token> { return Fail(ErrorCode::kUnavailable, "down"); }, {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "down");
  Put("t", seconds(100));
}

TEST_F(TokenCacheTest, ThreadsShareOneFetch) {
  constexpr int kWaiters = 4;
  std::latch fetching(1);
  std::latch finish(1);
  std::atomic<int> fetches = 0;
  const auto fetch = [&]() -> Result<Token> {
    ++fetches;
    fetching.count_down();
    finish.wait();
    return Token{"shared", seconds(100)};
  };
  std::jthread first([&] { EXPECT_EQ(cache_.Get(key_, fetch, {}).value_or(""), "shared"); });
  fetching.wait();
  std::latch started(kWaiters);
  std::vector<std::jthread> waiters;
  for (int i = 0; i < kWaiters; ++i) {
    waiters.emplace_back([&] {
      started.count_down();
      EXPECT_EQ(cache_.Get(key_, fetch, {}).value_or(""), "shared");
    });
  }
  started.wait();
  finish.count_down();
  first.join();
  waiters.clear();
  EXPECT_EQ(fetches, 1);
}

TEST_F(TokenCacheTest, AWaiterThatIsStoppedDoesNotWaitOn) {
  std::latch fetching(1);
  std::latch finish(1);
  std::jthread first([&] {
    const auto got = cache_.Get(key_,
                                [&]() -> Result<Token> {
                                  fetching.count_down();
                                  finish.wait();
                                  return Token{"t", seconds(100)};
                                },
                                {});
    EXPECT_TRUE(got);
  });
  fetching.wait();
  std::stop_source stop;
  stop.request_stop();
  const auto got = cache_.Get(
      key_,
      []() -> Result<Token> {
        return Token{"mine", seconds(1)};
      },
      stop.get_token());
  finish.count_down();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace ocirepofs
