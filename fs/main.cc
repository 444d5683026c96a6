#include <cstdio>
#include <exception>

#include "fs/command_line.h"

int main(int argc, char** argv) {
  try {
    return ocirepofs::RunCommandLine(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ocirepofs: %s\n", error.what());
    return ocirepofs::kExitFailed;
  }
}
