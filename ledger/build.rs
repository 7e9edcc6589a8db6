//! The migrations are built into the program: a new one is a change of it.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
