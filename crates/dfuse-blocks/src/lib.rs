//! Block files and object stores, the fork database and the block feed.
