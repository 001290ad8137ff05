use super::*;

fn publisher() -> (Publisher, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    (Publisher::new(root.path(), Durability::Full), root)
}

fn staged(root: &Path, content: &str) -> (File, PathBuf) {
    let path = root.join("staged");
    fs::write(&path, content).unwrap();
    (File::open(&path).unwrap(), path)
}

/// Which of the directories of `dirs` are known to be durable.
fn known<'a>(publisher: &Publisher, dirs: &[&'a str]) -> Vec<&'a str> {
    let synced = publisher.synced();
    let is_known =
        |dir: &&&str| synced.dirs.get(&publisher.root.join(dir)) == Some(&Standing::Synced);
    dirs.iter().filter(is_known).copied().collect()
}

#[test]
fn publishing_makes_the_directories_and_learns_that_they_last() {
    let (publisher, root) = publisher();
    let (file, path) = staged(root.path(), "x");
    let dest = root.path().join("a/b/c/data");
    publisher.publish(&file, &path, &dest).unwrap();
    assert_eq!(fs::read(&dest).unwrap(), b"x");
    assert!(!path.exists());
    assert_eq!(
        known(&publisher, &["a", "a/b", "a/b/c"]),
        ["a", "a/b", "a/b/c"]
    );
}

#[test]
fn a_directory_that_was_removed_and_made_again_counts_as_new() {
    let (publisher, root) = publisher();
    let (file, path) = staged(root.path(), "x");
    let dest = root.path().join("a/b/data");
    publisher.publish(&file, &path, &dest).unwrap();
    fs::remove_file(&dest).unwrap();
    publisher.remove_dir(&root.path().join("a/b")).unwrap();
    assert_eq!(known(&publisher, &["a", "a/b"]), ["a"]);

    // By another's hand: making it again is what tells.
    publisher.sync_entry(&root.path().join("a/b/data")).unwrap();
    fs::create_dir(root.path().join("a/b")).unwrap();
    fs::remove_dir(root.path().join("a/b")).unwrap();
    let (_, path) = staged(root.path(), "x");
    publisher.rename(&path, &dest).unwrap();
    assert_eq!(known(&publisher, &["a", "a/b"]), ["a"]);
}

#[test]
fn a_sync_says_nothing_of_a_directory_made_after_it_began() {
    let (publisher, root) = publisher();
    let dir = root.path().join("a");
    fs::create_dir(&dir).unwrap();
    let ticket = publisher.ticket(&dir).unwrap();
    publisher.remove_dir(&dir).unwrap();
    publisher.make_dirs(&dir).unwrap();
    publisher.settle(&[(&dir, ticket)]);
    assert!(known(&publisher, &["a"]).is_empty());
}

#[test]
fn pruning_removes_empty_directories_up_to_the_one_that_stays() {
    let (publisher, root) = publisher();
    let gone = root.path().join("keep/b/c/gone");
    publisher.make_dirs(gone.parent().unwrap()).unwrap();
    fs::write(root.path().join("other"), "").unwrap();
    publisher.prune(&gone, |dir| dir.ends_with("keep")).unwrap();
    assert!(root.path().join("keep").is_dir());
    assert!(!root.path().join("keep/b").exists());
    // One that is not empty stays, and so does all above it.
    let gone = root.path().join("p/q/r/gone");
    publisher.make_dirs(gone.parent().unwrap()).unwrap();
    fs::write(root.path().join("p/q/file"), "").unwrap();
    publisher.prune(&gone, |_| false).unwrap();
    assert!(root.path().join("p/q/file").exists());
    assert!(!root.path().join("p/q/r").exists());
}

#[test]
fn only_one_create_wins_and_the_loser_changes_nothing() {
    let (publisher, root) = publisher();
    let dest = root.path().join("d/record");
    let (_, path) = staged(root.path(), "first");
    assert!(publisher.create(&path, &dest).unwrap());
    // Both names are one file until the first goes.
    fs::remove_file(&path).unwrap();
    let (_, path) = staged(root.path(), "second");
    assert!(!publisher.create(&path, &dest).unwrap());
    assert_eq!(fs::read(&dest).unwrap(), b"first");
}

#[test]
fn a_missing_source_is_an_error_and_not_a_loop() {
    let (publisher, root) = publisher();
    let error = publisher
        .rename(&root.path().join("none"), &root.path().join("a/b"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!root.path().join("a").exists());
}

#[test]
fn directories_removed_all_the_time_do_not_stop_a_publisher() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (publisher, root) = publisher();
    let stop = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = publisher.remove_dir(&root.path().join("a/b"));
                let _ = publisher.remove_dir(&root.path().join("a"));
                std::thread::yield_now();
            }
        });
        let dest = root.path().join("a/b/data");
        let result = (0..200).try_for_each(|_| {
            let (_, path) = staged(root.path(), "x");
            publisher.rename(&path, &dest)?;
            fs::remove_file(&dest)
        });
        stop.store(true, Ordering::Relaxed);
        result
    });
    result.unwrap();
}
