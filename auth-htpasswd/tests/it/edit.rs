//! A file of users is changed by a command.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use auth_htpasswd::Hash;
use auth_htpasswd::edit::{Begin, changed, edit, find, read};

fn add(path: &Path, begin: Begin, user: &str) -> io::Result<()> {
    let hash = Hash::make(b"a", 4, [0; 16]).unwrap();
    edit(path, begin, &mut |text| {
        let changed = changed(text, user, Some(&hash)).map_err(io::Error::other)?;
        Ok(changed.0)
    })
}

fn has(path: &Path, user: &str) -> bool {
    find(&read(path).unwrap(), user).unwrap().is_some()
}

#[test]
fn a_new_file_is_for_its_owner_alone_and_an_old_one_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    let missing = add(&path, Begin::Existing, "a").unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    add(&path, Begin::Anew, "a").unwrap();
    let metadata = || fs::metadata(&path).unwrap();
    assert_eq!(metadata().mode() & 0o7777, 0o600);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let owner = (metadata().uid(), metadata().gid());
    for begin in [Begin::Existing, Begin::Anew] {
        let inode = metadata().ino();
        add(&path, begin, "b").unwrap();
        assert_eq!(metadata().mode() & 0o7777, 0o640);
        assert_eq!((metadata().uid(), metadata().gid()), owner);
        assert_ne!(metadata().ino(), inode, "it was replaced, not written over");
        assert_eq!(has(&path, "a"), begin == Begin::Existing);
        assert!(has(&path, "b"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::write(&path, "").unwrap();
    symlink("real", &link).unwrap();
    add(&link, Begin::Existing, "a").unwrap();
    assert!(link.is_symlink());
    assert!(has(&path, "a"));
}

#[test]
fn what_is_refused_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    fs::write(&path, "no users\n").unwrap();
    add(&path, Begin::Existing, "a").unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), "no users\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    add(folder.path(), Begin::Existing, "a").unwrap_err();
}

#[test]
fn those_who_change_it_at_once_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    fs::write(&path, "").unwrap();
    let begin = Barrier::new(8);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (path, begin) = (&path, &begin);
            scope.spawn(move || {
                begin.wait();
                for n in 0..10 {
                    add(path, Begin::Existing, &format!("{thread}-{n}")).unwrap();
                }
            });
        }
    });
    for thread in 0..8 {
        for n in 0..10 {
            assert!(
                has(&path, &format!("{thread}-{n}")),
                "{thread}-{n} was lost"
            );
        }
    }
}
