#include "fs/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ocirepofs {
namespace {

constexpr int kFailed = 1;

void DetachStandardStreams() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
  close(null);
}

[[noreturn]] void RunChild(int ready_fd,
                           const std::function<int(const std::function<void()>&)>& body) {
  setsid();
  if (chdir("/") != 0) std::_Exit(kFailed);
  const int status = body([ready_fd] {
    DetachStandardStreams();
    const char byte = 0;
    // The parent may be gone; then nobody waits for it.
    if (write(ready_fd, &byte, 1) == 1) close(ready_fd);
  });
  std::_Exit(status);
}

}  // namespace

int RunInBackground(const std::function<int(const std::function<void()>& ready)>& body) {
  std::array<int, 2> pipe_fds{};
  if (pipe2(pipe_fds.data(), O_CLOEXEC) != 0) {
    std::fprintf(stderr, "ocirepofs: pipe: %s\n", std::strerror(errno));
    return kFailed;
  }
  const pid_t child = fork();
  if (child < 0) {
    std::fprintf(stderr, "ocirepofs: fork: %s\n", std::strerror(errno));
    return kFailed;
  }
  if (child == 0) {
    close(pipe_fds[0]);
    RunChild(pipe_fds[1], body);
  }
  close(pipe_fds[1]);
  char byte = 0;
  ssize_t count = 0;
  do {
    count = read(pipe_fds[0], &byte, 1);
  } while (count < 0 && errno == EINTR);
  if (count == 1) return 0;
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kFailed;
}

}  // namespace ocirepofs
