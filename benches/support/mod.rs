//! What the benches of processes share: the program that does nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A static program without libc that ends at once.
pub const NO_OP: &str = ".globl _start\n_start: xor %edi, %edi\n mov $60, %eax\n syscall\n";

/// Builds a program from assembly.
pub fn assemble(root: &Path, name: &str, source: &str) -> PathBuf {
    let (input, output) = (root.join(format!("{name}.s")), root.join(name));
    fs::write(&input, source).expect("the temporary folder can be written");
    let built = Command::new("cc").args(["-nostdlib", "-static", "-s", "-o"]).args([&output, &input]).status();
    assert!(built.is_ok_and(|status| status.success()), "cc is needed to build the floor programs");
    output
}
