//! Deep-mind logs of Antelope nodes to blocks and ABI dumps.
