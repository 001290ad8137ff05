use std::pin::pin;
use std::sync::mpsc;

use crate::Reference;
use crate::storage::MemoryDriver;
use crate::storage::Storage;
use crate::testing::ambient;
use futures_util::future::poll_immediate;
use tokio::runtime;

use crate::testing::image::{Image, by_tag, repository};

/// An image whose manifest is so large by white space.
fn image(len: usize) -> Image {
    let mut image = Image::new(0);
    let mut bytes = image.manifest.to_vec();
    bytes.resize(len, b' ');
    image.manifest = bytes.into();
    image
}

/// Whether it waits for the blocking pool, whose one thread is taken meanwhile, and what it gives.
async fn waits<T>(work: impl Future<Output = T>) -> (bool, T) {
    let (go, wait) = mpsc::channel::<()>();
    let taken = tokio::task::spawn_blocking(move || wait.recv());
    let mut work = pin!(work);
    let mut at_once = None;
    // What a push leaves to a task of the registry gets its turn as well.
    for _ in 0..100 {
        at_once = poll_immediate(&mut work).await;
        if at_once.is_some() {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(go);
    taken.await.unwrap().unwrap_err();
    match at_once {
        Some(given) => (false, given),
        None => (true, work.await),
    }
}

/// A store in memory never waits, so what does not end at once waits for the pool.
#[test]
fn large_manifests_are_hashed_and_parsed_off_the_workers() {
    let runtime = runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    for (len, expected) in [(64 << 10, false), ((64 << 10) + 1, true), (4 << 20, true)] {
        runtime.block_on(async {
            let image = image(len);
            let storage = Storage::from_driver(MemoryDriver::new(ambient()));
            // Each begins with nothing in memory.
            let to = repository(&storage).await;
            image.push_blobs(&to).await.unwrap();
            let (waited, pushed) = waits(image.put(&to)).await;
            pushed.unwrap();
            assert_eq!(waited, expected, "push of {len}");
            for by in [by_tag(), Reference::Digest(image.digest())] {
                let from = repository(&storage).await;
                let (waited, pulled) = waits(from.manifest(&by)).await;
                assert_eq!(pulled.unwrap().bytes, image.manifest);
                assert_eq!(waited, expected, "pull of {len} by {by:?}");
            }
        });
    }
}
