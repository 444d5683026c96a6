#include "fs/logging.h"

#include <spdlog/formatter.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "conf/status.h"

namespace ocirepofs {
namespace {

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%SZ %l %v";

/// One JSON object a line.
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const auto level = spdlog::level::to_string_view(message.level);
    const nlohmann::ordered_json json = {
        {"time", FormatTimestamp(std::chrono::floor<std::chrono::seconds>(message.time))},
        {"level", std::string(level.data(), level.size())},
        {"message", std::string(message.payload.data(), message.payload.size())}};
    const std::string line =
        json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

}  // namespace

void StartLogging(const MountOptions& options, LogTarget target) {
  std::shared_ptr<spdlog::logger> logger;
  if (target == LogTarget::kSyslog) {
    logger = spdlog::syslog_logger_mt("ocirepofs", "ocirepofs", LOG_PID, LOG_DAEMON);
    logger->set_pattern("%v");
  } else {
    logger = spdlog::stderr_logger_mt("ocirepofs");
    logger->set_formatter(
        std::make_unique<spdlog::pattern_formatter>(kTextPattern, spdlog::pattern_time_type::utc));
  }
  if (options.log_format == LogFormat::kJson) {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  }
  logger->set_level(spdlog::level::from_str(options.log_level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace ocirepofs
