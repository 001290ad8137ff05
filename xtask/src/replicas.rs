//! Several servers on one bucket behind nginx, with the configuration that `docs/deploy` has for that.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::integration::Front;
use crate::server::{Server, Start, free_address};
use crate::sh;

/// As the lines of the servers begin in the file.
const SERVER: &str = "    server registry-";

#[derive(Debug)]
pub(crate) struct Replicas {
    // Ends first.
    pub(crate) front: Front,
    pub(crate) servers: Vec<Server>,
}

impl Replicas {
    /// Starts so many on the bucket of this section.
    pub(crate) fn start(binary: &Path, folder: &Path, section: &str, count: usize) -> Result<Self> {
        let start = |number: usize| {
            Server::launch(Start {
                binary,
                folder: &folder.join(format!("replica-{number}")),
                address: &free_address()?,
                level: "info",
                driver: Some(section),
                more: "extensions: {proxies: [127.0.0.1]}\n",
                tls: None,
            })
        };
        let servers = (1..=count).map(start).collect::<Result<Vec<_>>>()?;
        let file = fs::read_to_string(sh::root().join("docs/deploy/nginx.replicas.conf"))?;
        let address = free_address()?;
        let addresses: Vec<&str> = servers.iter().map(|one| one.address.as_str()).collect();
        let block = configuration(&file, &address, &addresses)?;
        let folder = folder.join("nginx");
        fs::create_dir_all(&folder)?;
        let front = Front::listen_with(&folder, address, &block)?;
        Ok(Self { front, servers })
    }

    /// Shows what each of them had to say.
    pub(crate) fn print_logs(&self) {
        self.servers.iter().for_each(Server::print_log);
        println!("-- log of nginx\n{}", self.front.log().unwrap_or_default());
    }
}

/// The file, with addresses in place of the names that compose gives.
fn configuration(file: &str, address: &str, servers: &[&str]) -> Result<String> {
    let (mut lines, mut seen) = (Vec::new(), false);
    for line in file.lines() {
        let Some(rest) = line.strip_prefix(SERVER) else {
            lines.push(line.to_owned());
            continue;
        };
        // The first stands for all.
        let rest = rest.split_once(' ').map_or(";", |(_, rest)| rest);
        if !seen {
            lines.extend(servers.iter().map(|one| format!("    server {one} {rest}")));
        }
        seen = true;
    }
    let text = lines.join("\n");
    ensure!(seen && text.contains("listen 80;"), "no servers in {file}");
    Ok(text.replace("listen 80;", &format!("listen {address};")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_lines_of_the_file() {
        let read = |path: &str| fs::read_to_string(sh::root().join(path)).unwrap();
        let (page, file) = (
            read("docs/replicas.md"),
            read("docs/deploy/nginx.replicas.conf"),
        );
        let blocks: Vec<&str> = page.split("```nginx\n").skip(1).collect();
        assert!(!blocks.is_empty());
        for line in blocks.iter().flat_map(|block| {
            let block = block.split("```").next().unwrap_or_default();
            block.lines()
        }) {
            assert!(file.lines().any(|one| one == line), "{line}");
        }
    }

    #[test]
    fn servers_take_the_place_of_names() {
        let file = "upstream a {\n    server registry-1:5000 b=1;\n    server registry-2:5000 b=1;\n}\n\
                    server { listen 80; }\n";
        let expected = "upstream a {\n    server x:1 b=1;\n    server y:2 b=1;\n    server z:3 b=1;\n}\n\
                        server { listen w:4; }";
        let text = configuration(file, "w:4", &["x:1", "y:2", "z:3"]).unwrap();
        assert_eq!(text, expected);
        assert!(configuration("server { listen 80; }", "w:4", &["x:1"]).is_err());
    }
}
