//! What a user sees: each test runs the real binary in a project of its own and looks at its output, its
//! exit code and the files it left.

mod audit;
mod bad_input;
mod commands;
mod emit;
mod examples;
mod flowspec;
mod library;
mod matching;
mod processes;
mod support;
mod trust;
mod validate;
