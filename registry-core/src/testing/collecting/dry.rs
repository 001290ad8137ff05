//! What a collection says that is only to say it.

use super::*;
use crate::storage::Retired;

async fn trash(storage: &Storage) -> Vec<Retired> {
    storage.blobs.list_retired().try_collect().await.unwrap()
}

pub async fn a_dry_run_tells_and_changes_nothing(storage: &Storage) {
    let repository = image::repository(storage).await;
    let (orphan, untagged) = (Image::new(1), Image::new(2));
    orphan.push_blobs(&repository).await.unwrap();
    push_untagged(&repository, &untagged).await;
    storage.blobs.retire(&orphan.layer()).await.unwrap();
    let before = blobs(storage).await;
    let dry = CollectOptions {
        dry_run: true,
        untagged: true,
        ..at_once()
    };
    let mut told = Vec::new();
    let registry = registry(storage).await;
    let collected = registry
        .collect(&dry, &mut |seen| match seen {
            Seen::Blob(blob, _) => told.push(blob.digest),
            Seen::Copy(copy, _) => told.push(copy.digest),
            Seen::Untagged(_, digest) => assert_eq!(*digest, untagged.digest()),
            _ => {}
        })
        .await
        .unwrap();
    assert_eq!(collected.untagged, 1);
    assert_eq!((collected.retired.count, collected.purged.count), (4, 1));
    told.sort();
    told.dedup();
    assert_eq!(told.len(), before.len() + 1);
    assert_eq!(blobs(storage).await, before);
    untagged.assert_whole(&repository, "after a dry run").await;
    assert!(image::get_blob(&repository, &orphan.layer()).await.is_ok());
}

pub async fn a_dry_run_leaves_in_the_trash_what_it_would_restore(storage: &Storage) {
    let repository = image::repository(storage).await;
    let image = Image::new(1);
    image.push(&repository).await.unwrap();
    // As if a collector had stopped between retiring and looking once more.
    let manifest = storage.blobs.retire(&image.digest()).await.unwrap();
    let before = blobs(storage).await;
    for options in [at_once(), of_untagged()] {
        let dry = CollectOptions {
            dry_run: true,
            ..options
        };
        let mut told = Vec::new();
        let registry = registry(storage).await;
        let collected = registry
            .collect(&dry, &mut |seen| {
                if let Seen::Copy(copy, Fate::Restore(need)) = seen {
                    told.push((copy.digest, need.manifest));
                }
            })
            .await
            .unwrap();
        assert_eq!(told, [(image.digest(), Some(image.digest()))]);
        // What it needs is needed.
        assert_eq!((collected.kept.count, collected.retired.count), (2, 0));
        assert_eq!((collected.restored.count, collected.untagged), (1, 0));
        assert_eq!(blobs(storage).await, before);
        assert_eq!(trash(storage).await, [manifest]);
    }
    // Whoever looks brings it back; a store may leave there what it has copied back.
    assert!(collect(storage, &at_once()).await.restored.count <= 1);
    image.assert_whole(&repository, "after all").await;
}
