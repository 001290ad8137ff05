//! The S3 of the tests, for programs that are no tests: says where it is, and ends with its
//! standard input. What is in it is gone then.

use std::io::{self, Read as _, Write as _};

use storage_s3::testing::S3Server;

fn main() -> io::Result<()> {
    let server = S3Server::start();
    let (bucket, region) = (server.bucket(), server.region());
    let (access, secret) = (S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    let mut out = io::stdout();
    // As the section of a configuration, so that there is nothing to put together.
    writeln!(
        out,
        "s3: {{bucket: {bucket}, region: {region}, regionendpoint: '{}', accesskey: {access}, \
         secretkey: '{secret}'}}",
        server.endpoint()
    )?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
