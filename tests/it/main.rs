//! Integration tests: the library and the binary as their users hold them.

mod config;
