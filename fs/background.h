#pragma once

#include <functional>
#include <string>

namespace ocirepofs {

/// Runs `body` in a process of its own in the background (a session leader without a terminal, in
/// `/`), and returns when it says that it is ready or ends. `body` is given what to call when it is
/// ready; what it returns is its exit status, and what it wrote to standard error before it was
/// ready is on this process's standard error. Returns 0 when it is ready, else that status.
/// REQUIRES: the process has one thread.
int RunInBackground(const std::function<int(const std::function<void()>& ready)>& body);

}  // namespace ocirepofs
