//! The `registry` binary: the library with every driver that was compiled in.

fn main() -> std::process::ExitCode {
    registry_http::Server::builder().with_builtin().run()
}
