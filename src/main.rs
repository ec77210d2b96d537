//! The `foldlog` command; see [`foldlog::cli`].

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    foldlog::cli::run()
}
