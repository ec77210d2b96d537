//! The command: what a person or a script says, and what they hear back.
//!
//! Data goes to standard output, words and progress to standard error, so that commands can be chained.

mod ahead;
mod args;
mod asking;
mod conflicts;
mod demo;
mod failure;
mod fold;
mod generate;
mod given;
mod history;
mod input;
mod journal;
mod merge;
mod output;
mod parked;
mod progress;
mod replica;
mod salvage;
mod scenario;
mod serve;
mod show;
mod status;
mod sync;
mod words;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;
use output::{Output, say};

/// Runs the command that the process was called with. The exit code is 0 if it was done, 1 if a check or an
/// operation failed, 2 if it was not called right.
#[must_use]
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Asked for help, or called wrong: clap knows which.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let mut output = Output::new(args.json, args.command.is_asked_how_it_ends());
    let done = dispatch(args.command, &mut output).and_then(|()| output.flush());
    match done {
        // Whoever read the output has seen enough.
        Ok(()) | Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => {
            let _ = output.flush();
            say(&format!("foldlog: {why}"));
            ExitCode::from(1)
        }
        Err(Failure::Usage(why)) => {
            say(&format!("foldlog: {why}"));
            ExitCode::from(2)
        }
    }
}

fn dispatch(command: Command, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Fold(args) => fold::fold(&args, output),
        Command::Append(args) => journal::append(&args, output),
        Command::Baseline(args) => journal::baseline(&args, output),
        Command::Plan(args) => journal::plan(&args, output),
        Command::Compact(args) => journal::compact(&args, output),
        Command::Seal(args) => journal::seal(&args, output),
        Command::Settle(args) => journal::settle(&args, output),
        Command::Receive(args) => journal::receive(&args, output),
        Command::Reads(args) => journal::reads(&args, output),
        Command::Integrate(args) => journal::integrate(&args, output),
        Command::Status(args) => status::status(&args, output),
        Command::Show(args) => show::show(&args, output),
        Command::Parked(args) => parked::parked(&args, output),
        Command::Replica(args) => replica::replica(&args, output),
        Command::Conflicts(args) => conflicts::conflicts(&args, output),
        Command::Merge(args) => merge::merge(&args, output),
        Command::Verify(args) => status::verify(&args, output),
        Command::Salvage(args) => salvage::salvage(&args, output),
        Command::Generate(args) => generate::generate(&args, output),
        Command::Scenario(args) => scenario::scenario(&args, output),
        Command::Serve(args) => serve::serve(&args, output),
        Command::Token(args) => serve::token(&args, output),
        Command::Sync(args) => sync::sync(&args, output),
        Command::Demo => demo::demo(output),
    }
}
