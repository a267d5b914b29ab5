#!/bin/sh
# Compiles the contracts to wasm, into the folder that is named, by default this one. What is checked in was made by clang and lld 14.0.6
# of Debian 12 (apt-get install clang lld); a test builds it again with that version, and compares.
set -eu
cd "$(dirname "$0")"
for contract in injector activator; do
    # Nodes run the first version of WebAssembly: no instructions that came later.
    "${CLANG:-clang}" --target=wasm32 -mcpu=mvp -nostdlib -ffreestanding -fno-builtin -O2 -Wall -Wextra -Werror \
        -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=4096 -o "${1:-.}/$contract.wasm" "$contract.c"
done
chmod 644 "${1:-.}"/injector.wasm "${1:-.}"/activator.wasm
