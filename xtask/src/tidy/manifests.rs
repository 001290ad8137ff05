//! Rules for the manifests of the workspace.

use super::Findings;
use super::source::File;

pub(super) fn check(files: &[File], findings: &mut Findings) {
    for file in files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
    {
        if file.path == "Cargo.toml" {
            sorted(file, "[workspace.dependencies]", findings);
        } else if file.path.matches('/').count() == 1 {
            for section in ["[dependencies]", "[dev-dependencies]"] {
                sorted(file, section, findings);
            }
            if section(file, "[lints]").all(|(_, line)| line.trim() != "workspace = true") {
                findings.add(&file.path, "lacks `[lints] workspace = true`");
            }
        }
    }
}

/// The lines of a section, numbered.
fn section<'a>(file: &'a File, title: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    (1..)
        .zip(file.text.lines())
        .skip_while(move |(_, line)| line.trim() != title)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
}

fn sorted(file: &File, title: &str, findings: &mut Findings) {
    let mut last = "";
    for (number, line) in section(file, title) {
        // Only the beginning of an entry: no comment, no blank, no continuation.
        if !line.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            continue;
        }
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        if name < last {
            findings.add(
                format!("{}:{number}", file.path),
                format!("{name} belongs before {last}"),
            );
        }
        last = name;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_member(text: &str) -> Vec<String> {
        let file = File {
            path: "a/Cargo.toml".to_owned(),
            text: text.to_owned(),
        };
        let mut findings = Findings::default();
        check(&[file], &mut findings);
        findings.0
    }

    #[test]
    fn dependencies_are_sorted_and_lints_are_the_workspaces() {
        let good = "[dependencies]\na = 1\nb.workspace = true\n\n[lints]\nworkspace = true\n";
        assert_eq!(check_member(good), [""; 0]);
        assert_eq!(check_member("[dependencies]\nb = 1\na = 1\n").len(), 2);
    }
}
