#include "fetch/schedule.h"

#include <gtest/gtest.h>

namespace ocirepofs {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr Schedule::Time kStart{};

ObjectKey Key(const std::string& name) { return {"default", name}; }

std::string Take(Schedule* schedule, seconds now) {
  const auto taken = schedule->Take(kStart + now);
  return taken ? taken->name : "";
}

TEST(Schedule, NothingIsDueOfNothing) {
  Schedule schedule(2);
  EXPECT_EQ(Take(&schedule, hours(1)), "");
  EXPECT_EQ(schedule.NextDue(), std::nullopt);
}

TEST(Schedule, TheLongestDueComesFirst) {
  Schedule schedule(10);
  schedule.Plan(Key("b"), "h", kStart + seconds(2));
  schedule.Plan(Key("a"), "h", kStart + seconds(3));
  schedule.Plan(Key("c"), "h", kStart + seconds(1));
  EXPECT_EQ(Take(&schedule, seconds(0)), "");
  EXPECT_EQ(schedule.NextDue(), kStart + seconds(1));
  EXPECT_EQ(Take(&schedule, seconds(1)), "c");
  EXPECT_EQ(Take(&schedule, seconds(1)), "");
  EXPECT_EQ(Take(&schedule, seconds(9)), "b");
  EXPECT_EQ(Take(&schedule, seconds(9)), "a");
  EXPECT_EQ(Take(&schedule, seconds(9)), "");
}

TEST(Schedule, TheSameMomentIsInOrderOfKeys) {
  Schedule schedule(10);
  for (const char* name : {"b", "c", "a"}) schedule.Plan(Key(name), "h", kStart);
  EXPECT_EQ(Take(&schedule, seconds(0)), "a");
  EXPECT_EQ(Take(&schedule, seconds(0)), "b");
  EXPECT_EQ(Take(&schedule, seconds(0)), "c");
}

TEST(Schedule, ANewPlanReplacesTheOld) {
  Schedule schedule(10);
  schedule.Plan(Key("a"), "h", kStart + seconds(1));
  schedule.Plan(Key("a"), "h", kStart + seconds(5));
  EXPECT_EQ(Take(&schedule, seconds(4)), "");
  schedule.Plan(Key("a"), "h", kStart + seconds(2));
  EXPECT_EQ(Take(&schedule, seconds(4)), "a");
  EXPECT_EQ(Take(&schedule, hours(1)), "");
}

TEST(Schedule, AForgottenPlanIsNotDue) {
  Schedule schedule(10);
  schedule.Plan(Key("a"), "h", kStart);
  schedule.Forget(Key("a"));
  schedule.Forget(Key("never planned"));
  EXPECT_EQ(Take(&schedule, hours(1)), "");
  EXPECT_EQ(schedule.NextDue(), std::nullopt);
}

TEST(Schedule, WhatRunsIsNotDueHoweverItIsPlanned) {
  Schedule schedule(10);
  schedule.Plan(Key("a"), "h", kStart);
  EXPECT_EQ(Take(&schedule, seconds(0)), "a");
  schedule.Plan(Key("a"), "h", kStart + seconds(1));
  EXPECT_EQ(Take(&schedule, seconds(5)), "");
  EXPECT_EQ(schedule.NextDue(), std::nullopt);
  schedule.Finished(Key("a"));
  EXPECT_EQ(schedule.NextDue(), kStart + seconds(1));
  EXPECT_EQ(Take(&schedule, seconds(5)), "a");
}

TEST(Schedule, WhatFinishedWithoutAPlanIsNotDue) {
  Schedule schedule(10);
  schedule.Plan(Key("a"), "h", kStart);
  EXPECT_EQ(Take(&schedule, seconds(0)), "a");
  schedule.Finished(Key("a"));
  EXPECT_EQ(Take(&schedule, hours(1)), "");
  schedule.Finished(Key("a"));  // once more does no harm
  schedule.Plan(Key("a"), "h", kStart);
  EXPECT_EQ(Take(&schedule, hours(1)), "a");
}

TEST(Schedule, AHostRunsNoMoreThanItsLimit) {
  Schedule schedule(2);
  for (const char* name : {"a", "b", "c"}) schedule.Plan(Key(name), "h", kStart);
  EXPECT_EQ(Take(&schedule, seconds(0)), "a");
  EXPECT_EQ(Take(&schedule, seconds(0)), "b");
  EXPECT_EQ(Take(&schedule, seconds(0)), "");
  EXPECT_EQ(schedule.NextDue(), std::nullopt);
  schedule.Finished(Key("a"));
  EXPECT_EQ(schedule.NextDue(), kStart);
  EXPECT_EQ(Take(&schedule, seconds(0)), "c");
  EXPECT_EQ(Take(&schedule, seconds(0)), "");
}

TEST(Schedule, ADeadHostHoldsUpNoOther) {
  Schedule schedule(1);
  for (int i = 0; i < 100; ++i) schedule.Plan(Key("dead" + std::to_string(i)), "dead", kStart);
  schedule.Plan(Key("live"), "live", kStart + seconds(5));
  EXPECT_EQ(Take(&schedule, seconds(0)), "dead0");
  EXPECT_EQ(schedule.NextDue(), kStart + seconds(5));
  EXPECT_EQ(Take(&schedule, seconds(5)), "live");
  schedule.Finished(Key("live"));
  schedule.Plan(Key("live"), "live", kStart + seconds(6));
  EXPECT_EQ(Take(&schedule, seconds(6)), "live");
}

TEST(Schedule, AnotherHostInTheNextPlanCountsThere) {
  Schedule schedule(1);
  schedule.Plan(Key("a"), "old", kStart);
  EXPECT_EQ(Take(&schedule, seconds(0)), "a");
  schedule.Plan(Key("a"), "new", kStart);
  schedule.Plan(Key("b"), "new", kStart);
  schedule.Plan(Key("c"), "old", kStart);
  EXPECT_EQ(Take(&schedule, seconds(0)), "b");
  EXPECT_EQ(Take(&schedule, seconds(0)), "") << "a still runs at the old host";
  schedule.Finished(Key("a"));
  EXPECT_EQ(Take(&schedule, seconds(0)), "c");
  EXPECT_EQ(Take(&schedule, seconds(0)), "") << "b runs at the new host";
  schedule.Finished(Key("b"));
  EXPECT_EQ(Take(&schedule, seconds(0)), "a");
}

TEST(Schedule, AClaimGoesBeforeTheLimitAndKeepsThePlan) {
  Schedule schedule(1);
  schedule.Plan(Key("a"), "h", kStart);
  schedule.Plan(Key("b"), "h", kStart + seconds(1));
  EXPECT_EQ(Take(&schedule, seconds(1)), "a");
  EXPECT_FALSE(schedule.Claim(Key("a"), "h"));
  EXPECT_TRUE(schedule.Claim(Key("b"), "h"));
  EXPECT_FALSE(schedule.Claim(Key("b"), "h"));
  schedule.Finished(Key("a"));
  EXPECT_EQ(Take(&schedule, seconds(1)), "") << "b counts against the host";
  schedule.Finished(Key("b"));
  EXPECT_EQ(Take(&schedule, seconds(1)), "b");
}

TEST(Schedule, ABackoffDoublesFrom750MillisecondsTo15Minutes) {
  EXPECT_EQ(Backoff(1), milliseconds(750));
  EXPECT_EQ(Backoff(2), milliseconds(1500));
  EXPECT_EQ(Backoff(3), seconds(3));
  EXPECT_EQ(Backoff(10), seconds(384));
  EXPECT_EQ(Backoff(11), seconds(768));
  EXPECT_EQ(Backoff(12), minutes(15));
  EXPECT_EQ(Backoff(INT_MAX), minutes(15));
}

TEST(Schedule, JitterIsFivePercentEitherWay) {
  EXPECT_EQ(WithJitter(seconds(100), 0), seconds(95));
  EXPECT_EQ(WithJitter(seconds(100), 0.5), seconds(100));
  EXPECT_EQ(WithJitter(seconds(100), 1), seconds(105));
  EXPECT_EQ(WithJitter(nanoseconds(0), 1), nanoseconds(0));
}

TEST(Schedule, JitterOfTheLongestIntervalStaysInBounds) {
  const nanoseconds century = hours(24 * 365 * 100);
  EXPECT_GE(WithJitter(century, 1), century);
  EXPECT_LE(WithJitter(century, 1), century + century / 19);
}

}  // namespace
}  // namespace ocirepofs
