//! Tests, checks and measurements of the registry: `cargo xtask --help` lists them.
//!
//! One file per command; [`sh`] runs programs, [`server`] a registry, [`http`] speaks to it. No
//! crate of the workspace is linked: what is checked here is what a user would get.
#![allow(clippy::print_stdout, reason = "a command line program prints")]
#![allow(
    clippy::disallowed_methods,
    reason = "the ban keeps files and the environment out of the server; this drives it from outside"
)]

mod bench;
mod buildah;
mod ci;
mod conformance;
mod digest;
mod dist;
mod fault_proxy;
mod flags;
mod http;
mod image;
mod integration;
mod package;
mod replicas;
mod s3;
mod server;
mod sh;
mod test;
mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    match flags::parse(std::env::args().skip(1)) {
        Ok(flags::Parsed::Help(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(flags::Parsed::Run(command, args)) => match (command.run)(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: xtask {}: {error:#}", command.name);
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
