#pragma once

namespace ocirepofs {

/// What a command ends with. Published in ocirepofs(8).
enum ExitStatus {
  kExitDone = 0,
  kExitFailed = 1,  // the thing asked for failed
  kExitUsage = 2,   // the command line is wrong
};

/// The whole program: reads the command line, does what it says, returns the exit status.
int RunCommandLine(int argc, char** argv);

}  // namespace ocirepofs
